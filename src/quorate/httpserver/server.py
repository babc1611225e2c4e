"""Server: accepts clients of one application, and ends connections that time out."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from quorate.accounts import Account
from quorate.base.errors import InvariantError
from quorate.httpserver.application import Application, Middleware, composed
from quorate.httpserver.budget import Budget, BudgetCounters, budget_of
from quorate.httpserver.config import ServerConfig
from quorate.httpserver.connection import Connection
from quorate.httpserver.headercache import HeaderCache
from quorate.httpserver.listener import Served
from quorate.httpserver.refusals import FULL
from quorate.httpserver.request import Request
from quorate.httpserver.slices import SliceQueue
from quorate.net import connector as net
from quorate.net.accepting import ConnectionAcceptor
from quorate.net.connector import Connector
from quorate.net.listening import listeners

_SWEEP_S = 1.0
_EXPIRED_PER_STEP = 16
_RESUMED_PER_STEP = 16
_WARNED_EVERY_S = 10
"""The shortest time between log messages about refusals for lack of memory or descriptors."""

Warn = Callable[..., Any]


class HttpServer:
    """One listening address, and the application behind it.

    Args:
        application: Answers requests.
        config: The limits.
        middleware: Is called before the application, the first of these first.
        budget: Limits connections and memory; None: its own. Servers that share one share its
            limits.
        slices: Runs long work; None: its own.
        warn: Logs what was refused, as the method of a logger does.
        connector: Makes connections from accepted sockets.

    Attributes:
        application: The application with its middleware.
        header_cache: Shared by all connections.
        tick: Seconds since the start, counted by sweeps; the clock of connections.
        is_stopping: Each connection ends with its next answer.
    """

    def __init__(
        self,
        application: Application,
        config: ServerConfig,
        *,
        middleware: Iterable[Middleware] = (),
        budget: Budget | None = None,
        slices: SliceQueue | None = None,
        warn: Warn | None = None,
        connector: Connector = net.PLAIN,
    ) -> None:
        self.application = composed(application, middleware)
        self._handle = self.application.handle
        self.config = config
        self._connector = connector
        self.header_cache = HeaderCache(self.application.remembered_body_bytes_max)
        self.tick = 1
        self.is_stopping = False
        self._budget = budget_of(config) if budget is None else budget
        self.slices = SliceQueue() if slices is None else slices
        self.slices.report_to(self.application.on_fault)
        self._connections: set[Served] = set()
        self._is_empty = asyncio.Event()
        self._acceptors: list[ConnectionAcceptor] = []
        self._warn = warn
        self._warned = BudgetCounters()
        self._waiting: set[Served] = set()  # for memory
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port on which it listens; 0 if it does not."""
        return self._acceptors[0].port if self._acceptors else 0

    def set_limits(self, config: ServerConfig) -> None:
        """Apply other limits, and keep all connections."""
        self.config = config
        self.header_cache = HeaderCache(self.application.remembered_body_bytes_max)
        self._budget.limit_clients(config.connections_per_client_max)

    async def start(self, host: str, port: int) -> None:
        """Accept clients. Port 0: any that is free.

        Raises:
            OSError: The address cannot be used.
        """
        for listener in await listeners(host, port):
            self._accept_on(listener)

    def start_on(self, listener: socket.socket) -> None:
        """Accept clients on a Unix socket that is bound; it is closed with the server."""
        listener.setblocking(False)
        self._accept_on(listener)

    def _accept_on(self, listener: socket.socket) -> None:
        self._acceptors.append(
            ConnectionAcceptor(
                listener,
                self._budget,
                lambda: self.application.refusal(FULL),
                lambda: Connection(self),
                self._connector,
            )
        )
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self.sweep)

    async def stop(self, *, is_clean: bool = True) -> None:
        """Accept no more, let pending answers be sent for a moment, then end every connection.

        Args:
            is_clean: False ends every connection at once.
        """
        self.is_stopping = True
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        if is_clean:
            for connection in list(self._connections):
                connection.drain()
        if is_clean and self._connections:
            with contextlib.suppress(TimeoutError):  # what still waits is ended below
                await asyncio.wait_for(self._is_empty.wait(), self.config.stop_s)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # --- for connections -----------------------------------------------------------------------

    def admit(self, connection: Served, host: str) -> Account | None:
        """See `listener.Listener.admit`."""
        self._budget.coming.discard(connection)
        account = None if self.is_stopping else self._budget.enter(host)
        if account is not None:
            self._connections.add(connection)
        return account

    def forget(self, connection: Served, account: Account) -> None:
        """See `listener.Listener.forget`."""
        self._connections.discard(connection)
        self._waiting.discard(connection)
        self._budget.leave(account)
        if self.is_stopping and not self._connections:
            self._is_empty.set()

    def handle(self, request: Request) -> None:
        """See `listener.Listener.handle`.

        What it raises is passed to the application: here it would only end a connection.
        """
        try:
            self._handle(request)
        except (Exception, InvariantError) as error:  # noqa: BLE001 - answered already; for the log
            self.application.on_fault(error)

    def go_on(self, step: Callable[[], None]) -> None:
        """See `listener.Listener.go_on`; errors are treated as in `handle`."""
        try:
            step()
        except (Exception, InvariantError) as error:  # noqa: BLE001 - likewise
            self.application.on_fault(error)

    def wait_for_memory(self, connection: Served) -> None:
        """See `listener.Listener.wait_for_memory`."""
        self._waiting.add(connection)

    def note_spent(self) -> None:
        """See `listener.Listener.note_spent`."""
        self._budget.note_refused()

    def sweep(self) -> None:
        """A second has passed."""
        self.tick += 1
        self.application.tick()
        late = [each for each in self._connections if 0 < each.due <= self.tick]
        if late:
            self.slices.add(partial(self._expire, late))
        waiting, self._waiting = list(self._waiting), set()
        if waiting:
            self.slices.add(partial(self._resume, waiting))
        if self._warn is not None and self.tick % _WARNED_EVERY_S == 0:
            self._log_refusals(self._warn)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self.sweep)

    def _expire(self, late: list[Served]) -> bool:
        """End some of the connections that have timed out; there may be thousands."""
        for connection in late[-_EXPIRED_PER_STEP:]:
            if 0 < connection.due <= self.tick:
                connection.expire()
        del late[-_EXPIRED_PER_STEP:]
        return bool(late)

    def _resume(self, waiting: list[Served]) -> bool:
        """Resume some of the connections that wait for memory; there may be thousands."""
        for connection in waiting[-_RESUMED_PER_STEP:]:
            if connection in self._connections:
                connection.go_on()
        del waiting[-_RESUMED_PER_STEP:]
        return bool(waiting)

    def _log_refusals(self, warn: Warn) -> None:
        """Log what was refused since the last time."""
        now, before = self._budget.counters, self._warned
        self._warned = msgspec.structs.replace(now)
        if now.accepts_failed > before.accepts_failed:
            warn(
                "no file descriptor for clients: raise the limit of open files (LimitNOFILE, "
                "ulimit -n)",
                times=now.accepts_failed - before.accepts_failed,
            )
        if now.connections_refused > before.connections_refused:
            warn(
                "too many connections of clients: some were refused",
                refused=now.connections_refused - before.connections_refused,
                connections=self._budget.connections,
            )
        if now.requests_refused > before.requests_refused:
            warn(
                "too much is held in memory for clients: requests were refused",
                refused=now.requests_refused - before.requests_refused,
                held_bytes=self._budget.held_bytes,
            )
