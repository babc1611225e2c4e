"""What the server answers by itself, in Consul's words, with the code of the error."""

from quorate.httpserver.refusals import Refusals, plain

SPENT_TEXT = (
    "Too much is held in memory for this client, or for all: read the answers that wait, or ask "
    "for less at once. See quorate.limits.http_client_bytes_max and http_held_bytes_max."
)

_RETRY = b"Retry-After: 1\r\n"
_CLOSE = b"Connection: close\r\n"


def _refusal(status: int, text: str, code: str, lines: bytes = b"") -> bytes:
    about = b"X-Quorate-Error: %b\r\nX-Quorate-Definite: true\r\n" % code.encode()
    return plain(status, text, about + lines)


REFUSALS = Refusals(
    bad=_refusal(400, "400 Bad Request", "bad_request"),
    version=_refusal(505, "505 HTTP Version Not Supported", "unsupported"),
    coding=_refusal(501, "Unsupported transfer encoding", "unsupported"),
    long_headers=_refusal(431, "431 Request Header Fields Too Large", "too_large"),
    crowded=_refusal(429, "Too many connections from this address", "overloaded", _RETRY + _CLOSE),
    full=_refusal(429, "Too many connections to this node", "overloaded", _RETRY + _CLOSE),
    spent=_refusal(429, SPENT_TEXT, "overloaded", _RETRY),
)
