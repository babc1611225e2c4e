"""What the server refuses by itself, as errors of this API: with its texts and its codes."""

from quorate.gateways.http.errors import SPENT_TEXT, HttpError
from quorate.httpserver.refusals import FULL, SPENT, Refusal, lines_of

_TEXTS = {SPENT: SPENT_TEXT, FULL: "Too many connections to this node"}


def error_of(reason: Refusal) -> HttpError:
    """The error that a refusal is answered with."""
    text = _TEXTS.get(reason, reason.text)
    return HttpError(reason.status, text, headers=lines_of(reason))
