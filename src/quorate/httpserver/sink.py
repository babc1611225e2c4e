"""Sink: takes a body piece by piece as it arrives, with back-pressure."""

from collections.abc import Callable
from typing import Protocol


class BodySink(Protocol):
    """Takes the body of one request. All methods are called in the loop's thread.

    The connection does not read while it `is_full`, until `on_change` is called; so a client sends
    as fast as the sink takes, and what waits is bounded. When the body is complete the request is
    handled, with this as its `Request.sink`; if it never is, only `close` is called.
    """

    @property
    def is_full(self) -> bool:
        """Whether the client should wait."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """The bytes that it holds in memory; counted for the client."""
        ...

    @property
    def error(self) -> BaseException | None:
        """Why it takes nothing more: the request is refused with this at the next `on_change`."""
        ...

    def call_on_change(self, on_change: Callable[[], None]) -> None:
        """From now on call this when some was taken, or when it has failed."""
        ...

    def write(self, piece: bytes) -> None:
        """Take a piece. A piece after an error, or after `close`, is dropped."""
        ...

    def close(self) -> None:
        """Release it: the request is answered, or will never be complete."""
        ...
