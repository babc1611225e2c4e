"""Road: a request's way to some node and back, within its deadline, over as many tries as it takes.

The good case is one line; everything else is in `_on_trouble`.
"""

from quorate.base.errors import QuorateError
from quorate.client.endpoints import Endpoint, Ring
from quorate.client.errors import ExchangeError
from quorate.client.replies import Reply, error_of
from quorate.client.requests import Lane, Request
from quorate.client.retry import error_of_failure, given_up, may_repeat, pause_s
from quorate.client.times import async_sleep
from quorate.client.transport import AsyncTransport


class AsyncRoad:
    """What every part of the client calls.

    Args:
        ring: The nodes, and the one in use.
        transport: Connections to them.
        deadline_s: For calls that set none.
        attempt_s: How long a repeatable request waits for one node before it asks the next.
    """

    def __init__(
        self, ring: Ring, transport: AsyncTransport, deadline_s: float, attempt_s: float
    ) -> None:
        self.deadline_s = deadline_s
        self.now_s = transport.now_s
        self._ring = ring
        self._transport = transport
        self._attempt_s = attempt_s

    async def call(
        self, request: Request, deadline_s: float | None = None, attempt_s: float | None = None
    ) -> Reply:
        """Have a request answered.

        Args:
            request: What to ask.
            deadline_s: Seconds from now after which the caller no longer waits.
            attempt_s: How long one node may take if the request is repeatable; the client's
                own if None, and no limit for what has a connection of its own.

        Returns:
            A reply with status 200, or the other one that the request accepts.

        Raises:
            OutcomeUnknownError: Indefinite: a write was sent and no clear answer came.
            QuorateError: Definite: it surely did not happen.
        """
        wait_s = self.deadline_s if deadline_s is None else deadline_s
        until_s = begun_s = self.now_s()
        until_s += wait_s
        tries = 0
        while True:
            endpoint = self._ring.current
            try_until_s = until_s
            if request.is_repeatable:
                try_s = self._attempt_s if request.lane is not Lane.ALONE else until_s
                if attempt_s is not None:
                    try_s = attempt_s
                try_until_s = min(until_s, self.now_s() + try_s)
            failure: ExchangeError | None = None
            try:
                reply = await self._transport.exchange(endpoint, request, try_until_s)
                if reply.status in (200, request.accepts):
                    return reply
                error = error_of(reply, request)
            except ExchangeError as caught:  # no reply: whether that may be repeated is seen below
                failure = caught
                error = error_of_failure(caught, request)
            tries += 1
            await self._go_on(error, failure, request, endpoint, tries, begun_s, until_s)

    async def _go_on(
        self,
        error: QuorateError,
        failure: ExchangeError | None,
        request: Request,
        endpoint: Endpoint,
        tries: int,
        begun_s: float,
        until_s: float,
    ) -> None:
        """Wait for the next try, at the next node; or raise if there is none."""
        is_passing = may_repeat(error, request)
        if is_passing or failure is not None:
            self._ring.leave(endpoint)
        if not is_passing:
            raise error from failure
        rest_s = until_s - self.now_s()
        wait_s = pause_s(error, tries, len(self._ring.endpoints))
        if wait_s >= rest_s:
            raise given_up(error, tries, self.now_s() - begun_s) from failure
        if wait_s:
            await async_sleep(wait_s)
