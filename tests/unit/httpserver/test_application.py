"""What is served is up to an application: a server without Consul, sinks, and middleware."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import pytest

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulApi, ConsulServer
from quorate.httpserver.application import (
    Application,
    BodyPlan,
    Middleware,
    RequestHead,
    Wrapper,
)
from quorate.httpserver.config import ServerConfig
from quorate.httpserver.connection import Connection
from quorate.httpserver.ordering import Order, order_of_method
from quorate.httpserver.refusals import CONTINUE, Refusal, plain
from quorate.httpserver.request import Request
from quorate.httpserver.server import HttpServer
from quorate.httpserver.slices import SliceQueue
from tests.unit.gateways.harness import FakeLocal, FakeTransport, Reply, parsed, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def refused(status: int) -> bytes:
    return b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % status


class Sink:
    """Takes what it is given; full, or broken, when the test says so."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_full = False
        self.waiting_bytes = 0
        self.error: BaseException | None = None
        self.is_closed = False
        self.changed: Callable[[], None] = lambda: None

    def call_on_change(self, on_change: Callable[[], None]) -> None:
        self.changed = on_change

    def write(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def close(self) -> None:
        self.is_closed = True


class Store:
    """An API in a few lines: PUT of `/sink` goes to a sink, all else is answered at once."""

    remembered_body_bytes_max = 10

    def __init__(self) -> None:
        self.sink = Sink()
        self.heads: list[RequestHead] = []
        self.handled: list[Request] = []
        self.refused: list[BaseException | int] = []
        self.failure: Exception | None = None

    def open_body(self, head: RequestHead) -> BodyPlan:
        self.heads.append(head)
        if self.failure is not None:
            raise self.failure
        return BodyPlan(1000, self.sink if head.target == b"/sink" else None)

    def handle(self, request: Request, /) -> None:
        self.handled.append(request)
        if request.sink is None:
            request.answer(OK)

    def refuse(self, request: Request, error: BaseException) -> None:
        self.refused.append(error)
        request.answer(refused(403))

    def refuse_long(self, request: Request, length: int) -> None:
        self.refused.append(length)
        request.answer(refused(413))

    def order_of(self, request: Request) -> Order:
        return order_of_method(request.method)

    def is_unordered(self, request: Request) -> bool:
        return False

    def refusal(self, reason: Refusal) -> bytes:
        return plain(reason)

    def on_fault(self, error: BaseException) -> None:
        raise error

    def tick(self) -> None: ...


class Table:
    """A server with one connection and no network."""

    def __init__(self, store: Store, middleware: Iterable[Middleware] = ()) -> None:
        slices = SliceQueue(lambda step: step())
        self.server = HttpServer(store, ServerConfig(), middleware=middleware, slices=slices)
        self.transport = FakeTransport()
        self.connection = Connection(self.server)
        self.connection.connection_made(cast(Any, self.transport))

    def send(self, data: bytes) -> list[Reply]:
        self.connection.data_received(data)
        return self.replies()

    def replies(self) -> list[Reply]:
        data = b"".join(self.transport.written)
        self.transport.written.clear()
        return parsed(data.removeprefix(CONTINUE))


def begun(length: int, *lines: str, target: str = "/sink") -> bytes:
    text = "\r\n".join(
        [f"PUT {target} HTTP/1.1", "Host: x", f"Content-Length: {length}", *lines, "", ""]
    )
    return text.encode()


def test_a_server_needs_no_consul_and_words_its_refusals_plainly() -> None:
    table = Table(Store())
    (reply,) = table.send(request("GET", "/x"))
    assert (reply.status, reply.text) == (200, "ok")
    (reply,) = table.send(b"no HTTP\r\n\r\n")
    assert (reply.status, reply.text) == (400, "400 Bad Request")
    assert "X-Quorate-Error" not in reply.headers


def test_a_sink_gets_a_body_while_it_comes_and_the_request_when_it_is_whole() -> None:
    store = Store()
    table = Table(store)
    table.send(begun(9, "X-Owner: ann"))
    assert store.heads[0].headers[2] == (b"X-Owner", b"ann")
    assert store.heads[0].body_bytes == 9
    table.send(b"one")
    table.send(b"two")
    assert (store.sink.pieces, store.handled) == ([b"one", b"two"], [])
    table.send(b"six")
    (whole,) = store.handled
    assert (whole.sink, whole.body) == (store.sink, b"")
    assert not store.sink.is_closed
    whole.answer(OK)
    assert store.sink.is_closed
    assert [reply.status for reply in table.replies()] == [200]


def test_a_full_sink_makes_the_client_wait() -> None:
    store = Store()
    table = Table(store)
    store.sink.is_full = True
    table.send(begun(100) + b"one")
    assert table.transport.is_paused
    store.sink.changed()
    assert table.transport.is_paused
    store.sink.is_full = False
    store.sink.changed()
    assert not table.transport.is_paused


def test_what_waits_in_a_sink_is_held_for_the_client() -> None:
    store = Store()
    table = Table(store)
    table.send(begun(100) + b"one")
    store.sink.waiting_bytes = 1 << 30
    (reply,) = table.send(b"two")
    assert reply.status == 429
    assert store.sink.is_closed


def test_a_sink_that_takes_nothing_more_ends_its_request_and_the_connection() -> None:
    store = Store()
    table = Table(store)
    table.send(begun(100) + b"one")
    store.sink.error = OSError("broken")
    store.sink.changed()
    (reply,) = table.replies()
    assert (reply.status, reply.headers["Connection"]) == (403, "close")
    assert store.refused == [store.sink.error]
    assert store.sink.is_closed
    table.send(b"two")
    assert store.sink.pieces == [b"one"]


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_sink_is_closed_when_the_client_goes(is_whole: bool) -> None:
    store = Store()
    table = Table(store)
    table.send(begun(6) + (b"sixsix" if is_whole else b"six"))
    table.connection.connection_lost(None)
    if is_whole:  # the handler may use it until it answers
        assert not store.sink.is_closed
        store.handled[0].answer(OK)
    assert store.sink.is_closed


def test_a_body_goes_on_for_as_long_as_some_of_it_comes() -> None:
    store = Store()
    table = Table(store)
    timeout_s = table.server.config.body_timeout_s
    table.send(begun(100))
    for _ in range(5):
        table.server.tick += timeout_s - 1
        assert table.connection.due > table.server.tick
        table.send(b"some")
    assert table.connection.due == table.server.tick + timeout_s


def test_a_request_may_be_refused_by_its_headers() -> None:
    store = Store()
    store.failure = PermissionError("not you")
    table = Table(store)
    (reply,) = table.send(begun(5, "Expect: 100-continue"))
    assert (reply.status, store.refused, store.handled) == (403, [store.failure], [])
    assert table.transport.has_eof


def test_whoever_waits_to_be_asked_for_a_body_is_asked_once_it_is_planned() -> None:
    table = Table(Store())
    table.connection.data_received(begun(5, "Expect: 100-continue"))
    assert table.transport.written == [CONTINUE]


def test_a_body_longer_than_planned_is_refused_before_or_while_it_comes() -> None:
    store = Store()
    (reply,) = Table(store).send(begun(1001))
    assert (reply.status, store.refused, store.sink.is_closed) == (413, [1001], True)
    store = Store()
    table = Table(store)
    head = b"PUT /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert table.send(head + b"3e8\r\n" + b"x" * 1000 + b"\r\n") == []
    (reply,) = table.send(b"1\r\ny\r\n")
    assert (reply.status, store.refused, store.sink.is_closed) == (413, [1001], True)


def test_bodies_over_the_new_limit_are_not_let_in_by_what_is_remembered() -> None:
    store = Store()
    table = Table(store)
    data = request("PUT", "/x", b"0123456789")
    table.send(data)
    table.send(data)
    assert len(store.heads) == 1  # the second one's headers were known
    store.remembered_body_bytes_max = 5
    table.server.set_limits(ServerConfig())
    table.send(data)
    assert len(store.heads) == 2


# --- middleware -------------------------------------------------------------------------------


class Named(Wrapper):
    """Notes what passes, under a name."""

    def __init__(self, inner: Application, name: str, notes: list[str]) -> None:
        super().__init__(inner)
        self.name = name
        self.notes = notes

    def handle(self, request: Request, /) -> None:
        self.notes.append(self.name)
        super().handle(request)

    def open_body(self, head: RequestHead) -> BodyPlan:
        self.notes.append(f"{self.name} body")
        return super().open_body(head)


def test_the_first_middleware_is_asked_first_of_the_body_and_of_the_request() -> None:
    notes: list[str] = []
    wraps: list[Middleware] = [partial(Named, name=name, notes=notes) for name in ("one", "two")]
    Table(Store(), wraps).send(request("PUT", "/x", b"0123456789"))
    assert notes == ["one body", "two body", "one", "two"]


class Guard(Wrapper):
    """Lets in who has a token."""

    def handle(self, request: Request, /) -> None:
        if request.header(b"x-token") is None:
            request.answer(refused(403))
        else:
            super().handle(request)


@pytest.mark.parametrize(
    "data",
    [
        request("GET", "/v1/kv/a"),
        request("GET", "/v1/kv/a?stale"),
        request("PUT", "/v1/kv/a", b"value"),
        request("DELETE", "/v1/kv/a"),
        request("GET", "/v1/status/leader"),
    ],
)
def test_nothing_passes_middleware_by_not_even_what_is_remembered(data: bytes) -> None:
    local = FakeLocal()
    server = ConsulServer(local, HttpConfig(), middleware=[Guard])
    transport = FakeTransport()
    connection = Connection(server)
    connection.connection_made(cast(Any, transport))
    for _ in range(3):
        connection.data_received(data)
    connection.data_received(data + data)
    assert [reply.status for reply in parsed(b"".join(transport.written))] == [403] * 5
    assert (local.submitted, local.reads) == ([], 0)
    transport.written.clear()
    connection.data_received(data.replace(b"Host: x", b"Host: x\r\nX-Token: t"))
    assert 403 not in [reply.status for reply in parsed(b"".join(transport.written))]


def test_without_middleware_nothing_stands_before_the_api() -> None:
    assert isinstance(ConsulServer(FakeLocal(), HttpConfig()).application, ConsulApi)
