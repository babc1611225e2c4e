"""Consul's keys and values: set, cas, delete, lists.

What changes nothing (same value, flags, session and lock index) takes no index and wakes nobody.
A removed key leaves a tombstone with the index of its removal. Rows of a tree that is noted as
removed (`kv.trees`) are gone for everything here.

Source: https://developer.hashicorp.com/consul/api-docs/kv.
"""

from collections.abc import Iterator

import msgspec

from quorate.base import subjects
from quorate.base.commands.kv import KvCas, KvDelete, KvDeleteCas, KvSet
from quorate.base.ports import Rows, TableRows
from quorate.base.removals import TreeRemoval
from quorate.base.schema import Table, prefix_end

KV = int(Table.KV)
KV_TOMB = int(Table.KV_TOMB)
KV_LOCKS = int(Table.KV_LOCKS)


class KvRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A key's row. `session` is "" if nobody holds it."""

    create_index: int
    modify_index: int
    lock_index: int
    flags: int
    session: str
    value: bytes


class KvEntry(msgspec.Struct, frozen=True, gc=False):
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
    """Whether a row that is still there belongs to a tree that was removed (`kv.trees`, K1)."""
    index = row.modify_index
    return any(index < one.index and key.startswith(one.prefix) for one in removals)


def entries(rows: TableRows, prefix: bytes) -> Iterator[KvEntry]:
    """Every key with this byte prefix, in the order of bytes. Cost: rows that are gone count."""
    return (entry for entry in looked_at(rows, prefix) if entry is not None)


def looked_at(rows: TableRows, prefix: bytes, first: bytes = b"") -> Iterator[KvEntry | None]:
    """As `entries`, from `first` on, with None for each row that is gone: to pause meanwhile."""
    removals = rows.removals

    def look(pair: tuple[bytes, bytes]) -> KvEntry | None:
        key, row = pair[0], decode_row(pair[1])
        return None if removals and is_gone(removals, key, row) else KvEntry(key, row)

    # A `map`, for a generator would hold a row until the next is asked for.
    return map(look, rows.range(KV, max(first, prefix), prefix_end(prefix)))


def lock_key(session: str, key: bytes) -> bytes:
    """The key in KV_LOCKS of one held key; with an empty one the prefix of all."""
    return subjects.key_part(session) + b"\0" + key


def write(rows: Rows, key: bytes, value: bytes, flags: int) -> KvRow:
    """Write unconditionally: session kept, LockIndex reset. Returns the row as it is then."""
    data = rows.get(KV, key)
    old: KvRow | None = None
    if data is not None:
        old = decode_row(data)
        if rows.removals and is_gone(rows.removals, key, old):
            forget_gone(rows, key, old)
            old = None
    if old is None:
        index = rows.take_index()
        row = KvRow(index, index, 0, flags, "", value)
    else:
        if old.value == value and old.flags == flags and old.lock_index == 0:
            return old
        row = KvRow(old.create_index, rows.take_index(), 0, flags, old.session, value)
    rows.put(KV, key, encode_row(row))
    rows.touch(KV, b"k" + key)
    return row


def write_if(rows: Rows, key: bytes, value: bytes, flags: int, index: int) -> KvRow | None:
    """Write if ModifyIndex is `index` (0: only if absent); None if it is not."""
    old = row_of(rows, key)
    if index != (0 if old is None else old.modify_index):
        return None
    return write(rows, key, value, flags)


def remove(rows: Rows, key: bytes) -> bool:
    """Remove a key, held or not; True if it was there."""
    old = row_of(rows, key)
    if old is None:
        return False
    _remove(rows, key, old)
    return True


def remove_if(rows: Rows, key: bytes, index: int) -> bool:
    """Remove if ModifyIndex is `index`; True too if it is absent."""
    old = row_of(rows, key)
    if old is None:
        return True
    if old.modify_index != index:
        return False
    _remove(rows, key, old)
    return True


def remove_entry(rows: Rows, entry: KvEntry) -> None:
    """Remove a key that is there as it was just read."""
    _remove(rows, entry.key, entry.row)


def forget_gone(rows: Rows, key: bytes, old: KvRow) -> None:
    """A row that is gone is about to be written over: nobody holds it."""
    if old.session:
        rows.delete(KV_LOCKS, lock_key(old.session, key))


def _remove(rows: Rows, key: bytes, old: KvRow) -> None:
    index = rows.take_index()
    rows.delete(KV, key)
    if old.session:
        rows.delete(KV_LOCKS, lock_key(old.session, key))
    subject = subjects.of_key(key)
    rows.put(KV_TOMB, key, index.to_bytes(8, "big"))
    rows.bury(subject)
    rows.touch(KV, subject)


# --- commands ---------------------------------------------------------------------------------


def on_set(rows: Rows, command: KvSet) -> bool:
    """Apply `KvSet`."""
    write(rows, command.key, command.value, command.flags)
    return True


def on_cas(rows: Rows, command: KvCas) -> bool:
    """Apply `KvCas`."""
    return write_if(rows, command.key, command.value, command.flags, command.index) is not None


def on_delete(rows: Rows, command: KvDelete) -> bool:
    """Apply `KvDelete`."""
    remove(rows, command.key)
    return True


def on_delete_cas(rows: Rows, command: KvDeleteCas) -> bool:
    """Apply `KvDeleteCas`."""
    return remove_if(rows, command.key, command.index)
