"""Transport of the sync client: blocking sockets, one request at a time on each.

Several threads may use it: each exchange takes a connection out of a pool and returns it. Whether
the node has closed a connection is checked before it is used, so that a write on it is not of
unknown outcome. After a fork the child has an empty pool of its own.
"""

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from quorate.base.errors import PeerError, UnavailableError
from quorate.client import forks
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.failures import connect_failure, foreign_service, silent_close
from quorate.client.replies import Reply, ReplyReader
from quorate.client.requests import ClientRequest, encode
from quorate.client.resolving import addresses_of
from quorate.client.transport import Settings, host_lines

RECEIVE_BYTES = 64 * 1024
WAIT_MAX_S = 86400.0  # the longest timeout of a socket; longer waits are repeated


class _Connection:
    """One socket and the parser of its replies."""

    def __init__(self, endpoint: Endpoint, opened: socket.socket) -> None:
        self.used_s = time.monotonic()
        self._endpoint = endpoint
        self._socket = opened
        self._poll = select.poll()  # select() takes no descriptor above 1023
        self._poll.register(opened, select.POLLIN)
        self._reader = ReplyReader(self._on_reply, self._on_reply_begun)
        self._request: ClientRequest | None = None
        self._reply: Reply | None = None
        self.is_reusable = True

    def is_fresh(self, idle_s: float) -> bool:
        """Whether it may be used again: not idle for long, and not closed by the node."""
        if not self.is_reusable or time.monotonic() - self.used_s > idle_s:
            return False
        return not self._poll.poll(0)  # readable here means closed

    def exchange(self, request: ClientRequest, data: bytes, until_s: float) -> Reply:
        self._request = request
        self._reply = None
        self._send(data, until_s)
        while self._reply is None:
            piece = self._receive(until_s)
            if not piece:
                raise self._ended("the node closed the connection")
            try:
                self._reader.feed(piece)
            except PeerError as error:
                if self._reader.is_foreign:
                    raise foreign_service(self._endpoint, self._reader.first) from None
                text = f"{self._endpoint.name}: {error.text}"
                raise ExchangeError(text, is_sent=True) from None
        self.used_s = time.monotonic()
        return self._reply

    def close(self) -> None:
        self.is_reusable = False
        self._socket.close()

    def shut(self) -> None:
        """Wake the thread that waits on it."""
        self.is_reusable = False
        with contextlib.suppress(OSError):  # it may be closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self, data: bytes, until_s: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                self._socket.settimeout(_left_s(until_s))
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                if time.monotonic() >= until_s:
                    raise self._late(is_sent=len(rest) < len(data)) from None
            except OSError as error:
                if len(rest) < len(data):
                    return  # the node may have replied before it closed the connection
                raise ExchangeError(self._lost_text(error), is_sent=False) from None

    def _receive(self, until_s: float) -> bytes:
        while True:
            left_s = until_s - time.monotonic()
            if left_s <= 0:  # also when bytes arrive one by one
                raise self._late(is_sent=True)
            try:
                self._socket.settimeout(min(left_s, WAIT_MAX_S))
                return self._socket.recv(RECEIVE_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise self._ended(self._lost_text(error)) from None

    def _late(self, *, is_sent: bool) -> ExchangeError:
        return ExchangeError(f"{self._endpoint.name}: no reply in time", is_sent=is_sent)

    def _ended(self, why: str) -> ExchangeError:
        if not self._reader.is_http:
            return silent_close(self._endpoint, why)
        return ExchangeError(f"{self._endpoint.name}: {why}", is_sent=True)

    def _lost_text(self, error: OSError) -> str:
        return f"the connection was lost ({(error.strerror or str(error)).lower()})"

    def _on_reply_begun(self, status: int) -> Callable[[bytes], object] | None:
        return self._request.open_sink(status) if self._request is not None else None

    def _on_reply(self, reply: Reply, is_reusable: bool) -> None:
        self.is_reusable = is_reusable and self._reply is None
        self._reply = reply


class ClientTransport:
    """All connections of one client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._host_lines: dict[Endpoint, bytes] = {}
        self._idle: dict[Endpoint, deque[_Connection]] = {}
        self._busy: set[_Connection] = set()
        self._is_closed = False
        forks.register(self)

    def __reduce__(self) -> tuple[type["ClientTransport"], tuple[Settings]]:
        """Another process, or a copy, has the settings and makes connections of its own."""
        return ClientTransport, (self._settings,)

    def now_s(self) -> float:
        """The time that `until_s` is compared with."""
        return time.monotonic()

    def exchange(self, endpoint: Endpoint, request: ClientRequest, until_s: float) -> Reply:
        """Send a request and wait for the reply.

        Raises:
            ExchangeError: There is no reply; `is_sent` is whether the request was sent.
            UnavailableError: `stopping`: the client is closed.
        """
        lines = self._host_lines.get(endpoint)
        if lines is None:
            lines = self._host_lines[endpoint] = host_lines(endpoint, self._settings)
        data = encode(request, lines)
        connection = self._take(endpoint) or self._connect(endpoint, until_s)
        with self._mutex:
            if self._is_closed:
                connection.close()
                raise _closed()
            self._busy.add(connection)
        try:
            reply = connection.exchange(request, data, until_s)
        except BaseException:
            connection.is_reusable = False
            raise
        finally:
            self._put_back(endpoint, connection)
        return reply

    def close(self) -> None:
        """Drop all connections; requests of other threads fail."""
        with self._mutex:
            self._is_closed = True
            idle = [connection for pool in self._idle.values() for connection in pool]
            self._idle.clear()
            busy = tuple(self._busy)
        for connection in idle:
            connection.close()
        for connection in busy:
            connection.shut()

    def after_fork(self) -> None:
        """Drop the parent's connections, which the parent goes on using."""
        idle = [connection for pool in self._idle.values() for connection in pool]
        busy = tuple(self._busy)
        self._mutex = threading.Lock()  # a thread of the parent may hold the old one
        self._idle = {}
        self._busy = set()
        for connection in (*idle, *busy):
            connection.close()

    def _take(self, endpoint: Endpoint) -> _Connection | None:
        while True:
            with self._mutex:
                if self._is_closed:
                    raise _closed()
                pool = self._idle.get(endpoint)
                if not pool:
                    return None
                connection = pool.pop()
            if connection.is_fresh(self._settings.idle_s):
                return connection
            connection.close()

    def _put_back(self, endpoint: Endpoint, connection: _Connection) -> None:
        dropped: list[_Connection] = []
        with self._mutex:
            self._busy.discard(connection)
            if connection.is_reusable and not self._is_closed:
                pool = self._idle.setdefault(endpoint, deque())
                pool.append(connection)
                oldest_s = connection.used_s - self._settings.idle_s
                while pool[0].used_s < oldest_s:  # more are open than are needed
                    dropped.append(pool.popleft())
            else:
                dropped.append(connection)
        for old in dropped:
            old.close()

    def _connect(self, endpoint: Endpoint, until_s: float) -> _Connection:
        limit_s = min(self._settings.connect_s, _left_s(until_s))
        try:
            opened = _open(endpoint, time.monotonic() + limit_s)
        except TimeoutError:
            raise ExchangeError(
                f"{endpoint.name}: no connection within {limit_s:.3g} s", is_sent=False
            ) from None
        except OSError as error:  # refused, unreachable, no such host
            raise connect_failure(endpoint, error) from None
        return _Connection(endpoint, opened)


def _open(endpoint: Endpoint, until_s: float) -> socket.socket:
    """A socket connected to the first address of the name that accepts a connection.

    Raises:
        TimeoutError: None did in time.
        OSError: The error of the last one.
    """
    if endpoint.path:
        return _connected(socket.AF_UNIX, endpoint.path, until_s)
    failure: OSError = OSError(0, "the name has no address")
    for family, address in addresses_of(endpoint.host, endpoint.port, _left_s(until_s)):
        try:
            opened = _connected(family, address, until_s)
        except OSError as error:
            failure = error
        else:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened
    raise failure


def _connected(family: int, address: object, until_s: float) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(_left_s(until_s))
        opened.connect(address)  # type: ignore[arg-type] # by family: a text or a tuple
    except BaseException:
        opened.close()
        raise
    return opened


def _closed() -> UnavailableError:
    return UnavailableError("stopping", "this client was closed")


def _left_s(until_s: float) -> float:
    """Seconds that are left, as a timeout: never 0, which would mean non-blocking."""
    return min(max(until_s - time.monotonic(), 1e-6), WAIT_MAX_S)
