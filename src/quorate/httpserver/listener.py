"""Listener: the interfaces between a connection and its server."""

from collections.abc import Callable
from typing import Protocol

from quorate.accounts import Account
from quorate.httpserver.application import Application
from quorate.httpserver.config import ServerConfig
from quorate.httpserver.headercache import HeaderCache
from quorate.httpserver.request import Request
from quorate.httpserver.slices import SliceQueue


class Served(Protocol):
    """A connection, as its server knows it.

    Attributes:
        due: The server's tick at which it has timed out; 0: never.
    """

    due: int

    def go_on(self) -> None:
        """Memory may be free again: write more of a long answer."""
        ...

    def drain(self) -> None:
        """End after the answers that do not wait for a change."""
        ...

    def expire(self) -> None:
        """It has timed out."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class Listener(Protocol):
    """A server, as its connections know it.

    Attributes:
        header_cache: Header lines that were parsed before.
        tick: Seconds since the start.
        is_stopping: Each connection ends with its next answer.
        slices: Runs long work.
    """

    header_cache: HeaderCache
    tick: int
    is_stopping: bool
    slices: SliceQueue

    @property
    def config(self) -> ServerConfig:
        """The limits."""
        ...

    @property
    def application(self) -> Application:
        """The application with its middleware; complete requests go to it by `handle`."""
        ...

    def admit(self, connection: Served, host: str) -> Account | None:
        """Count a connection; None if its client has too many."""
        ...

    def forget(self, connection: Served, account: Account) -> None:
        """A connection has ended."""
        ...

    def wait_for_memory(self, connection: Served) -> None:
        """The memory limit is reached: call `go_on` of the connection after about a second."""
        ...

    def note_spent(self) -> None:
        """A request was refused because of a memory limit."""
        ...

    def handle(self, request: Request, /) -> None:
        """Begin a request; it is answered now or later."""
        ...

    def go_on(self, step: Callable[[], None]) -> None:
        """Run a step that was postponed."""
        ...
