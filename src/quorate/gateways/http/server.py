"""Server: accepts clients of the HTTP API, and ends what takes too long."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from quorate.base.errors import InvariantError, QuorateError
from quorate.base.ports import Local
from quorate.gateways.http import limits
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.connection import Connection
from quorate.gateways.http.context import Context
from quorate.gateways.http.heads import Heads
from quorate.gateways.http.request import Request
from quorate.gateways.http.routes import Router

__all__ = ["HttpConfig", "HttpServer"]

_SWEEP_S = 1.0
_BACKLOG = 1024


class HttpServer:
    """One listening address.

    Args:
        local: The node that answers.
        config: Limits and spelling.

    Attributes:
        heads: What header lines meant; shared by all connections.
        tick: Seconds since the start, counted by sweeps; what connections measure time with.
        is_stopping: Each connection ends with its next answer.
    """

    def __init__(self, local: Local, config: HttpConfig) -> None:
        self.config = config
        self.heads = Heads(config)
        self.tick = 1
        self.is_stopping = False
        self._local = local
        self._context = Context(local, config)
        self._router = Router(self._context)
        self._connections: set[Connection] = set()
        self._per_client: dict[str, int] = {}
        self._is_empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        sockets = self._server.sockets if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def start(self, host: str, port: int) -> None:
        """Accept clients. Port 0: any that is free.

        Raises:
            OSError: The address cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), host, port, backlog=_BACKLOG, reuse_address=True
        )
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep)

    async def stop(self, *, is_clean: bool = True) -> None:
        """Accept no more, let answers under way leave for a moment, then end every connection.

        Args:
            is_clean: False ends every connection at once.
        """
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        if is_clean:
            for connection in list(self._connections):
                connection.wind_down()
        if is_clean and self._connections:
            with contextlib.suppress(TimeoutError):  # whoever still waits is cut off below
                await asyncio.wait_for(self._is_empty.wait(), self.config.stop_s)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # --- for connections -----------------------------------------------------------------------

    def admit(self, connection: Connection, host: str) -> bool:
        """See `connection.Listener.admit`."""
        count = self._per_client.get(host, 0)
        if count >= self.config.connections_per_client_max or self.is_stopping:
            return False
        self._per_client[host] = count + 1
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection, host: str) -> None:
        """See `connection.Listener.forget`."""
        self._connections.discard(connection)
        count = self._per_client.get(host, 0) - 1
        if count > 0:
            self._per_client[host] = count
        else:
            self._per_client.pop(host, None)
        if self.is_stopping and not self._connections:
            self._is_empty.set()

    def handle(self, request: Request) -> None:
        """See `connection.Listener.handle`.

        What a handler could not answer for is given to the node, in a turn of its own: here it
        would only end a client's connection. Damaged tables and broken invariants end the node.
        """
        try:
            self._router.handle(request)
        except (Exception, InvariantError) as error:  # noqa: BLE001 - answered already; for the log
            self._local.read(partial(_raise, error))

    def go_on(self, step: Callable[[], None]) -> None:
        """See `connection.Listener.go_on`; errors go the way of those in `handle`."""
        try:
            step()
        except (Exception, InvariantError) as error:  # noqa: BLE001 - likewise
            self._local.read(partial(_raise, error))

    def body_bytes_max(self, method: bytes, target: bytes) -> int:
        """See `connection.Listener.body_bytes_max`."""
        return limits.body_bytes_max(self.config, method, target)

    def refuse_body(self, request: Request, length: int) -> None:
        """See `connection.Listener.refuse_body`."""
        self._context.fail(request, limits.refusal(self.config, request.target, length))

    def _sweep(self) -> None:
        self.tick += 1
        self._context.answers.tick()
        for connection in list(self._connections):
            if 0 < connection.due <= self.tick:
                connection.expire()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)


def _raise(error: BaseException, _: int | QuorateError) -> None:
    raise error
