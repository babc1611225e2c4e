"""A semaphore: at most so many holders at once, by the recipe of Consul's clients.

Everybody who wants a place holds a key of its own below the prefix. Who has one stands in the
document `<prefix>/.lock`, which is changed only by `cas`. A holder whose own key is held no more
has ended, and its place is free.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from types import TracebackType

import msgspec

from quorate.base.errors import QuorateError
from quorate.client.aio.client import AsyncClient
from quorate.client.aio.locks import AsyncLock
from quorate.client.errors import LockHeldError
from quorate.client.holding import Held
from quorate.client.structs import KvEntry

SEMAPHORE_FLAG = 0xE0F69A2BAA414DE0  # marks keys as parts of a semaphore, for Consul's clients
TTL_S = 15.0
GIVE_BACK_S = 5.0  # how long an end waits for a cluster that does not answer


class Places(msgspec.Struct, rename="pascal"):
    """The document: who has a place, by session."""

    limit: int
    holders: dict[str, bool] = {}


_PLACES = msgspec.json.Decoder(Places)


class PlacesError(Exception):
    """The document is not what it should be; the text says in what."""


def read_places(entry: KvEntry | None, limit: int) -> Places:
    """Read the document; a new one if there is none.

    Raises:
        PlacesError: It is no such document, or has another limit than ours.
    """
    if entry is None:
        return Places(limit)
    try:
        places = _PLACES.decode(entry.value)
    except msgspec.MsgspecError as error:
        raise PlacesError(f"{entry.key} is no semaphore: {error}") from error
    if places.limit != limit:
        raise PlacesError(
            f"{entry.key} has limit {places.limit}, not {limit}: say -n={places.limit}"
        )
    return places


def living(places: Places, entries: Sequence[KvEntry]) -> Places:
    """The same without holders that hold no key of their own."""
    alive = {entry.session for entry in entries if entry.session}
    return Places(places.limit, {each: True for each in sorted(places.holders) if each in alive})


class Semaphore:
    """One place of a semaphore, to be held by an `async with` block.

    Args:
        client: A client of the cluster.
        prefix: Where it lives.
        limit: How many may hold it at once; all must say the same.
        name: Stored with our key, for people.
        wait_s: How long to wait for a place.

    Raises (on entering):
        LockHeldError: No place was free in time.
        PlacesError: Somebody else uses the prefix otherwise.
    """

    def __init__(
        self, client: AsyncClient, prefix: str, limit: int, name: str, wait_s: float
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._limit = limit
        self._wait_s = wait_s
        self._own = f"{prefix}/{uuid.uuid4()}"
        self._document = f"{prefix}/.lock"
        self._lock: AsyncLock = client.lock(
            self._own, value=name.encode(), ttl_s=TTL_S, wait_s=wait_s, lock_delay_s=0.0
        )
        self._session = ""

    async def __aenter__(self) -> Held:
        until_s = self._client.now_s() + self._wait_s
        held = await self._lock.__aenter__()
        self._session = held.session
        try:
            if self._wait_s == float("inf"):
                fence = await self._placed()
            else:
                rest_s = max(until_s - self._client.now_s(), 0.0)
                fence = await asyncio.wait_for(self._placed(), rest_s)
        except TimeoutError:
            await self._leave()
            raise LockHeldError(f"no place in {self._prefix} within {self._wait_s:g} s") from None
        except BaseException:
            await self._leave()
            raise
        return Held(self._own, held.session, fence)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(QuorateError, PlacesError, TimeoutError):
            await asyncio.wait_for(self._given_back(), GIVE_BACK_S)
        try:
            await self._lock.__aexit__(kind, error, trace)
        finally:
            await self._tidy()

    async def _leave(self) -> None:
        await self._lock.__aexit__(None, None, None)
        await self._tidy()

    async def _placed(self) -> int:
        """Wait until we have a place; return the index of the document that says so."""
        async for entries in self._client.kv.watch_tree(f"{self._prefix}/"):
            document = next((each for each in entries if each.key == self._document), None)
            places = living(read_places(document, self._limit), entries)
            if len(places.holders) >= self._limit:
                continue
            places.holders[self._session] = True
            if index := await self._write(places, document):
                return index
        raise PlacesError(f"{self._prefix} cannot be watched any more")

    async def _given_back(self) -> None:
        while True:
            document = await self._client.kv.get(self._document)
            places = read_places(document, self._limit)
            if places.holders.pop(self._session, None) is None:
                return
            if await self._write(places, document):
                return

    async def _write(self, places: Places, document: KvEntry | None) -> int:
        index = document.modify_index if document else 0
        value = msgspec.json.encode(places)
        done = await self._client.kv.cas(self._document, value, index, flags=SEMAPHORE_FLAG)
        return done.index if done else 0

    async def _tidy(self) -> None:
        """Remove our key, and the document if nobody needs it."""
        with contextlib.suppress(QuorateError, PlacesError):
            await self._client.kv.delete(self._own, deadline_s=GIVE_BACK_S)
            document = await self._client.kv.get(self._document, deadline_s=GIVE_BACK_S)
            if document is not None and not read_places(document, self._limit).holders:
                await self._client.kv.delete(self._document, index=document.modify_index)
