"""Heads: header lines that were parsed before need not be parsed again.

A client sends the same lines with every request, but for the first one. So what a whole request
in one piece of data had for header lines is remembered, and the next one with the very same bytes
takes its meaning from here; that saves a fifth of the cost of reading a small request. Everything
else goes to the parser: what is new, comes in pieces, is chunked, or ends the connection.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from quorate.httpserver.request import Header

HEADS_MAX = 256
"""So many are remembered; the oldest goes first."""

LINES_BYTES_MAX = 2048
_BODY_BYTES_MAX = 64 * 1024

_FIRST_LINE = re.compile(rb"(GET|PUT|DELETE) (/[A-Za-z0-9_./:?=&%-]*) HTTP/1\.1(?=\r\n)")
_END = b"\r\n\r\n"
_NEVER = frozenset({b"connection", b"expect", b"te", b"transfer-encoding", b"upgrade"})
_KEEP_ALIVE = b"keep-alive"  # says what HTTP/1.1 means anyway


class ParsedHeaders(NamedTuple):
    """What some header lines mean."""

    headers: tuple[Header, ...]
    body_bytes: int


class Heads:
    """The header lines of earlier requests, of all connections.

    Args:
        body_bytes_max: Requests with a longer body are not remembered: they may have limits.
    """

    def __init__(self, body_bytes_max: int) -> None:
        self._known: dict[bytes, ParsedHeaders] = {}
        self._body_bytes_max = min(_BODY_BYTES_MAX, body_bytes_max)

    def read(self, data: bytes) -> tuple[bytes, bytes, tuple[Header, ...], bytes] | None:
        """Method, target, headers and body of the request that these bytes are, and no others.

        None: ask the parser.

        Args:
            data: What came, at the border between two requests.
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
        """Remember the header lines of a request.

        Args:
            data: All its bytes, and no others, if it came in one piece; else it teaches nothing.
            headers: What the parser made of them.
            body: Likewise.
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
        if len(self._known) >= HEADS_MAX:
            del self._known[next(iter(self._known))]
        self._known[data[begin:end]] = ParsedHeaders(tuple(headers), len(body))
