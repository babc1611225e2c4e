"""What full and slow disks do: of one node, of the leader, of all."""

import asyncio
import errno
import http.client
import os
import subprocess
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

from quorate.client import AsyncClient
from quorate.lab.launch import NodeProcess
from quorate.runtime.reserved import HOST
from tests.integration import damage
from tests.integration.shim import Shim
from tests.integration.stage import MIB, SLOW_MACHINE, Stage, log_of, played
from tests.limits import HANG_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DISK_MIB = 128  # the tables reserve half of it
SMALL: dict[str, object] = damage.OFTEN | {"free_bytes_min": 8 * MIB}
REFUSED = 1
DISK_FAILED = 74


@pytest.fixture
def small_disks(tmp_path: Path) -> Generator[Path, None, None]:
    """A directory of a stage, in which each node's data lies on a small disk of its own."""
    mounted: list[Path] = []
    try:
        for name in ("n1", "n2", "n3"):
            point = tmp_path / name
            point.mkdir()
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(point)],
                capture_output=True,
                check=False,
                text=True,
            )
            if done.returncode != 0:
                pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")
            mounted.append(point)
        yield tmp_path
    finally:
        for point in mounted:
            subprocess.run(["umount", "--lazy", str(point)], check=False)


def reserve(node: NodeProcess) -> Path:
    """What takes the space away."""
    return node.data / "lost+found"


def fill_up(nodes: Iterable[NodeProcess]) -> None:
    """Leave not one byte on the disks of some nodes."""
    for node in nodes:
        descriptor = os.open(reserve(node), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        step = MIB
        while step:
            try:
                os.write(descriptor, bytes(step))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
        os.close(descriptor)


def put(node: NodeProcess, key: str) -> tuple[int, dict[str, str], str]:
    """Write a key by a bare request: status, headers and body of the answer."""
    connection = http.client.HTTPConnection(HOST, node.ports.http, timeout=HANG_S)
    try:
        connection.request("PUT", f"/v1/kv/{key}", b"x")
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


async def tells_readers(node: NodeProcess) -> None:
    """A node that lacks what was written since it was full says so, well before a request's end."""

    def read() -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(HOST, node.ports.http, timeout=HANG_S)
        try:
            connection.request("GET", "/v1/kv/own?keys")
            answer = connection.getresponse()
            return answer.status, answer.getheader("X-Quorate-Error", ""), answer.read().decode()
        finally:
            connection.close()

    status, code, body = await asyncio.to_thread(read)
    assert (status, code) == (503, "read_only"), body
    assert "disk is full" in body


async def is_read_only(stage: Stage, node: NodeProcess) -> None:
    """Wait until a node refuses writes, in clear words, and see that it answers reads."""
    await stage.says(node, "disk full")
    status, headers, body = await asyncio.to_thread(put, node, "refused")
    assert (status, headers["X-Quorate-Error"]) == (503, "read_only")
    assert headers["X-Quorate-Definite"] == "true"
    assert "disk is full" in body
    assert int(headers["Retry-After"]) > 0
    assert await asyncio.to_thread(node.get, "/v1/kv/own?keys&stale")


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_full_disk_of_one_node_stops_that_one_only(small_disks: Path, who: str) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        victim = leader if who == "leader" else stage.others(leader)[0]
        fill_up([victim])
        await is_read_only(stage, victim)
        await stage.load.writes(200)
        await stage.leader(stage.others(victim))
        await tells_readers(victim)
        reserve(victim).unlink()
        await stage.says(victim, "disk has space")
        await stage.caught_up(victim)
        async with AsyncClient(victim.address) as client:
            assert await client.kv.put("accepted", b"again")
            assert await client.kv.get("refused") is None

    played(small_disks, story, settings=SMALL)


def test_all_disks_full_refuse_writes_and_serve_reads_until_there_is_space(
    small_disks: Path,
) -> None:
    async def story(stage: Stage) -> None:
        fill_up(stage.nodes)
        for node in stage.nodes:
            await is_read_only(stage, node)
        leader = await stage.leader()
        async with AsyncClient(leader.address) as client:
            assert await client.kv.get("refused") is None  # linearizable: a round needs no disk
        with pytest.raises(TimeoutError):
            await stage.load.writes(1, patience_s=2.0)
        for node in stage.nodes:
            reserve(node).unlink()
        await stage.load.writes()
        for node in stage.nodes:
            await stage.says(node, "disk has space")

    played(small_disks, story, settings=SMALL)


def test_space_that_comes_back_at_a_majority_is_enough(small_disks: Path) -> None:
    async def story(stage: Stage) -> None:
        fill_up(stage.nodes)
        for node in stage.nodes:
            await stage.says(node, "disk full")
        leader = await stage.leader()
        for node in stage.others(leader):
            reserve(node).unlink()
        await stage.load.writes()
        reserve(leader).unlink()
        await stage.caught_up(leader)

    played(small_disks, story, settings=SMALL)


def test_a_node_that_dies_on_a_full_disk_starts_when_there_is_space(small_disks: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = stage.others(await stage.leader())[0]
        fill_up([victim])
        await stage.says(victim, "disk full")
        victim.kill()
        fill_up([victim])
        since = victim.log.stat().st_size
        victim.start()
        assert await stage.ended(victim) == REFUSED
        assert "no space is left on the disk; make some" in log_of(victim, since)
        assert "Traceback" not in log_of(victim, since)
        reserve(victim).unlink()
        await stage.start(victim)

    played(small_disks, story, settings=SMALL)


def test_a_disk_that_is_full_again_and_again_does_no_harm(small_disks: Path) -> None:
    async def story(stage: Stage) -> None:
        for turn in range(3):
            victim = stage.nodes[turn]
            since = victim.log.stat().st_size
            fill_up([victim])
            await stage.says(victim, "disk full", since=since)
            await damage.fill(stage, 2, turn * 2 + 1)
            reserve(victim).unlink()
            await stage.says(victim, "disk has space", since=since)
            await stage.caught_up(victim)

    played(small_disks, story, settings=SMALL)


# --- slow disks -------------------------------------------------------------------------------


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    return Shim(tmp_path / "shim", monkeypatch)


def test_a_slow_disk_of_a_follower_slows_nobody(tmp_path: Path, shim: Shim) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        quick_s = await stage.load.writes(300)
        shim.order(stage.others(leader)[0], sync_s=0.2)
        slow_s = await stage.load.writes(300)
        assert slow_s < 3 * quick_s + 20.0  # 300 writes that each wait for a sync: 60 s
        assert await stage.leader() is leader
        assert stage.load.history.errors == {}

    played(tmp_path, story, config=SLOW_MACHINE)


def test_a_slow_disk_of_the_leader_costs_speed_only(tmp_path: Path, shim: Shim) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        shim.order(leader, sync_s=0.1)
        await stage.load.writes(300)
        assert await stage.leader() is leader
        assert stage.load.history.errors == {}

    played(tmp_path, story, config=SLOW_MACHINE)


def test_slow_disks_of_all_nodes_cost_speed_only(tmp_path: Path, shim: Shim) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        for node in stage.nodes:
            shim.order(node, sync_s=0.1)
        await stage.load.writes()
        assert await stage.leader() is leader
        assert stage.load.history.errors == {}

    played(tmp_path, story, config=SLOW_MACHINE)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_disk_that_hangs_stops_one_node_at_most(tmp_path: Path, shim: Shim, who: str) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        victim = leader if who == "leader" else stage.others(leader)[0]
        shim.order(victim, sync_s=4.0)  # a node that syncs in its loop receives nothing meanwhile
        await stage.load.writes(300)
        shim.order(victim)
        await stage.caught_up(victim)

    played(tmp_path, story)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_failed_sync_ends_the_node_and_it_comes_back(
    tmp_path: Path, shim: Shim, who: str
) -> None:
    async def story(stage: Stage) -> None:
        leader = await stage.leader()
        victim = leader if who == "leader" else stage.others(leader)[0]
        shim.order(victim, is_failing=True)
        assert await stage.ended(victim) == DISK_FAILED
        await stage.says(victim, "the node can not go on", "What was written may be lost")
        assert "Traceback" not in log_of(victim)
        await stage.load.writes()
        shim.order(victim)
        await stage.start(victim)

    played(tmp_path, story)
