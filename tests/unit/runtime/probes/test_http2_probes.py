import asyncio
from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from quorate.monitoring.checks import CRITICAL, PASSING
from quorate.runtime.probes.found import ProbeFinding
from tests.unit.runtime.probes.lab import SOON_NS, Handler, against, check, one

Respond = Callable[[H2Connection, int], None]


class GrpcServer:
    """A server of HTTP/2 whose response to a request is given by the test."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.headers: dict[str, str] = {}
        self.message = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.headers = {str(name): str(value) for name, value in event.headers or ()}
                elif isinstance(event, DataReceived):
                    self.message += event.data or b""
                elif isinstance(event, StreamEnded):
                    self._respond(connection, event.stream_id or 0)
            writer.write(connection.data_to_send())
            await writer.drain()


def serving(status: int, *, code: str = "0", why: str = "") -> Respond:
    def respond(connection: H2Connection, stream: int) -> None:
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        message = b"\x08" + bytes([status]) if status else b""
        connection.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        trailers = [("grpc-status", code), ("grpc-message", why)]
        connection.send_headers(stream, trailers, end_stream=True)

    return respond


def asked(server: Handler, service: str = "", **fields: int) -> ProbeFinding:
    tail = f"/{service}" if service else ""
    return against(server, lambda port: check(grpc=f"127.0.0.1:{port}{tail}", **fields))


def test_a_service_that_serves_passes() -> None:
    server = GrpcServer(serving(1))
    found = asked(server, "a.b")
    assert found.status == PASSING
    assert found.output.startswith("gRPC check 127.0.0.1:")
    assert found.output.endswith("/a.b: success")
    assert server.headers[":path"] == "/grpc.health.v1.Health/Check"
    assert server.message == b"\0\0\0\0\x05\x0a\x03a.b"
    server = GrpcServer(serving(1))
    assert asked(server).status == PASSING
    assert server.message == b"\0\0\0\0\0"


@pytest.mark.parametrize("status", [0, 2, 3])
def test_one_that_does_not_serve_is_critical(status: int) -> None:
    found = asked(GrpcServer(serving(status)))
    assert found == (CRITICAL, "gRPC application didn't report service healthy")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("5", "rpc error: code = NotFound desc = unknown service"),
        ("99", "rpc error: code = Code(99) desc = unknown service"),
        ("x", "rpc error: code = Unknown desc = unknown service"),
    ],
)
def test_an_error_of_the_call_is_critical(code: str, text: str) -> None:
    found = asked(GrpcServer(serving(1, code=code, why="unknown%20service")), "x")
    assert found == (CRITICAL, text)


def test_a_response_that_is_none_of_grpc_is_critical() -> None:
    def plain(connection: H2Connection, stream: int) -> None:
        connection.send_headers(stream, [(":status", "404")], end_stream=True)

    found = asked(GrpcServer(plain))
    assert (found.status, "404" in found.output) == (CRITICAL, True)

    def reset(connection: H2Connection, stream: int) -> None:
        connection.reset_stream(stream)

    assert asked(GrpcServer(reset)).status == CRITICAL

    def closed(connection: H2Connection, _: int) -> None:
        connection.close_connection()

    assert asked(GrpcServer(closed)).status == CRITICAL


def test_a_ping_that_is_acknowledged_passes() -> None:
    found = against(
        GrpcServer(serving(1)),
        lambda port: check(h2ping=f"127.0.0.1:{port}", h2ping_use_tls=False),
    )
    assert found == (PASSING, "HTTP2 ping was successful")


@pytest.mark.parametrize("kind", ["grpc", "h2ping"])
def test_a_closed_port_is_critical(kind: str) -> None:
    found = one(check(**{kind: "127.0.0.1:1"}))
    assert found.status == CRITICAL
    assert "dial tcp 127.0.0.1:1: connect: connection refused" in found.output
    assert one(check(**{kind: "nothing"})).status == CRITICAL


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()
    await reader.read()


async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    connection.ping(b"12345678")
    frames = 100 * connection.data_to_send()
    while True:
        writer.write(frames)
        await writer.drain()


@pytest.mark.parametrize("kind", ["grpc", "h2ping"])
@pytest.mark.parametrize("handler", [hangs, other, endless])
def test_a_target_that_does_not_play_along_is_critical(kind: str, handler: Handler) -> None:
    limit = {"timeout_ns": SOON_NS} if handler is hangs else {}
    found = against(
        handler,
        lambda port: check(**{kind: f"127.0.0.1:{port}"}, h2ping_use_tls=False, **limit),
    )
    assert found.status == CRITICAL


def test_tls_that_is_none_is_critical() -> None:
    found = against(other, lambda port: check(h2ping=f"127.0.0.1:{port}"))
    assert found.status == CRITICAL
