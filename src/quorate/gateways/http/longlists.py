"""Long lists of keys: looked through and sent in slices, from one state of the tables.

A list that a turn can make is made as ever, with the exact index of its newest change. A longer one
is told with the index of the newest change of any key, which is not lower; a reader that waits with
it misses nothing. Whether something changed since the index that a reader brought is found out in
slices, too, while a watch is set already.
"""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from quorate.gateways.http.context import Context
from quorate.gateways.http.heldtables import Held, guarded, hold
from quorate.gateways.http.request import Request
from quorate.gateways.http.slices import LATER
from quorate.gateways.http.streams import Batch, send_list
from quorate.machine.queries import LongList, Reader

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
                    self._changes = Reader(self._held.view).changes(self._long)
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
    reader = Reader(context.local.tables)
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
    """Answer with a long list, in slices.

    Args:
        context: Of the gateway.
        request: Whose.
        long: Which list.
        listing: How it is shown.
        lines: The header lines for the state that is sent.
    """
    batches: Iterator[Batch] | None = None
    head = b""

    def step() -> int:
        nonlocal batches, head
        if request.is_lost or request.data is not None:
            request.release()
            return False
        if batches is None:
            held = hold(context)
            if held is None:
                return LATER
            request.own(held)
            reader = Reader(held.view)
            batches, head = reader.batches(long), lines(reader)
            return True
        first = next(batches, None)
        if first is None and not listing.is_found_if_empty:
            context.answers.empty(request, status=404, lines=head)
        elif first is not None and not first:
            return True  # only rows that are gone so far
        else:
            shown = listing.shown
            rest = (shown(batch) for batch in batches)
            send_list(context.answers, request, _before(shown(first or []), rest), lines=head)
        return False

    context.shared.slices.add(partial(guarded, context, request, step))


def _before(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest
