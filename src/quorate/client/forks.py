"""Forks: a child process must not use what its parent goes on using.

A child gets copies of the parent's sockets; two processes that read replies from one connection
get each other's. So a transport drops its connections in the child and makes its own, and what
cannot be made anew there (a lock that is held) knows that it belongs to the parent.

FRK-1: after a fork nothing of the parent's is used in the child: no connection, no mutex, no loop.
FRK-2: the child changes nothing for the parent: it only closes its copies of the descriptors.
"""

import os
import weakref
from typing import Protocol

_generation = 0


class Forkable(Protocol):
    """What has something to drop in a child."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""
        ...


_forkables: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def register(one: Forkable) -> None:
    """Have `one.after_fork` called in every child, for as long as it exists."""
    _forkables.add(one)


def generation() -> int:
    """How many forks lie between this process and the one that loaded this module first."""
    return _generation


def close_copy(descriptor: int) -> None:
    """Close a descriptor in the child while the object that owns it goes on existing.

    Its number stays taken, by `/dev/null`, so that the owner's own close hits nothing else.
    """
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.dup2(null, descriptor, inheritable=False)
        finally:
            os.close(null)
    except OSError:  # no descriptor is left: the copy stays open, which only delays a hang-up
        return


def _after_fork() -> None:
    global _generation  # noqa: PLW0603 - one process, one number
    _generation += 1
    for one in tuple(_forkables):
        one.after_fork()


os.register_at_fork(after_in_child=_after_fork)
