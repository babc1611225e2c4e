"""Sink: takes a body piece by piece while it comes, and makes the client wait when it must."""

from collections.abc import Callable
from typing import Protocol


class BodySink(Protocol):
    """Where the body of one request goes. All methods are called in the loop's thread.

    The connection reads no further while it `is_full`, until `on_change` is called; so a client
    sends as fast as the sink takes, and what waits is bounded. When the body has come whole the
    request is handled, with this as its `Request.sink`; if it does not come whole, `close` is all
    that is called.
    """

    @property
    def is_full(self) -> bool:
        """Whether whoever sends should wait."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """What it holds in memory; counted for the client."""
        ...

    @property
    def error(self) -> BaseException | None:
        """Why it takes nothing more: the request is refused with this at the next change."""
        ...

    def call_on_change(self, on_change: Callable[[], None]) -> None:
        """From now on call this when some was taken, or nothing more is."""
        ...

    def write(self, piece: bytes) -> None:
        """Take a piece. What is written after an error, or after `close`, is dropped."""
        ...

    def close(self) -> None:
        """Let it go: the request is answered, or will never be whole."""
        ...
