"""Application: what a server requires of the API it serves, and middleware between the two.

A request is given to its application in one or two steps. If the body has not arrived with the
headers, `open_body` is called before any of it is read: it may refuse the request, limit the body,
or name a sink that takes it piece by piece. When the request is complete, `handle` is called. The
server catches what either raises, so that an error costs one answer and never the order of answers.

Middleware wraps an application in another one. It is composed once, when the server is made, and
every request passes it: the header cache saves parsing only.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from quorate.httpserver.ordering import Order
from quorate.httpserver.refusals import Refusal
from quorate.httpserver.request import Header, Request
from quorate.httpserver.sink import BodySink


class RequestHead(NamedTuple):
    """A request whose body has not arrived.

    Attributes:
        method: As it was sent.
        target: Path and query, not decoded.
        headers: Names as they were sent, values without space around them.
        body_bytes: The length of the body by its headers; 1 if they do not say it.
    """

    method: bytes
    target: bytes
    headers: Sequence[Header]
    body_bytes: int


class BodyPlan(NamedTuple):
    """How a body is received.

    Attributes:
        bytes_max: A longer body is refused as soon as that is known.
        sink: Takes the body as it arrives; None: it is kept in memory, as `Request.body`.
    """

    bytes_max: int
    sink: BodySink | None = None


class Application(Protocol):
    """An API. Called in the loop's thread; nothing here may block."""

    @property
    def remembered_body_bytes_max(self) -> int:
        """Whatever the request, a body of this length is accepted, in memory.

        `open_body` need not be called for it.
        """
        ...

    def open_body(self, head: RequestHead) -> BodyPlan:
        """Say how a body that is about to arrive is received.

        Raises:
            Exception: The request is refused: `refuse` answers it, and the body is not read.
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
        """Answer a complete request, now or later: `Request.answer`."""
        ...

    def refuse(self, request: Request, error: BaseException) -> None:
        """Answer a request that `open_body` or its sink has refused with this error."""
        ...

    def refuse_long(self, request: Request, length: int) -> None:
        """Answer a request whose body is too long: it has at least this length."""
        ...

    def refusal(self, reason: Refusal) -> bytes:
        """The whole answer to what the server itself refuses; see `refusals.plain`."""
        ...

    def on_fault(self, error: BaseException) -> None:
        """An error was raised that no request has caused; its request is answered, if any."""
        ...

    def tick(self) -> None:
        """A second has passed."""
        ...


Middleware = Callable[[Application], Application]
"""Wraps an application; see `Wrapper`."""


class Wrapper:
    """An application that delegates to another one. To be subclassed by middleware.

    Args:
        inner: The wrapped application.
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
    """An application behind its middleware, of which the first is called first."""
    for wrap in reversed(tuple(middleware)):
        application = wrap(application)
    return application
