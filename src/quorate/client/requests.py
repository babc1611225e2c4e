"""Requests: their bytes, and the properties that decide about retries and connections."""

import re
from collections.abc import Callable
from enum import IntEnum
from urllib.parse import quote

import msgspec

from quorate.base.errors import RequestError
from quorate.client import arguments
from quorate.client.arguments import Data
from quorate.client.durations import spell

KEY_BYTES_MAX = 4096
VALUE_BYTES_MAX = 512 * 1024
LONG_BODY_BYTES = 64 * 1024  # from here on a body has a connection of its own

_PLAIN = re.compile(r"[A-Za-z0-9_.~-][A-Za-z0-9_.~/-]*")
_UNCLEAN = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|//")
_REQUEST_PATH = re.compile(r"/[!$-;=@-Z_a-z~%&'()*+,:\[\]]*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Lane(IntEnum):
    """Which requests share connections; on a connection, a reply waits for those before it."""

    SHARED = 0
    """Writes, and reads that need a quorum: all of them wait for a leader."""
    LOCAL = 1
    """What a node answers alone; it must not wait behind requests that wait for a leader."""
    EXCLUSIVE = 2
    """Blocking queries and long bodies: each has a connection of its own."""


class ClientRequest(msgspec.Struct, frozen=True):
    """One request, without the parts that depend on the endpoint.

    Attributes:
        head: Method, target and version: `PUT /v1/kv/a HTTP/1.1` with its line end.
        is_repeatable: It is idempotent, whatever other clients do in between.
        is_write: It changes something, so that its outcome is unknown if the reply is lost. Needed
            for repeatable requests only: all others count as writes.
        accepts: Status beside 200 that is a result, not an error; 0 for none.
        wait_s: How long the node is asked to wait for a change before it answers.
        sink: Receives the body of a successful reply piece by piece; None: it is collected.
        begin: Called before the first piece of each try.
    """

    head: bytes
    body: bytes = b""
    lane: Lane = Lane.SHARED
    is_repeatable: bool = False
    is_write: bool = False
    accepts: int = 0
    wait_s: float = 0.0
    sink: Callable[[bytes], object] | None = None
    begin: Callable[[], object] | None = None

    def open_sink(self, status: int) -> Callable[[bytes], object] | None:
        """The sink for the body of a reply with this status; None: collect it."""
        if status != 200 or self.sink is None:
            return None
        if self.begin is not None:
            self.begin()
        return self.sink

    def limited(self, limit_s: float) -> "ClientRequest":
        """The same request with a deadline for nodes that have no leader.

        Such a node withdraws what was not proposed by then and replies with a definite error;
        without the deadline it would go on trying after the caller has given up.
        """
        line = b"X-Quorate-Deadline: %dms\r\n" % max(1, int(limit_s * 1000))
        return msgspec.structs.replace(self, head=self.head + line)

    @property
    def title(self) -> str:
        """Method and path, for messages."""
        return self.head.split(b" HTTP/")[0].split(b"?")[0].decode("latin-1")


def encode(request: ClientRequest, host_lines: bytes) -> bytes:
    """The bytes on the wire. `host_lines` are the header lines that every request carries."""
    body = request.body
    if body:
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        return b"".join((request.head, host_lines, length, body))
    if request.head.startswith(b"GET"):
        return b"".join((request.head, host_lines, b"\r\n"))
    return b"".join((request.head, host_lines, b"Content-Length: 0\r\n\r\n"))


def fits_path(key: str) -> bool:
    """Whether the path of a request can carry a key; a transaction carries any."""
    return not (_UNCLEAN.search(key) or _UNPRINTABLE.search(key))


def kv_path(key: str) -> bytes:
    """The path of a key, quoted.

    Raises:
        TypeError: It is no text.
        RequestError: `bad_request` for keys that cannot be sent in a path: nodes normalise paths
            as every web server does, so `a//b` would become `a/b`. `too_large` above 4 KiB.
    """
    if type(key) is not str:
        arguments.text("key", key)
    if len(key) <= 1024 and _PLAIN.fullmatch(key) and not _UNCLEAN.search(key):
        return b"/v1/kv/" + key.encode("ascii")
    if _UNPRINTABLE.search(key):
        raise RequestError("bad_request", f"key {key!r} has control characters")
    if _UNCLEAN.search(key):
        raise RequestError(
            "bad_request", f"key {key!r}: a path cannot carry '//' or the parts '.' and '..'"
        )
    try:
        raw = key.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            "bad_request", f"key {key!r} has a lone surrogate at {error.start}"
        ) from None
    if len(raw) > KEY_BYTES_MAX:
        raise RequestError("too_large", f"a key has {len(raw)} bytes, at most {KEY_BYTES_MAX}")
    if raw.startswith(b"/"):
        return b"/v1/kv/%2F" + quote(raw[1:]).encode("ascii")
    return b"/v1/kv/" + quote(raw).encode("ascii")


def session_path(verb: str, name: str, argument: str = "session") -> bytes:
    """The path of a request about a session or a node.

    Raises:
        TypeError: It is no text.
        RequestError: `bad_request`: no name, or one that cannot be sent in a path.
    """
    arguments.text(argument, name)
    if not name or "/" in name or _UNCLEAN.search(name) or _UNPRINTABLE.search(name):
        raise RequestError(
            "bad_request", f"{argument} {name!r} is no id of a session or name of a node"
        )
    return f"/v1/session/{verb}/{quoted(argument, name)}".encode("ascii")


def quoted(argument: str, text: str) -> str:
    """A text as part of a path or query.

    Raises:
        RequestError: `bad_request`: it has lone surrogates, which have no UTF-8.
    """
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise RequestError(
            "bad_request", f"{argument} {text!r} has a lone surrogate at {error.start}"
        ) from None


def call_path(path: str) -> bytes:
    """Check a path that the caller has quoted.

    Raises:
        TypeError: It is no text.
        RequestError: `bad_request`: it is not valid in a request line.
    """
    arguments.text("path", path)
    if not _REQUEST_PATH.fullmatch(path):
        raise RequestError(
            "bad_request", f"path {path!r} must begin with / and be quoted, without a query"
        )
    return path.encode("ascii")


def head(method: str, path: bytes, query: str = "") -> bytes:
    """The first line of a request."""
    mark = b"?" if query else b""
    return b"".join((method.encode(), b" ", path, mark, query.encode("ascii"), b" HTTP/1.1\r\n"))


def query(**parameters: str | int | bool | None) -> str:
    """A query string; None and False are left out, True is a name without value."""
    parts: list[str] = []
    for name, value in parameters.items():
        if value is True:
            parts.append(name)
        elif value is not None and value is not False:
            parts.append(f"{name}={quoted(name, str(value))}")
    return "&".join(parts)


def blocking(
    path: bytes, index: int, wait_s: float, **parameters: str | int | bool | None
) -> ClientRequest:
    """The request of a read that waits until there is something newer than an index.

    Args:
        path: Quoted.
        index: 0: it does not wait.
        wait_s: For how long.
        parameters: The rest of the query.
    """
    waited_s = max(wait_s, 0.001) if index else 0.0
    wait = spell(waited_s) if index else None
    what = query(**parameters, index=index or None, wait=wait)
    return ClientRequest(
        head("GET", path, what),
        lane=Lane.EXCLUSIVE,
        is_repeatable=True,
        accepts=404,
        wait_s=waited_s,
    )


def put_request(
    key: str,
    what: str,
    value: Data,
    *,
    is_repeatable: bool = False,
) -> ClientRequest:
    """The request that writes a key.

    Raises:
        TypeError: The key is no text, or the value neither bytes nor text.
        RequestError: `bad_request` or `too_large`: the key or value cannot be sent.
    """
    if not key:
        arguments.filled("key", key)
    body = arguments.data("value", value)
    if len(body) > VALUE_BYTES_MAX:
        raise RequestError("too_large", f"a value has {len(body)} bytes, at most {VALUE_BYTES_MAX}")
    return ClientRequest(
        head("PUT", kv_path(key), what), body, lane_of(body), is_repeatable, is_write=True
    )


def lane_of(body: bytes) -> Lane:
    """The lane of a write: a long body has a connection of its own.

    On a shared one, other requests would wait behind it, and would be lost when the node closes
    the connection because the body is too long.
    """
    return Lane.EXCLUSIVE if len(body) >= LONG_BODY_BYTES else Lane.SHARED


def flags_of(flags: int) -> int | None:
    """Flags for a query, where 0 is left out.

    Raises:
        TypeError, RequestError: They are no number of 64 bits.
    """
    return arguments.whole("flags", flags, 0, arguments.FLAGS_MAX) or None
