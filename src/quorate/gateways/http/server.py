"""Server: accepts clients of the HTTP API, and ends what takes too long."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from quorate.base.context import OWN
from quorate.base.errors import InvariantError, QuorateError
from quorate.base.ports import Local
from quorate.gateways.http import limits
from quorate.gateways.http.accepting import Acceptor, listeners
from quorate.gateways.http.budget import Account, BudgetCounters
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.connection import Connection
from quorate.gateways.http.context import Context
from quorate.gateways.http.heads import Heads
from quorate.gateways.http.listener import Served
from quorate.gateways.http.process import Process
from quorate.gateways.http.request import Request
from quorate.gateways.http.routes import Router
from quorate.gateways.http.sharing import Shared
from quorate.gateways.http.spool import Spool

__all__ = ["HttpConfig", "HttpServer"]

_SWEEP_S = 1.0
_EXPIRED_PER_STEP = 16
_WARNED_EVERY_S = 10
"""What is refused for want of memory or descriptors is told in the log this often at most."""

Warn = Callable[..., Any]


class HttpServer:
    """One listening address.

    Args:
        local: The node that answers.
        config: Limits and spelling.
        shared: What it shares with the other listeners of the node; None: it is alone.
        warn: Tells people what was refused, as a logger's method does.
        process: What clients may ask something of, besides the node.

    Attributes:
        heads: What header lines meant; shared by all connections.
        tick: Seconds since the start, counted by sweeps; what connections measure time with.
        is_stopping: Each connection ends with its next answer.
    """

    def __init__(
        self,
        local: Local,
        config: HttpConfig,
        shared: Shared | None = None,
        warn: Warn | None = None,
        process: Process | None = None,
    ) -> None:
        self.config = config
        self.heads = Heads(config)
        self.tick = 1
        self.is_stopping = False
        self._local = local
        self._context = Context(local, config, shared=shared, process=process)
        self._router = Router(self._context)
        self._budget = self._context.shared.budget
        self.slices = self._context.shared.slices
        self.slices.report_to(self._hand_on)
        self._connections: set[Served] = set()
        self._is_empty = asyncio.Event()
        self._acceptors: list[Acceptor] = []
        self._warn = warn
        self._warned = BudgetCounters()
        self._waiting: set[Served] = set()  # for memory
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        return self._acceptors[0].port if self._acceptors else 0

    def reconfigure(self, config: HttpConfig) -> None:
        """From now on go by another configuration, without losing a connection."""
        self.config = config
        self._context.reconfigure(config)
        self._router.reconfigure()
        self._budget.limit_clients(config.connections_per_client_max)

    async def start(self, host: str, port: int) -> None:
        """Accept clients. Port 0: any that is free.

        Raises:
            OSError: The address cannot be used.
        """
        loop = asyncio.get_running_loop()
        for listener in await listeners(host, port):
            self._acceptors.append(Acceptor(listener, self._budget, lambda: Connection(self)))
        self._sweeper = loop.call_later(_SWEEP_S, self.sweep)

    def start_on(self, listener: socket.socket) -> None:
        """Accept clients on a Unix socket that is bound; it is closed with the server."""
        listener.setblocking(False)
        self._acceptors.append(Acceptor(listener, self._budget, lambda: Connection(self)))
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self.sweep)

    async def stop(self, *, is_clean: bool = True) -> None:
        """Accept no more, let answers under way leave for a moment, then end every connection.

        Args:
            is_clean: False ends every connection at once.
        """
        self.is_stopping = True
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
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

        What a handler could not answer for is given to the node, in a turn of its own: here it
        would only end a client's connection. Damaged tables and broken invariants end the node.
        """
        try:
            self._router.handle(request)
        except (Exception, InvariantError) as error:  # noqa: BLE001 - answered already; for the log
            self._hand_on(error)

    def go_on(self, step: Callable[[], None]) -> None:
        """See `listener.Listener.go_on`; errors go the way of those in `handle`."""
        try:
            step()
        except (Exception, InvariantError) as error:  # noqa: BLE001 - likewise
            self._hand_on(error)

    def _hand_on(self, error: BaseException) -> None:
        self._local.read(OWN, partial(_raise, error))

    def body_bytes_max(self, method: bytes, target: bytes) -> int:
        """See `listener.Listener.body_bytes_max`."""
        return limits.body_bytes_max(self.config, method, target)

    def spool_for(self, method: bytes, target: bytes, length: int) -> Spool | None:
        """See `listener.Listener.spool_for`."""
        if not limits.is_spooled(method, target, length):
            return None
        return self._context.shared.snapshots.coming(length)

    def refuse(self, request: Request, error: BaseException) -> None:
        """See `listener.Listener.refuse`."""
        self._context.fail(request, error)

    def wait_for_memory(self, connection: Served) -> None:
        """See `listener.Listener.wait_for_memory`."""
        self._waiting.add(connection)

    def note_spent(self) -> None:
        """See `listener.Listener.note_spent`."""
        self._budget.note_refused()

    def refuse_body(self, request: Request, length: int) -> None:
        """See `listener.Listener.refuse_body`."""
        self._context.fail(request, limits.refusal(self.config, request.target, length))

    def sweep(self) -> None:
        """A second has passed."""
        self.tick += 1
        self._context.answers.tick()
        late = [each for each in self._connections if 0 < each.due <= self.tick]
        if late:
            self.slices.add(partial(self._expire, late))
        waiting, self._waiting = self._waiting, set()
        for connection in waiting:
            connection.go_on()
        if self._warn is not None and self.tick % _WARNED_EVERY_S == 0:
            self._tell_refusals(self._warn)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self.sweep)

    def _expire(self, late: list[Served]) -> bool:
        """Judge some of those whose time is over; thousands may be at once."""
        for connection in late[-_EXPIRED_PER_STEP:]:
            if 0 < connection.due <= self.tick:
                connection.expire()
        del late[-_EXPIRED_PER_STEP:]
        return bool(late)

    def _tell_refusals(self, warn: Warn) -> None:
        """Say what was refused since it was last said."""
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


def _raise(error: BaseException, _: int | QuorateError) -> None:
    raise error
