"""Keeper of the async client: renews a session, follows the key, cancels the body when lost."""

import asyncio
from typing import Protocol

from quorate.base.errors import QuorateError
from quorate.client.holding import RENEWALS_PER_TTL, RETRY_S, SAFE, Held, Lost
from quorate.client.log import LOG


class AsyncHolding(Protocol):
    """What a keeper asks of a lock."""

    async def renew(self, deadline_s: float) -> bool:
        """Renew the session once; False if it has ended."""
        ...

    async def follow(self) -> str:
        """Return when the key is no longer held, and say why."""
        ...


class AsyncKeeper:
    """Keeps one session alive, and tells when that, or its key, is lost.

    Args:
        holding: The lock.
        ttl_s: Of the session.
        begun_s: The loop's time before the session was made.
    """

    def __init__(self, holding: AsyncHolding, ttl_s: float, begun_s: float) -> None:
        self.why = ""
        self._holding = holding
        self._ttl_s = ttl_s
        self._valid_s = begun_s + ttl_s * SAFE
        self._held: Held | None = None
        self._on_lost: Lost | None = None
        self._body: asyncio.Task[object] | None = None
        self._body_cancels = 0
        self._has_cancelled = False
        self._tasks = [asyncio.create_task(self._keep())]

    def guard(self, held: Held, on_lost: Lost | None) -> bool:
        """From now on the session holds a key; False if it has been lost before."""
        if self.why:
            return False
        self._held = held
        self._on_lost = on_lost
        self._tasks.append(asyncio.create_task(self._follow()))
        return True

    def bind(self) -> None:
        """Cancel the task that calls this when the lock is lost."""
        self._body = asyncio.current_task()
        self._body_cancels = self._body.cancelling() if self._body else 0

    def unbind(self, kind: type[BaseException] | None) -> bool:
        """Cancel nobody any more.

        Returns:
            Whether what ends the body, if anything, is our cancellation and nobody else's.
        """
        body, self._body = self._body, None
        if body is None or not self._has_cancelled:
            return False
        return body.uncancel() <= self._body_cancels and kind is asyncio.CancelledError

    async def stop(self) -> None:
        """Let the session be."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # a bug in a keeper must not stay unheard

    def _lose(self, why: str) -> None:
        if self.why:
            return
        self.why = why
        if self._held is not None:
            self._held.lose(why)
            LOG.warning("lock %r was lost: %s", self._held.name, why)
        if self._body is not None:
            self._has_cancelled = True
            self._body.cancel(why)
        if self._on_lost is not None:
            self._on_lost(why)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._ttl_s / RENEWALS_PER_TTL
        trouble = "the program was too busy to renew its session"
        while True:
            await asyncio.sleep(min(wait_s, max(self._valid_s - loop.time(), 0.0)))
            begun_s = loop.time()
            if begun_s >= self._valid_s:
                self._lose(trouble)
                return
            try:
                is_alive = await self._holding.renew(self._valid_s - begun_s)
            except QuorateError as error:  # the session is valid for a while: try again
                trouble = f"its session could not be renewed in time ({error.text})"
                wait_s = RETRY_S
                continue
            if not is_alive:
                self._lose("its session has ended")
                return
            wait_s = self._ttl_s / RENEWALS_PER_TTL
            self._valid_s = begun_s + self._ttl_s * SAFE

    async def _follow(self) -> None:
        try:
            self._lose(await self._holding.follow())
        except QuorateError:  # then only the renewals tell
            return
