"""Facts and questions between domains while a command is applied; domains do not import each other.

A **fact** describes what a domain does; others react to it inside the same command, under its
index, in the order of the list of domains. A **question** is answered by the one domain that has a
resolver.
"""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

CRITICAL = "critical"
"""The status of a check that failed."""


class Fact(msgspec.Struct, frozen=True):
    """Something that a command did or is about to do."""


class SessionEnded(Fact, frozen=True):
    """A session has ended.

    Attributes:
        id: Of the session.
        is_delete: What it holds is to be deleted, not only released.
        lock_delay_ms: What it held cannot be acquired for so long.
    """

    id: str
    is_delete: bool
    lock_delay_ms: int


class NodeLeaving(Fact, frozen=True):
    """A node is about to be removed, or does not exist: what is bound to it ends first."""

    name: str


class NodeRemoved(Fact, frozen=True):
    """A node was removed, with its checks and services."""

    name: str


class CheckStatusChanged(Fact, frozen=True):
    """A check of a node was given a status. It may have had it: reacting twice changes nothing."""

    node: str
    check: str
    status: str


class CheckRemoved(Fact, frozen=True):
    """A check of a node was removed, and the node was not."""

    node: str
    check: str


class Question(msgspec.Struct, Generic[T], frozen=True):
    """A question that one domain answers; `T` is the type of the answer."""


class IsSessionAlive(Question[bool], frozen=True, gc=False):
    """Whether there is a session with this id."""

    id: str


class IsNodeKnown(Question[bool], frozen=True, gc=False):
    """Whether there is a node with this name."""

    name: str


class CheckStatus(Question[str | None], frozen=True, gc=False):
    """The status of a check of a node; None if there is none."""

    node: str
    check: str
