"""Keys longer than LMDB takes, hidden: stored by prefix and hash, in the order of the real keys.

LMDB's keys end at 511 bytes. A key of up to `SHORT_MAX` bytes is stored as it is. A longer one is
stored under its first `SHORT_MAX` bytes and a hash of the whole, 511 bytes in all, and its row
begins with the real key. So a stored key of 511 bytes is a long one and no other is; all long
keys that share a prefix P lie together, right behind the short key P, as they must. Inside such a
group hashes are out of order: a scan sorts it by real keys, which costs memory for the group.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b

import lmdb

from quorate.base.schema import prefix_end

_STORED_MAX = 511
_HASH_BYTES = 16
SHORT_MAX = _STORED_MAX - _HASH_BYTES
_LENGTH_BYTES = 4

Row = tuple[bytes, bytes]
Check = Callable[[bytes, bytes], bytes]
"""Takes a stored key and row, returns the row without checksum, or raises."""


def stored_key(key: bytes) -> bytes:
    """The key to store a long key under."""
    return key[:SHORT_MAX] + blake2b(key, digest_size=_HASH_BYTES).digest()


def join_long(key: bytes, value: bytes) -> bytes:
    """The row of a long key, before its checksum."""
    return len(key).to_bytes(_LENGTH_BYTES, "big") + key + value


def split_long(row: bytes) -> Row:
    """The real key and value in the row of a long key."""
    end = _LENGTH_BYTES + int.from_bytes(row[:_LENGTH_BYTES], "big")
    return row[_LENGTH_BYTES:end], row[end:]


def scan(
    cursor: "lmdb.Cursor[bytes]", first: bytes, last: bytes | None, check: Check
) -> Iterator[Row]:
    """Rows with first <= key < last in the order of real keys."""
    begin = first[:SHORT_MAX]
    if not (cursor.set_range(begin) if begin else cursor.first()):
        return
    group: list[Row] = []
    for stored, row in cursor.iternext():
        is_long = len(stored) == _STORED_MAX
        if group and not (is_long and stored.startswith(group[0][0][:SHORT_MAX])):
            yield from _within(group, first, last)
            group = []
        if last is not None and (stored[:SHORT_MAX] if is_long else stored) >= last:
            return
        if is_long:
            group.append(split_long(check(stored, row)))
        elif stored >= first:
            yield stored, check(stored, row)
    yield from _within(group, first, last)


def scan_back(
    cursor: "lmdb.Cursor[bytes]", first: bytes, last: bytes | None, check: Check
) -> Iterator[Row]:
    """The same rows from the other end."""
    if not _place_before(cursor, last):
        return
    group: list[Row] = []
    for stored, row in cursor.iterprev():
        is_long = len(stored) == _STORED_MAX
        if group and not (is_long and stored.startswith(group[0][0][:SHORT_MAX])):
            yield from reversed(_within(group, first, last))
            group = []
        if stored < first[:SHORT_MAX]:
            break
        if is_long:
            group.append(split_long(check(stored, row)))
        elif stored >= first and (last is None or stored < last):
            yield stored, check(stored, row)
    yield from reversed(_within(group, first, last))


def _within(group: list[Row], first: bytes, last: bytes | None) -> list[Row]:
    return sorted(row for row in group if row[0] >= first and (last is None or row[0] < last))


def _place_before(cursor: "lmdb.Cursor[bytes]", last: bytes | None) -> bool:
    """Put the cursor on the last stored row that may be below `last`."""
    if last is not None:
        end = last if len(last) <= SHORT_MAX else prefix_end(last[:SHORT_MAX])
        if end is not None and cursor.set_range(end):
            return cursor.prev()
    return cursor.last()
