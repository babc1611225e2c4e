"""Responses as bytes: status lines and headers spelt as Consul spells them, JSON as Go writes it.

Header lines that many responses share are formatted once a second, with the date.
"""

import gzip
import re
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.errors import HttpError, spent
from quorate.httpserver.request import Request
from quorate.httpserver.streaming import GZIP_LEVEL

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
LONG_BYTES = 64 * 1024  # from here on an answer to a read is refused if too much is held
GZIP_BYTES_MIN = 1400
INDENT = 4

_ACCEPT_BYTES_MAX = 512
_ALIASES = {b"x-gzip": b"gzip"}
_WEIGHT = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

_encode = msgspec.json.Encoder(enc_hook=str).encode


def go_json(value: Any, *, is_pretty: bool = False) -> bytes:
    """JSON as Go's encoder writes it: no `<`, `>`, `&` in strings."""
    data = _encode(value)
    if b"<" in data or b">" in data or b"&" in data:
        data = data.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if not data.isascii():
        data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return msgspec.json.format(data, indent=INDENT) if is_pretty else data


class Responses:
    """Makes and sends responses.

    Attributes:
        json_200: Start of the commonest answer, up to its last line end.
    """

    def __init__(self, config: HttpConfig) -> None:
        self._is_pretty = config.is_pretty
        self._own = self._known = self._date = b""
        self._packed = (b"", b"")  # the last one, plain and packed: many may get the same
        self._heads: dict[tuple[int, bytes, bool], bytes] = {}
        self.json_200 = b""
        self.reconfigure(config)

    def reconfigure(self, config: HttpConfig) -> None:
        """From now on send what this configuration says."""
        self._is_pretty = config.is_pretty
        own = "".join(f"{name}: {value}\r\n" for name, value in config.response_headers)
        self._own = own.encode("latin-1", "replace")
        self._known = b"Vary: Accept-Encoding\r\nX-Consul-Default-Acl-Policy: %b\r\n%b" % (
            config.default_acl.encode(),
            self._own,
        )
        self.tick()

    @property
    def is_pretty(self) -> bool:
        """All JSON is indented."""
        return self._is_pretty

    def tick(self) -> None:
        """A second has passed."""
        self._date = formatdate(usegmt=True).encode()
        self._heads = {}
        self.json_200 = self.head(200, JSON)

    def head(self, status: int, kind: bytes, *, is_known: bool = True) -> bytes:
        """Status line and the headers that all such answers share.

        Args:
            status: HTTP's.
            kind: Media type; empty: none.
            is_known: The path is one of the API.
        """
        key = (status, kind, is_known)
        head = self._heads.get(key)
        if head is None:
            phrase = HTTPStatus(status).phrase.encode()
            head = b"HTTP/1.1 %d %b\r\nDate: %b\r\n%b%b" % (
                status,
                phrase,
                self._date,
                b"Content-Type: %b\r\n" % kind if kind else b"",
                self._known if is_known else self._own,
            )
            self._heads[key] = head
        return head

    def send(
        self,
        request: Request,
        body: bytes,
        *,
        status: int = 200,
        kind: bytes = JSON,
        lines: bytes = b"",
    ) -> None:
        """Send an answer.

        Args:
            request: To whom.
            body: As it is; packed if it is long and the caller takes that.
            status: HTTP's.
            kind: Media type.
            lines: Further header lines, each with its line end.
        """
        if len(body) >= LONG_BYTES and request.method == b"GET" and request.is_spent:
            self.error(request, spent())
            return
        if len(body) >= GZIP_BYTES_MIN and takes_gzip(request):
            if body is not self._packed[0]:
                self._packed = (body, gzip.compress(body, GZIP_LEVEL))
            body = self._packed[1]
            lines += b"Content-Encoding: gzip\r\n"
        request.answer(
            b"%b%bContent-Length: %d\r\n\r\n%b" % (self.head(status, kind), lines, len(body), body)
        )

    def value(
        self,
        request: Request,
        value: Any,
        *,
        status: int = 200,
        kind: bytes = JSON,
        lines: bytes = b"",
    ) -> None:
        """Send a value as JSON."""
        body = self.encoded(value, asked=self.asks_pretty(request))
        self.send(request, body, status=status, kind=kind, lines=lines)

    def encoded(self, value: Any, *, asked: bool) -> bytes:
        """A value as JSON; `asked`: the request asks for indentation."""
        body = go_json(value, is_pretty=asked or self._is_pretty)
        return body + b"\n" if asked else body

    def asks_pretty(self, request: Request) -> bool:
        """Whether this request asks for indented JSON."""
        return b"pretty" in request.target and asks_pretty(request.target)

    def empty(self, request: Request, *, status: int = 200, lines: bytes = b"") -> None:
        """Send nothing, and say so."""
        request.answer(b"%b%bContent-Length: 0\r\n\r\n" % (self.head(status, b""), lines))

    def whole_error(self, error: HttpError) -> bytes:
        """An error as a bare text, for a client of which no request is known."""
        body, head = error.text.encode("utf-8", "replace"), self.head(error.status, TEXT)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, error.lines(), len(body), body)

    def error(self, request: Request, error: HttpError) -> None:
        """Send an error as a bare text."""
        body = error.text.encode("utf-8", "replace")
        self.send(request, body, status=error.status, kind=TEXT, lines=error.lines())

    def unknown(self, request: Request, text: str) -> None:
        """Send a 404 for a path that is none of the API: without its headers."""
        body = text.encode()
        head = self.head(404, TEXT, is_known=False)
        lines = HttpError(404, text).lines()
        request.answer(b"%b%bContent-Length: %d\r\n\r\n%b" % (head, lines, len(body), body))


def takes_gzip(request: Request) -> bool:
    """Whether an answer to this request may be packed."""
    value = request.header(b"accept-encoding")
    return value is not None and len(value) <= _ACCEPT_BYTES_MAX and prefers_gzip(value)


@lru_cache(maxsize=256)
def prefers_gzip(value: bytes) -> bool:
    """Whether an `Accept-Encoding` takes gzip, and does not like the plain form better.

    A coding that is not named has the weight of `*`; what has no valid weight is not taken.

    Source: RFC 9110, 12.5.3.
    """
    weights: dict[bytes, float] = {}
    for part in value.lower().split(b","):
        name, *parameters = [word.strip() for word in part.split(b";")]
        weights.setdefault(_ALIASES.get(name, name), _weight(parameters))
    gzip_weight = weights.get(b"gzip", weights.get(b"*", 0.0))
    return gzip_weight > 0 and gzip_weight >= weights.get(b"identity", 0.0)


def _weight(parameters: list[bytes]) -> float:
    for parameter in parameters:
        name, _, text = parameter.partition(b"=")
        if name.strip() == b"q":
            text = text.strip()
            return float(text) if _WEIGHT.fullmatch(text) else 0.0
    return 1.0


def asks_pretty(target: bytes) -> bool:
    """Whether the query asks for indented JSON."""
    query = target.partition(b"?")[2]
    return any(part.partition(b"=")[0] == b"pretty" for part in query.split(b"&"))
