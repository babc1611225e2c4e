"""Replies: parsed into status, headers and body; those that are errors, into the error tree."""

from collections.abc import Callable

import httptools

from quorate.base.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OutcomeUnknownError,
    PeerError,
    QuorateError,
    RequestError,
    StorageError,
    UnavailableError,
)
from quorate.client.failures import SERVER_PORT
from quorate.client.requests import ClientRequest

_HTTP = b"HTTP/"
_FIRST_BYTES = 24
_BAD_REQUEST = 400
_SERVER_PORT_LINE = b"X-Quorate-Server-Port"

TEXT_CHARS_MAX = 500
DIGITS_MAX = 20  # of 64 bits

_CLASSES: tuple[type[QuorateError], ...] = (
    RequestError,
    ForbiddenError,
    NotFoundError,
    ConflictError,
    OutcomeUnknownError,
    PeerError,
    StorageError,
)
_CLASS_OF = {code: error for error in _CLASSES for code in error.codes}
_CODE_OF_STATUS = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "bad_request",
    409: "precondition",
    413: "too_large",
    429: "overloaded",
    501: "unsupported",
}
_NO_LEADER = ("No cluster leader", "No known Consul servers")
INVALID_SESSION = "invalid session"
"""In the reply of Quorate and Consul to an `acquire` for a session that does not exist."""


class Reply:
    """A complete reply.

    Attributes:
        headers: Last value of each name, spelt as it was received.
        body: Empty if a sink received it.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {len(self.body)} bytes>"

    def header(self, name: bytes) -> bytes:
        """The value of a header in any spelling; empty if absent."""
        value = self.headers.get(name)
        if value is not None:
            return value
        lower = name.lower()
        for other, value in self.headers.items():
            if other.lower() == lower:
                return value
        return b""

    def number(self, name: bytes) -> int:
        """The value of a header as a whole number of at most 20 digits; 0 if absent or none."""
        value = self.headers.get(name) or self.header(name)
        return int(value) if value.isdigit() and len(value) <= DIGITS_MAX else 0

    @property
    def index(self) -> int:
        """Index of the state that a read shows, at least 1; 0 if the reply has none."""
        return self.number(b"X-Consul-Index")

    @property
    def write_index(self) -> int:
        """Index of the command of a write; 0 if the reply has none."""
        return self.number(b"X-Quorate-Index")


class ReplyReader:
    """Parses a stream of bytes into replies, pipelined or not.

    Args:
        deliver: Receives each complete reply, and whether the connection can be used after it.
        started: Called when a reply's headers are complete; returns the sink for its body or None.

    Attributes:
        is_http: The headers of at least one reply were received.
        first: The first bytes received, enough to identify a protocol.
    """

    def __init__(
        self,
        deliver: Callable[[Reply, bool], None],
        started: Callable[[int], Callable[[bytes], object] | None],
    ) -> None:
        self.is_http = False
        self.first = b""
        self._deliver = deliver
        self._started = started
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._sink: Callable[[bytes], object] | None = None
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_foreign(self) -> bool:
        """The first bytes are not the beginning of an HTTP reply, damaged or not."""
        return not (self.is_http or self.first.startswith(_HTTP) or _HTTP.startswith(self.first))

    def feed(self, data: bytes) -> None:
        """Parse bytes that were received.

        Raises:
            PeerError: `remote`: they are no HTTP.
        """
        if len(self.first) < _FIRST_BYTES:
            self.first += data[: _FIRST_BYTES - len(self.first)]
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise PeerError("remote", f"the node's reply is no HTTP: {error}") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        if status == _BAD_REQUEST and _SERVER_PORT_LINE in self._headers:
            self.first = SERVER_PORT + self._headers[_SERVER_PORT_LINE][:TEXT_CHARS_MAX]
            raise PeerError("remote", "this is a node's server port")
        self.is_http = True
        self._sink = self._started(status)

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        if self._sink is None:
            self._body.append(data)
        else:
            self._sink(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        body = self._body
        if status < 200:  # an interim reply; the real one follows
            body.clear()
            return
        if len(body) == 1:
            whole = body[0]
            body.clear()
        else:
            whole = b"".join(body)
            body.clear()
        self._deliver(Reply(status, headers, whole), self._parser.should_keep_alive())


def error_of(reply: Reply, request: ClientRequest) -> QuorateError:
    """The error for a reply: by its headers, or (from another server) by status and text.

    A failed write is `outcome_unknown` unless the reply shows that the failure is definite.
    """
    message = reply.body[:TEXT_CHARS_MAX].decode("utf-8", "replace").strip()
    text = f"{request.title}: {message or f'status {reply.status} without a text'}"
    if 300 <= reply.status < 400:
        place = reply.header(b"Location")[:TEXT_CHARS_MAX].decode("latin-1")
        text = f"{request.title}: redirected to {place!r}, where this client does not follow"
    code = reply.header(b"X-Quorate-Error").decode("latin-1")
    retry_after_s = float(reply.number(b"Retry-After"))
    if reply.header(b"X-Quorate-Definite") == b"false":
        code = "outcome_unknown"
    if code not in _CLASS_OF and code not in UnavailableError.codes:
        code = _code_by_text(reply.status, message, request)
    error = (
        UnavailableError(code, text, retry_after_s)
        if code in UnavailableError.codes
        else _CLASS_OF[code](code, text)
    )
    error.response = f"Unexpected response code: {reply.status} ({message})"
    return error


def _code_by_text(status: int, message: str, request: ClientRequest) -> str:
    """The code for the reply of a server that sends none, by status and text."""
    if 300 <= status < 400:
        return "remote"
    if status in _CODE_OF_STATUS:
        return _CODE_OF_STATUS[status]
    if message.startswith(_NO_LEADER):
        return "no_quorum"
    if INVALID_SESSION in message:
        return "not_found"
    return "unreachable" if request.is_repeatable else "outcome_unknown"
