"""Damage: what disks do to the files of a node that is down, and how a lost node is replaced."""

import asyncio
import http.client
import shutil
import subprocess
from pathlib import Path
from typing import Any

from quorate.client import AsyncClient
from quorate.lab.launch import NodeProcess, quorate_command
from quorate.wire.records import RecordHeader
from quorate.wire.walk import Walk
from tests.integration.load import OWN
from tests.integration.stage import MIB, Stage
from tests.limits import HANG_S

OFTEN: dict[str, object] = {"wal_segment_bytes": MIB, "snapshot_log_bytes": MIB}
"""Small files of the log, and a snapshot for each MiB of it."""

FILLED = 16
"""So many keys are filled, with 64 KiB each."""


def filling(number: int, turn: int) -> bytes:
    """What a filled key holds: nothing else looks like it."""
    return f"<key {number:02d}, turn {turn:04d}>".encode() * 3000


def filled_key(number: int) -> str:
    """The name of a filled key."""
    return f"{OWN}filled/{number:02d}"


async def fill(stage: Stage, turns: int = 1, first: int = 1, spared: int = -1) -> int:
    """Overwrite the filled keys, some times: a MiB of log each; return the last turn's number.

    Args:
        stage: Where.
        turns: How many times.
        first: The first turn's number.
        spared: The key that is left alone.
    """
    acknowledged = stage.load.history.acknowledged
    async with AsyncClient(stage.endpoints, deadline_s=HANG_S) as client:
        for turn in range(first, first + turns):
            for number in range(FILLED):
                if number == spared:
                    continue
                value = filling(number, turn)
                acknowledged.pop(filled_key(number), None)  # if this is cut short, nobody knows
                await client.kv.put(filled_key(number), value)
                acknowledged[filled_key(number)] = value
    return first + turns - 1


async def with_snapshots(stage: Stage, node: NodeProcess, count: int) -> int:
    """Fill until a node has taken so many snapshots; return the last turn's number."""
    turn = 0

    async def has_them() -> bool:
        nonlocal turn
        turn = await fill(stage, 2, turn + 1)
        return len(snapshots(node)) >= count

    await stage.until(has_them, f"{node.name} takes no snapshots")
    return turn


async def replace(stage: Stage, node: NodeProcess) -> None:
    """Do what the documents say about a node whose directory is lost."""
    await command(stage.others(node)[0], "cluster", "remove", node.name)
    shutil.rmtree(node.data)
    await stage.start(node)
    await command(stage.others(node)[0], "cluster", "add", node.name)
    await voting(stage, node)


async def voting(stage: Stage, node: NodeProcess) -> None:
    """Wait until a node votes, under one id alone."""

    async def is_voter() -> bool:
        servers = await configuration(stage.others(node)[0])
        return [each["Voter"] for each in servers if each["Node"] == node.name] == [True]

    await stage.until(is_voter, f"{node.name} does not vote")


async def configuration(node: NodeProcess) -> list[dict[str, Any]]:
    """Who belongs to the cluster, as a node has it; nobody if it does not say."""
    try:
        answer: Any = await asyncio.to_thread(node.get, "/v1/operator/raft/configuration?stale")
    except (OSError, http.client.HTTPException, ValueError):
        return []
    servers: list[dict[str, Any]] = answer["Servers"]
    return servers


async def command(node: NodeProcess, *words: str) -> str:
    """Run a command line against a node; it must succeed."""
    words = (*words[:2], f"-http-addr={node.address}", *words[2:])
    done = await asyncio.to_thread(
        subprocess.run,
        [*quorate_command(), *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- files ----------------------------------------------------------------------------------------


def segments(node: NodeProcess) -> list[Path]:
    """The files of a node's log, oldest first; not those made ahead."""
    return sorted((node.data / "wal").glob("wal-*"))


def snapshots(node: NodeProcess) -> list[Path]:
    """A node's snapshots, oldest first."""
    return sorted((node.data / "snapshots").glob("*.snapshot"))


def tables(node: NodeProcess) -> Path:
    """The file of a node's tables."""
    return node.data / "tables/tables.mdb"


def headers(segment: Path) -> tuple[list[RecordHeader], int]:
    """The good records of a file of the log, and where they end."""
    data = segment.read_bytes()
    walk = Walk(data, int(segment.name.rpartition("-")[2]), len(data))
    return [header for header, _ in walk], walk.offset


def flip(path: Path, offset: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 0x10]))


def flip_all(path: Path, wanted: bytes) -> int:
    """Turn a bit over wherever some bytes stand; return at how many places."""
    data = path.read_bytes()
    count = 0
    offset = data.find(wanted)
    while offset >= 0:
        flip(path, offset + len(wanted) // 2)
        count += 1
        offset = data.find(wanted, offset + len(wanted))
    return count
