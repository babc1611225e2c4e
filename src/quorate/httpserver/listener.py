"""Listener: what a connection needs of its server, and what the server needs of it."""

from collections.abc import Callable
from typing import Protocol

from quorate.httpserver.application import Application
from quorate.httpserver.budget import Account
from quorate.httpserver.config import ServerConfig
from quorate.httpserver.heads import Heads
from quorate.httpserver.request import Request
from quorate.httpserver.slices import SliceQueue


class Served(Protocol):
    """A connection, as far as the server knows it.

    Attributes:
        due: The server's tick at which it has taken too long; 0: never.
    """

    due: int

    def go_on(self) -> None:
        """Memory may be free again: draw more of a long answer."""
        ...

    def drain(self) -> None:
        """End with the answers that will come by themselves."""
        ...

    def expire(self) -> None:
        """It took too long."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class Listener(Protocol):
    """What a connection needs of its server.

    Attributes:
        heads: What header lines meant.
        tick: Seconds since the start.
        is_stopping: Each connection ends with its next answer.
        slices: Turns for what takes long.
    """

    heads: Heads
    tick: int
    is_stopping: bool
    slices: SliceQueue

    @property
    def config(self) -> ServerConfig:
        """Limits."""
        ...

    @property
    def application(self) -> Application:
        """With its middleware; requests that are whole go to it by `handle`."""
        ...

    def admit(self, connection: Served, host: str) -> Account | None:
        """Count it; None if this client has too many."""
        ...

    def forget(self, connection: Served, account: Account) -> None:
        """It is gone."""
        ...

    def wait_for_memory(self, connection: Served) -> None:
        """Too much is held: have it go on when a second has passed."""
        ...

    def note_spent(self) -> None:
        """A request was refused because too much is held for its client, or for all."""
        ...

    def handle(self, request: Request, /) -> None:
        """Work on a request, and answer it now or later."""
        ...

    def go_on(self, step: Callable[[], None]) -> None:
        """Do what was postponed."""
        ...
