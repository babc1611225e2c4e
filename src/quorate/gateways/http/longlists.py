"""Long lists: looked through and sent in slices, from one state of the tables.

A list that a turn can make is made as ever, with the exact index of its newest change. A longer one
is told with the index of the newest change of any key, which is not lower; a reader that waits with
it misses nothing.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import msgspec

from quorate.base.answers import Answer, LongAnswer
from quorate.base.errors import StorageError
from quorate.base.slices import LATER
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import Context
from quorate.gateways.http.streams import HERE, Batch, JsonMember, send_list
from quorate.httpserver.request import Request
from quorate.kv.queries import BATCH_BYTES, LIST_BYTES, LongList, batches
from quorate.machine.queries import Reader
from quorate.serving.held import Anew, guarded, hold

T = TypeVar("T")

ROWS_MAX = 128
"""A list of rows of sessions or of the catalog that is longer is made in slices."""

_SLICE_ROWS = 32
_size_of = msgspec.msgpack.Encoder().encode  # some 200 ns for each row

Pieces = Callable[[Reader, Iterator[list[Any]]], Iterator[Batch]]
"""Makes what is encoded of rows; a piece of it, which may be empty, for each piece of rows."""


class LongRows(LongAnswer, frozen=True):
    """A list of rows, or an object made of rows, that is too long to be made in one turn.

    Attributes:
        find: Finds the rows in a state, and its indexes.
        pieces: See there.
        frame: What is around it, see `streams.send_list`; None: `HERE`.
        brackets: `{}` for an object.
    """

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
        return LongRows(find, pieces, changed=found.changed, subjects=found.subjects)
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
        return LongRows(find, pieces, frame, b"{}", changed=found.changed, subjects=found.subjects)
    whole: dict[str, Any] = {}
    for piece in pieces(reader, iter([few])):
        if isinstance(piece, JsonMember):
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
    sending = _Sending(context, request, begin, is_found_if_empty=is_found_if_empty)
    caller = HttpCaller(context, request)
    context.shared.slices.add(partial(guarded, caller, sending.step))


class _Sending:
    """One list being made, up to its first piece; see `_send`."""

    def __init__(
        self,
        context: Context,
        request: Request,
        begin: Callable[[Reader], _Begun],
        *,
        is_found_if_empty: bool,
    ) -> None:
        self._context = context
        self._request = request
        self._begin = begin
        self._is_found_if_empty = is_found_if_empty
        self._begun: _Begun | None = None
        self._anew = Anew()

    def step(self) -> int:
        """Hold a state, find the first piece in it, and let that leave."""
        context, request = self._context, self._request
        if request.is_lost or request.data is not None:
            request.release()
            return False
        if self._begun is not None and request.is_spent:
            context.refuse_spent(
                request
            )  # others, begun at the same time, have taken what was left
            return False
        try:
            if self._begun is not None:
                return self._send_first(self._begun)
            held = hold(context.local.tables)
            if held is None:
                return LATER
            request.own(held)
            self._begun = self._begin(Reader(held.view))
        except StorageError as error:  # of this part only: the drawer keeps those of the rest
            self._anew.after(error)
            request.release()
            self._begun = None
            return LATER
        return True

    def _send_first(self, begun: _Begun) -> bool:
        context, request = self._context, self._request
        first = next(begun.batches, None)
        if first is None and not self._is_found_if_empty:
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
