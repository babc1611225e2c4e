"""Session renewal of the sync client: a thread, which also reads the key of the lock."""

import threading
import time
from typing import Protocol

from quorate.base.errors import QuorateError
from quorate.client.holding import RENEWALS_PER_TTL, RETRY_S, SAFE, Held, Lost
from quorate.client.log import LOG

JOIN_S = 0.5  # how long a stop waits for a renewal under way; the thread ends after it anyway


class Renewable(Protocol):
    """What the renewal needs of a lock."""

    def renew(self, deadline_s: float) -> bool:
        """Renew the session once; False if it has ended."""
        ...

    def read_key(self, deadline_s: float) -> str:
        """Read the key: the reason why it is no longer held; empty if it is."""
        ...


class Renewer:
    """Renews one session, and reports when it, or its key, is lost.

    Args:
        lock: The lock.
        ttl_s: Of the session.
        begun_s: The monotonic time before the session was made.
    """

    def __init__(self, lock: Renewable, ttl_s: float, begun_s: float) -> None:
        self.why = ""
        self._lock = lock
        self._ttl_s = ttl_s
        self._valid_s = begun_s + ttl_s * SAFE
        self._held: Held | None = None
        self._on_lost: Lost | None = None
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="quorate-lock", daemon=True)
        self._thread.start()

    def guard(self, held: Held, on_lost: Lost | None) -> bool:
        """Note that the session holds a key; False if it is lost already."""
        with self._mutex:
            if self.why:
                return False
            self._held = held
            self._on_lost = on_lost
        return True

    def bind(self) -> None:
        """Do nothing: a thread cannot be cancelled; it calls `Held.check`, or uses `on_lost`."""

    def unbind(self, kind: type[BaseException] | None) -> bool:
        """Whether the body ended without an error although the lock was lost."""
        return kind is None and bool(self.why)

    def stop(self) -> None:
        """Stop renewing; `on_lost` is not called any more."""
        self._stop.set()
        if threading.current_thread() is not self._thread:  # `on_lost` may end the lock itself
            self._thread.join(JOIN_S)

    def _lose(self, why: str) -> None:
        with self._mutex:
            self.why = why
            held, on_lost = self._held, self._on_lost
        if held is not None:
            held.lose(why)
            LOG.warning("lock %r was lost: %s", held.name, why)
        if on_lost is not None:
            on_lost(why)

    def _renew(self) -> None:
        wait_s = self._ttl_s / RENEWALS_PER_TTL
        reason = "the program was too busy to renew its session"
        while not self._stop.wait(min(wait_s, max(self._valid_s - time.monotonic(), 0.0))):
            begun_s = time.monotonic()
            if begun_s >= self._valid_s:
                self._lose(reason)
                return
            try:
                why = self._renew_once(begun_s)
            except QuorateError as error:  # the session is still valid: try again
                reason = f"its session could not be renewed in time ({error.text})"
                wait_s = RETRY_S
                continue
            if self._stop.is_set():
                return
            if why:
                self._lose(why)
                return
            wait_s = self._ttl_s / RENEWALS_PER_TTL

    def _renew_once(self, begun_s: float) -> str:
        """Renew the session, then read the key; return why the lock is lost; empty if it is not."""
        if not self._lock.renew(self._valid_s - begun_s):
            return "its session has ended"
        self._valid_s = begun_s + self._ttl_s * SAFE  # also if the key cannot be read
        if self._held is None:
            return ""
        left_s = max(self._valid_s - time.monotonic(), 0.0)
        return self._lock.read_key(min(left_s, self._ttl_s / RENEWALS_PER_TTL))
