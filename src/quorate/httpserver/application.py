"""Application: what a server needs of the API it serves, and what may stand between the two.

A request reaches its application in one or two steps. If a body comes that is not here with the
headers, `open_body` is asked before any of it is read: it may refuse the request, bound the body,
or name a sink that takes it piece by piece. When the request is whole, `handle` gets it. The server
catches what either raises, so that a fault costs one answer and never a connection's order.

Middleware wraps an application in another one. It is composed once, when the server is made, and
nothing passes it by: what the server remembers of header lines saves parsing alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from quorate.httpserver.ordering import Order
from quorate.httpserver.refusals import Refusal
from quorate.httpserver.request import Header, Request
from quorate.httpserver.sink import BodySink


class RequestHead(NamedTuple):
    """A request of which the body is still to come.

    Attributes:
        method: As it was sent.
        target: Path and query, not decoded.
        headers: Names as they were sent, values without space around them.
        body_bytes: What was said of the body's length; 1 if nothing was.
    """

    method: bytes
    target: bytes
    headers: Sequence[Header]
    body_bytes: int


class BodyPlan(NamedTuple):
    """What is to become of a body.

    Attributes:
        bytes_max: A longer one is refused, as soon as that shows.
        sink: Takes it while it comes; None: it is kept in memory, as `Request.body`.
    """

    bytes_max: int
    sink: BodySink | None = None


class Application(Protocol):
    """An API. Called in the loop's thread; nothing here may block."""

    @property
    def remembered_body_bytes_max(self) -> int:
        """Whatever the request, a body of this length is taken, in memory.

        `open_body` need not be asked for it.
        """
        ...

    def open_body(self, head: RequestHead) -> BodyPlan:
        """Say what becomes of a body that is about to come.

        Raises:
            Exception: The request is refused: `refuse` answers it, and none of the body is read.
        """
        ...

    def order_of(self, request: Request) -> Order:
        """Say which requests of its connection may be carried out at the same time as this one.

        Asked only if others are before or behind it. `SEQUENCED` may be said of a request if
        `handle` gives what it changes to one queue before it returns; a middleware that gives
        requests on later must not say it. `ordering.order_of_method` is always right.
        """
        ...

    def is_unordered(self, request: Request) -> bool:
        """Whether the client says that this request needs no order with others; often asked."""
        ...

    def handle(self, request: Request, /) -> None:
        """Answer a request that is whole, now or later: `Request.answer`."""
        ...

    def refuse(self, request: Request, error: BaseException) -> None:
        """Answer a request that cannot be taken: `open_body`, or its sink, says why."""
        ...

    def refuse_long(self, request: Request, length: int) -> None:
        """Answer a request whose body is too long: it has this length, or at least this one."""
        ...

    def refusal(self, reason: Refusal) -> bytes:
        """The whole answer to what the server refuses by itself; `refusals.plain` is one."""
        ...

    def on_fault(self, error: BaseException) -> None:
        """Something was raised that is no fault of a request; it was answered if it could be."""
        ...

    def tick(self) -> None:
        """A second has passed."""
        ...


Middleware = Callable[[Application], Application]
"""Wraps an application; see `Wrapper`."""


class Wrapper:
    """An application that asks another one. To be subclassed: a middleware changes what it must.

    Args:
        inner: The other one.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    @property
    def remembered_body_bytes_max(self) -> int:
        """See `Application`."""
        return self.inner.remembered_body_bytes_max

    def open_body(self, head: RequestHead) -> BodyPlan:
        """See `Application`."""
        return self.inner.open_body(head)

    def order_of(self, request: Request) -> Order:
        """See `Application`."""
        return self.inner.order_of(request)

    def is_unordered(self, request: Request) -> bool:
        """See `Application`."""
        return self.inner.is_unordered(request)

    def handle(self, request: Request, /) -> None:
        """See `Application`."""
        self.inner.handle(request)

    def refuse(self, request: Request, error: BaseException) -> None:
        """See `Application`."""
        self.inner.refuse(request, error)

    def refuse_long(self, request: Request, length: int) -> None:
        """See `Application`."""
        self.inner.refuse_long(request, length)

    def refusal(self, reason: Refusal) -> bytes:
        """See `Application`."""
        return self.inner.refusal(reason)

    def on_fault(self, error: BaseException) -> None:
        """See `Application`."""
        self.inner.on_fault(error)

    def tick(self) -> None:
        """See `Application`."""
        self.inner.tick()


def composed(application: Application, middleware: Iterable[Middleware]) -> Application:
    """An application behind its middleware, of which the first is asked first."""
    for wrap in reversed(tuple(middleware)):
        application = wrap(application)
    return application
