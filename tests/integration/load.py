"""Load: clients that work on a cluster all the time, record every result, and check it.

Some read, write, compare and delete a few shared keys, whose histories must be linearizable. Some
write keys of their own that nobody writes again: of these, what was acknowledged must be there in
the end, and what was refused must not.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf

from quorate.base.errors import OutcomeUnknownError, QuorateError
from quorate.client import AsyncClient
from quorate.sim.search import ABSENT, Call, is_linearizable
from tests.limits import HANG_S

KEYS = tuple(f"shared/{letter}" for letter in "abcdef")
OWN = "own/"
SHARING_PAUSE_S = 0.012  # between two calls of one client, at most: the search must stay short
WRITING_PAUSE_S = 0.004
WRITERS_IN = 4  # every so many clients, one writes its own keys
PADDING = b"." * 1000
DEADLINE_S = 12.0  # longer than a node holds what finds no leader


class History:
    """What happened, as the clients saw it. Times are monotonic seconds.

    Attributes:
        calls: Of each shared key; those that surely did not happen are left out.
        acknowledged, refused, unknown: Own keys by what became of their writes.
        written_s: When own writes were acknowledged.
        errors: The errors that clients got, and how often.
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[Call]] = {key: [] for key in KEYS}
        self.acknowledged: dict[str, bytes] = {}
        self.refused: dict[str, bytes] = {}
        self.unknown: dict[str, bytes] = {}
        self.written_s: list[float] = []
        self.errors: dict[str, int] = {}

    def error(self, error: QuorateError) -> None:
        """Note an error."""
        self.errors[error.code] = self.errors.get(error.code, 0) + 1

    def longest_pause_s(self, since_s: float) -> float:
        """The longest time without an acknowledged own write, from a moment on."""
        times_s = [since_s, *(each for each in self.written_s if each > since_s)]
        return max((later - earlier for earlier, later in pairwise(times_s)), default=0.0)

    def not_linearizable(self) -> list[str]:
        """The shared keys whose history no order explains."""
        return [key for key, calls in self.calls.items() if not is_linearizable(calls)]

    def lost(self, copy: Mapping[str, bytes]) -> list[str]:
        """Own keys that were acknowledged and are not as they were written."""
        return sorted(key for key, value in self.acknowledged.items() if copy.get(key) != value)

    def undead(self, copy: Mapping[str, bytes]) -> list[str]:
        """Own keys whose write was refused, and which are there all the same."""
        return sorted(key for key in self.refused if key in copy)


class Load:
    """Clients at work.

    Args:
        endpoints: Of the nodes; each client begins with another one and goes on to the next when
            it fails.
        clients: How many.
        is_pinned: Each client knows one node only, and waits for it.
        history: To be gone on with; None: a new one.
        first: Number of the first client: no two of a history may have the same.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        clients: int = 12,
        *,
        is_pinned: bool = False,
        history: History | None = None,
        first: int = 0,
    ) -> None:
        self.history = history or History()
        self._endpoints = endpoints
        self._clients = clients
        self._is_pinned = is_pinned
        self._first = first
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        numbers = range(self._first, self._first + self._clients)
        self._tasks = [asyncio.create_task(self._work(number)) for number in numbers]

    async def stop(self) -> None:
        """Let each client end what it is at."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def abort(self) -> None:
        """End at once; the history is worth nothing then."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def writes(self, count: int = 20, patience_s: float = HANG_S) -> float:
        """Wait until writes begun from now on were acknowledged; return the seconds it took.

        Raises:
            TimeoutError: They were not.
            Exception: What ended a client.
        """
        begun_s = time.monotonic()
        written_s = self.history.written_s
        seen = len(written_s) + self._clients  # what was under way does not count
        async with asyncio.timeout(patience_s):
            while len(written_s) < seen + count:
                self._raise_what_ended()
                self._news.clear()
                await self._news.wait()
        return time.monotonic() - begun_s

    def _raise_what_ended(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    # --- one client ---------------------------------------------------------------------------

    async def _work(self, number: int) -> None:
        turn = number % len(self._endpoints)
        endpoints = [*self._endpoints[turn:], *self._endpoints[:turn]]
        attempt_s = DEADLINE_S if self._is_pinned else 1.0
        worker = _Worker(number, self.history)
        async with AsyncClient(
            endpoints[:1] if self._is_pinned else endpoints,
            deadline_s=DEADLINE_S,
            attempt_s=attempt_s,
        ) as client:
            while not self._stopping.is_set():
                await worker.step(client)
                self._news.set()


class _Worker:
    """One client's choices, and what it remembers."""

    def __init__(self, number: int, history: History) -> None:
        self._number = number
        self._history = history
        self._rng = random.Random(number)
        self._count = 0
        self._seen: dict[str, int] = {}  # the index of each key as last seen

    async def step(self, client: AsyncClient) -> None:
        """Do one thing, and rest."""
        self._count += 1
        value = f"{self._number}.{self._count}".encode()
        if self._number % WRITERS_IN == 0:
            await self._write_own(client, f"{OWN}{self._number}/{self._count:05d}", value + PADDING)
            await asyncio.sleep(self._rng.random() * WRITING_PAUSE_S)
        else:
            await self._share(client, value)
            await asyncio.sleep(self._rng.random() * SHARING_PAUSE_S)

    async def _share(self, client: AsyncClient, value: bytes) -> None:
        key = self._rng.choice(KEYS)
        verb = self._rng.choices(("get", "set", "cas", "delete"), (50, 30, 17, 3))[0]
        index = self._seen.get(key, 0) if verb == "cas" else 0
        began_s = time.monotonic()
        try:
            result = await self._done(client, verb, key, value, index)
        except OutcomeUnknownError as error:
            self._history.error(error)
            self._note(key, Call(began_s, inf, verb, value, index, None))
        except QuorateError as error:  # it surely did not happen
            self._history.error(error)
        else:
            self._note(key, Call(began_s, time.monotonic(), verb, value, index, result))

    def _note(self, key: str, call: Call) -> None:
        if call.verb != "get":
            self._history.calls[key].append(call)
        elif call.result is not None:
            self._history.calls[key].append(call._replace(value=None))

    async def _done(
        self, client: AsyncClient, verb: str, key: str, value: bytes, index: int
    ) -> tuple[bool, int] | tuple[bytes | None, int]:
        match verb:
            case "get":
                entry = await client.kv.get(key)
                self._seen[key] = entry.modify_index if entry else 0
                return ABSENT if entry is None else (entry.value, entry.modify_index)
            case "set":
                self._seen[key] = await client.kv.put(key, value)
                return (True, self._seen[key])
            case "cas":
                return await self._compared(client, key, value, index)
            case _:
                deleted = await client.kv.delete(key)
                return (deleted.is_done, deleted.index)

    async def _compared(
        self, client: AsyncClient, key: str, value: bytes, index: int
    ) -> tuple[bool, int]:
        written = await client.kv.cas(key, value, index)
        if written:
            self._seen[key] = written.index
        else:
            self._seen.pop(key, None)
        return (written.is_done, written.index)

    async def _write_own(self, client: AsyncClient, key: str, value: bytes) -> None:
        history = self._history
        try:
            await client.kv.put(key, value)
        except OutcomeUnknownError as error:
            history.error(error)
            history.unknown[key] = value
        except QuorateError as error:
            history.error(error)
            history.refused[key] = value
        else:
            history.acknowledged[key] = value
            history.written_s.append(time.monotonic())
