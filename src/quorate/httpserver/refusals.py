"""Answers that a server gives by itself, as bytes, before an application is asked."""

from http import HTTPStatus
from typing import NamedTuple

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def plain(status: int, text: str, lines: bytes = b"") -> bytes:
    """A whole answer with a text for people.

    Args:
        status: HTTP's.
        text: The body.
        lines: Further header lines, each with its line end.
    """
    phrase, body = HTTPStatus(status).phrase.encode(), text.encode()
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\n%bContent-Length: %d\r\n"
        b"\r\n%b" % (status, phrase, lines, len(body), body)
    )


class Refusals(NamedTuple):
    """One answer for each reason; an application may have its own wording.

    Attributes:
        bad: What came is no HTTP.
        version: No version of HTTP that is spoken here.
        coding: No transfer coding that is known here.
        slow: A request was not whole in time. Ends the connection, and says so.
        long_headers: More or longer header lines than may be.
        crowded: This client address has too many connections. Ends the connection.
        full: All clients together have too many. Ends the connection.
        spent: Too much is held in memory for the client, or for all.
    """

    bad: bytes = plain(400, "400 Bad Request")
    version: bytes = plain(505, "505 HTTP Version Not Supported")
    coding: bytes = plain(501, "Unsupported transfer encoding")
    slow: bytes = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    long_headers: bytes = plain(431, "431 Request Header Fields Too Large")
    crowded: bytes = plain(
        429, "Too many connections from this address", b"Retry-After: 1\r\nConnection: close\r\n"
    )
    full: bytes = plain(
        429, "Too many connections to this server", b"Retry-After: 1\r\nConnection: close\r\n"
    )
    spent: bytes = plain(429, "Too much is held in memory", b"Retry-After: 1\r\n")


PLAIN = Refusals()
"""The wording of a server whose application has none of its own."""
