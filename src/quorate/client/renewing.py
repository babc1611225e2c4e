"""Session renewal of the async client; it also watches the key, and cancels the lock's body."""

import asyncio
from typing import Protocol

from quorate.base.errors import QuorateError
from quorate.client.holding import RENEWALS_PER_TTL, RETRY_S, SAFE, Held, Lost
from quorate.client.log import LOG


class AsyncRenewable(Protocol):
    """What the renewal needs of a lock."""

    async def renew(self, deadline_s: float) -> bool:
        """Renew the session once; False if it has ended."""
        ...

    async def wait_until_lost(self) -> str:
        """Return when the key is no longer held, with the reason."""
        ...


class AsyncRenewer:
    """Renews one session, and reports when it, or its key, is lost.

    Args:
        lock: The lock.
        ttl_s: Of the session.
        begun_s: The loop's time before the session was made.
    """

    def __init__(self, lock: AsyncRenewable, ttl_s: float, begun_s: float) -> None:
        self.why = ""
        self._lock = lock
        self._ttl_s = ttl_s
        self._valid_s = begun_s + ttl_s * SAFE
        self._held: Held | None = None
        self._on_lost: Lost | None = None
        self._body: asyncio.Task[object] | None = None
        self._body_cancels = 0
        self._has_cancelled = False
        self._tasks = [asyncio.create_task(self._renew())]

    def guard(self, held: Held, on_lost: Lost | None) -> bool:
        """Note that the session holds a key; False if it is lost already."""
        if self.why:
            return False
        self._held = held
        self._on_lost = on_lost
        self._tasks.append(asyncio.create_task(self._watch_key()))
        return True

    def bind(self) -> None:
        """Cancel the task that calls this when the lock is lost."""
        self._body = asyncio.current_task()
        self._body_cancels = self._body.cancelling() if self._body else 0

    def unbind(self, kind: type[BaseException] | None) -> bool:
        """Do not cancel the task any more.

        Returns:
            Whether the body ended by this cancellation and by no other.
        """
        body, self._body = self._body, None
        if body is None or not self._has_cancelled:
            return False
        return body.uncancel() <= self._body_cancels and kind is asyncio.CancelledError

    async def stop(self) -> None:
        """Stop renewing and watching.

        Raises:
            Exception: What `on_lost` raised.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # an error of `on_lost`, or a bug

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

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._ttl_s / RENEWALS_PER_TTL
        reason = "the program was too busy to renew its session"
        while True:
            await asyncio.sleep(min(wait_s, max(self._valid_s - loop.time(), 0.0)))
            begun_s = loop.time()
            if begun_s >= self._valid_s:
                self._lose(reason)
                return
            try:
                is_alive = await self._lock.renew(self._valid_s - begun_s)
            except QuorateError as error:  # the session is still valid: try again
                reason = f"its session could not be renewed in time ({error.text})"
                wait_s = RETRY_S
                continue
            if not is_alive:
                self._lose("its session has ended")
                return
            wait_s = self._ttl_s / RENEWALS_PER_TTL
            self._valid_s = begun_s + self._ttl_s * SAFE

    async def _watch_key(self) -> None:
        try:
            self._lose(await self._lock.wait_until_lost())
        except QuorateError:  # then only the renewals show a loss
            return
