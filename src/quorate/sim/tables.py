"""Tables in memory: a sorted dict, the second implementation of the port `base.ports.Tables`.

Commits survive a kill, as with LMDB; a power cut returns everything to a saved copy. What fails,
fails because a test or a seed says so (`is_full`, `damage`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from quorate.base.errors import StorageError, invariant

Saved = Mapping[bytes, bytes]
"""A copy of the rows; to be kept, not changed."""


class DictTables:
    """Fills `base.ports.Tables`.

    Args:
        saved: Rows to begin with.

    Attributes:
        version: See `base.ports.CurrentView.version`.
        is_full: Commits fail with `disk_full`.
    """

    def __init__(self, saved: Saved | None = None) -> None:
        self.version = 0
        self.is_full = False
        self._rows: dict[bytes, bytes] = dict(saved or {})
        self._keys: list[bytes] | None = None
        self._damaged: set[bytes] = set()
        self._open: DictTransaction | None = None
        self._staged: dict[bytes, bytes] | None = None

    # --- the port -------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        if self._damaged:
            self._check(key)
        return self._rows.get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.View.range`."""
        rows, keys = self._rows, self._sorted_keys()
        begin = bisect_left(keys, first)
        end = len(keys) if last is None else bisect_left(keys, last)
        numbers = range(end - 1, begin - 1, -1) if reverse else range(begin, end)
        for number in numbers:
            key = keys[number]
            if self._damaged:
                self._check(key)
            yield key, rows[key]

    def begin(self) -> "DictTransaction":
        """See `base.ports.Tables.begin`."""
        invariant(self._open is None, "one write transaction at a time")
        self._open = DictTransaction(self)
        return self._open

    def hold(self, *, is_for_client: bool = False) -> "DictHeldView":
        """See `base.ports.Tables.hold`. Cost: O(rows).

        Raises:
            StorageError: `locked`: a transaction is open.
        """
        if self._open is not None:
            raise StorageError("locked", "a large batch is being applied; try again in a moment")
        return DictHeldView(dict(self._rows), self._damaged)

    # --- replacing everything -------------------------------------------------------------------

    def begin_install(self) -> None:
        """Open an empty copy beside these rows, dropping an unfinished one."""
        self._staged = {}

    def install_rows(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put rows into the copy."""
        invariant(self._staged is not None, "an install was begun")
        if self._staged is not None:
            self._staged.update(rows)

    def finish_install(self) -> None:
        """The copy replaces these rows."""
        invariant(self._staged is not None, "an install was begun")
        invariant(self._open is None, "no transaction is under way")
        if self._staged is not None:
            self.power_cut(self._staged)
            self._staged = None

    # --- what a simulation does to it -----------------------------------------------------------

    def save(self) -> Saved:
        """A copy of the committed rows, for `power_cut`. Cost: O(rows)."""
        return dict(self._rows)

    def kill(self) -> None:
        """The process died: an open transaction is forgotten, commits stay."""
        self._open = None
        self._staged = None

    def power_cut(self, saved: Saved) -> None:
        """The machine died: back to a saved copy."""
        self.kill()
        self.version += 1
        self._rows = dict(saved)
        self._keys = None
        self._damaged.clear()

    def damage(self, key: bytes) -> None:
        """Corruption: reading this row fails until it is written again."""
        self._damaged.add(key)

    # --- for transactions -----------------------------------------------------------------------

    def close(self, transaction: "DictTransaction") -> None:
        """A transaction ended."""
        if self._open is transaction:
            self._open = None

    def is_open(self, transaction: "DictTransaction") -> bool:
        """Whether it may still write."""
        return self._open is transaction

    def merge(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Make a transaction's changes current."""
        if self.is_full:
            raise StorageError("disk_full", "the simulated disk is full")
        self.version += 1
        rows = self._rows
        for key, value in changes.items():
            if value is None:
                if rows.pop(key, None) is not None:
                    self._keys = None
            else:
                if key not in rows:
                    self._keys = None
                rows[key] = value
            self._damaged.discard(key)

    def _sorted_keys(self) -> list[bytes]:
        if self._keys is None:
            self._keys = sorted(self._rows)
        return self._keys

    def _check(self, key: bytes) -> None:
        if key in self._damaged:
            raise StorageError("corrupt", f"row {key.hex()} does not match its checksum")


class DictHeldView:
    """A state kept aside; fills `base.ports.HeldView`."""

    def __init__(self, rows: dict[bytes, bytes], damaged: set[bytes]) -> None:
        self._tables: DictTables | None = DictTables(rows)
        for key in sorted(damaged):
            self._tables.damage(key)

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        return self._held().get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.View.range`."""
        return self._held().range(first, last, reverse=reverse)

    def close(self) -> None:
        """See `base.ports.HeldView.close`."""
        self._tables = None

    def _held(self) -> DictTables:
        if self._tables is None:
            raise StorageError("locked", "this view of the tables was closed")
        return self._tables


class DictTransaction:
    """Changes laid over the rows until commit; fills `base.ports.Transaction`."""

    def __init__(self, tables: DictTables) -> None:
        self._tables = tables
        self._changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        if key in self._changes:
            return self._changes[key]
        return self._tables.get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.View.range`."""
        changed = sorted(
            key for key in self._changes if key >= first and (last is None or key < last)
        )
        if not changed:
            yield from self._tables.range(first, last, reverse=reverse)
            return
        # Few rows change in one batch, so a range that meets some is put together anew.
        rows = dict(self._tables.range(first, last))
        for key in changed:
            value = self._changes[key]
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        for key in sorted(rows, reverse=reverse):
            yield key, rows[key]

    def put(self, key: bytes, value: bytes) -> None:
        """See `base.ports.Transaction.put`."""
        self._need_open()
        self._changes[key] = value

    def delete(self, key: bytes) -> bool:
        """See `base.ports.Transaction.delete`."""
        self._need_open()
        if self.get(key) is None:
            return False
        self._changes[key] = None
        return True

    def commit(self) -> None:
        """See `base.ports.Transaction.commit`."""
        self._need_open()
        self._tables.merge(self._changes)
        self._tables.close(self)

    def abort(self) -> None:
        """See `base.ports.Transaction.abort`."""
        self._changes.clear()
        self._tables.close(self)

    def _need_open(self) -> None:
        invariant(self._tables.is_open(self), "the transaction is open")
