"""Forks: a child process must not use what its parent goes on using.

A child gets copies of the parent's sockets; if two processes read from one connection, each may
receive the other's replies. So a transport drops its connections in the child and makes its own,
and what cannot be made again there (a lock that is held) records that it belongs to the parent.

FRK-1: after a fork the child uses no connection, mutex or event loop of the parent.
FRK-2: the child changes nothing for the parent: it only closes its copies of the descriptors.
"""

import os
import weakref
from typing import Protocol

_generation = 0


class Forkable(Protocol):
    """An object with something to drop in a child."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""
        ...


_forkables: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def register(forkable: Forkable) -> None:
    """Have `forkable.after_fork` called in every child, for as long as the object exists."""
    _forkables.add(forkable)


def generation() -> int:
    """How many forks this process is away from the one that first loaded this module."""
    return _generation


def close_copy(descriptor: int) -> None:
    """Close a descriptor in the child while the object that owns it goes on existing.

    Its number stays in use, by `/dev/null`, so that a later close by the owner cannot close an
    unrelated descriptor.
    """
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.dup2(null, descriptor, inheritable=False)
        finally:
            os.close(null)
    except (
        OSError
    ):  # no descriptor is left: the copy stays open, which only delays the end of the connection
        return


def _after_fork() -> None:
    global _generation  # noqa: PLW0603 - one process, one number
    _generation += 1
    for forkable in tuple(_forkables):
        forkable.after_fork()


os.register_at_fork(after_in_child=_after_fork)
