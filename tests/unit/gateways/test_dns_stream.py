"""DNS over TCP without sockets: bytes into a connection, and a transport that may be full."""

import asyncio
from collections.abc import Callable
from typing import Any

import dns.message
import pytest

from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.server import DnsConnections, DnsStream

QUERY = dns.message.make_query("n.node.consul", "A", id=7).to_wire()
FRAME = len(QUERY).to_bytes(2) + QUERY
REPLY = b"r" * 100


class InstantResolver:
    """In place of the resolver: resolver each query at once, and notes it."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def answer(
        self, data: bytes, _: str, send: Callable[[bytes], None], *, is_stream: bool
    ) -> None:
        assert is_stream
        self.asked.append(data)
        send(REPLY)


class Transport:
    """Pauses its protocol when it holds more than `capacity` bytes, as those of the loop do."""

    def __init__(self, protocol: DnsStream, capacity: int) -> None:
        self.protocol = protocol
        self.capacity = capacity
        self.held = 0
        self.is_reading = True
        self.is_ended = False
        self._is_paused = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("10.9.9.9", 1)

    def is_closing(self) -> bool:
        return self.is_ended

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def write(self, data: bytes) -> None:
        self.held += len(data)
        if self.held > self.capacity and not self._is_paused:
            self._is_paused = True
            self.protocol.pause_writing()

    def drain(self) -> None:
        self.held, self._is_paused = 0, False
        self.protocol.resume_writing()

    def abort(self) -> None:
        self.is_ended = True


def connected(capacity: int) -> tuple[InstantResolver, Transport]:
    resolver: Any = InstantResolver()
    stream = DnsStream(DnsConnections(DnsConfig()), resolver)
    transport: Any = Transport(stream, capacity)
    stream.connection_made(transport)
    return resolver, transport


@pytest.mark.parametrize("fits", range(40))
def test_a_client_that_does_not_read_is_answered_no_further(fits: int) -> None:
    """Wherever in a turn its buffer is full, also with the last query of one."""

    async def work() -> None:
        resolver, transport = connected((len(REPLY) + 2) * fits + 1)
        for _ in range(4):
            if transport.is_reading:
                transport.protocol.data_received(FRAME * 100)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not transport.is_reading
            assert len(resolver.asked) == fits + 1
        transport.drain()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(resolver.asked) == min(2 * (fits + 1), 100)

    asyncio.run(work())


@pytest.mark.parametrize("size", [1, 7, len(FRAME), len(FRAME) + 1, 1000])
def test_queries_are_read_however_they_come(size: int) -> None:
    async def work() -> None:
        resolver, transport = connected(1_000_000)
        data = FRAME * 50
        for start in range(0, len(data), size):
            for _ in range(10):
                await asyncio.sleep(0)
            assert transport.is_reading
            transport.protocol.data_received(data[start : start + size])
        for _ in range(50):
            await asyncio.sleep(0)
        assert resolver.asked == [QUERY] * 50
        assert transport.is_reading

    asyncio.run(work())


@pytest.mark.parametrize("length", [0, 11, 4097, 65535])
def test_what_cannot_be_a_query_ends_the_connection(length: int) -> None:
    async def work() -> None:
        resolver, transport = connected(1_000_000)
        transport.protocol.data_received(FRAME + length.to_bytes(2) + bytes(20))
        assert resolver.asked == [QUERY]
        assert transport.is_ended

    asyncio.run(work())
