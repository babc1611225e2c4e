"""One request of HTTP/1.1 on a connection of its own, and its response, read with limits.

RSP-1: a head longer than `HEAD_BYTES_MAX` is an error; of a content `CONTENT_BYTES_MAX` are read,
    the rest is not waited for: the status was in the head.
"""

from collections.abc import Callable
from typing import Any

import httptools

from quorate.runtime.probes.found import ProbeError
from quorate.runtime.probes.targets import READ_BYTES, Streams

HEAD_BYTES_MAX = 256 * 1024
CONTENT_BYTES_MAX = 1024 * 1024
REASON_CHARS_MAX = 256

_FINAL = 200  # a lower status announces another response


class Response:
    """A response while it is read.

    Args:
        is_head: It has no content, whatever it says of one.
        sink: Gets the content.

    Attributes:
        status: 0: it has not come yet.
        reason: Of its first line, up to `REASON_CHARS_MAX`: it is part of outputs.
        headers: By name in lower case; of several of a name the last.
    """

    def __init__(self, sink: Callable[[bytes], object], *, is_head: bool = False) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self._sink = sink
        self._is_head = is_head
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head_bytes = self._body_bytes = 0
        self._is_complete = False

    async def read(self, streams: Streams) -> None:
        """Read it to its end, that of the connection, or that of what is read of a content.

        Raises:
            ProbeError: It is no response of HTTP.
        """
        reader, _ = streams
        while not self._is_complete:
            try:
                data = await reader.read(READ_BYTES)
            except OSError as error:
                if self.status:
                    return
                raise ProbeError(error.strerror or str(error)) from error
            if not data:
                if not self.status:
                    raise ProbeError("EOF")
                return
            if not self.status:
                self._head_bytes += len(data)
                if self._head_bytes > HEAD_BYTES_MAX:
                    raise ProbeError(f"the head of the response is over {HEAD_BYTES_MAX} bytes")
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                if not self.status:
                    raise ProbeError("malformed HTTP response") from error
                return

    # --- called by the parser ------------------------------------------------------------------

    def on_status(self, reason: bytes) -> None:
        """A piece of the reason in the first line."""
        self.reason = (self.reason + reason.decode("latin-1"))[:REASON_CHARS_MAX]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is over."""
        status = self._parser.get_status_code()
        if status < _FINAL and status != 101:
            self.reason = ""
            self.headers.clear()
            return
        self.status = status
        self._is_complete = self._is_head

    def on_body(self, data: bytes) -> None:
        """A piece of the content."""
        self._body_bytes += len(data)
        self._sink(data)
        if self._body_bytes > CONTENT_BYTES_MAX:
            self._is_complete = True

    def on_message_complete(self) -> None:
        """The message is over."""
        self._is_complete = bool(self.status)


def request_bytes(
    method: str, target: str, headers: list[tuple[str, str]], content: bytes = b""
) -> bytes:
    """A request; the connection ends with it.

    Args:
        method: Of its first line.
        target: Likewise.
        headers: Checked by the caller.
        content: May be empty.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if content or method not in {"GET", "HEAD"}:
        lines.append(f"Content-Length: {len(content)}")
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + content
