"""Transport of the async client: its connections, by endpoint, and the deadlines of requests.

Requests share up to `connections_max` connections per lane and endpoint: the one with the shortest
queue is used, and a new one is made only when all are in use. Blocking queries and long bodies
have a connection each, which is used again by the next of them. One timer finds all requests
whose deadline is over, instead of one timer each.

A transport uses one event loop at a time: the running one at its first request. When that loop is
closed, or belongs to the parent of a fork, the next request starts afresh on the running one.
"""

import asyncio
from collections.abc import Callable

import msgspec

from quorate.base.errors import RequestError, UnavailableError
from quorate.client import forks
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.failures import connect_failure
from quorate.client.pipeline import INFINITY, PooledConnection
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest, Lane
from quorate.client.resolving import no_host_name
from quorate.net.connector import PLAIN

UNORDERED = "X-Quorate-Unordered: true\r\n"
"""A caller that needs an order awaits one call before the next, so a node may execute the requests
of a connection concurrently."""

SWEEP_S = 0.1  # how often deadlines are checked while there are requests

_of_parents: list[
    object
] = []  # kept in a child for ever: their finalizers would use the parent's loop


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of both transports.

    Attributes:
        token: Sent with every request; empty for none.
        authorization: The value of that header; empty for none.
        connections_max: Connections per lane and endpoint that requests share, at least 1.
        connect_s: How long making a connection may take.
        stall_s: When a reply is overdue for so long, new requests go to another node.
        idle_s: A connection that was idle for so long is not used again: the node may close it.
        stalled: Called when the reply of a node is overdue for `stall_s`.
    """

    token: str = ""
    authorization: str = ""
    connections_max: int = 2
    connect_s: float = 2.0
    stall_s: float = 5.0
    idle_s: float = 30.0
    stalled: Callable[[Endpoint], object]

    def __repr__(self) -> str:
        return f"<Settings, connections_max={self.connections_max}>"  # no secrets


def host_lines(endpoint: Endpoint, settings: Settings) -> bytes:
    """The header lines of every request to a node."""
    lines = f"Host: {endpoint.host_header}\r\n{UNORDERED}"
    if settings.token:
        lines += f"X-Consul-Token: {settings.token}\r\n"
    if settings.authorization:
        lines += f"Authorization: {settings.authorization}\r\n"
    return lines.encode("latin-1")


class _Pool:
    """The connections to one endpoint, by lane."""

    __slots__ = ("endpoint", "host_lines", "lanes")

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self.endpoint = endpoint
        self.host_lines = host_lines(endpoint, settings)
        self.lanes: tuple[
            list[PooledConnection], list[PooledConnection], list[PooledConnection]
        ] = ([], [], [])

    def connections(self) -> list[PooledConnection]:
        return [connection for lane in self.lanes for connection in lane]


class AsyncClientTransport:
    """All connections of one client, on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connector = PLAIN
        self._pools: dict[Endpoint, _Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_closed = False
        forks.register(self)

    def __reduce__(self) -> tuple[type["AsyncClientTransport"], tuple[Settings]]:
        """Another process, or a copy, has the settings and makes connections of its own."""
        return AsyncClientTransport, (self._settings,)

    def now_s(self) -> float:
        """The time that `until_s` is compared with; called first for every request.

        Raises:
            RequestError: `bad_request`: no event loop is running, or another one than that of
                the first call, which is not closed.
            UnavailableError: `stopping`: the client is closed.
        """
        return self._running().time()

    def exchange(
        self, endpoint: Endpoint, request: ClientRequest, until_s: float
    ) -> asyncio.Future[Reply]:
        """Send a request; the result is a future of the reply.

        Raises:
            ExchangeError: From the future: there is no reply; `is_sent` is whether it was sent.
            UnavailableError: `stopping`: the client is closed.
        """
        loop = self._loop or self._running()
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pools[endpoint] = _Pool(endpoint, self._settings)
        connection = self._pick(pool, request.lane)
        future = connection.submit(request, until_s)
        if request.lane is Lane.EXCLUSIVE:
            future.add_done_callback(lambda done: self._after_exclusive(connection, done))
        if self._timer is None or until_s < self._timer_s:
            self._arm(loop, min(until_s, loop.time() + SWEEP_S))
        return future

    async def close(self) -> None:
        """Drop all connections; requests in flight fail."""
        self._is_closed = True
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_abort, self._pools)
            self._forget()  # its futures cannot be awaited here
            self._loop = loop  # its requests end there
        _abort(self._pools)
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting:
            for task in self._connecting:
                task.cancel()
            await asyncio.wait(self._connecting)
        await asyncio.sleep(0)  # lets the loop close the sockets

    def after_fork(self) -> None:
        """Drop the parent's connections, which the parent goes on using.

        The parent's loop and its objects are not used: their selector is shared with the parent.
        """
        for pool in self._pools.values():
            for connection in pool.connections():
                connection.close_copy()
        _of_parents.append((self._pools, self._connecting, self._timer))
        self._forget()

    def _forget(self) -> None:
        """Return to the initial state, but stay closed if closed."""
        self._pools = {}
        self._connecting = set()
        self._timer = None
        self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        """The running loop; it becomes the transport's unless that has another one that is open."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise RequestError(
                "bad_request",
                "an AsyncClient is used inside a running event loop, as by asyncio.run(); "
                "without one, use Client",
            ) from None
        loop = self._loop
        if running is loop:
            return running
        if self._is_closed:
            raise UnavailableError("stopping", "this client was closed")
        if loop is not None:
            if not loop.is_closed():
                raise RequestError(
                    "bad_request",
                    "this AsyncClient belongs to another event loop; make one for each loop",
                )
            self._forget()
        self._loop = running
        return running

    # --- connections --------------------------------------------------------------------------

    def _pick(self, pool: _Pool, lane: Lane) -> PooledConnection:
        connections = pool.lanes[lane]
        is_shared = lane is not Lane.EXCLUSIVE
        limit = self._settings.connections_max if is_shared else len(connections) + 1
        best: PooledConnection | None = None
        best_load = 0
        for connection in connections:
            load = connection.load
            if best is None or load < best_load:
                best, best_load = connection, load
        if best is None or (best_load and len(connections) < limit):
            return self._connect(pool, lane)
        if not best_load:
            oldest_s = (self._loop or self._running()).time() - self._settings.idle_s
            if best.used_s < oldest_s:
                for connection in tuple(connections):
                    if not connection.load and connection.used_s < oldest_s:
                        connection.abort("it was idle for long")
                return self._pick(pool, lane)  # at most once: no idle one of that age is left
        return best

    def _connect(self, pool: _Pool, lane: Lane) -> PooledConnection:
        if self._is_closed:
            raise UnavailableError("stopping", "this client was closed")
        loop = self._loop or self._running()
        connections = pool.lanes[lane]
        connection = PooledConnection(pool.endpoint, pool.host_lines, loop, connections.remove)
        connections.append(connection)
        task = loop.create_task(self._open(pool.endpoint, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return connection

    async def _open(self, endpoint: Endpoint, connection: PooledConnection) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_s):
                if endpoint.path:
                    await self._connector.dial_unix(lambda: connection, endpoint.path)
                else:
                    await self._connector.dial(lambda: connection, endpoint.host, endpoint.port)
        except TimeoutError:
            connection.fail(f"no connection within {self._settings.connect_s:g} s")
        except OSError as error:  # refused, unreachable, no such host: the callers handle it
            connection.fail_with(connect_failure(endpoint, error))
        except UnicodeError:
            connection.fail_with(connect_failure(endpoint, no_host_name()))

    def _after_exclusive(self, connection: PooledConnection, done: asyncio.Future[Reply]) -> None:
        """An abandoned request: end its connection, so that the node stops working on it."""
        if done.cancelled() or isinstance(done.exception(), ExchangeError):
            connection.abort("its caller has given up")

    # --- time ---------------------------------------------------------------------------------

    def _arm(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = loop.call_at(at_s, self._sweep)

    def _sweep(self) -> None:
        loop = self._loop
        if loop is None:  # a fork came between
            return
        now_s = loop.time()
        self._timer = None
        next_s = INFINITY
        is_busy = False
        for pool in self._pools.values():
            for lane, connections in zip(Lane, pool.lanes, strict=True):
                for connection in tuple(connections):
                    next_s = min(next_s, connection.expire(now_s))
                    is_busy = is_busy or connection.load > 0
                    if lane is not Lane.EXCLUSIVE:
                        self._look_for_stall(pool.endpoint, connection, now_s)
        if is_busy:
            self._arm(loop, min(next_s, now_s + SWEEP_S))

    def _look_for_stall(
        self, endpoint: Endpoint, connection: PooledConnection, now_s: float
    ) -> None:
        stall_s = self._settings.stall_s
        if connection.head_age_s(now_s) > stall_s:
            self._settings.stalled(endpoint)
            if connection.is_dead(now_s, stall_s):
                connection.abort("the node sends nothing")


def _abort(pools: dict[Endpoint, _Pool]) -> None:
    for pool in pools.values():
        for connection in pool.connections():
            connection.abort("the client was closed")
