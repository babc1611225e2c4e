"""Semaphores: a limited number of holders at once, by the algorithm of all clients of Consul's API.

Every holder has a key of its own below a prefix, locked by its session. The document
`<prefix>/.lock`, changed only by `cas`, lists the sessions that hold the semaphore. A session that
no longer locks its own key has ended: it does not count, and the next writer removes it.
"""

import contextlib
import os
from collections.abc import Set as AbstractSet

import msgspec

from quorate.base.errors import OutcomeUnknownError, QuorateError, UnavailableError
from quorate.client import arguments
from quorate.client.aio.kv import AsyncKv
from quorate.client.aio.locks import AsyncLock
from quorate.client.aio.session import AsyncSessions
from quorate.client.aio.watching import WAIT_S
from quorate.client.errors import LockHeldError
from quorate.client.holding import (
    ANSWER_TIMEOUT_S,
    GRACE_S,
    LOST_S,
    SEMAPHORE_FLAG,
    Held,
    LockPlan,
    holders,
    holders_document,
)
from quorate.client.structs import KvEntry, Written


class AsyncSemaphore(AsyncLock):
    """A semaphore, from `client.semaphore`; at most `limit` programs are inside its block.

        async with client.semaphore("jobs/resize", 3):
            await resize()

    Everything said of AsyncLock holds. A holder's fence is higher than that of everyone who entered
    before it (with nodes of Quorate: Consul's replies to writes have no index); it orders those who
    hold the semaphore together, and excludes none of them.

    Raises (on entering):
        LockHeldError: The semaphore was full for all of `wait_s`.
        SemaphoreError: Its other holders use another limit, or its document is something else.
        UnavailableError: As AsyncLock.
    """

    def __init__(
        self, kv: AsyncKv, sessions: AsyncSessions, plan: LockPlan, prefix: str, limit: int
    ) -> None:
        # A holder that crashes must leave no key behind: all who wait read every key.
        own = msgspec.structs.replace(plan, on_lost=self._on_lost, behavior="delete")
        super().__init__(kv, sessions, own)
        self._prefix = prefix
        self._limit = arguments.whole("limit", limit, 1)
        self._document = f"{prefix}/.lock"
        self._callback = plan.on_lost
        self._is_inside = False

    async def _wait(self, begun_s: float) -> Held:
        until_s = begun_s + self._plan.wait_s
        answer_s = until_s if self._plan.wait_s else begun_s + self._kv.deadline_s
        while True:
            own = f"{self._prefix}/{os.urandom(16).hex()}"
            self._plan = msgspec.structs.replace(self._plan, name=own)
            held = await super()._wait(begun_s)
            try:
                held.fence = await self._enter(held, until_s, answer_s)
            except BaseException:
                await self._end_hold(held, LOST_S)
                raise
            if held.fence and not held.is_lost:
                self._is_inside = True
                return held
            await self._end_hold(held, LOST_S)

    async def _end_hold(self, held: Held | None, limit_s: float) -> None:
        """Leave the semaphore, release its own key, end the session, and remove the keys."""
        self._is_inside = False
        until_s = self._kv.now_s() + limit_s
        try:
            if held is not None:
                with contextlib.suppress(
                    QuorateError
                ):  # the end of its session has the same effect
                    await self._leave(held.session, self._kv.now_s() + limit_s / 3)
        finally:
            await super()._end_hold(held, self._rest_s(until_s))
        if held is not None:
            with contextlib.suppress(QuorateError):
                await self._kv.delete(held.name, deadline_s=self._rest_s(until_s))
                await self._remove_if_empty(until_s)

    def _on_lost(self, why: str) -> None:
        if self._is_inside and self._callback is not None:
            self._callback(why)

    async def _enter(self, held: Held, until_s: float, answer_s: float) -> int:
        """Wait until there are fewer holders than the limit, and enter.

        Args:
            held: The lock on the holder's own key.
            until_s: The deadline of waiting for other holders.
            answer_s: The deadline of waiting for a reply.

        Returns:
            The index of the document that lists the session; 0 if the own key was lost.
        """
        watch = self._kv.watch_tree(f"{self._prefix}/")
        is_full = False
        written: Written | None = None
        while not held.is_lost:
            wait_s = self._rest_s(until_s)
            limit_s = min(self._rest_s(answer_s) + GRACE_S, ANSWER_TIMEOUT_S)
            try:
                entries = await watch.look(min(wait_s, WAIT_S), deadline_s=limit_s)
            except UnavailableError:
                if is_full:
                    raise self._full_error() from None
                raise
            living = {each.session for each in entries}
            if held.session not in living:
                break
            document = next((each for each in entries if each.key == self._document), None)
            sessions = holders(document, self._limit) & living
            if document is not None and held.session in sessions:
                if written:  # by a server whose replies have no index
                    return document.modify_index
                # A write without a reply entered, and others may have entered since: enter anew.
                await self._write(document, sessions - {held.session}, limit_s)
                continue
            is_full = len(sessions) >= self._limit
            if not is_full:
                written = await self._write(document, sessions | {held.session}, limit_s)
                if written and written.index:
                    return written.index
            elif not wait_s:
                raise self._full_error()
        return 0

    async def _leave(self, session: str, until_s: float) -> None:
        while True:
            rest_s = self._rest_s(until_s)
            document = await self._kv.get(self._document, deadline_s=rest_s)
            sessions = holders(document, self._limit)
            if session not in sessions:
                return
            await self._write(document, sessions - {session}, rest_s)

    async def _remove_if_empty(self, until_s: float) -> None:
        rest_s = self._rest_s(until_s)
        document = await self._kv.get(self._document, deadline_s=rest_s)
        if document is not None and not holders(document, self._limit):
            await self._kv.delete(self._document, index=document.modify_index, deadline_s=rest_s)

    async def _write(
        self, document: KvEntry | None, sessions: AbstractSet[str], deadline_s: float
    ) -> Written | None:
        """Change the document if it is still this one; None: the outcome is unknown."""
        value = holders_document(self._limit, sessions)
        index = document.modify_index if document is not None else 0
        try:
            return await self._kv.cas(
                self._document, value, index, flags=SEMAPHORE_FLAG, deadline_s=deadline_s
            )
        except OutcomeUnknownError:
            return None

    def _rest_s(self, until_s: float) -> float:
        return max(until_s - self._kv.now_s(), 0.0)

    def _full_error(self) -> LockHeldError:
        wait_s = self._plan.wait_s
        return LockHeldError(f"semaphore {self._prefix!r} was full for all of {wait_s:g} s")
