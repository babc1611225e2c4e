"""A request, and where its answer goes."""

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
"""A longer answer leaves in pieces of this size, each when the client took the one before it."""


class Owned(Protocol):
    """Something that must be closed."""

    def close(self) -> None:
        """Let it go."""
        ...


class Answerable(Protocol):
    """A connection, as far as its requests know it.

    Attributes:
        has_eof: The client sends no more, and may be gone: nobody would notice.
    """

    has_eof: bool

    def abort(self) -> None:
        """End it at once."""
        ...

    def finish(self, request: "Request", data: bytes, chunks: Iterator[Piece] | None) -> None:
        """Take the answer to a request."""
        ...

    def wants(self, request: "Request") -> bool:
        """Whether the answer to this request would leave at once."""
        ...

    def resume_writing(self) -> None:
        """Draw more of the answer that is leaving."""
        ...

    def postpone(self, request: "Request", step: Callable[[], None]) -> None:
        """Have a step done when the answer to this request is wanted."""
        ...

    def wait_for_memory(self) -> None:
        """Draw more of the answer that is leaving when a second has passed."""
        ...

    @property
    def is_spent(self) -> bool:
        """Whether so much is held for the client, or for all, that long answers are refused."""
        ...

    def hold(self, request: "Request", size: int) -> bool:
        """Count bytes as held for a request until it is answered; False if that is too much."""
        ...


class Request(msgspec.Struct, eq=False):
    """A whole request, and the place where its answer goes.

    A struct, for it is made once per request: that costs a third of what `__init__` would.

    Attributes:
        method: In capitals, as sent.
        target: Path and query, as sent.
        headers: Names as spelt, in order.
        body: Empty if there was none.
        is_lost: The client is gone; nobody will read the answer.
        began_s: When it was complete, by `time.monotonic`; None: it waited for a change.
        traffic: Where its answer is counted, once its route is known.
        data, chunks: The answer, as far as it has not left.
        size: What is held for it in memory, in bytes; see `budget`.
        sink: What took its body, if that is not in memory.
        needs_keep_alive: The answer must say that the connection stays.
        owned: See `own`.
        on_lost: Called if the client went before the answer; see `waits`.
        context: Who asks, and under which terms.
        order: What `Application.order_of` says, once it was asked.
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
        """More is known of who asks, and how."""
        self.context = context

    def note_order(self, order: T) -> T:
        """The worker knows how it relates to others; None: only that it began first."""
        self.order = order
        return order

    def waits(self, on_lost: Callable[[], None]) -> None:
        """It is answered when something changes: tell if the client goes before that.

        Who sends no more while it waits is taken for gone.
        """
        self.on_lost = on_lost
        self.began_s = None
        if self._connection.has_eof:
            self._connection.abort()

    def waits_no_more(self) -> None:
        """Nobody need be told if the client goes."""
        self.on_lost = None

    def ends_connection(self) -> None:
        """Its answer is the last one on its connection."""
        self.is_last = True

    @property
    def is_spent(self) -> bool:
        """Whether so much is held for this client, or for all, that a long answer is refused."""
        return self._connection.is_spent

    def wait_for_memory(self) -> None:
        """Have more of the answer drawn when a second has passed."""
        self._connection.wait_for_memory()

    def hold(self, size: int) -> bool:
        """Count bytes as held for this request until it is answered.

        For what a handler keeps while it waits or makes a long answer in pieces. Cost: an
        addition and a comparison; more only when the connection holds much.

        Returns:
            False, and nothing is counted: too much is held already; refuse with 429.
        """
        return self._connection.hold(self, size)

    def shed(self, answer_bytes: int) -> int:
        """Let go of what it carries: it is answered, and the answer has to wait.

        Returns:
            By how much its size has changed: it now holds that answer.
        """
        self.target = self.body = b""
        self.headers = ()
        before_bytes, self.size = self.size, REQUEST_BYTES + answer_bytes
        return self.size - before_bytes

    def own(self, owned: Owned) -> None:
        """Have something closed when the answer has left, or when nobody will get it.

        A handler that has not answered yet when the client goes may use it until it answers. What
        was owned before is not closed.
        """
        self.owned = owned

    def keep(self, sink: BodySink) -> None:
        """This has its body; closed like what it owns."""
        self.sink = sink
        self.own(sink)

    def release(self) -> None:
        """Close what is owned."""
        owned, self.owned = self.owned, None
        if owned is not None:
            owned.close()

    def is_wanted(self) -> bool:
        """Whether the client takes, and got all earlier answers: this one would leave at once."""
        return self._connection.wants(self)

    def postpone(self, step: Callable[[], None]) -> None:
        """Make the answer later, when it is wanted; never if the client goes before that.

        Answers that wait for their turn fill the memory, steps do not. A read loses nothing: later
        tables are as good.

        Args:
            step: Answers, as a handler does.
        """
        if not self.is_lost:
            self._connection.postpone(self, step)

    def lose(self) -> None:
        """The client has gone: whoever works on it learns of it, and no answer is kept."""
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
        """Give the whole answer; what comes after the first one, or too late, is dropped.

        Args:
            data: Status line, headers with Content-Length, and body.
            chunks: The body, or what is left of it, drawn as the client takes it. An empty one
                means that there is nothing yet: `go_on` draws again.
        """
        if self.is_lost:
            self.release()
        else:
            self._connection.finish(self, data, chunks)

    def go_on(self) -> None:
        """There is more of the answer."""
        if not self.is_lost and self._connection.wants(self):
            self._connection.resume_writing()

    def fitted(self, data: bytes) -> bytes:
        """An answer without a body for HEAD, and with the word that the connection owes, if any."""
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
