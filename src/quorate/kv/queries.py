"""Reads of keys, each on one state of the tables: see `base.results`."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

from quorate.base.results import Answer, LongAnswer, StateView, T
from quorate.base.schema import index_of, prefix_end
from quorate.base.subjects import beginning, exactly
from quorate.kv.subjects import of_key
from quorate.kv.tables import KV, KV_TOMBSTONES, KvPair, KvRow, entries, looked_at, row_of

LIST_ROWS = 512
LIST_BYTES = 128 * 1024
"""A list with more rows or bytes is made in pieces."""

BATCH_ROWS = 256
BATCH_BYTES = 32 * 1024
"""Rows of one piece: about a millisecond of work, encoding included."""


class LongList(LongAnswer, frozen=True):
    """A list of keys that is too long for one turn: see `batches`.

    Attributes:
        prefix: Of the keys.
        separator: Names are cut behind it, see `kv_keys`; None: whole entries, not names.
    """

    prefix: bytes
    separator: bytes | None


def kv_at_once(reading: StateView, key: bytes) -> tuple[KvRow, int] | None:
    """The row of one key and the header of `kv_get`, for reads that do not wait; None if absent."""
    row = row_of(reading.rows, key)
    return None if row is None else (row, max(row.modify_index, reading.restored, 1))


def kv_get(reading: StateView, key: bytes) -> Answer[KvPair | None]:
    """One key."""
    wait = (exactly(of_key(key)),)
    row = row_of(reading.rows, key)
    if row is not None:
        return reading.answer(KvPair(key, row), row.modify_index, row.modify_index, wait)
    tombstone = reading.rows.get(KV_TOMBSTONES, key)
    changed = max(0 if tombstone is None else index_of(tombstone), reading.floor)
    return reading.answer(None, changed, reading.table_index(KV), wait)


def kv_list(reading: StateView, prefix: bytes) -> Answer[list[KvPair]]:
    """All keys with this byte prefix, in the order of bytes."""
    found = list(entries(reading.rows, prefix))
    newest = max((entry.row.modify_index for entry in found), default=0)
    return _under(reading, prefix, found, newest)


def kv_keys(reading: StateView, prefix: bytes, separator: bytes = b"") -> Answer[list[bytes]]:
    """Names with this prefix, cut after the first separator behind it, each once."""
    names: list[bytes] = []
    newest, skip = 0, len(prefix)
    for entry in entries(reading.rows, prefix):
        newest = max(newest, entry.row.modify_index)
        name = _cut(entry.key, separator, skip)
        if not names or names[-1] != name:
            names.append(name)
    return _under(reading, prefix, names, newest)


def kv_list_in_turn(reading: StateView, prefix: bytes) -> Answer[list[KvPair]] | LongList:
    """As `kv_list`; a `LongList` if it is too long for one turn."""
    is_long = _is_long(reading, prefix)
    return long_list(reading, prefix) if is_long else kv_list(reading, prefix)


def kv_keys_in_turn(
    reading: StateView, prefix: bytes, separator: bytes = b""
) -> Answer[list[bytes]] | LongList:
    """As `kv_keys`; a `LongList` if it is too long for one turn."""
    is_long = _is_long(reading, prefix)
    return long_list(reading, prefix, separator) if is_long else kv_keys(reading, prefix, separator)


def keys_index(reading: StateView) -> int:
    """The index of the newest change of any key, at least 1."""
    return max(reading.table_index(KV), reading.restored, 1)


def batches(reading: StateView, long: LongList) -> Iterator[list[KvPair] | list[bytes]]:
    """A long list in pieces; a piece is empty if all of its rows are removed.

    Its header is `keys_index`.
    """
    found: list[KvPair] = []
    names: list[bytes] = []
    last: bytes | None = None
    rows, size = 0, 0
    for entry in looked_at(reading.rows, long.prefix):
        rows += 1
        if entry is not None and long.separator is None:
            found.append(entry)
            size += len(entry.row.value)
        elif entry is not None:
            name = _cut(entry.key, long.separator or b"", len(long.prefix))
            if name != last:
                names.append(name)
                last = name
        if rows == BATCH_ROWS or size >= BATCH_BYTES:
            batch = [found or names]
            found, names, rows, size = [], [], 0, 0
            del entry
            yield batch.pop()  # so that no reference is kept while a client reads it
    if found or names:
        yield found or names


def changes(reading: StateView, prefix: bytes) -> Iterator[int]:
    """Indexes whose highest is `Answer.changed` of a long list; one for each piece of work."""
    yield max(reading.floor, reading.restored)
    newest = rows = 0
    for entry in looked_at(reading.rows, prefix):
        newest = newest if entry is None else max(newest, entry.row.modify_index)
        rows += 1
        if rows % BATCH_ROWS == 0:
            yield newest
    for _, tombstone in reading.rows.range(KV_TOMBSTONES, prefix, prefix_end(prefix)):
        newest = max(newest, index_of(tombstone))
        rows += 1
        if rows % BATCH_ROWS == 0:
            yield newest
    yield newest


def _is_long(reading: StateView, prefix: bytes) -> bool:
    """Whether more rows, bytes or tombstones have this prefix than one turn should read."""
    size = 0
    stored = reading.rows.range(KV, prefix, prefix_end(prefix))
    for number, (key, data) in enumerate(stored):
        size += len(key) + len(data)
        if number >= LIST_ROWS or size > LIST_BYTES:
            return True
    if not prefix:
        return False  # its index is that of the table: no tombstones are read
    tombstones = reading.rows.range(KV_TOMBSTONES, prefix, prefix_end(prefix))
    return next(islice(tombstones, LIST_ROWS, None), None) is not None


def long_list(reading: StateView, prefix: bytes, separator: bytes | None = None) -> LongList:
    """A list of keys in the form for lists that are too long for one turn."""
    return LongList(
        prefix,
        separator,
        changed=keys_index(reading),
        subjects=(beginning(of_key(prefix)),),
        search=partial(changes, prefix=prefix),
    )


def _under(reading: StateView, prefix: bytes, value: T, newest: int) -> Answer[T]:
    """The newest change below a prefix: keys, tombstones, and the floor of dropped ones."""
    wait = (beginning(of_key(prefix)),)
    table = reading.table_index(KV)
    if not prefix:
        return reading.answer(value, table, table, wait)
    for _, tombstone in reading.rows.range(KV_TOMBSTONES, prefix, prefix_end(prefix)):
        newest = max(newest, index_of(tombstone))
    changed = max(newest, reading.floor)
    return reading.answer(value, changed, newest or table, wait)


def _cut(name: bytes, separator: bytes, skip: int) -> bytes:
    """A name up to and with the first separator behind `skip` bytes, if there is one."""
    end = name.find(separator, skip) if separator else -1
    return name[: end + len(separator)] if end >= 0 else name
