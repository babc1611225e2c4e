"""Dispatch: which part of a node handles which message, if its sender may send it.

Messages without a handler go to the replica, once this node has one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from quorate.base.effects import Effect
from quorate.base.ids import NodeId
from quorate.base.messages import Message
from quorate.node.identities import PeerIdentities

Handler = Callable[[NodeId, Any, float], list[Effect]]
"""Takes the sender, a message of the type it was listed for, and the time."""

Handlers = Mapping[type, Handler]


class Dispatch:
    """The table of a node's messages.

    Args:
        identities: Which nodes may send what (IDN-1, IDN-2).
    """

    def __init__(self, identities: PeerIdentities) -> None:
        self._identities = identities
        self._handlers: dict[type, Handler] = {}
        self._other: Handler = _nothing

    def serve(self, handlers: Handlers) -> None:
        """Register handlers by the type of their messages."""
        self._handlers.update(handlers)

    def serve_other(self, handler: Handler) -> None:
        """Register the handler of all other messages."""
        self._other = handler

    def take(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        """Call the handler of a message, if this sender may send it."""
        kind, identities = type(message), self._identities
        if sender not in identities.trusted and not identities.admits(sender, kind):
            return []
        return self._handlers.get(kind, self._other)(sender, message, now_s)


def _nothing(sender: NodeId, message: Message, now_s: float) -> list[Effect]:  # noqa: ARG001
    """There is no replica yet."""
    return []
