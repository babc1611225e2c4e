"""Listener: what a connection needs of its server, and what the server needs of it."""

from collections.abc import Callable
from typing import Protocol

from quorate.gateways.http.budget import Account
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.heads import Heads
from quorate.gateways.http.request import Request
from quorate.gateways.http.slices import Slices
from quorate.gateways.http.spool import Spool


class Served(Protocol):
    """A connection, as far as the server knows it.

    Attributes:
        due: The server's tick at which it has taken too long; 0: never.
    """

    due: int

    def go_on(self) -> None:
        """Memory may be free again: draw more of a long answer."""
        ...

    def wind_down(self) -> None:
        """End with the answers that will come by themselves."""
        ...

    def expire(self) -> None:
        """It took too long."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class Listener(Protocol):
    """What a connection needs of its server."""

    config: HttpConfig
    heads: Heads
    tick: int
    is_stopping: bool
    slices: Slices

    def admit(self, connection: Served, host: str) -> Account | None:
        """Count it; None if this client has too many."""
        ...

    def forget(self, connection: Served, account: Account) -> None:
        """It is gone."""
        ...

    def body_bytes_max(self, method: bytes, target: bytes) -> int:
        """The longest body that such a request may have."""
        ...

    def spool_for(self, method: bytes, target: bytes, length: int) -> Spool | None:
        """Where a long body goes; None: memory.

        Raises:
            HttpError: It cannot be taken now.
            QuorateError: Likewise.
        """
        ...

    def refuse_body(self, request: Request, length: int) -> None:
        """Answer a request whose body is too long, by what is known of its length."""
        ...

    def refuse(self, request: Request, error: BaseException) -> None:
        """Answer a request that cannot be taken."""
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
