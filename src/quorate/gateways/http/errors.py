"""Errors as Consul reports them: the status of each code, the text and the headers."""

from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.outcomes import Failure

STATUS_OF = {
    "bad_request": 400,
    "too_large": 413,
    "unsupported": 501,
    "forbidden": 403,
    "not_found": 404,
    "stale_fence": 409,
    "already_exists": 409,
    "precondition": 409,
    "not_leader": 500,
    "no_quorum": 500,
    "overloaded": 429,
    "too_few_nodes": 503,
    "read_only": 503,
    "stopping": 503,
    "removed": 503,
    "unreachable": 503,
    "outcome_unknown": 500,
    "local": 500,
    "remote": 500,
    "corrupt": 500,
    "disk_full": 500,
    "too_many_files": 503,
    "locked": 500,
    "foreign": 500,
    "version": 500,
    "settings": 500,
    "permission": 500,
}
"""The HTTP status of each code of the error tree."""

NO_LEADER = "No cluster leader"

SPENT_TEXT = (
    "Too much is held in memory for this client, or for all: read the answers that wait, or ask "
    "for less at once. See quorate.limits.http_client_bytes_max and http_held_bytes_max."
)

_CODE_OF = {
    403: "forbidden",
    404: "not_found",
    409: "precondition",
    413: "too_large",
    429: "overloaded",
    431: "too_large",
    501: "unsupported",
    505: "unsupported",
}


class TextError(ValueError):
    """A value of the client that cannot be parsed; the status depends on where it was."""


class HttpError(Exception):
    """An error response, with the text that Consul has.

    Attributes:
        status: HTTP's.
        text: The body.
        code: Of the error tree; errors of the client are `bad_request` whatever the status.
        headers: Further header lines, each with its line end.
        is_definite: The request surely had no effect.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str = "",
        headers: bytes = b"",
        is_definite: bool = True,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code or _CODE_OF.get(status, "bad_request")
        self.headers = headers
        self.is_definite = is_definite

    def lines(self) -> bytes:
        """Its header lines."""
        definite = b"true" if self.is_definite else b"false"
        return b"X-Quorate-Error: %b\r\nX-Quorate-Definite: %b\r\n%b" % (
            self.code.encode(),
            definite,
            self.headers,
        )


def spent() -> HttpError:
    """The response to a request that would exceed a memory limit."""
    return HttpError(429, SPENT_TEXT, headers=b"Retry-After: 1\r\n")


LEADERLESS = frozenset({"no_quorum", "not_leader"})
"""Codes whose text begins with `NO_LEADER`, which clients of Consul look for."""


def http_error(error: QuorateError, reason: str = "") -> HttpError:
    """The response for an error of the error tree.

    Args:
        error: The error.
        reason: Why no leader is known, for the text of such an error.
    """
    code, text = error.code, error.text
    if code in LEADERLESS:
        text = f"{NO_LEADER}: {reason}" if reason else NO_LEADER
    headers = b""
    if isinstance(error, UnavailableError) and STATUS_OF[code] in (429, 503):
        headers = b"Retry-After: %d\r\n" % max(1, round(error.retry_after_s))
    return HttpError(STATUS_OF[code], text, code=code, headers=headers, is_definite=error.definite)


def failed(failure: Failure, prefix: str = "") -> HttpError:
    """The response for a command that was applied and failed: 500, with Consul's text."""
    return HttpError(500, prefix + failure.text, code=failure.code)
