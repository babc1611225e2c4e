"""Views that outlive later commits, without holding LMDB back.

An LMDB reader that stays open keeps every page that is freed meanwhile: at full load hundreds of
megabytes a second, for the file never shrinks. So a held view is the current state seen through
old values: each transaction hands over the rows that it replaces, and all views share them. The
price is a read per changed key while any view is held, whatever their number, and memory for the
old rows.

VWS-1: an old row is kept once, with the number of the commit that replaced it. A view sees of each
    key the oldest row that was replaced after the view was taken; if there is none, the current
    one.
VWS-2: a view that pins too many bytes is closed: one held for a client at `CLIENT_BYTES_MAX`, any
    other at `OWN_BYTES_MAX` or, if that is more, at an eighth of what the tables take. Its reader
    gets `StorageError` `locked`, and starts again.
VWS-3: what no view needs any more is freed by and by: no commit waits for it.

A view may be read in another thread: each slice takes a lock that commits take too.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from threading import Lock
from typing import Final, Protocol

from quorate.base.errors import StorageError

SLICE_ROWS = 128
"""Rows read under one lock: some 150 microseconds during which no commit gets through."""

SLICE_BYTES = 64 * 1024
"""After so many bytes of values a slice ends, too: a reader that is not read from holds one."""

CLIENT_BYTES_MAX = 64 * 1024 * 1024
OWN_BYTES_MAX = 256 * 1024 * 1024
_OWN_PART = 8  # of the tables, if that is more

ROW_BYTES = 300
"""Counted for each old row besides its key and value: what it takes in the tables kept here."""

_FREED_ROWS = 1_024
"""Old rows freed with one commit, at least."""

Row = tuple[bytes, bytes]
Old = dict[bytes, bytes | None]
"""Rows as they were before a transaction; None: there was none."""


class ReadSlice(Protocol):
    """Reads a piece of the current state."""

    def __call__(
        self, first: bytes, last: bytes | None, *, is_reversed: bool
    ) -> tuple[list[Row], bool]:
        """The first rows with first <= key < last, in order or from the end; are there more?"""
        ...


class _Missing:
    """No old row is kept: the current one counts."""


_MISSING: Final = _Missing()
_BLOCK_KEYS = 512
_number_of = itemgetter(0)


class SortedKeys:
    """A set of keys in order. Cost of a change: one search, and a move within a block."""

    def __init__(self) -> None:
        self._blocks: list[list[bytes]] = [[]]  # only the first one may be empty
        self._firsts: list[bytes] = [b""]

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def add(self, key: bytes) -> None:
        """Put a key in; harmless if it is there."""
        number = self._place(key)
        block = self._blocks[number]
        place = bisect_left(block, key)
        if place < len(block) and block[place] == key:
            return
        block.insert(place, key)
        if len(block) > _BLOCK_KEYS:
            half = block[_BLOCK_KEYS // 2 :]
            del block[_BLOCK_KEYS // 2 :]
            self._blocks.insert(number + 1, half)
            self._firsts.insert(number + 1, half[0])

    def discard(self, key: bytes) -> None:
        """Take a key out; harmless if it is not there."""
        number = self._place(key)
        block = self._blocks[number]
        place = bisect_left(block, key)
        if place < len(block) and block[place] == key:
            del block[place]
            if not block and number:
                del self._blocks[number], self._firsts[number]

    def between(
        self, first: bytes, last: bytes | None, *, is_reversed: bool = False
    ) -> Iterator[bytes]:
        """The keys with first <= key < last, in order or from the end."""
        begin = self._place(first)
        end = len(self._blocks) - 1 if last is None else self._place(last)
        for number in range(end, begin - 1, -1) if is_reversed else range(begin, end + 1):
            block = self._blocks[number]
            low = bisect_left(block, first)
            high = len(block) if last is None else bisect_left(block, last)
            yield from block[low:high][:: -1 if is_reversed else 1]

    def _place(self, key: bytes) -> int:
        return bisect_right(self._firsts, key) - 1


class History:
    """The old rows that views need. All methods are called under the lock of the tables.

    Attributes:
        commits: Numbers the newest state.
        kept_bytes: Of all that was ever kept.
        rows: Old rows kept now.
    """

    def __init__(self) -> None:
        self.commits = 0
        self.kept_bytes = 0
        self.rows = 0
        self._old: dict[bytes, tuple[tuple[int, bytes | None], ...]] = {}
        self._order: deque[tuple[int, Iterator[bytes]]] = deque()
        self._gone = SortedKeys()  # keys with old rows, and with none now

    def keep(self, old: Old, deleted: set[bytes], newest_view: int) -> None:
        """A transaction is about to become current.

        Args:
            old: The rows that it replaces.
            deleted: Those that it removes.
            newest_view: The number of the state that the newest view sees.
        """
        self.commits += 1
        kept: list[bytes] = []
        for key, value in old.items():
            versions = self._old.get(key, ())
            if not versions or versions[-1][0] <= newest_view:  # else no view sees this one
                self._old[key] = (*versions, (self.commits, value))
                kept.append(key)
                self.kept_bytes += ROW_BYTES + len(key) + len(value or b"")
            if key in deleted:
                self._gone.add(key)
            else:
                self._gone.discard(key)
        if kept:
            self.rows += len(kept)
            self._order.append((self.commits, iter(kept)))

    def free(self, oldest_view: int | None, rows_max: int) -> None:
        """Forget some of what no view needs; None: there is no view."""
        order = self._order
        while order and rows_max > 0 and (oldest_view is None or order[0][0] <= oldest_view):
            piece = list(islice(order[0][1], rows_max))
            if not piece:
                order.popleft()
            rows_max -= len(piece)
            self.rows -= len(piece)
            for key in piece:
                versions = self._old[key]
                if len(versions) > 1:
                    self._old[key] = versions[1:]
                else:
                    del self._old[key]
                    self._gone.discard(key)

    def seen(self, key: bytes, view: int) -> bytes | _Missing | None:
        """What a view sees of a key (VWS-1); `_MISSING`: the current row."""
        versions = self._old.get(key)
        if versions is None:
            return _MISSING
        place = bisect_right(versions, view, key=_number_of)
        return versions[place][1] if place < len(versions) else _MISSING

    def gone(self, first: bytes, last: bytes | None, *, is_reversed: bool) -> list[bytes]:
        """The first keys in a range that have no row now and had one."""
        found = self._gone.between(first, last, is_reversed=is_reversed)
        return list(islice(found, SLICE_ROWS))


class HeldRows:
    """Fills `base.ports.HeldView`. Made by `HeldViews.hold`.

    Args:
        views: Where it belongs.
        number: Of the state that it sees.
        is_for_client: See `base.ports.Tables.hold`.
    """

    def __init__(self, views: "HeldViews", number: int, *, is_for_client: bool) -> None:
        self._views = views
        self.number = number
        self.is_for_client = is_for_client
        self._began_bytes = views.history.kept_bytes
        self.closed_why = ""

    @property
    def pinned_bytes(self) -> int:
        """Of old rows that were kept since it was taken."""
        return self._views.history.kept_bytes - self._began_bytes

    @property
    def is_pressed(self) -> bool:
        """So much was kept that its reader should not rest."""
        return self.pinned_bytes > CLIENT_BYTES_MAX

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        views = self._views
        with views.lock:
            self._need_open()
            seen = views.history.seen(key, self.number)
            return views.get(key) if isinstance(seen, _Missing) else seen

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """See `base.ports.View.range`. Reads slice by slice, whatever is committed between."""
        while True:
            with self._views.lock:
                self._need_open()
                rows, edge = self._slice(first, last, reverse)
            rows.reverse()
            while rows:
                yield rows.pop()
            if edge is None:
                return
            if reverse:
                last = edge
            else:
                first = edge + b"\0"

    def close(self) -> None:
        """See `base.ports.HeldView.close`."""
        self._views.close(self)

    def end(self, why: str) -> None:
        """It may not be read any more, for this reason; called by `HeldViews`, under its lock."""
        self.closed_why = why

    def _slice(
        self, first: bytes, last: bytes | None, is_reversed: bool
    ) -> tuple[list[Row], bytes | None]:
        """Some rows, and the last key looked at; None when the end was reached."""
        history, number = self._views.history, self.number
        now, has_more = self._views.read_slice(first, last, is_reversed=is_reversed)
        edge = now[-1][0] if has_more else None
        low, high = first, last
        if edge is not None:
            low, high = (edge, last) if is_reversed else (first, edge)
        gone = history.gone(low, high, is_reversed=is_reversed)
        if len(gone) == SLICE_ROWS:  # there may be more before the edge
            edge = gone[-1]
            now = [row for row in now if (row[0] >= edge if is_reversed else row[0] <= edge)]
        found: list[Row] = []
        for key, value in now:
            seen = history.seen(key, number)
            row = value if isinstance(seen, _Missing) else seen
            if row is not None:
                found.append((key, row))
        for key in gone:
            seen = history.seen(key, number)
            if seen is not None and not isinstance(seen, _Missing):
                found.append((key, seen))
        found.sort(reverse=is_reversed)
        return found, edge

    def _need_open(self) -> None:
        if self.closed_why:
            raise StorageError("locked", self.closed_why)


class HeldViews:
    """The views of one set of tables.

    Args:
        get: Reads the current state; called under the lock.
        read_slice: The same, a piece of a range.
        lock: Held while a view is read, and during a commit.

    Attributes:
        get, read_slice, lock: See above.
        history: The earlier values of changed keys.
    """

    def __init__(
        self, get: Callable[[bytes], bytes | None], read_slice: ReadSlice, lock: Lock
    ) -> None:
        self.get = get
        self.read_slice = read_slice
        self.lock = lock
        self.history = History()
        self._views: dict[HeldRows, None] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._views)

    @property
    def is_keeping(self) -> bool:
        """Old rows are of use, or not freed yet: `keep` is called with each commit."""
        return bool(self._views or self.history.rows)

    def hold(self, *, is_for_client: bool) -> HeldRows:
        """A view of the current state."""
        with self.lock:
            view = HeldRows(self, self.history.commits, is_for_client=is_for_client)
            self._views[view] = None
        return view

    def keep(self, old: Old, deleted: set[bytes], used_bytes: int) -> None:
        """A transaction is about to become current; the lock is held.

        Args:
            old: The rows that it replaces.
            deleted: Those that it removes.
            used_bytes: What the tables take.
        """
        history, views = self.history, self._views
        if views:
            history.keep(old, deleted, next(reversed(views)).number)
            self._close_greedy(max(OWN_BYTES_MAX, used_bytes // _OWN_PART))
        oldest = next(iter(views)).number if views else None
        history.free(oldest, max(_FREED_ROWS, 2 * len(old)))

    def close(self, view: HeldRows) -> None:
        """A view is needed no more; harmless if it was closed."""
        with self.lock:
            if not view.closed_why:
                view.end("this view of the tables was closed")
                del self._views[view]

    def close_all(self) -> None:
        """The tables are closed, or replaced. What the views needed is freed with later commits."""
        with self.lock:
            for view in self._views:
                view.end("the tables were replaced meanwhile")
            self._views.clear()

    def _close_greedy(self, own_bytes_max: int) -> None:
        """Close views that pin too much (VWS-2); younger ones pin less."""
        greedy: list[HeldRows] = []
        for view in self._views:
            if view.pinned_bytes <= CLIENT_BYTES_MAX:
                break
            if view.is_for_client or view.pinned_bytes > own_bytes_max:
                greedy.append(view)
        for view in greedy:
            view.end("too much was changed while this was read from one state; try again")
            del self._views[view]
