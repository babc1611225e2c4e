"""A semaphore: at most so many holders at once, by the recipe of Consul's clients.

Everybody who wants a place holds a key of its own below the prefix. Who has one stands in the
document `<prefix>/.lock`, which is changed only by `cas`. A holder whose own key is held no more
has ended, and its place is free.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec

from quorate.base.errors import QuorateError
from quorate.client.aio.client import AsyncClient
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


@asynccontextmanager
async def place(
    client: AsyncClient, prefix: str, limit: int, name: str, wait_s: float
) -> AsyncGenerator[Held, None]:
    """Hold one place of a semaphore while the body runs; all holders must say the same limit.

    Raises:
        LockHeldError: No place was free in time.
        PlacesError: Somebody else uses the prefix otherwise.
    """
    own = f"{prefix}/{uuid.uuid4()}"
    until_s = client.now_s() + wait_s
    lock = client.lock(own, value=name.encode(), ttl_s=TTL_S, wait_s=wait_s, lock_delay_s=0.0)
    document = _Document(client, prefix, limit)
    try:
        async with lock as held:
            rest_s = None if wait_s == math.inf else max(until_s - client.now_s(), 0.0)
            try:
                fence = await asyncio.wait_for(document.taken(held.session), rest_s)
            except TimeoutError:
                text = f"no place in {prefix} within {wait_s:g} s"
                raise LockHeldError(text) from None
            try:
                yield Held(own, held.session, fence)
            finally:
                with contextlib.suppress(QuorateError, PlacesError, TimeoutError):
                    await asyncio.wait_for(document.given_back(held.session), GIVE_BACK_S)
    finally:
        with contextlib.suppress(QuorateError, PlacesError):
            await client.kv.delete(own, deadline_s=GIVE_BACK_S)
            await document.removed_if_empty()


class _Document:
    """The document of one semaphore, as one holder changes it."""

    def __init__(self, client: AsyncClient, prefix: str, limit: int) -> None:
        self._client = client
        self._prefix = prefix
        self._limit = limit
        self._key = f"{prefix}/.lock"

    async def taken(self, session: str) -> int:
        """Wait until a session has a place; return the index of the document that says so."""
        async for entries in self._client.kv.watch_tree(f"{self._prefix}/"):
            document = next((each for each in entries if each.key == self._key), None)
            places = living(read_places(document, self._limit), entries)
            if len(places.holders) >= self._limit:
                continue
            places.holders[session] = True
            if index := await self._write(places, document):
                return index
        raise PlacesError(f"{self._prefix} cannot be watched any more")

    async def given_back(self, session: str) -> None:
        """Free the place of a session."""
        while True:
            document = await self._client.kv.get(self._key)
            places = read_places(document, self._limit)
            if places.holders.pop(session, None) is None or await self._write(places, document):
                return

    async def removed_if_empty(self) -> None:
        """Remove the document if nobody needs it."""
        document = await self._client.kv.get(self._key, deadline_s=GIVE_BACK_S)
        if document is not None and not read_places(document, self._limit).holders:
            await self._client.kv.delete(self._key, index=document.modify_index)

    async def _write(self, places: Places, document: KvEntry | None) -> int:
        index = document.modify_index if document else 0
        value = msgspec.json.encode(places)
        done = await self._client.kv.cas(self._key, value, index, flags=SEMAPHORE_FLAG)
        return done.index if done else 0
