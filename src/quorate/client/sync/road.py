"""Road: a request's way to some node and back, within its deadline, over as many tries as it takes.

The good case is one line; everything else is in `_go_on`, and `quorate.client.retry` decides it.
"""

from quorate.client.arguments import seconds
from quorate.client.blocking import ClientTransport
from quorate.client.endpoints import Endpoint, Ring
from quorate.client.errors import ExchangeError
from quorate.client.log import LOG
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest, Lane
from quorate.client.retry import HOLD_S, HOLD_SLACK_S, Trouble, with_limit
from quorate.client.times import sleep

FOREVER = float("inf")


class Road:
    """What every part of the client calls.

    Args:
        ring: The nodes, and the one in use.
        transport: Connections to them.
        deadline_s: For calls that set none.
        attempt_s: How long a repeatable request waits for one node before it asks the next.
    """

    def __init__(
        self, ring: Ring, transport: ClientTransport, deadline_s: float, attempt_s: float
    ) -> None:
        self.deadline_s = deadline_s
        self.now_s = transport.now_s
        self._ring = ring
        self._transport = transport
        self._attempt_s = attempt_s

    def __repr__(self) -> str:
        return ", ".join(endpoint.name for endpoint in self._ring.endpoints)

    def call(
        self,
        request: ClientRequest,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        patience_s: float = FOREVER,
    ) -> Reply:
        """Have a request answered.

        Args:
            request: What to ask.
            deadline_s: Seconds from now after which the caller no longer waits; the client's own
                if None.
            attempt_s: How long one node may take if the request is repeatable; the client's
                own if None, and no limit for what has a connection of its own.
            patience_s: How long tries may go on failing, for requests whose good tries take long.

        Returns:
            A reply with status 200, or the other one that the request accepts.

        Raises:
            OutcomeUnknownError: Indefinite: a write was sent and no clear answer came.
            QuorateError: Definite: it surely did not happen.
        """
        wait_s = self.deadline_s if deadline_s is None else seconds("deadline_s", deadline_s)
        begun_s = self.now_s()
        until_s = begun_s + wait_s
        if not request.is_repeatable:
            first = request if wait_s >= HOLD_S + HOLD_SLACK_S else with_limit(request, wait_s)
            try_until_s = until_s
        else:
            try_s = self._attempt_of(request, attempt_s)
            # the first of several tries to read needs no limit: the next one brings the reason
            is_limited = request.is_write or try_s >= wait_s
            first = with_limit(request, min(try_s, wait_s)) if is_limited else request
            try_until_s = min(until_s, begun_s + try_s)
        endpoint = self._ring.current
        outcome: Reply | ExchangeError
        try:
            reply = self._transport.exchange(endpoint, first, try_until_s)
            if reply.status in (200, request.accepts):
                endpoint.has_answered = True
                return reply
            outcome = reply
        except ExchangeError as failure:  # whether that may be repeated is seen below
            outcome = failure
        trouble = Trouble(request, len(self._ring.endpoints), begun_s, until_s, patience_s)
        return self._go_on(trouble, outcome, endpoint, begun_s, attempt_s)

    def _go_on(
        self,
        trouble: Trouble,
        outcome: Reply | ExchangeError,
        endpoint: Endpoint,
        try_begun_s: float,
        attempt_s: float | None,
    ) -> Reply:
        """Try again, at the next node, until there is a reply; or raise."""
        request = trouble.request
        while True:
            wait_s = self._next(trouble, outcome, endpoint, try_begun_s)
            if wait_s:
                sleep(wait_s)
            endpoint = self._ring.current
            try_begun_s = self.now_s()
            rest_s = trouble.until_s - try_begun_s
            if request.is_repeatable:
                rest_s = min(rest_s, self._attempt_of(request, attempt_s))
            limited = with_limit(request, rest_s)
            try:
                reply = self._transport.exchange(endpoint, limited, try_begun_s + rest_s)
                if reply.status in (200, request.accepts):
                    endpoint.has_answered = True
                    LOG.info("%s answered after %d tries", endpoint.name, trouble.tries + 1)
                    return reply
                outcome = reply
            except ExchangeError as failure:  # likewise
                outcome = failure

    def _next(
        self,
        trouble: Trouble,
        outcome: Reply | ExchangeError,
        endpoint: Endpoint,
        try_begun_s: float,
    ) -> float:
        if isinstance(outcome, Reply):
            endpoint.has_answered = True
        is_left = isinstance(outcome, ExchangeError) or trouble.is_passing(outcome)
        if is_left and self._ring.leave(endpoint):
            LOG.warning("left %s for %s", endpoint.name, self._ring.current.name)
        return trouble.next_try_after(outcome, endpoint, try_begun_s, self.now_s())

    def _attempt_of(self, request: ClientRequest, attempt_s: float | None) -> float:
        if attempt_s is not None:
            return attempt_s
        return FOREVER if request.lane is Lane.ALONE else self._attempt_s
