"""Scheduling: which of a connection's pipelined requests are handled now, and which later.

Which requests may be carried out at the same time is defined in `ordering`. A few bytes may request
a lot of work: the number of requests in progress is limited, none is begun while the client does
not read, and a long answer is made only when it is the next to be sent. Requests left over when the
time for one turn is used up are handled in turns that all connections share (`slices`).
"""

from collections import deque
from collections.abc import Callable, Iterable

from quorate.httpserver.listener import Listener
from quorate.httpserver.ordering import Order
from quorate.httpserver.request import Request
from quorate.httpserver.slices import TURN_S


class RequestScheduler:
    """Begins the requests of one connection, in order.

    Args:
        server: Handles requests.
        pending: Requests that are not answered yet, oldest first; kept by the connection.

    Attributes:
        is_full: The client does not read what is written: no request is begun.
    """

    __slots__ = (
        "_is_queued",
        "_is_working",
        "_order",
        "_pending",
        "_postponed",
        "_server",
        "_waiting",
        "is_full",
    )

    def __init__(self, server: Listener, pending: deque[Request]) -> None:
        self._server = server
        self._pending: deque[Request] = pending
        self._waiting: deque[Request] = deque()  # not begun yet
        self._postponed: dict[Request, Callable[[], None]] = {}  # the steps that make their answers
        self._order = Order.ALONE  # of the requests that have begun
        self._is_working = self._is_queued = False
        self.is_full = False

    def __bool__(self) -> bool:
        return bool(self._waiting or self._postponed)

    def add(self, requests: Iterable[Request]) -> None:
        """Add requests that were received; `go_on` begins them."""
        self._waiting.extend(requests)

    def postpone(self, request: Request, step: Callable[[], None]) -> None:
        """See `request.Answerable.postpone`."""
        self._postponed[request] = step

    def forget(self) -> None:
        """Begin nothing more: no further answer is sent."""
        self._pending = deque()
        for request in (*self._waiting, *self._postponed):  # nothing uses what they own
            request.release()
        self._waiting.clear()
        self._postponed.clear()

    def go_on(self) -> None:
        """Begin requests for at most `TURN_S`; the rest in later turns."""
        if self._is_working or self._is_queued:
            return
        self._is_working = True
        slices, end_s = self._server.slices, 0.0
        while self._one():
            if not (self._waiting or self._postponed):
                break
            if not end_s:  # a single request needs no reading of the clock
                end_s = slices.clock() + TURN_S
            elif slices.clock() >= end_s:
                self._is_queued = True
                slices.add(self._step)
                break
        self._is_working = False

    def _step(self) -> int:
        self._is_working = True
        try:
            self._is_queued = self._one() and bool(self)
        finally:
            self._is_working = False
        return self._is_queued

    def _one(self) -> bool:
        """Begin one request, or make one postponed answer; False if none may be."""
        pending, waiting, postponed = self._pending, self._waiting, self._postponed
        if not pending or self.is_full:
            return False
        if postponed and pending[0] in postponed:
            self._server.go_on(postponed.pop(pending[0]))
        elif waiting and self._may_begin(waiting[0]):
            self._server.handle(waiting.popleft())
        else:
            return False
        return True

    def _may_begin(self, request: Request) -> bool:
        """Whether the oldest request that has not begun may begin (ORD-1, ORD-2)."""
        pending, application = self._pending, self._server.application
        first = pending[0]
        if request is first:
            request.note_order(None)  # nothing else has begun
            return True
        if len(pending) - len(self._waiting) >= self._server.config.pipeline_max:
            return False
        if first.order is None:  # those that have begun begin with it
            self._order = first.note_order(application.order_of(first))
        order = request.note_order(application.order_of(request))
        if order is self._order and order is not Order.ALONE:
            return True
        if not application.is_unordered(request):
            return False
        self._order = Order.ALONE  # of several orders
        return True
