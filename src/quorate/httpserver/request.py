"""A request, and the connection that sends its answer."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Protocol, TypeVar

import msgspec

from quorate.base.context import PLAIN, RequestContext
from quorate.httpserver.budget import REQUEST_BYTES
from quorate.httpserver.ordering import Order
from quorate.httpserver.sink import BodySink
from quorate.httpserver.traffic import RouteTraffic

Header = tuple[bytes, bytes]
T = TypeVar("T", Order, None)
Piece = bytes | memoryview

PIECE_BYTES = 64 * 1024
"""A longer answer is sent in pieces of this size, each when the client has read the one before."""


class Owned(Protocol):
    """Something that must be closed."""

    def close(self) -> None:
        """Release what it holds."""
        ...


class Answerable(Protocol):
    """A connection, as far as its requests know it."""

    def on_wait(self) -> None:
        """One of its requests has begun to wait for a change."""
        ...

    def finish(self, request: "Request", data: bytes, chunks: Iterator[Piece] | None) -> None:
        """Take the answer to a request."""
        ...

    def wants(self, request: "Request") -> bool:
        """Whether the answer to this request would be sent at once."""
        ...

    def resume_writing(self) -> None:
        """Write more of the answer that is being sent."""
        ...

    def postpone(self, request: "Request", step: Callable[[], None]) -> None:
        """Run a step when the answer to this request is the next to be sent."""
        ...

    def wait_for_memory(self) -> None:
        """Write more of the answer that is being sent after about a second."""
        ...

    @property
    def is_spent(self) -> bool:
        """Whether a memory limit is reached: long answers are refused."""
        ...

    @property
    def host(self) -> str:
        """The address of the client; "" if it has none, as on a Unix socket."""
        ...

    def hold(self, request: "Request", size: int) -> bool:
        """Count bytes as held for a request until it is answered; False: beyond the limit."""
        ...


class Request(msgspec.Struct, eq=False):
    """A complete request, which takes its answer.

    A struct, as one is made per request: that costs a third of what `__init__` would.

    Attributes:
        method: As sent.
        target: Path and query, as sent.
        headers: Names as sent, in order.
        body: Empty if there was none.
        is_lost: The connection has ended; the answer cannot be sent.
        began_s: When it was complete, by `time.monotonic`; None: it waited for a change.
        traffic: Where its answer is counted, once its route is known.
        data, chunks: The part of the answer that is not sent.
        size: What is held for it in memory, in bytes; see `budget`.
        sink: Has taken its body, if that is not in memory.
        needs_keep_alive: The answer must say that the connection stays open.
        owned: See `own`.
        on_lost: Called if the connection ends before the answer; see `begin_wait`.
        context: The principal, and the terms of the request.
        order: The result of `Application.order_of`, once it was called.
    """

    _connection: Answerable
    method: bytes
    target: bytes
    headers: Sequence[Header]
    body: bytes
    is_last: bool
    size: int = 0
    began_s: float | None = msgspec.field(default_factory=monotonic)
    traffic: RouteTraffic | None = None
    is_lost: bool = False
    needs_keep_alive: bool = False
    sink: BodySink | None = None
    owned: Owned | None = None
    data: bytes | None = None
    chunks: Iterator[Piece] | None = None
    on_lost: Callable[[], None] | None = None
    context: RequestContext = PLAIN
    order: Order | None = None

    def set_context(self, context: RequestContext) -> None:
        """Replace the context: more is known of the request."""
        self.context = context

    def set_route(self, traffic: RouteTraffic | None, context: RequestContext) -> None:
        """Its route is known: where its answer is counted, and the context that it has there."""
        self.traffic = traffic
        self.context = context

    def note_order(self, order: T) -> T:
        """Note its order; None: it is the first one in progress, so its order is not needed yet."""
        self.order = order
        return order

    def begin_wait(self, on_lost: Callable[[], None]) -> None:
        """Register that it is answered when something changes.

        If the client ends its side of the connection, or the server stops, the connection ends.

        Args:
            on_lost: Called if the connection ends before the answer.
        """
        self.on_lost = on_lost
        self.began_s = None
        self._connection.on_wait()

    def end_wait(self) -> None:
        """End the registration of `begin_wait`."""
        self.on_lost = None

    def ends_connection(self) -> None:
        """Its answer is the last one on its connection."""
        self.is_last = True

    @property
    def is_spent(self) -> bool:
        """Whether the memory limit of the client, or of all, is reached."""
        return self._connection.is_spent

    @property
    def host(self) -> str:
        """The address of the client; "" if it has none, as on a Unix socket."""
        return self._connection.host

    def wait_for_memory(self) -> None:
        """Have more of the answer written after about a second."""
        self._connection.wait_for_memory()

    def hold(self, size: int) -> bool:
        """Count bytes as held for this request until it is answered.

        For what a handler keeps while it waits or makes a long answer in pieces. Cost: an
        addition and a comparison; more only when the connection holds much.

        Returns:
            False, and nothing is counted: the limit is reached; refuse with 429.
        """
        return self._connection.hold(self, size)

    def drop_content(self, answer_bytes: int) -> int:
        """Drop its headers and body: it is answered, and the answer has to wait.

        Returns:
            By how much its size has changed: it now counts the answer.
        """
        self.target = self.body = b""
        self.headers = ()
        before_bytes, self.size = self.size, REQUEST_BYTES + answer_bytes
        return self.size - before_bytes

    def own(self, owned: Owned) -> None:
        """Have something closed when the answer is sent, or can never be sent.

        A handler that has not answered yet when the connection ends may use it until it answers.
        What was owned before is not closed.
        """
        self.owned = owned

    def keep(self, sink: BodySink) -> None:
        """Keep the sink that has its body; it is closed like what it owns."""
        self.sink = sink
        self.own(sink)

    def release(self) -> None:
        """Close what it owns."""
        owned, self.owned = self.owned, None
        if owned is not None:
            owned.close()

    def is_wanted(self) -> bool:
        """Whether its answer would be sent at once: earlier ones are sent, and the client reads."""
        return self._connection.wants(self)

    def postpone(self, step: Callable[[], None]) -> None:
        """Make the answer when it is the next to be sent; never if the connection ends before.

        Answers that wait for earlier ones take memory, steps do not. A read may be evaluated later:
        newer tables satisfy it, too.

        Args:
            step: Answers, as a handler does.
        """
        if not self.is_lost:
            self._connection.postpone(self, step)

    def lose(self) -> None:
        """The connection has ended: tell the handler, and keep no answer."""
        self.is_lost = True
        if self.data is not None:
            self.release()
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()
        self.chunks = None  # may refer to this

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its name in lower case; None if absent."""
        length = len(name)
        for other, value in self.headers:
            if len(other) == length and other.lower() == name:
                return value
        return None

    def answer(self, data: bytes, chunks: Iterator[Piece] | None = None) -> None:
        """Give the whole answer; a second one, or one after the connection has ended, is dropped.

        Args:
            data: Status line, headers with Content-Length, and body.
            chunks: The body, or its rest, made as the client reads it. An empty chunk means that
                none is available yet: call `go_on` when one is.
        """
        if self.is_lost:
            self.release()
        else:
            self._connection.finish(self, data, chunks)

    def go_on(self) -> None:
        """More of the answer is available."""
        if not self.is_lost and self._connection.wants(self):
            self._connection.resume_writing()

    def fitted(self, data: bytes) -> bytes:
        """The answer without a body for HEAD, and with the `Connection` header that it needs."""
        if self.method == b"HEAD":
            data = data[: data.index(b"\r\n\r\n") + 4]
        if self.is_last and b"\r\nConnection: close\r\n" not in data[:512]:
            return data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        if self.needs_keep_alive and not self.is_last:
            return data.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1)
        return data


def pieces(data: bytes) -> Iterator[Piece]:
    """A long answer in pieces; they are views of it, not copies."""
    view = memoryview(data)
    for place in range(0, len(data), PIECE_BYTES):
        yield view[place : place + PIECE_BYTES]
