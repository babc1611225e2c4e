"""Dispatch: which part of a node takes which message, if it may be heard from its sender.

What no part has asked for is for the replica, once this node is one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from quorate.base.effects import Effect
from quorate.base.ids import NodeId
from quorate.base.messages import Message
from quorate.node.peering import Peering

Handler = Callable[[NodeId, Any, float], list[Effect]]
"""Takes the sender, a message of the type it was listed for, and the time."""

Handlers = Mapping[type, Handler]


class Dispatch:
    """The table of a node's messages.

    Args:
        peering: It knows who may be heard (IDN-1, IDN-2).
    """

    def __init__(self, peering: Peering) -> None:
        self._peering = peering
        self._handlers: dict[type, Handler] = {}
        self._other: Handler = _nothing

    def serve(self, handlers: Handlers) -> None:
        """From now on these take the messages of their types."""
        self._handlers.update(handlers)

    def serve_other(self, handler: Handler) -> None:
        """From now on this takes every other message."""
        self._other = handler

    def take(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        """Give a message to its part, if it may be heard from this sender."""
        kind, peering = type(message), self._peering
        if sender not in peering.heard and not peering.admits(sender, kind):
            return []
        return self._handlers.get(kind, self._other)(sender, message, now_s)


def _nothing(sender: NodeId, message: Message, now_s: float) -> list[Effect]:  # noqa: ARG001
    """There is no replica yet."""
    return []
