"""Requester: gets a reply to a request within its deadline, from some node, in one or more tries.

The successful first try is in `call`; further ones are in `_retry`, and `quorate.client.retry`
decides about them.
"""

from quorate.client.arguments import seconds
from quorate.client.endpoints import Endpoint, EndpointList
from quorate.client.errors import ExchangeError
from quorate.client.log import LOG
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest, Lane
from quorate.client.retry import HOLD_S, HOLD_SLACK_S, RetryState, with_limit
from quorate.client.times import async_sleep
from quorate.client.transport import AsyncClientTransport

FOREVER = float("inf")


class AsyncRequester:
    """Executes the requests of all parts of the client.

    Args:
        endpoint_list: The nodes, and the one in use.
        transport: Connections to them.
        deadline_s: For calls that set none.
        attempt_s: How long a repeatable request waits for one node before the next is tried.
    """

    def __init__(
        self,
        endpoint_list: EndpointList,
        transport: AsyncClientTransport,
        deadline_s: float,
        attempt_s: float,
    ) -> None:
        self.deadline_s = deadline_s
        self.now_s = transport.now_s
        self._endpoint_list = endpoint_list
        self._transport = transport
        self._attempt_s = attempt_s

    def __repr__(self) -> str:
        return ", ".join(endpoint.name for endpoint in self._endpoint_list.endpoints)

    async def call(
        self,
        request: ClientRequest,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        failing_s_max: float = FOREVER,
    ) -> Reply:
        """Execute a request.

        Args:
            request: The request.
            deadline_s: Seconds from now; the client's own if None.
            attempt_s: How long one node may take if the request is repeatable; if None, the
                client's own, and without limit for a request with a connection of its own.
            failing_s_max: How long tries may go on failing, for requests whose successful tries
                are long.

        Returns:
            A reply with status 200, or the other one that the request accepts.

        Raises:
            OutcomeUnknownError: Indefinite: a write was sent and no definite reply came.
            QuorateError: Definite: it was not executed.
        """
        wait_s = self.deadline_s if deadline_s is None else seconds("deadline_s", deadline_s)
        begun_s = self.now_s()
        until_s = begun_s + wait_s
        if not request.is_repeatable:
            first = request if wait_s >= HOLD_S + HOLD_SLACK_S else with_limit(request, wait_s)
            try_until_s = until_s
        else:
            try_s = self._attempt_of(request, attempt_s)
            # the first of several tries of a read needs no limit: the next one shows the reason
            is_limited = request.is_write or try_s >= wait_s
            first = with_limit(request, min(try_s, wait_s)) if is_limited else request
            try_until_s = min(until_s, begun_s + try_s)
        endpoint = self._endpoint_list.current
        outcome: Reply | ExchangeError
        try:
            reply = await self._transport.exchange(endpoint, first, try_until_s)
            if reply.status in (200, request.accepts):
                endpoint.has_answered = True
                return reply
            outcome = reply
        except ExchangeError as failure:  # whether it may be repeated is decided below
            outcome = failure
        retries = RetryState(
            request, len(self._endpoint_list.endpoints), begun_s, until_s, failing_s_max
        )
        return await self._retry(retries, outcome, endpoint, begun_s, attempt_s)

    async def _retry(
        self,
        retries: RetryState,
        outcome: Reply | ExchangeError,
        endpoint: Endpoint,
        try_begun_s: float,
        attempt_s: float | None,
    ) -> Reply:
        """Try again, at the next node, until there is a successful reply; or raise."""
        request = retries.request
        while True:
            wait_s = self._next(retries, outcome, endpoint, try_begun_s)
            if wait_s:
                await async_sleep(wait_s)
            endpoint = self._endpoint_list.current
            try_begun_s = self.now_s()
            rest_s = retries.until_s - try_begun_s
            if request.is_repeatable:
                rest_s = min(rest_s, self._attempt_of(request, attempt_s))
            limited = with_limit(request, rest_s)
            try:
                reply = await self._transport.exchange(endpoint, limited, try_begun_s + rest_s)
                if reply.status in (200, request.accepts):
                    endpoint.has_answered = True
                    LOG.info("%s answered after %d tries", endpoint.name, retries.tries + 1)
                    return reply
                outcome = reply
            except ExchangeError as failure:  # likewise
                outcome = failure

    def _next(
        self,
        retries: RetryState,
        outcome: Reply | ExchangeError,
        endpoint: Endpoint,
        try_begun_s: float,
    ) -> float:
        if isinstance(outcome, Reply):
            endpoint.has_answered = True
        is_left = isinstance(outcome, ExchangeError) or retries.is_temporary(outcome)
        if is_left and self._endpoint_list.leave(endpoint):
            LOG.warning("left %s for %s", endpoint.name, self._endpoint_list.current.name)
        return retries.next_try_after(outcome, endpoint, try_begun_s, self.now_s())

    def _attempt_of(self, request: ClientRequest, attempt_s: float | None) -> float:
        if attempt_s is not None:
            return attempt_s
        return FOREVER if request.lane is Lane.EXCLUSIVE else self._attempt_s
