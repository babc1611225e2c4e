"""The process of a node, as the endpoints of its gateway use it."""

from collections.abc import Callable
from typing import Protocol

from quorate.base.errors import QuorateError
from quorate.base.metrics import Metric


class Follower(Protocol):
    """A reader of the process's log.

    Attributes:
        is_over: Nothing more will be logged.
    """

    is_over: bool

    def take(self) -> bytes:
        """What was logged since the last call; empty if nothing was."""
        ...

    def close(self) -> None:
        """End the subscription."""
        ...


class Process(Protocol):
    """The process of a node."""

    def reload(self) -> None:
        """Read the configuration again.

        Raises:
            RequestError: It is invalid; nothing was changed.
        """
        ...

    def metrics(self) -> list[Metric]:
        """Of what is in this process beside the node and its HTTP API."""
        ...

    def leave(self, done: Callable[[QuorateError | None], None]) -> None:
        """Leave the cluster; then call `done`, and stop if there was no error."""
        ...

    def follow(self, level: str, wake: Callable[[], None], *, is_json: bool) -> Follower:
        """Follow the log.

        Args:
            level: The lowest level, by Consul's name.
            wake: Called when `take` has something to return.
            is_json: Lines are JSON objects.

        Raises:
            RequestError: The level is unknown.
        """
        ...
