"""Transport of the async client: connections per endpoint, and the clock of their calls.

Calls that may share a connection do: up to `pipes` connections per lane and endpoint, the
emptiest first, a new one only when all are in use. Blocking queries and long bodies have one
each, kept for the next. One timer for all calls looks for those whose time is over, instead of
one timer each.
"""

import asyncio
from collections.abc import Callable

import msgspec

from quorate.base.errors import UnavailableError
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.pipeline import INFINITY, Pipe
from quorate.client.replies import Reply
from quorate.client.requests import Lane, Request

SWEEP_S = 0.1  # how often calls are looked through while there are any


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What both transports need to know.

    Attributes:
        token: Sent with every request; empty for none.
        pipes: Connections per endpoint that concurrent calls share, at least 1.
        connect_s: How long making a connection may take.
        stall_s: A node that owes a reply for so long is left by new calls.
        idle_s: An unused connection is not used again after so long: the node may be closing it.
        stalled: Called when a node owes a reply for too long.
    """

    token: str = ""
    pipes: int = 2
    connect_s: float = 2.0
    stall_s: float = 5.0
    idle_s: float = 30.0
    stalled: Callable[[Endpoint], None]


def host_lines(endpoint: Endpoint, token: str) -> bytes:
    """The header lines that every request to a node carries."""
    lines = f"Host: {endpoint.name}\r\n"
    if token:
        lines += f"X-Consul-Token: {token}\r\n"
    return lines.encode("latin-1")


class _Pool:
    """The connections to one endpoint, by lane."""

    __slots__ = ("endpoint", "host_lines", "lanes")

    def __init__(self, endpoint: Endpoint, token: str) -> None:
        self.endpoint = endpoint
        self.host_lines = host_lines(endpoint, token)
        self.lanes: tuple[list[Pipe], list[Pipe], list[Pipe]] = ([], [], [])


class AsyncTransport:
    """All connections of one client. It belongs to the loop of its first call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pools: dict[Endpoint, _Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def now_s(self) -> float:
        """The time that `until_s` is compared with."""
        return (self._loop or self._begin()).time()

    def exchange(
        self, endpoint: Endpoint, request: Request, until_s: float
    ) -> asyncio.Future[Reply]:
        """Send a request; await the reply.

        Raises:
            ExchangeError: From the future: no reply, with whether the request was sent.
            UnavailableError: `stopping`: the client is closed.
        """
        loop = self._loop or self._begin()
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pools[endpoint] = _Pool(endpoint, self._settings.token)
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
        for pool in self._pools.values():
            for pipe in [pipe for lane in pool.lanes for pipe in lane]:
                pipe.abort("the client was closed")
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting:
            for task in self._connecting:
                task.cancel()
            await asyncio.wait(self._connecting)
        await asyncio.sleep(0)  # lets the loop close the sockets

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._is_closed:
            raise UnavailableError("stopping", "this client was closed")
        self._loop = asyncio.get_running_loop()
        return self._loop

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
        if not best_load and self.now_s() - best.used_s > self._settings.idle_s:
            best.abort("it was idle for long")
            return self._pick(pool, lane)
        return best

    def _connect(self, pool: _Pool, lane: Lane) -> Pipe:
        if self._is_closed:
            raise UnavailableError("stopping", "this client was closed")
        loop = self._loop or self._begin()
        pipes = pool.lanes[lane]
        pipe = Pipe(pool.endpoint.name, pool.host_lines, loop, pipes.remove)
        pipes.append(pipe)
        task = loop.create_task(self._open(pool.endpoint, pipe))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return pipe

    async def _open(self, endpoint: Endpoint, pipe: Pipe) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await loop.create_connection(lambda: pipe, endpoint.host, endpoint.port)
        except TimeoutError:
            pipe.fail(f"no connection within {self._settings.connect_s:g} s")
        except OSError as error:  # refused, unreachable, no such host: its callers go on from here
            pipe.fail(f"no connection: {error.strerror or error}")

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
        loop = self._loop or self._begin()
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
