"""Long lists: evaluated and sent in slices, from one state of the tables.

A list that one turn can make has the exact index of its newest change. The response with a longer
one has the index of the newest change of any key, which is not lower: a blocking query with it
misses no change.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import msgspec

from quorate.base.errors import StorageError
from quorate.base.results import Answer, LongAnswer
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
"""Makes what is encoded from rows: for each piece of rows a piece, which may be empty."""


class LongRows(LongAnswer, frozen=True):
    """A list of rows, or an object made of rows, that is too long to be made in one turn.

    Attributes:
        find: Finds the rows in a state, and its indexes.
        pieces: See `Pieces`.
        frame: The value around the list, see `streams.send_list`; None: `HERE`.
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
            yield full.pop()  # no reference remains here while a client reads it
    if piece:
        yield piece


def _in_turn(rows: Iterator[Any]) -> list[Any] | None:
    """All rows, if they are few and short enough for one turn; else None."""
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
    views = [shown for row in few if (shown := show(row)) is not None]
    return Answer(views, found.changed, found.header, found.subjects)


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
        reader: Reads the state.
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


def list_in_turn(
    find: Callable[[Reader], Answer[Iterator[Any]]],
    pieces: Callable[[Reader, Iterator[list[Any]]], Iterator[list[Any]]],
    frame: dict[str, Any],
    reader: Reader,
) -> Answer[Any] | LongRows:
    """An object with a list made of rows, if one turn can make it.

    Args:
        find: Finds the rows in a state.
        pieces: Makes the elements of the list.
        frame: The object, with `HERE` in place of the list.
        reader: Reads the state.
    """
    found = find(reader)
    few = _in_turn(found.value)
    if few is None:
        return LongRows(
            find, pieces, lambda _: frame, changed=found.changed, subjects=found.subjects
        )
    elements = list(chain.from_iterable(pieces(reader, iter([few]))))
    whole = {name: elements if value is HERE else value for name, value in frame.items()}
    return Answer(whole, found.changed, found.header, found.subjects)


class Listing(NamedTuple):
    """The format of a list of keys.

    Attributes:
        shown: Makes what is encoded from a piece.
        is_found_if_empty: The response to an empty list is `[]`, not 404.
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
    """Respond with a long list of keys, in slices.

    Args:
        context: The gateway's.
        request: The request.
        long: The list.
        listing: Its format.
        lines: The header lines for the state that is sent.
    """
    shown = listing.shown

    def begin(reader: Reader) -> _Begun:
        return _Begun(map(shown, batches(reader, long)), lines(reader))

    _send(context, request, begin, is_found_if_empty=listing.is_found_if_empty)


def send_rows(
    context: Context, request: Request, long: LongRows, lines: Callable[[Reader, int], bytes]
) -> None:
    """Respond with a long list of rows, in slices.

    Args:
        context: The gateway's.
        request: The request.
        long: The list.
        lines: The header lines for the state that is sent, and its index for this list.
    """

    def begin(reader: Reader) -> _Begun:
        found = long.find(reader)
        batches = long.pieces(reader, _sliced(found.value))
        frame = HERE if long.frame is None else long.frame(reader)
        return _Begun(batches, lines(reader, found.header), frame, long.brackets)

    _send(context, request, begin, is_found_if_empty=True)


class _Begun(NamedTuple):
    """A list about to be sent: its pieces, its header lines, and the value around it."""

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
    """Send a list while it is made from one held state."""
    sending = _Sending(context, request, begin, is_found_if_empty=is_found_if_empty)
    caller = HttpCaller(context, request)
    context.shared.slices.add(partial(guarded, caller, sending.step))


class _Sending:
    """A list up to its first piece; see `_send`."""

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
        """Hold a state, make the first piece from it, and send that."""
        context, request = self._context, self._request
        if request.is_lost or request.data is not None:
            request.release()
            return False
        if self._begun is not None and request.is_spent:
            context.refuse_spent(request)  # other lists have taken the rest meanwhile
            return False
        try:
            if self._begun is not None:
                return self._send_first(self._begun)
            held = hold(context.local.tables)
            if held is None:
                return LATER
            request.own(held)
            self._begun = self._begin(Reader(held.view))
        except StorageError as error:  # of this part; the response writer handles the rest
            self._anew.after(error)
            request.release()
            self._begun = None
            return LATER
        return True

    def _send_first(self, begun: _Begun) -> bool:
        context, request = self._context, self._request
        first = next(begun.batches, None)
        if first is None and not self._is_found_if_empty:
            context.responses.empty(request, status=404, lines=begun.lines)
        elif begun.frame is None:  # the object of the rows was deleted meanwhile
            context.responses.value(request, None, lines=begun.lines)
        elif first is not None and not first:
            return True  # all rows so far were deleted meanwhile
        else:
            whole = chain(iter((first or [],)), begun.batches)  # keeps no reference to the first
            first = None
            send_list(
                context.responses,
                request,
                whole,
                frame=begun.frame,
                brackets=begun.brackets,
                lines=begun.lines,
            )
        return False
