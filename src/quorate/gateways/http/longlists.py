"""Long lists: looked through and sent in slices, from one state of the tables.

A list that a turn can make is made as ever, with the exact index of its newest change. A longer one
is told with the index of the newest change of any key, which is not lower; a reader that waits with
it misses nothing. Whether something changed since the index that a reader brought is found out in
slices, too, while a watch is set already.
"""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import msgspec

from quorate.base.answers import Answer
from quorate.gateways.http.context import Context
from quorate.gateways.http.heldtables import Held, guarded, hold
from quorate.gateways.http.streams import HERE, Batch, Member, send_list
from quorate.httpserver.request import Request
from quorate.httpserver.slices import LATER
from quorate.kv.queries import BATCH_BYTES, LIST_BYTES, LongList, batches, changes
from quorate.machine.queries import Reader

T = TypeVar("T")

Found = Callable[[int], None]
"""Gets the index of the newest change."""


class Search:
    """Looks in slices for the newest change of a long list.

    Args:
        context: Of the gateway.
        request: Whose.
        long: Which list.
        is_enough: An index above this is enough to know.
        found: Called with the newest change.
    """

    def __init__(
        self, context: Context, request: Request, long: LongList, is_enough: int, found: Found
    ) -> None:
        self._context = context
        self._request = request
        self._long = long
        self._is_enough = is_enough
        self._found = found
        self._held: Held | None = None
        self._changes: Iterator[int] | None = None
        self._newest = 0
        self._is_over = False
        context.shared.slices.add(self._step)

    def cancel(self) -> None:
        """It need not be known any more."""
        self._is_over = True
        if self._held is not None:
            self._held.close()

    def _step(self) -> int:
        if self._is_over:
            return False
        self._context.guarded(self._request, self._look)
        if self._is_over:
            return False
        return True if self._held is not None else LATER

    def _look(self) -> None:
        try:
            if self._changes is None:
                self._held = hold(self._context)
                if self._held is not None:
                    self._changes = changes(Reader(self._held.view), self._long)
                return
            newest = next(self._changes, None)
        except BaseException:
            self.cancel()
            raise
        if newest is not None:
            self._newest = max(self._newest, newest)
        if newest is None or self._newest > self._is_enough:
            self.cancel()
            self._found(self._newest)


def evaluate(
    context: Context,
    request: Request,
    work: Callable[[Reader], Generator[None, None, T]],
    then: Callable[[Reader, T], None],
) -> None:
    """Do the work of a read, in one turn if it is small, else in slices on one state.

    Args:
        context: Of the gateway.
        request: Whose.
        work: Yields when a turn's share is done.
        then: Gets the state and the value; what it raises becomes the answer.
    """
    reader = context.reader()
    try:
        next(work(reader))
    except StopIteration as end:
        then(reader, end.value)
        return
    run: Generator[None, None, T] | None = None

    def step() -> int:
        nonlocal reader, run
        if request.is_lost:
            request.release()
            return False
        if run is None:
            held = hold(context)
            if held is None:
                return LATER
            request.own(held)
            reader = Reader(held.view)
            run = work(reader)
            return True
        try:
            next(run)
        except StopIteration as end:
            request.release()
            then(reader, end.value)
            return False
        return True

    context.shared.slices.add(partial(guarded, context, request, step))


ROWS_MAX = 128
"""A list of rows of sessions or of the catalog that is longer is made in slices."""

_SLICE_ROWS = 32
_size_of = msgspec.msgpack.Encoder().encode  # some 200 ns for each row

Pieces = Callable[[Reader, Iterator[list[Any]]], Iterator[Batch]]
"""Makes what is encoded of rows; a piece of it, which may be empty, for each piece of rows."""


class LongRows(NamedTuple):
    """A list of rows, or an object made of rows, that is too long to be made in one turn.

    Attributes:
        changed, subjects: See `machine.queries.Answer`.
        find: Finds the rows in a state, and its indexes.
        pieces: See there.
        frame: What is around it, see `streams.send_list`; None: `HERE`.
        brackets: `{}` for an object.
    """

    changed: int
    subjects: tuple[bytes, ...]
    find: Callable[[Reader], Answer[Iterator[Any]]]
    pieces: Pieces
    frame: Callable[[Reader], Any] | None = None
    brackets: bytes = b"[]"


def _sliced(rows: Iterator[Any]) -> Iterator[list[Any]]:
    piece: list[Any] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += len(_size_of(row))
        del row
        if len(piece) == _SLICE_ROWS or size >= BATCH_BYTES:
            full, piece, size = [piece], [], 0
            yield full.pop()  # nothing of it stays here while a client takes it
    if piece:
        yield piece


def _in_turn(rows: Iterator[Any]) -> list[Any] | None:
    """All rows, if they are few and short enough for one turn."""
    found: list[Any] = []
    size = 0
    for row in rows:
        found.append(row)
        size += len(_size_of(row))
        if len(found) > ROWS_MAX or size > LIST_BYTES:
            return None
    return found


def rows_in_turn(
    find: Callable[[Reader], Answer[Iterator[Any]]], show: Callable[[Any], Any], reader: Reader
) -> Answer[list[Any]] | LongRows:
    """A list of rows as each is shown, if one turn can make it."""

    def pieces(_: Reader, rows: Iterator[list[Any]]) -> Iterator[Batch]:
        for piece in rows:
            yield [shown for row in piece if (shown := show(row)) is not None]

    found = find(reader)
    few = _in_turn(found.value)
    if few is None:
        return LongRows(found.changed, found.subjects, find, pieces)
    shapes = [shown for row in few if (shown := show(row)) is not None]
    return Answer(shapes, found.changed, found.header, found.subjects)


def object_in_turn(
    find: Callable[[Reader], Answer[Iterator[Any]]],
    pieces: Pieces,
    frame: Callable[[Reader], Any] | None,
    reader: Reader,
) -> Answer[Any] | LongRows:
    """An object made of rows, if one turn can make it.

    Args:
        find: Finds the rows in a state.
        pieces: Makes its parts.
        frame: See `LongRows`.
        reader: The state.
    """
    found = find(reader)
    few = _in_turn(found.value)
    if few is None:
        return LongRows(found.changed, found.subjects, find, pieces, frame, b"{}")
    whole: dict[str, Any] = {}
    for piece in pieces(reader, iter([few])):
        if isinstance(piece, Member):
            whole[piece.name] = list(chain.from_iterable(piece.pieces))
        else:
            whole.update(piece)
    around: Any = HERE if frame is None else frame(reader)
    if around is HERE:
        around = whole
    elif around is not None:
        around = {name: whole if value is HERE else value for name, value in around.items()}
    return Answer(around, found.changed, found.header, found.subjects)


class Listing(NamedTuple):
    """How a list of keys is shown.

    Attributes:
        shown: Makes what is encoded of a piece.
        is_found_if_empty: An empty one is `[]`, not 404.
    """

    shown: Callable[[Any], Batch]
    is_found_if_empty: bool = False


def send(
    context: Context,
    request: Request,
    long: LongList,
    listing: Listing,
    lines: Callable[[Reader], bytes],
) -> None:
    """Answer with a long list of keys, in slices.

    Args:
        context: Of the gateway.
        request: Whose.
        long: Which list.
        listing: How it is shown.
        lines: The header lines for the state that is sent.
    """
    shown = listing.shown

    def begin(reader: Reader) -> _Begun:
        return _Begun(map(shown, batches(reader, long)), lines(reader))

    _send(context, request, begin, is_found_if_empty=listing.is_found_if_empty)


def send_rows(
    context: Context, request: Request, long: LongRows, lines: Callable[[Reader, int], bytes]
) -> None:
    """Answer with a long list of rows, in slices.

    Args:
        context: Of the gateway.
        request: Whose.
        long: Which list.
        lines: The header lines for the state that is sent, and its index for this list.
    """

    def begin(reader: Reader) -> _Begun:
        found = long.find(reader)
        batches = long.pieces(reader, _sliced(found.value))
        frame = HERE if long.frame is None else long.frame(reader)
        return _Begun(batches, lines(reader, found.header), frame, long.brackets)

    _send(context, request, begin, is_found_if_empty=True)


class _Begun(NamedTuple):
    """A list about to be sent: its pieces, its header lines, and what is around it."""

    batches: Iterator[Batch]
    lines: bytes
    frame: Any = HERE
    brackets: bytes = b"[]"


def _send(
    context: Context,
    request: Request,
    begin: Callable[[Reader], _Begun],
    *,
    is_found_if_empty: bool,
) -> None:
    """Send a list while it is made of one held state."""
    begun: _Begun | None = None

    def step() -> int:
        nonlocal begun
        if request.is_lost or request.data is not None:
            request.release()
            return False
        if begun is None:
            held = hold(context)
            if held is None:
                return LATER
            request.own(held)
            begun = begin(Reader(held.view))
            return True
        if request.is_spent:  # others, begun at the same time, have taken what there was
            context.refuse_spent(request)
            return False
        first = next(begun.batches, None)
        if first is None and not is_found_if_empty:
            context.answers.empty(request, status=404, lines=begun.lines)
        elif begun.frame is None:  # what the rows belong to went meanwhile
            context.answers.value(request, None, lines=begun.lines)
        elif first is not None and not first:
            return True  # only rows that are gone so far
        else:
            whole = chain(iter((first or [],)), begun.batches)  # which does not keep the first
            first = None
            send_list(
                context.answers,
                request,
                whole,
                frame=begun.frame,
                brackets=begun.brackets,
                lines=begun.lines,
            )
        return False

    context.shared.slices.add(partial(guarded, context, request, step))
