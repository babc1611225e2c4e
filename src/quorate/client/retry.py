"""Retry: which failures may be tried again, after how long, and what the caller is told at last.

RTY-1: what may have taken effect is not sent again, unless doing it twice is the same as once.
RTY-2: what surely did not happen is tried again, at the next node, until the deadline, if the
    reason is one that passes.
    What was sent again and at last given up may have been done by a try without an answer.
RTY-3: the reason that a node gave is not forgotten: silence at the deadline does not replace it.
RTY-4: a write that might be cut off by the deadline carries the time that is left, so that a node
    without a leader withdraws it and says so before the caller has gone.
RTY-5: when nothing answers at any address, and never has, or every node there was removed from its
    cluster, the caller is told at once.
"""

import random

from quorate.base.errors import OutcomeUnknownError, QuorateError, UnavailableError
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.failures import NOTHING_LISTENS
from quorate.client.log import LOG
from quorate.client.replies import Reply, error_of
from quorate.client.requests import ClientRequest

PAUSE_FIRST_S = 0.05  # a leader is elected within a second or so: first tries come soon
PAUSE_MAX_S = 1.0

HOLD_S = 7.0  # so long a node holds what finds no leader, unless told otherwise
HOLD_SLACK_S = 0.5
MARGIN_S = 1.0  # of the time left, for the way back; a quarter if that is less
LEAST_S = 0.5  # a write is not tried again with less: its answer might come too late
WAIT_SPREAD = 17 / 16  # nodes spread the ends of waits by a sixteenth

_PASSING = frozenset(
    {"not_leader", "no_quorum", "overloaded", "read_only", "removed", "stopping", "unreachable"}
)
_OPEN = "; the write may have happened or may still happen"
_HINT = (
    "; start a node with `quorate agent -dev`, or give the address of one to the client or in "
    "CONSUL_HTTP_ADDR"
)


def may_repeat(error: QuorateError, request: ClientRequest) -> bool:
    """Whether to try again after this error."""
    if isinstance(error, OutcomeUnknownError):
        return request.is_repeatable
    return isinstance(error, UnavailableError) and error.code in _PASSING


def error_of_failure(failure: ExchangeError, request: ClientRequest) -> QuorateError:
    """The error that the lack of a reply means."""
    text = f"{request.title}: {failure}"
    if failure.is_sent and not request.is_repeatable:
        return OutcomeUnknownError("outcome_unknown", text + _OPEN)
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
    limit_s = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(tries // endpoints - 1, 10))
    spread_s = limit_s * (0.5 + random.random() / 2)  # noqa: S311 - spreads clients, hides nothing
    return max(retry_after_s, spread_s)


def with_limit(request: ClientRequest, rest_s: float) -> ClientRequest:
    """The request as it is sent when only `rest_s` are left: with a limit if needed (RTY-4)."""
    if rest_s - request.wait_s * WAIT_SPREAD >= HOLD_S + HOLD_SLACK_S:
        return request
    left_s = max(rest_s, 0.0)
    return request.limited(left_s - min(MARGIN_S, left_s / 4))


class Trouble:
    """What has gone wrong in one call so far; made at its first failure.

    Args:
        request: What is asked for.
        endpoints: How many nodes the client knows.
        begun_s: When the call began.
        until_s: When its caller stops waiting.
        patience_s: How long tries may go on failing; for calls whose good tries take long.
    """

    def __init__(
        self,
        request: ClientRequest,
        endpoints: int,
        begun_s: float,
        until_s: float,
        patience_s: float,
    ) -> None:
        self.tries = 0
        self.request = request
        self.until_s = until_s
        self._endpoints = endpoints
        self._begun_s = begun_s
        self._patience_s = patience_s
        self._failing_s = begun_s
        self._reason: QuorateError | None = None
        self._may_be_done = False  # of a write: a try of it may have taken effect
        self._futile: dict[Endpoint, str] = {}

    def is_passing(self, reply: Reply) -> bool:
        """Whether a bad reply has a reason that passes, or that another node need not have."""
        return may_repeat(error_of(reply, self.request), self.request)

    def next_try_after(
        self, outcome: Reply | ExchangeError, endpoint: Endpoint, try_begun_s: float, now_s: float
    ) -> float:
        """Seconds after which to try again.

        Args:
            outcome: What the last try brought: a bad reply, or none.
            endpoint: Where it was tried.
            try_begun_s: When it began.
            now_s: Now.

        Raises:
            QuorateError: There will be no other try; it says why.
        """
        self.tries += 1
        error = self._error(outcome)
        if not may_repeat(error, self.request):
            raise self._with_reason(error) from None
        self._note_futile(outcome, error, endpoint)
        if now_s - try_begun_s > self._patience_s:  # it went well for long
            self._failing_s = now_s
        wait_s = pause_s(error, self.tries, self._endpoints)
        end_s = min(self.until_s, self._failing_s + self._patience_s)
        if now_s + wait_s >= end_s or self._may_be_cut_off(outcome, end_s - now_s - wait_s):
            raise self._given_up(error, now_s) from None
        LOG.debug("try %d in %.3g s, after: %s", self.tries + 1, wait_s, error.text)
        return wait_s

    def _error(self, outcome: Reply | ExchangeError) -> QuorateError:
        if isinstance(outcome, ExchangeError):
            self._may_be_done |= self.request.is_write and outcome.is_sent
            return error_of_failure(outcome, self.request)
        error = error_of(outcome, self.request)
        is_silent = error.code == "unreachable" and not outcome.header(b"X-Quorate-Error")
        is_open = is_silent or isinstance(error, OutcomeUnknownError)
        self._may_be_done |= self.request.is_write and is_open
        if may_repeat(error, self.request):
            if self._reason is None:
                LOG.info("waiting: %s", error.text)
            self._reason = error
        return error

    def _note_futile(
        self, outcome: Reply | ExchangeError, error: QuorateError, endpoint: Endpoint
    ) -> None:
        """Raise if no address is left at which a node may answer (RTY-5)."""
        if error.code == "removed":
            self._futile[endpoint] = error.text.removeprefix(f"{self.request.title}: ")
        elif isinstance(outcome, Reply) or not outcome.is_futile:
            self._futile.pop(endpoint, None)
            return
        else:
            self._futile[endpoint] = str(outcome)
        if len(self._futile) == self._endpoints:
            texts = "; ".join(self._futile.values())
            hint = _HINT if NOTHING_LISTENS in texts else ""
            text = f"{self.request.title}: {texts}"
            if self._may_be_done:
                raise OutcomeUnknownError("outcome_unknown", text + _OPEN)
            code = "removed" if error.code == "removed" else "unreachable"
            raise UnavailableError(code, text + hint)

    def _may_be_cut_off(self, outcome: Reply | ExchangeError, rest_s: float) -> bool:
        """Whether another try of a write could end as unknown, the reason known (RTY-3, RTY-4)."""
        if isinstance(outcome, ExchangeError) or self.request.is_repeatable:
            return False
        takes_limit = bool(outcome.header(b"X-Quorate-Error"))
        return rest_s < (LEAST_S if takes_limit else HOLD_S + HOLD_SLACK_S)

    def _with_reason(self, error: QuorateError) -> QuorateError:
        if self._reason is None or not isinstance(error, OutcomeUnknownError):
            return error
        last = OutcomeUnknownError(error.code, f"{error.text}; before that: {self._reason.text}")
        last.response = error.response
        return last

    def _given_up(self, error: QuorateError, now_s: float) -> QuorateError:
        """The error for a caller whose time is over: the best reason, and how hard it was tried."""
        told = error
        text = error.text
        if self._reason is not None and self._reason is not error:
            told = self._reason
            text = f"{told.text}; then: {error.text}"
        word = "try" if self.tries == 1 else "tries"
        text += f" (given up after {self.tries} {word} in {now_s - self._begun_s:.3g} s)"
        last: QuorateError
        if self._may_be_done:
            last = OutcomeUnknownError("outcome_unknown", text + _OPEN)
        elif isinstance(told, UnavailableError):
            last = UnavailableError(told.code, text, told.retry_after_s)
        else:
            return error
        last.response = told.response
        return last
