"""Pipeline: one connection on which requests are sent without waiting for earlier replies.

Replies arrive in the order of the requests. The requests of one iteration of the event loop are
sent by one write, and the replies that a node sends together are received by one read: with many
callers the system calls, which cost most, are shared.

PIP-1: a request counts as *sent* once its bytes are given to the transport; before that, its
    failure is definite.
PIP-2: an abandoned request keeps its place in the queue, because its reply still arrives.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from quorate.base.errors import PeerError
from quorate.client.endpoints import Endpoint
from quorate.client.errors import ExchangeError
from quorate.client.failures import foreign_service, silent_close
from quorate.client.forks import close_copy
from quorate.client.replies import Reply, ReplyReader
from quorate.client.requests import ClientRequest, encode

INFINITY = float("inf")


class PendingRequest:
    """A request in flight, and the future of its reply."""

    __slots__ = ("begun_s", "future", "request", "until_s")

    def __init__(
        self, request: ClientRequest, future: asyncio.Future[Reply], begun_s: float, until_s: float
    ) -> None:
        self.request = request
        self.future = future
        self.begun_s = begun_s
        self.until_s = until_s


class PooledConnection(asyncio.Protocol):
    """One connection; it takes requests before it is established, too.

    Args:
        endpoint: The node.
        host_lines: Header lines of every request.
        loop: The event loop that it belongs to.
        ended: Called once, when nothing more can be sent on it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        host_lines: bytes,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[["PooledConnection"], None],
    ) -> None:
        self.name = endpoint.name
        self.is_open = True
        self.used_s = loop.time()
        self._endpoint = endpoint
        self._host_lines = host_lines
        self._loop = loop
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._is_flush_due = False
        self._unsent: list[PendingRequest] = []
        self._sent: deque[PendingRequest] = deque()
        self._reader = ReplyReader(self._on_reply, self._on_reply_begun)

    @property
    def load(self) -> int:
        """How many requests are in the queue, abandoned ones included."""
        return len(self._unsent) + len(self._sent)

    def submit(self, request: ClientRequest, until_s: float) -> asyncio.Future[Reply]:
        """Put a request into the queue.

        Args:
            request: The request.
            until_s: Its deadline, by the clock of the event loop.

        Returns:
            A future of the reply, whatever its status; or of ExchangeError.
        """
        loop = self._loop
        future: asyncio.Future[Reply] = loop.create_future()
        self._unsent.append(PendingRequest(request, future, loop.time(), until_s))
        if not self._is_flush_due and self._transport is not None and not self._is_paused:
            self._is_flush_due = True
            loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._transport is None or self._is_paused or not self._unsent or not self.is_open:
            return
        calls = [call for call in self._unsent if not call.future.done()]
        self._unsent = []
        self._sent.extend(calls)
        host_lines = self._host_lines
        self._transport.write(b"".join([encode(call.request, host_lines) for call in calls]))

    # --- time ---------------------------------------------------------------------------------

    def expire(self, now_s: float) -> float:
        """Fail the requests whose deadline is over.

        Returns:
            The next deadline; infinity if there is none.
        """
        if any(call.until_s <= now_s for call in self._unsent):
            late = [call for call in self._unsent if call.until_s <= now_s]
            self._unsent = [call for call in self._unsent if call.until_s > now_s]
            for call in late:
                why = "no connection in time" if self._transport is None else "not sent in time"
                self._fail_call(call, ExchangeError(f"{self.name}: {why}", is_sent=False))
        next_s = min((call.until_s for call in self._unsent), default=INFINITY)
        for call in self._sent:
            if call.future.done():
                continue
            if call.until_s <= now_s:
                waited_s = now_s - call.begun_s
                self._fail_call(
                    call,
                    ExchangeError(f"{self.name}: no reply within {waited_s:.3g} s", is_sent=True),
                )
            else:
                next_s = min(next_s, call.until_s)
        return next_s

    def is_dead(self, now_s: float, stall_s: float) -> bool:
        """Whether only abandoned requests are left, and nothing was received for too long."""
        return (
            not self._unsent
            and self.head_age_s(now_s) > stall_s
            and all(call.future.done() for call in self._sent)
        )

    def head_age_s(self, now_s: float) -> float:
        """For how long the oldest request in the queue has waited; 0 if there is none.

        The replies before it have arrived, so its own has been due for so long.
        """
        if self._sent:
            return now_s - max(self._sent[0].begun_s, self.used_s)
        return now_s - self._unsent[0].begun_s if self._unsent else 0.0

    # --- ends ---------------------------------------------------------------------------------

    def abort(self, why: str) -> None:
        """Drop the connection and fail the requests in the queue."""
        if self._transport is not None:
            self._transport.abort()
        self.fail(why)

    def fail(self, why: str) -> None:
        """Fail the requests in the queue; nothing can be sent any more."""
        self.fail_with(ExchangeError(f"{self.name}: {why}", is_sent=True))

    def fail_with(self, failure: ExchangeError) -> None:
        """Fail the requests in the queue; those that were not sent fail definitely."""
        self._close()
        unsent, self._unsent = self._unsent, []
        sent, self._sent = self._sent, deque()
        for call in sent:
            self._fail_call(call, failure)
        if unsent:
            definite = ExchangeError(str(failure), is_sent=False, is_futile=failure.is_futile)
            for call in unsent:
                self._fail_call(call, definite)

    def close_copy(self) -> None:
        """In a child after a fork: close our copy of the descriptor; the parent uses its own."""
        transport = self._transport
        if transport is not None and (taken := transport.get_extra_info("socket")) is not None:
            close_copy(taken.fileno())

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._ended(self)

    def _fail_call(self, call: PendingRequest, failure: ExchangeError) -> None:
        if not call.future.done():
            call.future.set_exception(
                ExchangeError(str(failure), is_sent=failure.is_sent, is_futile=failure.is_futile)
            )  # one each: raising it sets its traceback

    # --- called by the loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the requests in the queue."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        if not self.is_open:  # all requests have failed meanwhile
            self._transport.abort()
            return
        self._flush()

    def pause_writing(self) -> None:
        """Send no more requests: those that are not sent fail definitely."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Send the requests that have waited."""
        self._is_paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Parse replies."""
        self.used_s = self._loop.time()
        try:
            self._reader.feed(data)
        except PeerError as error:  # this connection cannot be parsed any more; others can
            if not self._reader.is_foreign:
                self.abort(error.text)
                return
            if self._transport is not None:
                self._transport.abort()
            self.fail_with(foreign_service(self._endpoint, self._reader.first))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the requests in the queue."""
        self._transport = None
        why = f"the connection was lost ({exc})" if exc else "the node closed the connection"
        if self._reader.is_http or not self.is_open:
            self.fail(why)
        else:
            self.fail_with(silent_close(self._endpoint, why))

    def _on_reply_begun(self, status: int) -> Callable[[bytes], object] | None:
        return self._sent[0].request.open_sink(status) if self._sent else None

    def _on_reply(self, reply: Reply, is_reusable: bool) -> None:
        if not self._sent:
            raise PeerError("remote", "a reply to no request")
        future = self._sent.popleft().future
        if not future.done():
            future.set_result(reply)
        if not is_reusable and self._transport is not None:
            self._close()
            self._transport.close()
