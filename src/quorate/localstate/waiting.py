"""Waits of clients: until the catalog and the disk have what they changed (LST-3)."""

from collections.abc import Callable, Iterable
from functools import partial

from quorate.base.errors import QuorateError
from quorate.localstate.pending import Key, PendingEntries
from quorate.localstate.ports import Schedule, Timeout

Done = Callable[[QuorateError | None], None]


class Wait:
    """One wait.

    Attributes:
        keys: Of the entries that the catalog does not have yet.
        waits_for_disk: What was written before it is not on disk yet.
        timeout: Ends it.
    """

    __slots__ = ("_done", "keys", "timeout", "waits_for_disk")

    def __init__(self, keys: set[Key], done: Done) -> None:
        self.keys = keys
        self.waits_for_disk = True
        self.timeout: Timeout | None = None
        self._done: Done | None = done

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._done is None

    def end(self, error: QuorateError | None = None) -> None:
        """End it, once."""
        done, self._done = self._done, None
        if self.timeout is not None:
            self.timeout.cancel()
            self.timeout = None
        if done is not None:
            done(error)


class Waits:
    """All waits of an agent, by the entries that they wait for.

    Args:
        schedule: Schedules a call.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._waits: dict[Key, list[Wait]] = {}

    def begin(self, keys: set[Key], done: Done) -> Wait:
        """Begin a wait for these entries and for the disk; `done` is called once."""
        wait = Wait(keys, done)
        for key in sorted(keys):
            self._waits.setdefault(key, []).append(wait)
        return wait

    def on_disk(self, wait: Wait) -> None:
        """What was written before a wait is on disk."""
        wait.waits_for_disk = False
        if not wait.keys:
            wait.end()

    def limit(self, wait: Wait, seconds: float) -> None:
        """End a wait after a time, unless it is over."""
        if not wait.is_over:
            wait.timeout = self._schedule(seconds, partial(self._give_up, wait))

    def _give_up(self, wait: Wait) -> None:
        wait.timeout = None
        for key in sorted(wait.keys):
            self._drop(key, wait)
        wait.end()

    def _drop(self, key: Key, wait: Wait) -> None:
        waits = self._waits.get(key, [])
        if wait in waits:
            waits.remove(wait)
        if not waits:
            self._waits.pop(key, None)

    def applied(
        self, keys: Iterable[Key], pending: PendingEntries, error: QuorateError | None
    ) -> None:
        """End the waits for these entries, if the catalog has them, or refuses them."""
        for key in keys:
            if error is None and key in pending:
                continue
            for wait in self._waits.pop(key, ()):
                wait.keys.discard(key)
                if error is not None or not (wait.keys or wait.waits_for_disk):
                    wait.end(error)

    def end(self) -> None:
        """End all of them."""
        for waits in list(self._waits.values()):
            for wait in waits:
                wait.end()
        self._waits.clear()
