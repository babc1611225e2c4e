"""What the demo does to a cluster: fills it, writes without pause, and checks every byte."""

import asyncio
import hashlib
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from quorate.base.errors import OutcomeUnknownError, QuorateError
from quorate.client.aio.client import AsyncClient
from quorate.client.structs import KvEntry

FILE_BYTES_MAX = 512 * 1024  # the largest value
WRITERS = 8
WRITE_PAUSE_S = 0.004  # of one writer: the demo shall show faults, not speed
WRITE_DEADLINE_S = 20.0
LEFT_OUT = {"site-packages", "__pycache__"}  # not the standard library


def library_files() -> dict[str, Path]:
    """Every module of the running Python's standard library, by the key it gets."""
    root = Path(sysconfig.get_paths()["stdlib"])
    return {
        f"{root.name}/{path.relative_to(root)}": path
        for path in sorted(root.rglob("*.py"))
        if not LEFT_OUT & set(path.relative_to(root).parts)
        and path.stat().st_size <= FILE_BYTES_MAX
    }


class Tally:
    """What became of writes that went on while nodes failed."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self.times_s: list[float] = []  # of what was acknowledged
        self.unknown: set[str] = set()
        self.refused = 0  # surely not written

    def longest_pause_s(self, since_s: float = 0.0) -> float:
        """The longest time in which no write was acknowledged, all in all or since a moment."""
        times_s = [each for each in self.times_s if each >= since_s]
        return max((later - earlier for earlier, later in pairwise(times_s)), default=0.0)


class Writing:
    """Writers that go on until told to stop, each by a client of its own and with another node."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.tally = Tally()
        self._addresses = addresses
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]

    async def stop(self) -> None:
        """Let every writer finish the write it is at."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def acknowledged_since(self, moment_s: float, count: int, timeout_s: float) -> None:
        """Wait until writes work: until `count` were acknowledged since a moment.

        Raises:
            TimeoutError: They do not.
        """
        async with asyncio.timeout(timeout_s):
            while sum(each > moment_s for each in self.tally.times_s[-count:]) < count:
                self._news.clear()
                await self._news.wait()

    async def _write(self, number: int) -> None:
        turn = number % len(self._addresses)
        addresses = [*self._addresses[turn:], *self._addresses[:turn]]
        tally = self.tally
        async with AsyncClient(addresses, deadline_s=WRITE_DEADLINE_S) as client:
            count = 0
            while not self._stopping.is_set():
                count += 1
                key = f"demo/{number}/{count:06d}"
                value = hashlib.sha256(key.encode()).hexdigest().encode()
                try:
                    await client.kv.put(key, value)
                except OutcomeUnknownError:
                    tally.unknown.add(key)
                except QuorateError:
                    tally.refused += 1
                else:
                    tally.acknowledged[key] = value
                    tally.times_s.append(time.monotonic())
                    self._news.set()
                await asyncio.sleep(WRITE_PAUSE_S)


class Copy(NamedTuple):
    """All keys as one node has them."""

    digest: str  # over every key, value and index, in order
    values: dict[str, bytes]


def copy_of(entries: Iterable[KvEntry]) -> Copy:
    """Sum up what a node has."""
    digest = hashlib.sha256()
    values: dict[str, bytes] = {}
    for entry in entries:
        fields = f"{entry.key}\0{entry.flags}\0{entry.create_index}\0{entry.modify_index}\0"
        digest.update(fields.encode() + len(entry.value).to_bytes(8, "big") + entry.value)
        values[entry.key] = entry.value
    return Copy(digest.hexdigest()[:16], values)


async def read_copy(address: str) -> Copy:
    """Read everything from one node's own tables, as far as all nodes have come.

    One linearizable read makes the node catch up with every write acknowledged before it.
    """
    async with AsyncClient(address, deadline_s=60.0, attempt_s=60.0) as client:
        await client.kv.get("demo/")
        return copy_of(await client.kv.tree("", stale=True))


def lost(acknowledged: Mapping[str, bytes], copy: Copy) -> list[str]:
    """Keys whose acknowledged value a copy does not have."""
    return sorted(key for key, value in acknowledged.items() if copy.values.get(key) != value)
