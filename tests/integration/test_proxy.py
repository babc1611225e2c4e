"""The demo's network partitions."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

import pytest

from quorate.lab.proxy import Address, Partitions, ProxiedNode, process_with_socket
from quorate.runtime.reserved import free_ports
from tests.limits import HANG_S, SILENT_S

pytestmark = pytest.mark.integration

FRONT, BACK = "127.0.0.2", "127.0.0.1"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], Awaitable[Streams]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1000):
            writer.write(data)
    writer.transport.abort()


async def answered(streams: Streams, within_s: float = HANG_S) -> bytes:
    """Send a word and wait for its echo; empty if the connection ended."""
    reader, writer = streams
    writer.write(b"hello")
    try:
        async with asyncio.timeout(within_s):
            return await reader.read(1000)
    except ConnectionError:
        return b""


def played(story: Callable[[Partitions, Dial], Awaitable[None]], dialer: str = "") -> None:
    """Run a story with a node that echoes behind a proxy; `dialer` opened every connection."""

    async def play() -> None:
        port, other = free_ports(2)
        server = await asyncio.start_server(echo, BACK, port)
        sockets = [
            ProxiedNode("n1", (FRONT, port), (BACK, port)),
            ProxiedNode("n2", (FRONT, other), (BACK, other)),
        ]
        partitions = Partitions(sockets, lambda _: dialer)
        await partitions.start()
        connections: list[Streams] = []

        async def dialed() -> Streams:
            connections.append(await asyncio.open_connection(FRONT, port))
            return connections[-1]

        try:
            await story(partitions, dialed)
        finally:
            for _, writer in connections:
                writer.transport.abort()
            await partitions.stop()
            server.close()
            await asyncio.sleep(0.05)  # for what was aborted to be closed

    asyncio.run(play())


def test_bytes_pass_until_the_node_is_cut_off_and_again_over_a_new_connection() -> None:
    async def story(partitions: Partitions, dial: Dial) -> None:
        old = await dial()
        assert await answered(old) == b"hello"
        partitions.cut_off("n1")
        with pytest.raises(TimeoutError):
            await answered(old, SILENT_S)  # silent, not closed
        partitions.reconnect("n1")
        assert await answered(old) == b""
        assert await answered(await dial()) == b"hello"

    played(story)


def test_a_node_that_is_cut_off_gets_no_bytes_on_what_it_dialed_either() -> None:
    async def story(partitions: Partitions, dial: Dial) -> None:
        dialed = await dial()
        assert await answered(dialed) == b"hello"
        partitions.cut_off("n2")
        with pytest.raises(TimeoutError):
            await answered(dialed, SILENT_S)

    played(story, dialer="n2")


def test_the_owner_of_a_connection_is_found() -> None:
    async def play() -> None:
        server = await asyncio.start_server(echo, BACK, 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(BACK, port)
        address: Address = writer.get_extra_info("sockname")
        assert process_with_socket(address, {"parent": os.getppid(), "me": os.getpid()}) == "me"
        assert process_with_socket((BACK, 1), {"me": os.getpid()}) == ""
        writer.transport.abort()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(play())
