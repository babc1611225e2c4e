"""Recursors: servers that are asked for what is not in a domain of this node."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.questions import HEADER_BYTES, REFUSED, SERVFAIL, question_of
from quorate.gateways.dns.replies import QR, RA, error
from quorate.gateways.dns.resolver import Send
from quorate.net.connector import PLAIN

PER_CLIENT_MAX = 128
"""So many queries of one client are under way at most."""

_PASSED_OVER = frozenset({SERVFAIL, REFUSED})
_LENGTH_BYTES = 2

Server = tuple[str, int]
"""Address and port."""


class Recursors:
    """Forwards queries. Fills `resolver.Forwarder`.

    Args:
        config: The settings.
    """

    def __init__(self, config: DnsConfig) -> None:
        self._config = config
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: Counter[str] = Counter()

    def reconfigure(self, config: DnsConfig) -> None:
        """Use other settings for later queries."""
        self._config = config

    def forward(self, data: bytes, client: str, send: Send, *, is_stream: bool) -> bool:
        """See `resolver.Forwarder`."""
        is_full = len(self._tasks) >= self._config.queries_forwarded_max
        if is_full or self._clients[client] >= PER_CLIENT_MAX:
            return False
        self._clients[client] += 1
        step = self._ask_all(data, send, is_stream=is_stream)
        task = asyncio.get_running_loop().create_task(step)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

        task.add_done_callback(done)
        return True

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_all(self, data: bytes, send: Send, *, is_stream: bool) -> None:
        config = self._config
        for server in _ordered(config.recursors, picks=config.picks_recursors):
            try:
                async with asyncio.timeout(config.recursor_timeout_s):
                    reply = await _asked(server, data, is_stream=is_stream)
            except (TimeoutError, OSError):
                continue
            if reply[3] & 0xF not in _PASSED_OVER:
                send(data[:2] + reply[2:])
                return
        question = question_of(data)
        send(data[:2] + error(SERVFAIL, question.flags | RA, question))


def _ordered(servers: Sequence[Server], *, picks: bool) -> Sequence[Server]:
    return secrets.SystemRandom().sample(servers, len(servers)) if picks else servers


async def _asked(server: Server, data: bytes, *, is_stream: bool) -> bytes:
    """The reply of a recursor, under another id: nobody who has not seen the query can forge it.

    Raises:
        OSError: It does not answer.
    """
    query = secrets.token_bytes(2) + data[2:]
    if is_stream:
        stream = await PLAIN.dial(lambda: _StreamExchange(query), *server)
        try:
            return await stream.reply
        finally:
            stream.close()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _DatagramExchange(query), remote_addr=server
    )
    try:
        return await protocol.reply
    finally:
        transport.close()


class _Exchange:
    """A query, and the first message that answers it; all others are ignored.

    Attributes:
        query: The query.
        reply: Its reply.
    """

    def __init__(self, query: bytes) -> None:
        self.query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._section = question_of(query).section

    def take(self, data: bytes) -> None:
        """A message has come."""
        end = HEADER_BYTES + len(self._section)
        is_reply = len(data) >= end and data[:2] == self.query[:2] and data[2] & QR >> 8
        section = data[HEADER_BYTES:end]
        if is_reply and section.lower() == self._section.lower() and not self.reply.done():
            self.reply.set_result(data)

    def fail(self, error: Exception) -> None:
        """No message will come."""
        if not self.reply.done():
            self.reply.set_exception(error)
            self.reply.exception()  # it may be that nobody waits any more


class _DatagramExchange(_Exchange, asyncio.DatagramProtocol):
    """Over UDP."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected: send the query."""
        cast(asyncio.DatagramTransport, transport).sendto(self.query)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:  # noqa: ARG002
        """Called by the loop."""
        self.take(data)

    def error_received(self, exc: Exception) -> None:
        """Called by the loop: nobody listens there."""
        self.fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.fail(exc or OSError("closed"))


class _StreamExchange(_Exchange, asyncio.Protocol):
    """Over TCP."""

    def __init__(self, query: bytes) -> None:
        super().__init__(query)
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is established: send the query."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(len(self.query).to_bytes(_LENGTH_BYTES) + self.query)

    def data_received(self, data: bytes) -> None:
        """Called by the loop. One message is read; what is behind it is not for us."""
        self._buffer += data
        end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES])
        if len(self._buffer) < max(end, _LENGTH_BYTES):
            return
        self.take(self._buffer[_LENGTH_BYTES:end])
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.fail(exc or OSError("closed"))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
