"""One place makes connections; TLS plugs in there, and no protocol knows of it."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.server import ConsulServer
from quorate.net.connector import PLAIN, Connector
from quorate.net.listening import first_listener, listeners
from tests.limits import HANG_S
from tests.unit.gateways.harness import FakeLocal, parsed, request
from tests.unit.net.tls import client_context, connector

HOST = "127.0.0.1"
GET = request("GET", "/v1/status/leader", b"", "Connection: close")

Scene = Callable[[int], Coroutine[Any, Any, None]]
Runner = Callable[[Coroutine[Any, Any, None]], None]


class Ear(asyncio.Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)


async def asked(dialing: Connector, port: int) -> bytes:
    """All that a server says to one request, dialed like this."""
    ear = await dialing.dial(Ear, HOST, port)
    ear.transport.write(GET)
    async with asyncio.timeout(HANG_S):
        await ear.ended
    return ear.received


def played(
    run: Runner, accepting: Connector, scene: Callable[[int], Coroutine[Any, Any, None]]
) -> None:
    async def play() -> None:
        server = ConsulServer(FakeLocal(), HttpConfig(), connector=accepting)
        await server.start(HOST, 0)
        try:
            await scene(server.port)
        finally:
            await server.stop(is_clean=False)

    run(play())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("made", [lambda: PLAIN, connector])
def test_the_http_server_answers_whatever_protects_it(
    run: Runner, made: Callable[[], Connector]
) -> None:
    async def scene(port: int) -> None:
        (reply,) = parsed(await asked(made(), port))
        assert (reply.status, reply.text) == (200, '"10.0.0.1:8300"')

    played(run, made(), scene)


def test_a_long_answer_leaves_whole_through_tls() -> None:
    value = b"x" * 300_000

    async def scene(port: int) -> None:
        ear = await connector().dial(Ear, HOST, port)
        ear.transport.write(request("PUT", "/v1/kv/a", value))
        ear.transport.write(request("GET", "/v1/kv/a?raw", b"", "Connection: close"))
        async with asyncio.timeout(HANG_S):
            await ear.ended
        assert [reply.body for reply in parsed(ear.received)] == [b"true", value]

    played(uvloop.run, connector(), scene)


def test_who_speaks_plainly_to_a_protected_server_learns_nothing() -> None:
    async def scene(port: int) -> None:
        said = b""
        with contextlib.suppress(ConnectionError):
            said = await asked(PLAIN, port)
        assert b"HTTP/1.1" not in said
        (reply,) = parsed(await asked(connector(), port))  # it still serves others
        assert reply.status == 200

    played(uvloop.run, connector(), scene)


def test_a_protected_client_does_not_speak_to_a_plain_server() -> None:
    async def scene(port: int) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Connector(client=client_context()).dial(Ear, HOST, port)

    played(uvloop.run, PLAIN, scene)


def test_addresses_that_cannot_be_used_leave_no_socket() -> None:
    async def scene() -> None:
        (taken,) = await listeners(HOST, 0)
        with taken, pytest.raises(OSError, match="in use"):
            await listeners(HOST, taken.getsockname()[1])

    asyncio.run(scene())
    with first_listener(HOST, 0) as taken, pytest.raises(OSError, match="in use"):
        first_listener(HOST, taken.getsockname()[1])
