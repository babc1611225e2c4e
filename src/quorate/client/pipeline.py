"""Pipeline: one connection on which requests follow each other without waiting for replies.

Replies come in the order of the requests. What is asked for within one turn of the loop leaves
in one write, and a node's replies of one turn come back in one read: with many callers the
system calls, the dearest part, are shared.

PIP-1: a request is *sent* from the moment its bytes go to the transport; before that, its failure
    is definite.
PIP-2: a caller who gave up leaves a ghost in the row, for its reply still comes.
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
    """A request on its way, and who waits for the reply."""

    __slots__ = ("begun_s", "future", "request", "until_s")

    def __init__(
        self, request: ClientRequest, future: asyncio.Future[Reply], begun_s: float, until_s: float
    ) -> None:
        self.request = request
        self.future = future
        self.begun_s = begun_s
        self.until_s = until_s


class Pipe(asyncio.Protocol):
    """One connection; also from before it is made, so that calls can queue.

    Args:
        endpoint: Where it leads.
        host_lines: Header lines of every request.
        loop: The loop it lives on.
        ended: Called once, when nothing more can be sent on it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        host_lines: bytes,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[["Pipe"], None],
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
        """How many calls are in the row."""
        return len(self._unsent) + len(self._sent)

    def submit(self, request: ClientRequest, until_s: float) -> asyncio.Future[Reply]:
        """Put a request into the row.

        Args:
            request: What to send.
            until_s: The loop's time at which the caller stops waiting.

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
        """Let go of callers whose time is over.

        Returns:
            The time at which the next one's will be; infinity if nobody waits.
        """
        if any(call.until_s <= now_s for call in self._unsent):
            late = [call for call in self._unsent if call.until_s <= now_s]
            self._unsent = [call for call in self._unsent if call.until_s > now_s]
            for call in late:
                why = "no connection in time" if self._transport is None else "not sent in time"
                self._fail(call, f"{self.name}: {why}", is_sent=False)
        next_s = min((call.until_s for call in self._unsent), default=INFINITY)
        for call in self._sent:
            if call.future.done():
                continue
            if call.until_s <= now_s:
                waited_s = now_s - call.begun_s
                self._fail(call, f"{self.name}: no reply within {waited_s:.3g} s", is_sent=True)
            else:
                next_s = min(next_s, call.until_s)
        return next_s

    def is_dead(self, now_s: float, stall_s: float) -> bool:
        """Whether only ghosts are left and the node has been silent for too long."""
        return (
            not self._unsent
            and self.head_age_s(now_s) > stall_s
            and all(call.future.done() for call in self._sent)
        )

    def head_age_s(self, now_s: float) -> float:
        """For how long the oldest call in the row has waited; 0 if there is none.

        Replies before it have come, so this is how long the node has said nothing to it.
        """
        if self._sent:
            return now_s - max(self._sent[0].begun_s, self.used_s)
        return now_s - self._unsent[0].begun_s if self._unsent else 0.0

    # --- ends ---------------------------------------------------------------------------------

    def abort(self, why: str) -> None:
        """Drop the connection and fail what is in the row."""
        if self._transport is not None:
            self._transport.abort()
        self.fail(why)

    def fail(self, why: str) -> None:
        """Fail what is in the row; nothing can be sent any more."""
        self.fail_with(ExchangeError(f"{self.name}: {why}", is_sent=True))

    def fail_with(self, failure: ExchangeError) -> None:
        """Fail what is in the row; what was not sent yet fails definitely, whatever happened."""
        self._close()
        unsent, self._unsent = self._unsent, []
        sent, self._sent = self._sent, deque()
        for call in sent:
            self._settle(call, failure)
        if unsent:
            unheard = ExchangeError(str(failure), is_sent=False, is_futile=failure.is_futile)
            for call in unsent:
                self._settle(call, unheard)

    def close_copy(self) -> None:
        """In a child after a fork: close our copy of the descriptor; the parent uses its own."""
        transport = self._transport
        if transport is not None and (taken := transport.get_extra_info("socket")) is not None:
            close_copy(taken.fileno())

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._ended(self)

    def _fail(self, call: PendingRequest, text: str, *, is_sent: bool) -> None:
        self._settle(call, ExchangeError(text, is_sent=is_sent))

    def _settle(self, call: PendingRequest, failure: ExchangeError) -> None:
        if not call.future.done():
            call.future.set_exception(
                ExchangeError(str(failure), is_sent=failure.is_sent, is_futile=failure.is_futile)
            )  # one each: whoever raises it gives it a traceback

    # --- called by the loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what has queued up."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        if not self.is_open:  # its callers have not waited for it
            self._transport.abort()
            return
        self._flush()

    def pause_writing(self) -> None:
        """Keep requests back: what is not sent fails definitely."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Send what was kept back."""
        self._is_paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Read replies."""
        self.used_s = self._loop.time()
        try:
            self._reader.feed(data)
        except PeerError as error:  # the connection cannot be understood any more; others can
            if not self._reader.is_foreign:
                self.abort(error.text)
                return
            if self._transport is not None:
                self._transport.abort()
            self.fail_with(foreign_service(self._endpoint, self._reader.first))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody in the row."""
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
