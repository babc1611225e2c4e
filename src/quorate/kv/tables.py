"""The tables of the key-value store, and which of their rows count as removed.

Rows of a tree that is noted as removed (`kv.trees`) count as absent in all functions here.
"""

from collections.abc import Iterator

import msgspec

from quorate.base.domain import Table
from quorate.base.ports import Rows, TableRows
from quorate.base.removals import TreeRemoval
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part

KV = 1
"""Table: key bytes -> `KvRow`."""

KV_TOMBSTONES = 2
"""Table: key bytes -> index of its removal."""

KV_LOCKS = 3
"""Table: session id, 0x00, key bytes -> nothing: what a session holds."""

KV_DELAY = 4
"""Table: key bytes -> log time in ms until which acquire fails."""

LOCK_DELAY_MS_MAX = 60_000
"""A longer lock-delay is stored and shown as it is, and has the effect of this one."""


class KvRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A key's row. `session` is "" if it is not locked."""

    create_index: int
    modify_index: int
    lock_index: int
    flags: int
    session: str
    value: bytes


class KvPair(msgspec.Struct, frozen=True, gc=False):
    """A key with its row, as read."""

    key: bytes
    row: KvRow


encode_row = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder(KvRow).decode


def row_of(rows: TableRows, key: bytes) -> KvRow | None:
    """The row of a key, or None."""
    data = rows.get(KV, key)
    if data is None:
        return None
    row = decode_row(data)
    return None if rows.removals and is_gone(rows.removals, key, row) else row


def is_gone(removals: tuple[TreeRemoval, ...], key: bytes, row: KvRow) -> bool:
    """Whether a row that is still stored belongs to a removed tree (`kv.trees`, TRE-1)."""
    index = row.modify_index
    return any(index < one.index and key.startswith(one.prefix) for one in removals)


def entries(rows: TableRows, prefix: bytes) -> Iterator[KvPair]:
    """Every key with this byte prefix, in the order of bytes. Cost: O(rows), removed ones too."""
    return (entry for entry in looked_at(rows, prefix) if entry is not None)


def looked_at(rows: TableRows, prefix: bytes, first: bytes = b"") -> Iterator[KvPair | None]:
    """As `entries`, from `first` on, with None for each removed row, where a caller may pause."""
    removals = rows.removals

    def look(pair: tuple[bytes, bytes]) -> KvPair | None:
        key, row = pair[0], decode_row(pair[1])
        return None if removals and is_gone(removals, key, row) else KvPair(key, row)

    # A `map`, for a generator would hold a row until the next is asked for.
    return map(look, rows.range(KV, max(first, prefix), prefix_end(prefix)))


def lock_key(session: str, key: bytes) -> bytes:
    """The key in KV_LOCKS of one held key; with an empty one the prefix of all."""
    return key_part(session) + b"\0" + key


def delay(rows: Rows, key: bytes, delay_ms: int) -> None:
    """Set a lock-delay of this length on a key; none if it is 0."""
    if delay_ms > 0:
        until_ms = rows.log_time_ms + min(delay_ms, LOCK_DELAY_MS_MAX)
        rows.put(KV_DELAY, key, until_ms.to_bytes(8, "big"))


# --- what a snapshot for users holds ----------------------------------------------------------


def _saved_key(rows: TableRows, _: int, key: bytes, value: bytes) -> bytes | None:
    removals = rows.removals
    return None if removals and is_gone(removals, key, decode_row(value)) else value


def _saved_lock(rows: TableRows, _: int, pair: bytes, value: bytes) -> bytes | None:
    if not rows.removals:
        return value
    session, __, key = pair.partition(b"\0")
    row = row_of(rows, key)
    return value if row is not None and key_part(row.session) == session else None


def _saved_delay(_: TableRows, log_time_ms: int, __: bytes, value: bytes) -> bytes | None:
    """The remaining time: log times of this cluster mean nothing in another."""
    left_ms = int.from_bytes(value, "big") - log_time_ms
    return left_ms.to_bytes(8, "big") if left_ms > 0 else None


def _restored_delay(rows: Rows, key: bytes, left: bytes) -> None:
    delay(rows, key, int.from_bytes(left, "big"))


def _counted(data: bytes) -> tuple[int, int]:
    row = decode_row(data)
    return row.modify_index, row.lock_index


def _empty(data: bytes) -> None:
    if data:
        raise ValueError("a row that should be empty")


def _number(data: bytes) -> None:
    if len(data) != 8:
        raise ValueError("a number of the wrong length")


TABLES = (
    Table(
        KV,
        "KV",
        "KVS",
        decode_row,
        is_indexed=True,
        by_path=True,
        saved=_saved_key,
        counted=_counted,
    ),
    Table(KV_TOMBSTONES, "KV_TOMBSTONES", "Tombstone"),
    Table(KV_LOCKS, "KV_LOCKS", "Lock", _empty, saved=_saved_lock),
    Table(KV_DELAY, "KV_DELAY", "LockDelay", _number, saved=_saved_delay, restored=_restored_delay),
)
