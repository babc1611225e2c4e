"""File descriptors: how many this process may have, and a few held back for the disk.

A process without free descriptors cannot open the next segment of its log, its tables or a
snapshot. Clients are therefore limited well below the limit of the process (`for_clients`), and
`RESERVE` holds some descriptors open that are given up when an open fails for lack of one: it is
then tried once more. Running out is a shortage like a full disk, never corruption: nothing was
read or written.

The table of descriptors belongs to the process, and so does the reserve.
"""

import contextlib
import errno
import os
import resource
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")

SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE})
"""What the system says when the process, or the whole system, has no free descriptor."""

LIMIT_MAX = 1 << 20
"""The soft limit is raised no further: some systems allow 2^30, and libraries size tables by it."""

RESERVED_MAX = 256
"""Descriptors that clients never get: peers (64 in handshakes, and the members), log, tables."""

HELD = 16
"""Descriptors in the reserve: a snapshot of a peer needs 5 at once, the log 2."""


def raise_limit() -> tuple[int, int]:
    """Raise the soft limit of open files as far as the hard one allows.

    Returns:
        The limit before and now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = LIMIT_MAX if soft == resource.RLIM_INFINITY else soft
    most = LIMIT_MAX if hard == resource.RLIM_INFINITY else min(hard, LIMIT_MAX)
    if most > before:
        with contextlib.suppress(OSError, ValueError):  # not permitted: the old limit goes on
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return before, most
    return before, before


def for_clients(limit: int) -> int:
    """How many connections of clients a process with this limit may hold."""
    return max(limit - min(RESERVED_MAX, limit // 2), 1)


def open_count() -> int:
    """How many descriptors are open; 0 if unknown."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone; this may be the last
    except OSError:
        return 0


class Reserve:
    """Descriptors held open, to be given up when there are no others. Any thread.

    Attributes:
        shortages: How often an open failed for lack of a descriptor.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: list[int] = []
        self._count = 0
        self.shortages = 0

    def fill(self, count: int = HELD) -> None:
        """Hold this many from now on, as far as there are any."""
        self._count = count
        self.refill()

    def refill(self) -> None:
        """Take back what was given up, as far as there are descriptors again. Cheap."""
        with self._lock, contextlib.suppress(OSError):  # still none: tried again by the caller
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def empty(self) -> None:
        """Hold nothing any more."""
        self._count = 0
        self._give_up()

    def opened(self, opening: Callable[[], T]) -> T:
        """Open something; once more with the reserve given up if there was no descriptor.

        Raises:
            OSError: As `opening` says; one of `SHORTAGE` if the reserve did not suffice.
        """
        try:
            return opening()
        except OSError as error:
            if error.errno not in SHORTAGE or not self.has_given_up():
                raise
        return opening()

    def has_given_up(self) -> bool:
        """Count a shortage and give the reserve up; False if it was empty."""
        self.shortages += 1
        return self._give_up()

    def _give_up(self) -> bool:
        with self._lock:
            held, self._held = self._held, []
            for descriptor in held:
                os.close(descriptor)
        return bool(held)


RESERVE = Reserve()
"""Of this process. Empty until the agent fills it, so that libraries and tests hold nothing."""
