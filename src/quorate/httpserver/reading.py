"""Reading: one client's bytes become requests, one at a time, within limits.

Wraps the parser (llhttp). It counts what the incomplete request holds in memory, and limits header
lines, trailers and the framing of chunks like bodies: a client chooses how it divides what it
sends, and must not exceed a limit by that.
"""

import re
from typing import Protocol

import httptools

from quorate.httpserver.budget import HEADER_BYTES, REQUEST_BYTES
from quorate.httpserver.config import ServerConfig
from quorate.httpserver.refusals import (
    BAD,
    CODING,
    LONG_HEADERS,
    MALFORMED_HOST,
    NO_HOST,
    VERSION,
    Refusal,
)
from quorate.httpserver.request import Header
from quorate.httpserver.sink import BodySink

_FIRST_LINE = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}) \S+ HTTP/1\.[01]\r?\n")
_KNOWN_METHOD = b"PUT"  # the parser reads a request with any method in the same way
_HOST = re.compile(rb"[0-9A-Za-z!$%&'()*+,.:;=\[\]_~-]*[ \t]*")
"""The octets that Go's server takes: a name or address and a port, or nothing."""
_FRAMING_FACTOR = 8
"""Chunks may have this much framing per byte; even bodies in pieces of one byte need only six."""


class RequestReceiver(Protocol):
    """Takes what was read; fills the place of a connection."""

    def on_body(self, length: int, expects: bool) -> BodySink | None:
        """A body is about to arrive; the reader has the parts of its request.

        Args:
            length: Its length by the headers; at least 1 if they do not say it.
            expects: The client waits for `100 Continue`.

        Returns:
            What takes it; None: memory.
        """
        ...

    def on_request(self) -> None:
        """A request is complete; the reader has its parts until this returns."""
        ...

    def refuse(self, reason: Refusal) -> None:
        """What arrived cannot be parsed, or not be accepted."""
        ...

    def refuse_body(self, length: int) -> None:
        """The body is too long: it has at least this length."""
        ...


class RequestReader:
    """Reads requests of one connection.

    Args:
        owner: Takes requests. After a refusal nothing more is read: see `stop`.
        config: The limits.

    Attributes:
        is_receiving: A request has begun and is not complete.
        target, headers, body: Of the request, as far as received.
        sink: Takes its body, if that is not kept in memory.
        needs_keep_alive: The answer must say that the connection stays open.
        size: The bytes that the request counts as held, once its headers are complete.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_bytes_max",
        "_framing_bytes",
        "_has_begun",
        "_head_bytes",
        "_header_bytes_max",
        "_headers_max",
        "_is_at_start",
        "_is_in_body",
        "_is_stopped",
        "_is_upgrade",
        "_owner",
        "_parser",
        "_trailers",
        "_unknown_method",
        "headers",
        "is_receiving",
        "needs_keep_alive",
        "sink",
        "size",
        "target",
    )

    def __init__(self, owner: RequestReceiver, config: ServerConfig) -> None:
        self._owner = owner
        self._header_bytes_max = config.header_bytes_max
        self._headers_max = config.headers_max
        self._parser = httptools.HttpRequestParser(self)
        self._is_stopped = self._has_begun = False
        self._is_at_start = True
        self._body_bytes_max = 0
        self._clear()

    def _clear(self) -> None:
        self.target = b""
        self.headers: list[Header] = []
        self._body: bytes | bytearray = b""
        self._body_bytes = self._head_bytes = self._framing_bytes = self._trailers = 0
        self.is_receiving = self._is_in_body = self.needs_keep_alive = False
        self._is_upgrade = False
        self.size = REQUEST_BYTES
        self.sink: BodySink | None = None
        self._unknown_method = b""

    @property
    def method(self) -> bytes:
        """Of the request being read."""
        return self._unknown_method or self._parser.get_method()

    @property
    def body(self) -> bytes:
        """Of the request being read, as far as it is in memory."""
        body = self._body
        return body if isinstance(body, bytes) else bytes(body)

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with this request."""
        return bool(self._unknown_method) or not self._parser.should_keep_alive()

    @property
    def held_bytes(self) -> int:
        """The bytes that the incomplete request holds in memory."""
        if self.sink is not None:
            return self.size + self.sink.waiting_bytes
        if self._is_in_body:
            return self.size + self._body_bytes
        return self._head_bytes + HEADER_BYTES * len(self.headers)

    @property
    def is_behind(self) -> bool:
        """Whether the sink does not keep up with what arrives."""
        return self.sink is not None and self.sink.is_full

    def has_begun_header(self) -> bool:
        """Whether headers began, and did not end, since the last call."""
        has_begun, self._has_begun = self._has_begun, False
        return has_begun and self.is_receiving and not self._is_in_body

    def bound_body(self, bytes_max: int) -> None:
        """Set the limit of the body that is about to arrive."""
        self._body_bytes_max = bytes_max

    def take_sink(self) -> BodySink | None:
        """The sink, which belongs to the complete request from now on."""
        sink, self.sink = self.sink, None
        return sink

    def feed(self, data: bytes) -> None:
        """Parse bytes that arrived.

        Raises:
            httptools.HttpParserUpgrade: The client asks for a tunnel, or for another protocol with
                a method that the parser does not know.
            httptools.HttpParserError: It is not HTTP.
        """
        if self._is_in_body:
            self._framing_bytes += len(data)
        else:
            self._head_bytes += len(data)
        self._is_at_start = not self.is_receiving
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._is_upgrade:
                raise
            self._feed_without_upgrade(data, upgrade.args[0])
        except httptools.HttpParserInvalidMethodError:
            first = _FIRST_LINE.match(data) if self._is_at_start else None
            if first is None:
                raise
            self._feed_unknown(first[1], data)
        if self.is_receiving and not self._is_stopped:
            self._check(len(data))

    def _feed_unknown(self, method: bytes, data: bytes) -> None:
        """Read a request with a method that the parser does not know.

        It is answered as any other, and is the last one: its method may have a meaning for where it
        ends, as that of HEAD has for a response.
        """
        self._unknown_method = method
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_KNOWN_METHOD + data[len(method) :])

    def _feed_without_upgrade(self, data: bytes, begin: int) -> None:
        """Read a request that asks for another protocol as if it did not.

        A server may ignore that header (RFC 9110, 7.8). The parser does not: it ends such a request
        before its body. So it gets the headers again, without that one, and then what follows them.

        Args:
            data: Bytes that arrived.
            begin: Where in them what follows the headers begins.
        """
        rest = memoryview(data)
        while True:
            rest = rest[begin:]
            head = self._head_without_upgrade()
            self._clear()
            self._parser.feed_data(head)
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._is_upgrade:
                    raise
                begin = upgrade.args[0]
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self._parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.method, self.target, version)]
        lines += [b"%b:%b" % each for each in self.headers if each[0].lower() != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def stop(self) -> None:
        """Parse nothing more; release the incomplete request."""
        self._is_stopped = True
        if self.sink is not None:
            self.sink.close()
        self._clear()

    def end(self) -> None:
        """As `stop`; `feed` may not be called afterwards."""
        self.stop()
        del self._parser, self._owner  # both refer to this: a reference cycle

    def _check(self, came_bytes: int) -> None:
        if not self._is_in_body:
            if not self._head_bytes:  # its share of the data is not known: others were before it
                self._head_bytes = min(came_bytes, self._header_bytes_max // 2)
            if self._head_bytes > self._header_bytes_max or len(self.headers) > self._headers_max:
                self._owner.refuse(LONG_HEADERS)
        elif (
            self._framing_bytes > self._header_bytes_max + _FRAMING_FACTOR * self._body_bytes
            or self._trailers > self._headers_max
        ):
            self._owner.refuse(LONG_HEADERS)

    # --- the parser's calls --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if not self._is_stopped:
            self.is_receiving = True
            self._has_begun = True

    def on_url(self, url: bytes) -> None:
        """Called by the parser, with a piece."""
        self.target = self.target + url if self.target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for trailers, too: those are counted and ignored."""
        if self._is_in_body:
            self._trailers += 1
        elif not self._is_stopped:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        parser = self._parser
        self._is_upgrade = (
            parser.should_upgrade()
            and not self._is_stopped
            and not self._unknown_method
            and parser.get_method() != b"CONNECT"
        )
        if self._is_stopped or self._is_upgrade:
            return
        length, expects = 0, False
        hosts: list[bytes] = []
        version, codings = parser.get_http_version(), b""
        size = REQUEST_BYTES + len(self.target)
        for name, value in self.headers:
            name_bytes = len(name)
            size += name_bytes + len(value) + HEADER_BYTES
            if name_bytes == 4 and name.lower() == b"host":
                hosts.append(value)
            elif name_bytes == 14 and name.lower() == b"content-length":
                length = int(value)  # the parser has checked that it is a number
            elif name_bytes == 17 and name.lower() == b"transfer-encoding":
                length = max(length, 1)
                codings += value.strip().lower()
            elif name_bytes == 6 and name.lower() == b"expect":
                expects = value.lower() == b"100-continue"
            elif name_bytes == 10 and name.lower() == b"connection":
                self.needs_keep_alive = version == "1.0"
        self._is_in_body = True
        self.size = size
        refusal = self._misfit(version, codings, hosts)
        if refusal is not None:
            self._owner.refuse(refusal)
        elif length:
            self.sink = self._owner.on_body(length, expects)

    def _misfit(self, version: str, codings: bytes, hosts: list[bytes]) -> Refusal | None:
        """Why headers cannot be served; None: they can."""
        if version not in ("1.1", "1.0"):
            return BAD if version == "0.9" else VERSION
        if refusal := _host_misfit(version, hosts):
            return refusal
        if codings and (codings != b"chunked" or version == "1.0"):
            return CODING
        if len(self.headers) > self._headers_max:
            return LONG_HEADERS
        return None

    def on_body(self, body: bytes) -> None:
        """Called by the parser, with a piece."""
        if self._is_stopped:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            self._owner.refuse_body(self._body_bytes)
        elif self.sink is not None:
            self.sink.write(body)
        elif not self._body:
            self._body = body
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body) + body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._is_stopped or self._is_upgrade:
            return
        if self.sink is None:
            self.size += self._body_bytes
        self._is_at_start = False
        self._owner.on_request()
        self._clear()


def _host_misfit(version: str, hosts: list[bytes]) -> Refusal | None:
    """Why these values of Host cannot be served; None: they can.

    Source: RFC 9112, 3.2.
    """
    if not hosts:
        return NO_HOST if version == "1.1" else None
    if len(hosts) > 1:
        return BAD
    return None if _HOST.fullmatch(hosts[0]) else MALFORMED_HOST
