"""The process that a node is, as far as clients of its gateway may ask something of it."""

from collections.abc import Callable
from typing import Protocol

from quorate.base.errors import QuorateError


class Follower(Protocol):
    """Somebody who reads the log while it is written.

    Attributes:
        is_over: Nothing more will come.
    """

    is_over: bool

    def take(self) -> bytes:
        """What was logged since it was last asked; empty if nothing was."""
        ...

    def close(self) -> None:
        """Follow no more."""
        ...


class Process(Protocol):
    """The process, as far as clients may ask something of it."""

    def reload(self) -> None:
        """Read the configuration again.

        Raises:
            RequestError: It is wrong; nothing was changed.
        """
        ...

    def leave(self, done: Callable[[QuorateError | None], None]) -> None:
        """Leave the cluster; then call `done`, and stop if there was no error."""
        ...

    def follow(self, level: str, wake: Callable[[], None], *, is_json: bool) -> Follower:
        """Follow the log.

        Args:
            level: Consul's word for the least that is of interest.
            wake: Called when there is something to take.
            is_json: Lines are JSON objects.

        Raises:
            RequestError: There is no such level.
        """
        ...
