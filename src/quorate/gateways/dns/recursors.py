"""Recursors: servers that are asked for what is not in a domain of this node."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.questions import REFUSED, SERVFAIL, question_of
from quorate.gateways.dns.replies import QR, RA, error
from quorate.gateways.dns.resolver import Send
from quorate.runtime.addresses import split_address

PER_CLIENT_MAX = 128
"""So many queries of one client are under way at most."""

_PASSED_OVER = frozenset({SERVFAIL, REFUSED})
_LENGTH_BYTES = 2


class Recursors:
    """Forwards queries. Fills `resolver.Forward`.

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
        """See `resolver.Forward`."""
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


def _ordered(servers: Sequence[str], *, picks: bool) -> Sequence[str]:
    return secrets.SystemRandom().sample(servers, len(servers)) if picks else servers


async def _asked(server: str, data: bytes, *, is_stream: bool) -> bytes:
    """The reply of a recursor, under another id: nobody who saw the query can forge it.

    Raises:
        OSError: It does not answer.
    """
    host, port = split_address(server, 53)
    query = secrets.token_bytes(2) + data[2:]
    if is_stream:
        return await _asked_by_stream(host, port, query)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _OneReply(query), remote_addr=(host, port)
    )
    try:
        return await protocol.reply
    finally:
        transport.close()


async def _asked_by_stream(host: str, port: int, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(len(query).to_bytes(_LENGTH_BYTES) + query)
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
        reply = await reader.readexactly(length)
    except asyncio.IncompleteReadError as cut:
        raise OSError("the recursor closed the connection") from cut
    finally:
        writer.close()
    if not _is_reply(reply, query):
        raise OSError("the recursor answered another question")
    return reply


class _OneReply(asyncio.DatagramProtocol):
    """Sends a query and waits for its reply; all others are ignored."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected: send the query."""
        cast(asyncio.DatagramTransport, transport).sendto(self._query)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:  # noqa: ARG002 - asyncio's
        """Called by the loop."""
        if _is_reply(data, self._query) and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """Called by the loop: nobody listens there."""
        self._fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._fail(exc or OSError("closed"))

    def _fail(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
            self.reply.exception()  # it may be that nobody waits any more


def _is_reply(data: bytes, query: bytes) -> bool:
    """Whether a message answers a query: its id and question are the same."""
    section = question_of(query).section
    is_whole = len(data) >= 12 + len(section) and data[:2] == query[:2] and data[2] & QR >> 8
    return bool(is_whole) and data[12 : 12 + len(section)].lower() == section.lower()
