"""Retry: which failures may be tried again, and after how long.

R1: what may have taken effect is not sent again, unless doing it twice is the same as once.
R2: what surely did not happen is tried again, at the next node, until the deadline, if the
    reason is one that passes.
"""

import random

from quorate.base.errors import OutcomeUnknownError, QuorateError, UnavailableError
from quorate.client.errors import ExchangeError
from quorate.client.requests import Request

PAUSE_FIRST_S = 0.05  # a leader is elected within a second or so: first tries come soon
PAUSE_MAX_S = 1.0

_PASSING = frozenset(
    {"not_leader", "no_quorum", "overloaded", "read_only", "stopping", "unreachable"}
)


def may_repeat(error: QuorateError, request: Request) -> bool:
    """Whether to try again after this error."""
    if isinstance(error, OutcomeUnknownError):
        return request.is_repeatable
    return isinstance(error, UnavailableError) and error.code in _PASSING


def error_of_failure(failure: ExchangeError, request: Request) -> QuorateError:
    """The error that the lack of a reply means."""
    text = f"{request.title}: {failure}"
    if failure.is_sent and not request.is_repeatable:
        return OutcomeUnknownError(
            "outcome_unknown", f"{text}; the write may have happened or may still happen"
        )
    return UnavailableError("unreachable", text)


def pause_s(error: QuorateError, tries: int, endpoints: int) -> float:
    """Seconds to wait before the next try: none while there are nodes not yet asked.

    Args:
        error: What the last try brought.
        tries: How many there were, at least 1.
        endpoints: How many nodes the client knows.
    """
    retry_after_s = error.retry_after_s if isinstance(error, UnavailableError) else 0.0
    if tries < endpoints:
        return 0.0
    limit_s = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** (tries // endpoints - 1))
    spread_s = limit_s * (0.5 + random.random() / 2)  # noqa: S311 - spreads clients, hides nothing
    return max(retry_after_s, spread_s)


def given_up(error: QuorateError, tries: int, deadline_s: float) -> QuorateError:
    """The error for a caller whose time is over: the last one, with how hard it was tried."""
    if not isinstance(error, UnavailableError):
        return error
    word = "try" if tries == 1 else "tries"
    last = UnavailableError(
        error.code,
        f"{error.text} (given up after {tries} {word} in {deadline_s:g} s)",
        error.retry_after_s,
    )
    last.response = error.response
    return last
