"""Header cache: header lines that were parsed before need not be parsed again.

A client sends the same header lines with every request; only the request line differs. The lines
of a complete request that arrived in one piece of data are cached with what the parser made of
them, and a later request with exactly the same bytes is read without the parser. That saves a fifth
of the cost of reading a small request. All other requests are parsed: those with new header lines,
in several pieces, chunked, or the last on their connection.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from quorate.httpserver.request import Header

CACHED_MAX = 256
"""The number of cached entries; the oldest is evicted first."""

LINES_BYTES_MAX = 2048
_BODY_BYTES_MAX = 64 * 1024

_FIRST_LINE = re.compile(rb"(GET|PUT|DELETE) (/[A-Za-z0-9_./:?=&%-]*) HTTP/1\.1(?=\r\n)")
_END = b"\r\n\r\n"
_NEVER = frozenset({b"connection", b"expect", b"te", b"transfer-encoding", b"upgrade"})
_KEEP_ALIVE = b"keep-alive"  # the default of HTTP/1.1


class ParsedHeaders(NamedTuple):
    """Parsed header lines."""

    headers: tuple[Header, ...]
    body_bytes: int


class HeaderCache:
    """The header lines of earlier requests, of all connections.

    Args:
        body_bytes_max: Requests with a longer body are not cached: limits may apply to them.
    """

    def __init__(self, body_bytes_max: int) -> None:
        self._known: dict[bytes, ParsedHeaders] = {}
        self._body_bytes_max = min(_BODY_BYTES_MAX, body_bytes_max)

    def read(self, data: bytes) -> tuple[bytes, bytes, tuple[Header, ...], bytes] | None:
        """Method, target, headers and body, if the bytes are exactly one request that is cached.

        None: they must be parsed.

        Args:
            data: Bytes that arrived where a request may begin.
        """
        first = _FIRST_LINE.match(data)
        if first is None:
            return None
        begin = first.end()
        end = data.find(_END, begin, begin + LINES_BYTES_MAX)
        head = self._known.get(data[begin:end])
        if head is None or len(data) - end - 4 != head.body_bytes:
            return None
        method, target = first.groups()
        return method, target, head.headers, data[end + 4 :]

    def learn(self, data: bytes, headers: Sequence[Header], body: bytes) -> None:
        """Cache the header lines of a request.

        Args:
            data: The bytes that were parsed; anything but exactly one request is not cached.
            headers: The headers that the parser found.
            body: The body that the parser found.
        """
        first = _FIRST_LINE.match(data)
        if first is None or len(body) > self._body_bytes_max:
            return
        begin = first.end()
        end = data.find(_END, begin, begin + LINES_BYTES_MAX)
        if end < 0 or len(data) - end - 4 != len(body):
            return
        for name, value in headers:
            if name.lower() in _NEVER and value.lower() != _KEEP_ALIVE:
                return
        if len(self._known) >= CACHED_MAX:
            del self._known[next(iter(self._known))]
        self._known[data[begin:end]] = ParsedHeaders(tuple(headers), len(body))
