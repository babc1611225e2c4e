"""Refusals: what the server itself answers with an error, before the application sees a request.

The server decides that it refuses, and why; the application formats the answer
(`Application.refusal`), so that it has the header lines that all its answers have.
"""

from http import HTTPStatus
from typing import NamedTuple

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refusal(NamedTuple):
    """Why a request, or a connection, is refused.

    Attributes:
        status: HTTP's.
        text: The body, for a human reader.
        retry_s: The value of `Retry-After`; 0: none.
        ends_connection: The answer needs `Connection: close`: it belongs to no request.
    """

    status: int
    text: str
    retry_s: int = 0
    ends_connection: bool = False


BAD = Refusal(400, "400 Bad Request")
"""What arrived is not HTTP."""

NO_HOST = Refusal(400, "400 Bad Request: missing required Host header")
"""Source: RFC 9112, 3.2; the wording is that of Go's server."""

MALFORMED_HOST = Refusal(400, "400 Bad Request: malformed Host header")

VERSION = Refusal(505, "505 HTTP Version Not Supported")

CODING = Refusal(501, "Unsupported transfer encoding")

LONG_HEADERS = Refusal(431, "431 Request Header Fields Too Large")
"""More or longer header lines than are allowed."""

SLOW = Refusal(408, "", ends_connection=True)
"""A request was not complete in time."""

CROWDED = Refusal(429, "Too many connections from this address", 1, ends_connection=True)
"""This client address has too many connections."""

FULL = Refusal(429, "Too many connections to this server", 1, ends_connection=True)
"""All clients together have too many connections."""

SPENT = Refusal(429, "Too much is held in memory", 1)
"""Too much is held in memory for the client, or for all."""


def lines_of(reason: Refusal) -> bytes:
    """The header lines that a refusal has whatever the application, each with its line end."""
    retry = b"Retry-After: %d\r\n" % reason.retry_s if reason.retry_s else b""
    return retry + (b"Connection: close\r\n" if reason.ends_connection else b"")


def plain(reason: Refusal) -> bytes:
    """The answer of an application that has no texts of its own."""
    phrase, body = HTTPStatus(reason.status).phrase.encode(), reason.text.encode()
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\n%bContent-Length: %d\r\n"
        b"\r\n%b" % (reason.status, phrase, lines_of(reason), len(body), body)
    )
