"""DNS over UDP and TCP on the client addresses of a node.

Source: RFC 1035, 4.2; RFC 7766 (TCP).
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from functools import partial
from typing import Any, cast

from quorate.base import measured
from quorate.base.metrics import Metric
from quorate.base.ports import Local
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.questions import HEADER_BYTES, NAMES, QUERY_BYTES_MAX
from quorate.gateways.dns.recursors import Recursors
from quorate.gateways.dns.resolver import Resolver
from quorate.net.accepting import ConnectionAcceptor
from quorate.net.connector import PLAIN
from quorate.net.listening import datagram_socket, listeners
from quorate.serving.serving import Serving

_LENGTH_BYTES = 2
_PER_TURN = 16
TURN_S = 0.001
"""So many queries of one connection or address are answered in a turn of the loop; those over UDP
for at most so many seconds, besides the last one."""


class DnsServer:
    """The DNS interface of one node, on all its addresses.

    Args:
        local: The node.
        serving: Its reads.
        config: The settings.
    """

    def __init__(self, local: Local, serving: Serving, config: DnsConfig) -> None:
        self._recursors = Recursors(config)
        self._resolver = Resolver(local, serving, config, self._recursors, time.time)
        self._endpoints: list[_Datagrams] = []
        self._acceptors: list[ConnectionAcceptor] = []
        self._connections = DnsConnections(config)

    async def start(self, host: str, port: int) -> None:
        """Answer at an address, over UDP and TCP.

        Raises:
            OSError: It cannot be used.
        """
        for listener in await listeners(host, port):
            family, address = listener.family, listener.getsockname()
            self._acceptors.append(
                ConnectionAcceptor(listener, self._connections, bytes, self._new_stream, PLAIN)
            )
            bound = datagram_socket(family, address)
            self._endpoints.append(_Datagrams(self._resolver, bound))

    def reconfigure(self, config: DnsConfig) -> None:
        """Use other settings from now on."""
        self._connections.reconfigure(config)
        self._recursors.reconfigure(config)
        self._resolver.reconfigure(config)

    def metrics(self) -> list[Metric]:
        """Replies by response code; connections that were refused."""
        counts = self._resolver.counts
        return [
            measured.DNS_REPLIES_TOTAL.by_label({NAMES[code]: counts[code] for code in NAMES}),
            measured.DNS_CONNECTIONS_REFUSED_TOTAL.of(self._connections.refused),
        ]

    async def close(self) -> None:
        """Stop answering."""
        for endpoint in self._endpoints:
            endpoint.close()
        for acceptor in self._acceptors:
            acceptor.close()
        for stream in list(self._connections.open):
            stream.close()
        await self._recursors.close()

    def _new_stream(self) -> "DnsStream":
        return DnsStream(self._connections, self._resolver)


class DnsConnections:
    """The connections of all addresses. Fills `net.accepting.Admission`.

    Attributes:
        config: The limits.
        coming: See `Admission`.
        open: Those that are served.
        refused: Because there were too many, or the system had no file descriptor.
    """

    def __init__(self, config: DnsConfig) -> None:
        self.config = config
        self.coming: set[Any] = set()
        self.open: set[DnsStream] = set()
        self.refused = 0
        self._clients: Counter[str] = Counter()

    def reconfigure(self, config: DnsConfig) -> None:
        """Have other limits from now on."""
        self.config = config

    @property
    def is_crowded(self) -> bool:
        """See `Admission`."""
        return len(self.open) + len(self.coming) >= self.config.connections_max

    def note_turned_away(self) -> None:
        """See `Admission`."""
        self.refused += 1

    note_accept_failed = note_turned_away

    def admit(self, stream: "DnsStream", client: str) -> bool:
        """Count a connection; False: its client has too many."""
        if self._clients[client] >= self.config.connections_per_client_max:
            self.refused += 1
            return False
        self.open.add(stream)
        self._clients[client] += 1
        return True

    def forget(self, stream: "DnsStream", client: str) -> None:
        """A connection that was admitted has ended."""
        self.open.discard(stream)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]


class _Datagrams:
    """Queries over UDP at one address.

    A transport of the loop would take all that has arrived in one turn: a flood of queries would
    delay everything else on the node.

    Args:
        resolver: Answers them.
        bound: The socket; closed with this.
    """

    def __init__(self, resolver: Resolver, bound: socket.socket) -> None:
        self._resolver = resolver
        self._socket = bound
        self._is_closed = False
        asyncio.get_running_loop().add_reader(bound, self._answer_some)

    def close(self) -> None:
        """Answer no more."""
        self._is_closed = True
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _answer_some(self) -> None:
        began_s = time.monotonic()
        for _ in range(_PER_TURN):
            try:
                data, address = self._socket.recvfrom(QUERY_BYTES_MAX + 1)
            except OSError:  # none is there, or the system's error for an earlier reply
                return
            send = partial(self._send, address)
            self._resolver.answer(data, address[0], send, is_stream=False)
            if time.monotonic() - began_s > TURN_S:
                return

    def _send(self, address: tuple[Any, ...], reply: bytes) -> None:
        if not self._is_closed:
            with contextlib.suppress(OSError):  # lost, as datagrams may be
                self._socket.sendto(reply, address)


class DnsStream(asyncio.Protocol):
    """One connection: queries, each after its length, and replies likewise, in any order.

    It reads no more while its client does not read (`pause_writing`), and while queries that it has
    read wait for a later turn.

    Args:
        connections: Counts it.
        resolver: Answers the queries.
    """

    def __init__(self, connections: DnsConnections, resolver: Resolver) -> None:
        self._connections = connections
        self._resolver = resolver
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._buffer = bytearray()
        self._is_full = self._is_due = False
        self._idle: asyncio.TimerHandle | None = None
        self._is_admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._transport = transport
        peer = transport.get_extra_info("peername") or ("",)
        self._client = str(peer[0])
        self._is_admitted = self._connections.admit(self, self._client)
        if self._is_admitted:
            self._wait_idle()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Called by the loop."""
        self._transport = None
        if self._idle is not None:
            self._idle.cancel()
        if self._is_admitted:
            self._connections.forget(self, self._client)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._buffer += data
        self._wait_idle()
        if not self._is_held:
            self._answer_some()

    def pause_writing(self) -> None:
        """Called by the loop: the client does not read."""
        self._hold(is_full=True)

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._is_full = False
        self._go_on()

    @property
    def _is_held(self) -> bool:
        return self._is_full or self._is_due

    def _answer_some(self) -> None:
        """Answer a few queries of the buffer; the rest in later turns."""
        buffer, at = self._buffer, 0
        for _ in range(_PER_TURN):
            start = at + _LENGTH_BYTES
            if self._transport is None or self._is_full or len(buffer) < start:
                break
            length = int.from_bytes(buffer[at:start])
            if not HEADER_BYTES <= length <= QUERY_BYTES_MAX:
                self._transport.abort()
                break
            if len(buffer) < start + length:
                break
            at = start + length
            query = bytes(buffer[start:at])
            self._resolver.answer(query, self._client, self._send, is_stream=True)
        else:
            self._hold(is_due=True)
            asyncio.get_running_loop().call_soon(self._due)
        del buffer[:at]

    def _due(self) -> None:
        self._is_due = False
        self._go_on()

    def _send(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(len(reply).to_bytes(_LENGTH_BYTES) + reply)

    def _hold(self, *, is_full: bool = False, is_due: bool = False) -> None:
        """Read no more for a reason."""
        transport, was_held = self._transport, self._is_held
        self._is_full |= is_full
        self._is_due |= is_due
        if transport is not None and not was_held and not transport.is_closing():
            transport.pause_reading()

    def _go_on(self) -> None:
        """Read again, if no reason is left not to."""
        transport = self._transport
        if transport is not None and not self._is_held and not transport.is_closing():
            transport.resume_reading()
            self._answer_some()

    def _wait_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(self._connections.config.idle_s, self.close)
