"""Views that outlive later commits, without holding LMDB back.

An LMDB reader that stays open keeps every page that is freed meanwhile: at full load hundreds of
megabytes a second, for the file never shrinks. So a held view is the current state seen through a
layer of old values: each transaction, before it changes a key for the first time since the view
was taken, hands the old row over. The price is a read per changed key while a view is held, and
memory for the old rows.

A view may be read in another thread: each slice takes a lock that commits take too.
"""

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Protocol

from quorate.base.errors import StorageError

SLICE_ROWS = 128
"""Rows read under one lock: some 150 microseconds during which no commit gets through."""

SLICE_BYTES = 64 * 1024
"""After so many bytes of values a slice ends, too: a reader that is not read from holds one."""

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


class HeldRows:
    """Fills `base.ports.HeldView`.

    Args:
        get: Reads the current state.
        read_slice: The same, a piece of a range.
        lock: Held by whoever reads here or commits.
        on_close: Called once when nobody needs this view any more.
    """

    def __init__(
        self,
        get: Callable[[bytes], bytes | None],
        read_slice: ReadSlice,
        lock: Lock,
        on_close: Callable[["HeldRows"], None],
    ) -> None:
        self._get = get
        self._read_slice = read_slice
        self._lock = lock
        self._on_close = on_close
        self._old: Old = {}
        self._gone: set[bytes] = set()
        self._is_closed = False

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        with self._lock:
            self._need_open()
            return self._old[key] if key in self._old else self._get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """See `base.ports.View.range`. Reads slice by slice, whatever is committed between."""
        while True:
            with self._lock:
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
        if not self._is_closed:
            self._is_closed = True
            self._old, self._gone = {}, set()
            self._on_close(self)

    def keep(self, old: Old, deleted: set[bytes]) -> None:
        """A transaction is about to become current: keep what it replaces. Under the lock."""
        for key, value in old.items():
            self._old.setdefault(key, value)
            if key in deleted and self._old[key] is not None:
                self._gone.add(key)
            else:
                self._gone.discard(key)

    def _slice(
        self, first: bytes, last: bytes | None, is_reversed: bool
    ) -> tuple[list[Row], bytes | None]:
        """Some rows, and the last key looked at; None when the end was reached."""
        now, has_more = self._read_slice(first, last, is_reversed=is_reversed)
        edge = now[-1][0] if has_more else None
        old = self._old
        rows: dict[bytes, bytes | None] = {key: old.get(key, value) for key, value in now}
        low, high = first, last
        if edge is not None:
            low, high = (edge, last) if is_reversed else (first, edge)
        for key in self._gone:
            if key >= low and (high is None or key < high):
                rows[key] = old[key]
        found = [(key, value) for key, value in rows.items() if value is not None]
        found.sort(reverse=is_reversed)
        return found, edge

    def _need_open(self) -> None:
        if self._is_closed:
            raise StorageError("locked", "this view of the tables was closed")
