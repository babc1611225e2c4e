"""Transport of the async client: connections per endpoint, and the clock of their calls.

Calls that may share a connection do: up to `pipes` connections per lane and endpoint, the
emptiest first, a new one only when all are in use. Blocking queries and long bodies have one
each, kept for the next. One timer for all calls looks for those whose time is over, instead of
one timer each.

A transport lives on one event loop at a time: the running one of its first call. When that loop
is closed, or belongs to the parent of a fork, the next call begins anew on its own loop.
"""

import asyncio
from collections.abc import Callable

import msgspec

from quorate.base.errors import RequestError, UnavailableError
from quorate.client import forks
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.failures import connect_failure
from quorate.client.pipeline import INFINITY, Pipe
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest, Lane
from quorate.client.resolving import no_host_name
from quorate.net.connector import PLAIN

UNORDERED = "X-Quorate-Unordered: true\r\n"
"""A call whose caller waits for another one begins after it, so others need no order: a node may
carry them out at the same time, though they share a connection."""

SWEEP_S = 0.1  # how often calls are looked through while there are any

_of_parents: list[
    object
] = []  # kept in a child for ever: to end them would touch the parent's loop


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What both transports need to know.

    Attributes:
        token: Sent with every request; empty for none.
        authorization: The value of that header; empty for none.
        pipes: Connections per endpoint that concurrent calls share, at least 1.
        connect_s: How long making a connection may take.
        stall_s: A node that owes a reply for so long is left by new calls.
        idle_s: An unused connection is not used again after so long: the node may be closing it.
        stalled: Called when a node owes a reply for too long.
    """

    token: str = ""
    authorization: str = ""
    pipes: int = 2
    connect_s: float = 2.0
    stall_s: float = 5.0
    idle_s: float = 30.0
    stalled: Callable[[Endpoint], object]

    def __repr__(self) -> str:
        return f"<Settings, pipes={self.pipes}>"  # no secrets


def host_lines(endpoint: Endpoint, settings: Settings) -> bytes:
    """The header lines that every request to a node carries."""
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
        self.lanes: tuple[list[Pipe], list[Pipe], list[Pipe]] = ([], [], [])

    def pipes(self) -> list[Pipe]:
        return [pipe for lane in self.lanes for pipe in lane]


class AsyncClientTransport:
    """All connections of one client, on one loop."""

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
        """Another process, or a copy, gets the settings and makes connections of its own."""
        return AsyncClientTransport, (self._settings,)

    def now_s(self) -> float:
        """The time that `until_s` is compared with; every call begins here.

        Raises:
            RequestError: `bad_request`: no event loop is running, or another one than that of
                the first call, which is not closed.
            UnavailableError: `stopping`: the client is closed.
        """
        return self._running().time()

    def exchange(
        self, endpoint: Endpoint, request: ClientRequest, until_s: float
    ) -> asyncio.Future[Reply]:
        """Send a request; await the reply.

        Raises:
            ExchangeError: From the future: no reply, with whether the request was sent.
            UnavailableError: `stopping`: the client is closed.
        """
        loop = self._loop or self._running()
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pools[endpoint] = _Pool(endpoint, self._settings)
        pipe = self._pick(pool, request.lane)
        future = pipe.submit(request, until_s)
        if request.lane is Lane.ALONE:
            future.add_done_callback(lambda done: self._after_alone(pipe, done))
        if self._timer is None or until_s < self._timer_s:
            self._arm(loop, min(until_s, loop.time() + SWEEP_S))
        return future

    async def close(self) -> None:
        """Drop all connections; calls under way fail."""
        self._is_closed = True
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_abort, self._pools)
            self._forget()  # nobody can wait on them here
            self._loop = loop  # calls under way there go on to their ends
        _abort(self._pools)
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting:
            for task in self._connecting:
                task.cancel()
            await asyncio.wait(self._connecting)
        await asyncio.sleep(0)  # lets the loop close the sockets

    def after_fork(self) -> None:
        """Drop the parent's connections without a word to the nodes: the parent uses them.

        Neither its loop nor what lives on it is touched: both share a selector with the parent.
        """
        for pool in self._pools.values():
            for pipe in pool.pipes():
                pipe.close_copy()
        _of_parents.append((self._pools, self._connecting, self._timer))
        self._forget()

    def _forget(self) -> None:
        """Be as new, apart from being closed."""
        self._pools = {}
        self._connecting = set()
        self._timer = None
        self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop that runs, which is ours, or becomes so if we have none that is open."""
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

    def _pick(self, pool: _Pool, lane: Lane) -> Pipe:
        pipes = pool.lanes[lane]
        limit = self._settings.pipes if lane is not Lane.ALONE else len(pipes) + 1
        best: Pipe | None = None
        best_load = 0
        for pipe in pipes:
            load = pipe.load
            if best is None or load < best_load:
                best, best_load = pipe, load
        if best is None or (best_load and len(pipes) < limit):
            return self._connect(pool, lane)
        if not best_load:
            oldest_s = (self._loop or self._running()).time() - self._settings.idle_s
            if best.used_s < oldest_s:
                for pipe in tuple(pipes):
                    if not pipe.load and pipe.used_s < oldest_s:
                        pipe.abort("it was idle for long")
                return self._pick(pool, lane)  # once: what is left is none of these
        return best

    def _connect(self, pool: _Pool, lane: Lane) -> Pipe:
        if self._is_closed:
            raise UnavailableError("stopping", "this client was closed")
        loop = self._loop or self._running()
        pipes = pool.lanes[lane]
        pipe = Pipe(pool.endpoint, pool.host_lines, loop, pipes.remove)
        pipes.append(pipe)
        task = loop.create_task(self._open(pool.endpoint, pipe))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return pipe

    async def _open(self, endpoint: Endpoint, pipe: Pipe) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_s):
                if endpoint.path:
                    await self._connector.dial_unix(lambda: pipe, endpoint.path)
                else:
                    await self._connector.dial(lambda: pipe, endpoint.host, endpoint.port)
        except TimeoutError:
            pipe.fail(f"no connection within {self._settings.connect_s:g} s")
        except OSError as error:  # refused, unreachable, no such host: its callers go on from here
            pipe.fail_with(connect_failure(endpoint, error))
        except UnicodeError:
            pipe.fail_with(connect_failure(endpoint, no_host_name()))

    def _after_alone(self, pipe: Pipe, done: asyncio.Future[Reply]) -> None:
        """Nobody waits for it any more: hang up, so that the node stops working on it."""
        if done.cancelled() or isinstance(done.exception(), ExchangeError):
            pipe.abort("its caller has gone")

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
            for lane, pipes in zip(Lane, pool.lanes, strict=True):
                for pipe in tuple(pipes):
                    next_s = min(next_s, pipe.expire(now_s))
                    is_busy = is_busy or pipe.load > 0
                    if lane is not Lane.ALONE:
                        self._look_for_stall(pool.endpoint, pipe, now_s)
        if is_busy:
            self._arm(loop, min(next_s, now_s + SWEEP_S))

    def _look_for_stall(self, endpoint: Endpoint, pipe: Pipe, now_s: float) -> None:
        stall_s = self._settings.stall_s
        if pipe.head_age_s(now_s) > stall_s:
            self._settings.stalled(endpoint)
            if pipe.is_dead(now_s, stall_s):
                pipe.abort("the node says nothing")


def _abort(pools: dict[Endpoint, _Pool]) -> None:
    for pool in pools.values():
        for pipe in pool.pipes():
            pipe.abort("the client was closed")
