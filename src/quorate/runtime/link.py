"""Link: one connection to a peer, from its first byte to its last.

The end that dialed sends its Hello at once; the other end sends its own when it receives the first
bytes of one, and answers an HTTP request with the HTTP port. Each checks the other's Hello; only
then are frames exchanged. The connection to a peer that breaks the protocol, completes no handshake
in time, or does not read, is closed: what it missed is sent again by the layers above.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence
from typing import Any, Protocol, cast

from quorate.base.errors import PeerError
from quorate.base.ids import GroupNumber
from quorate.base.messages import Message
from quorate.wire.frame import FrameReader
from quorate.wire.hello import MAGIC, Hello, HelloReader, encode_hello

HELLO_S = 5.0
"""A connection without a complete handshake after this time is closed."""

DEAD_S = 4
"""A peer whose system acknowledges nothing for this long counts as disconnected."""

_HTTP_REQUEST = re.compile(rb"[A-Z]{3,10} [/*a-zA-Z]")
_TLS_HANDSHAKE = b"\x16\x03"


class LinkOwner(Protocol):
    """Is notified of what happens on a link; `Transport` implements it."""

    @property
    def hello(self) -> Hello:
        """The Hello of this node."""
        ...

    def on_opened(self, link: "Link") -> bool:
        """A connection is established; False closes it before anything is read."""
        ...

    def judge(self, link: "Link", theirs: Hello) -> bool:
        """Decide whether the link may stay; False closes it."""
        ...

    def on_messages(self, link: "Link", messages: Sequence[tuple[GroupNumber, Message]]) -> None:
        """Messages were received."""
        ...

    def on_unfinished(self, link: "Link", is_new: bool) -> None:
        """A part of a message was received; `is_new`: with its first bytes."""
        ...

    def on_fault(self, link: "Link", fault: str) -> None:
        """The other end broke the protocol; the link is being closed."""
        ...

    def on_closed(self, link: "Link") -> None:
        """The link has ended. Always the last call for it."""
        ...


class Link(asyncio.Protocol):
    """One connection.

    Args:
        owner: Is notified.
        address: The address that was dialed; "" if the other end dialed.

    Attributes:
        remote: The other end's address, for people.
        peer: The other end's Hello, once accepted.
        is_refused: This node has refused the peer.
        fault: Why, for people.
        has_received: The other end sent a message.
        said: The cluster id in the Hello that this end sent.
        judged: Set when the handshake has ended, successfully or not.
        closed: Done when the connection has ended.
        outbox: Buffers that are sent at the end of this turn.
        stuck_since_s: Since when the other end has not read; None while it reads.
    """

    def __init__(self, owner: LinkOwner, address: str = "") -> None:
        self._owner = owner
        self._reader = FrameReader()
        self._hello_reader: HelloReader | None = HelloReader()
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._is_closed = False
        self._has_sent_hello = False
        self.address = address
        self.remote = address
        self.peer: Hello | None = None
        self.is_refused = False
        self.fault = ""
        self.has_received = False
        self.said = ""
        self.judged = asyncio.Event()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outbox: list[bytes] = []
        self.stuck_since_s: float | None = None

    @property
    def is_dialed(self) -> bool:
        """This end made the connection."""
        return bool(self.address)

    @property
    def held_bytes(self) -> int:
        """The bytes received of a message that is not complete."""
        return self._reader.held_bytes

    # --- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is established: send the Hello."""
        transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._transport = transport
        self.remote = self.address or _text(transport.get_extra_info("peername"))
        tune(transport.get_extra_info("socket"))
        if not self._owner.on_opened(self):
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HELLO_S, self._hello_is_late)
        if self.is_dialed:
            self._send_hello(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        if self._is_closed:
            return
        try:
            if self._hello_reader is not None:
                data = self._greeted(self._hello_reader, data)
                if not data:
                    return
            had_bytes = self._reader.held_bytes
            messages = self._reader.feed(data)
        except PeerError as error:
            self.refuse(error.text)
            return
        if messages:
            self.has_received = True
            self._owner.on_messages(self, messages)
        if self._reader.held_bytes:
            self._owner.on_unfinished(self, bool(messages) or not had_bytes)

    def _send_hello(self, transport: asyncio.Transport) -> None:
        hello = self._owner.hello
        self.said = hello.cluster_id
        self._has_sent_hello = True
        transport.write(encode_hello(hello))

    def _greeted(self, reader: HelloReader, data: bytes) -> bytes:
        """Parse the handshake; returns the bytes that follow it."""
        if not self._has_sent_hello and self._transport is not None:
            if not MAGIC.startswith(data[: len(MAGIC)]):
                self._turn_away(self._transport, data)
                return b""
            self._send_hello(self._transport)
        found = reader.feed(data)
        if found is None:
            return b""
        theirs, rest = found
        self._hello_reader = None
        self._forget_deadline()
        may_stay = self._owner.judge(self, theirs)
        self.judged.set()
        if not may_stay:
            self.close()
        return rest if may_stay and not self._is_closed else b""

    def _turn_away(self, transport: asyncio.Transport, data: bytes) -> None:
        """The other end is not a node: answer in its protocol if that is known."""
        if _HTTP_REQUEST.match(data):
            transport.write(_misdirected(self._owner.hello))
            fault = "HTTP request on the server port, which is for other nodes: give the HTTP port"
        elif data.startswith(_TLS_HANDSHAKE):
            fault = "TLS on the server port, which does not have it yet"
        else:
            fault = "the other end does not speak Quorate's node protocol"
        self.is_refused = True
        self._owner.on_fault(self, fault)
        self.close()

    def pause_writing(self) -> None:
        """The other end reads less than is sent."""
        self.stuck_since_s = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        """The other end caught up."""
        self.stuck_since_s = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any end is an end
        """The connection has ended."""
        self._is_closed = True
        self._forget_deadline()
        self.judged.set()
        if not self.closed.done():
            self.closed.set_result(None)
        self._owner.on_closed(self)

    # --- for the owner -------------------------------------------------------------------------

    def flush(self) -> int:
        """Write the outbox; returns the bytes that are not sent yet."""
        buffers, self.outbox = self.outbox, []
        transport = self._transport
        if transport is None or self._is_closed:
            return 0
        transport.writelines(buffers)
        return transport.get_write_buffer_size()

    def close(self) -> None:
        """Close after what was written is sent; receive nothing more."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def set_reading(self, is_reading: bool) -> None:
        """Read what the other end sends, or leave it in the buffers of the system."""
        if self._transport is None or self._is_closed:
            return
        if is_reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def accept(self, theirs: Hello) -> None:
        """Its Hello was accepted: the other end is that node."""
        self.peer = theirs

    def mark_refused(self) -> None:
        """This node refuses the peer."""
        self.is_refused = True

    def note_fault(self, fault: str) -> None:
        """Note why it cannot stay, for people."""
        self.fault = fault

    def refuse(self, fault: str) -> None:
        """Report why, and close at once."""
        self.is_refused = True
        self._owner.on_fault(self, fault)
        self.abort()

    def _hello_is_late(self) -> None:
        self.refuse(f"the other end said no whole Hello within {HELLO_S:g} s")

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def tune(found: Any) -> None:
    """Send small messages at once; notice a peer that vanished without closing.

    Args:
        found: A socket, or what a transport gives for one; None: nothing to tune.
    """
    if found is None or found.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, DEAD_S - 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_S * 1000),
    ]
    for level, name, value in options:
        with contextlib.suppress(OSError):  # a help, not a promise: the node counts silence, too
            found.setsockopt(level, name, value)


def _text(name: Any) -> str:
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)


def _misdirected(hello: Hello) -> bytes:
    """The answer to a request of HTTP: which port takes those. Our own client knows the header."""
    http = hello.member.http
    where = f"its HTTP API is at {http}" if http else "it has no HTTP port"
    text = f"this is the server port of node {hello.member.name}, for other nodes; {where}\n"
    return (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"X-Quorate-Server-Port: {http}\r\nConnection: close\r\n"
        f"Content-Length: {len(text.encode())}\r\n\r\n{text}"
    ).encode()
