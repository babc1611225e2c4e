"""Retry: which failures are tried again, after how long, and the error that is raised in the end.

RTY-1: a request that may have taken effect is not sent again, unless it is idempotent.
RTY-2: a request that was definitely not executed is tried again, at the next node, until the
    deadline, if the reason is temporary.
    A write that fails after it was sent again may have been executed by a try without a reply.
RTY-3: the reason that a node gave is kept: a missing reply at the deadline does not replace it.
RTY-4: a write that the deadline might interrupt carries the time that is left, so that a node
    without a leader withdraws it and replies with a definite error before the caller gives up.
RTY-5: if there is no reply from any address, and never was, or every node there was removed from
    its cluster, the call fails at once.
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

HOLD_S = 7.0  # so long a node holds a request without a leader, unless the request has a limit
HOLD_SLACK_S = 0.5
MARGIN_S = 1.0  # of the time left, for the reply to arrive; a quarter if that is less
LEAST_S = 0.5  # a write is not tried again with less: its reply might be too late
WAIT_SPREAD = 17 / 16  # nodes prolong the waits of blocking queries by up to a sixteenth

_TEMPORARY = frozenset(
    {"not_leader", "no_quorum", "overloaded", "read_only", "removed", "stopping", "unreachable"}
)
_MAY_HAPPEN = "; the write may have happened or may still happen"
_HINT = (
    "; start a node with `quorate agent -dev`, or give the address of one to the client or in "
    "CONSUL_HTTP_ADDR"
)


def may_repeat(error: QuorateError, request: ClientRequest) -> bool:
    """Whether to try again after this error."""
    if isinstance(error, OutcomeUnknownError):
        return request.is_repeatable
    return isinstance(error, UnavailableError) and error.code in _TEMPORARY


def error_of_failure(failure: ExchangeError, request: ClientRequest) -> QuorateError:
    """The error that the lack of a reply means."""
    text = f"{request.title}: {failure}"
    if failure.is_sent and not request.is_repeatable:
        return OutcomeUnknownError("outcome_unknown", text + _MAY_HAPPEN)
    return UnavailableError("unreachable", text)


def pause_s(error: QuorateError, tries: int, endpoints: int) -> float:
    """Seconds to wait before the next try: none while there are nodes that were not tried.

    Args:
        error: The result of the last try.
        tries: How many there were, at least 1.
        endpoints: How many nodes the client knows.
    """
    retry_after_s = error.retry_after_s if isinstance(error, UnavailableError) else 0.0
    if tries < endpoints:
        return 0.0
    limit_s = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(tries // endpoints - 1, 10))
    spread_s = limit_s * (0.5 + random.random() / 2)  # noqa: S311 - jitter, no secret
    return max(retry_after_s, spread_s)


def with_limit(request: ClientRequest, rest_s: float) -> ClientRequest:
    """The request as it is sent when only `rest_s` are left: with a limit if needed (RTY-4)."""
    if rest_s - request.wait_s * WAIT_SPREAD >= HOLD_S + HOLD_SLACK_S:
        return request
    left_s = max(rest_s, 0.0)
    return request.limited(left_s - min(MARGIN_S, left_s / 4))


class RetryState:
    """The failed tries of one call; made at the first failure.

    Args:
        request: The request.
        endpoints: How many nodes the client knows.
        begun_s: When the call began.
        until_s: Its deadline.
        failing_s_max: How long tries may go on failing, for calls whose successful tries are long.
    """

    def __init__(
        self,
        request: ClientRequest,
        endpoints: int,
        begun_s: float,
        until_s: float,
        failing_s_max: float,
    ) -> None:
        self.tries = 0
        self.request = request
        self.until_s = until_s
        self._endpoints = endpoints
        self._begun_s = begun_s
        self._failing_s_max = failing_s_max
        self._failing_s = begun_s
        self._reason: QuorateError | None = None
        self._may_be_done = False  # a try of a write may have taken effect
        self._futile: dict[Endpoint, str] = {}

    def is_temporary(self, reply: Reply) -> bool:
        """Whether the reason of an error reply is temporary, or may not hold at another node."""
        return may_repeat(error_of(reply, self.request), self.request)

    def next_try_after(
        self, outcome: Reply | ExchangeError, endpoint: Endpoint, try_begun_s: float, now_s: float
    ) -> float:
        """Seconds after which to try again.

        Args:
            outcome: The result of the last try: an error reply, or no reply.
            endpoint: The node that was tried.
            try_begun_s: When that try began.
            now_s: Now.

        Raises:
            QuorateError: There is no other try; the reason.
        """
        self.tries += 1
        error = self._error(outcome)
        if not may_repeat(error, self.request):
            raise self._final(error) from None
        self._note_futile(outcome, error, endpoint)
        if now_s - try_begun_s > self._failing_s_max:  # it did not fail at once
            self._failing_s = now_s
        wait_s = pause_s(error, self.tries, self._endpoints)
        end_s = min(self.until_s, self._failing_s + self._failing_s_max)
        if now_s + wait_s >= end_s or self._may_be_interrupted(outcome, end_s - now_s - wait_s):
            raise self._given_up(error, now_s) from None
        LOG.debug("try %d in %.3g s, after: %s", self.tries + 1, wait_s, error.text)
        return wait_s

    def _error(self, outcome: Reply | ExchangeError) -> QuorateError:
        if isinstance(outcome, ExchangeError):
            self._may_be_done |= self.request.is_write and outcome.is_sent
            return error_of_failure(outcome, self.request)
        error = error_of(outcome, self.request)
        has_no_code = error.code == "unreachable" and not outcome.header(b"X-Quorate-Error")
        is_unknown = has_no_code or isinstance(error, OutcomeUnknownError)
        self._may_be_done |= self.request.is_write and is_unknown
        if may_repeat(error, self.request):
            if self._reason is None:
                LOG.info("waiting: %s", error.text)
            self._reason = error
        return error

    def _note_futile(
        self, outcome: Reply | ExchangeError, error: QuorateError, endpoint: Endpoint
    ) -> None:
        """Raise if no address is left from which a reply may come (RTY-5)."""
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
                raise OutcomeUnknownError("outcome_unknown", text + _MAY_HAPPEN)
            code = "removed" if error.code == "removed" else "unreachable"
            raise UnavailableError(code, text + hint)

    def _may_be_interrupted(self, outcome: Reply | ExchangeError, rest_s: float) -> bool:
        """Whether another try of a write might make its known outcome unknown (RTY-3, RTY-4)."""
        if isinstance(outcome, ExchangeError) or self.request.is_repeatable:
            return False
        takes_limit = bool(outcome.header(b"X-Quorate-Error"))
        return rest_s < (LEAST_S if takes_limit else HOLD_S + HOLD_SLACK_S)

    def _final(self, error: QuorateError) -> QuorateError:
        """The error that ends the tries, with what is known of earlier ones."""
        if error.definite and self._may_be_done:
            text = f"{error.text}; an earlier try had no reply{_MAY_HAPPEN}"
        elif not error.definite and self._reason is not None:
            text = f"{error.text}; before that: {self._reason.text}"
        else:
            return error
        last = OutcomeUnknownError("outcome_unknown", text)
        last.response = error.response
        return last

    def _given_up(self, error: QuorateError, now_s: float) -> QuorateError:
        """The error at the deadline: the most informative reason, and the number of tries."""
        cause = error
        text = error.text
        if self._reason is not None and self._reason is not error:
            cause = self._reason
            text = f"{cause.text}; then: {error.text}"
        noun = "try" if self.tries == 1 else "tries"
        text += f" (given up after {self.tries} {noun} in {now_s - self._begun_s:.3g} s)"
        last: QuorateError
        if self._may_be_done:
            last = OutcomeUnknownError("outcome_unknown", text + _MAY_HAPPEN)
        elif isinstance(cause, UnavailableError):
            last = UnavailableError(cause.code, text, cause.retry_after_s)
        else:
            return error
        last.response = cause.response
        return last
