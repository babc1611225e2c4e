"""What the demo does to a cluster: fills it, writes without pause, and checks every answer."""

import asyncio
import hashlib
import importlib
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from quorate.base.errors import OutcomeUnknownError, QuorateError
from quorate.client.aio.client import AsyncClient
from quorate.client.structs import KvEntry
from quorate.client.sync.client import Client

FILE_BYTES_MAX = 512 * 1024  # the largest value
WRITERS = 8
WRITE_PAUSE_S = 0.004  # of one writer: the demo shows faults, not speed
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


class Writing:
    """Writers that continue until `stop`, each with a client of its own, and another first node.

    Attributes:
        acknowledged: The values by key.
        unknown: Keys of writes that may have taken place.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self.unknown: set[str] = set()
        self._times_s: list[float] = []  # of what was acknowledged
        self._addresses = addresses
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]

    async def stop(self) -> None:
        """Let every writer finish the write that is in flight."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def longest_pause_s(self, since_s: float = 0.0) -> float:
        """The longest time without an acknowledged write, overall or since a moment."""
        times_s = [each for each in self._times_s if each >= since_s]
        return max((later - earlier for earlier, later in pairwise(times_s)), default=0.0)

    async def acknowledged_since(self, moment_s: float, count: int, timeout_s: float) -> None:
        """Wait until `count` writes were acknowledged since a moment.

        Raises:
            TimeoutError: They were not.
        """
        async with asyncio.timeout(timeout_s):
            while sum(each > moment_s for each in self._times_s[-count:]) < count:
                self._wake.clear()
                await self._wake.wait()

    async def _write(self, number: int) -> None:
        turn = number % len(self._addresses)
        addresses = [*self._addresses[turn:], *self._addresses[:turn]]
        async with AsyncClient(addresses, deadline_s=WRITE_DEADLINE_S) as client:
            count = 0
            while not self._stopping.is_set():
                count += 1
                key = f"demo/{number}/{count:06d}"
                value = hashlib.sha256(key.encode()).hexdigest().encode()
                try:
                    await client.kv.put(key, value)
                except OutcomeUnknownError:
                    self.unknown.add(key)
                except QuorateError:  # certainly not written
                    pass
                else:
                    self.acknowledged[key] = value
                    self._times_s.append(time.monotonic())
                    self._wake.set()
                await asyncio.sleep(WRITE_PAUSE_S)


class Copy(NamedTuple):
    """All keys as one node has them."""

    digest: str  # over every key, value and index, in order
    values: dict[str, bytes]


def copy_of(entries: Iterable[KvEntry]) -> Copy:
    """Summarise the keys of a node."""
    digest = hashlib.sha256()
    values: dict[str, bytes] = {}
    for entry in entries:
        fields = f"{entry.key}\0{entry.flags}\0{entry.create_index}\0{entry.modify_index}\0"
        digest.update(fields.encode() + len(entry.value).to_bytes(8, "big") + entry.value)
        values[entry.key] = entry.value
    return Copy(digest.hexdigest()[:16], values)


async def read_copy(address: str) -> Copy:
    """Read everything from one node's own tables.

    A linearizable read first makes the node apply every write acknowledged before it.
    """
    async with AsyncClient(address, deadline_s=60.0, attempt_s=60.0) as client:
        await client.kv.get("demo/")
        return copy_of(await client.kv.tree("", stale=True))


def lost(acknowledged: Mapping[str, bytes], copy: Copy) -> list[str]:
    """The keys whose acknowledged value a copy lacks."""
    return sorted(key for key, value in acknowledged.items() if copy.values.get(key) != value)


# --- clients -----------------------------------------------------------------------------------


class WrongAnswerError(Exception):
    """A client got a wrong answer."""


def _expect(holds: object, text: str) -> None:
    if not holds:
        raise WrongAnswerError(text)


def use_own_client(addresses: Sequence[str]) -> None:
    """Use our own client: conditional writes, a lock, a transaction, all read on another node.

    Raises:
        WrongAnswerError: An answer was wrong.
    """
    with Client(list(addresses)) as client, Client(addresses[-1]) as other:
        first = client.kv.put("greeting/colour", b"green")
        _expect(other.kv.read("greeting/colour") == b"green", "another node reads an old value")
        _expect(client.kv.cas("greeting/colour", b"blue", first), "a right cas was refused")
        _expect(not other.kv.cas("greeting/colour", b"red", first), "an outdated cas was taken")
        with client.lock("greeting/lock", wait_s=10.0) as held:
            done = other.txn().check_session("greeting/lock", held.session)
            done.put("greeting/under-lock", b"yes").delete("greeting/colour")
            _expect(done.commit(), "a transaction under our lock was refused")
        _expect(other.kv.get("greeting/colour") is None, "a deleted key is still there")


def use_py_consul(port: int) -> str:
    """Use py-consul with a node, by its HTTP port, if it is installed; returns what was seen.

    Raises:
        WrongAnswerError: An answer was wrong.
    """
    try:
        consul: Any = importlib.import_module("consul")
    except ImportError:
        return "not installed, skipped (pip install py-consul)"
    store = consul.Consul(host="127.0.0.1", port=port)
    _expect(store.kv.put("greeting/py-consul", "hello"), "py-consul: put was refused")
    _, entry = store.kv.get("greeting/py-consul")
    _expect(entry["Value"] == b"hello", "py-consul: get returned something else")
    session = store.session.create(name="demo", ttl=10)
    _expect(store.kv.put("greeting/held", "x", acquire=session), "py-consul: no lock")
    _expect(not store.kv.put("greeting/py-consul", "y", cas=1), "py-consul: an old cas was taken")
    store.session.destroy(session)
    _, keys = store.kv.get("greeting/", keys=True)
    return f"{len(keys)} keys seen"
