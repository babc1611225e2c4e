"""Consul's keys and values: set, cas, delete, lists.

A command that changes nothing (same value, flags, session and lock index) takes no index and wakes
no watcher. A removed key leaves a tombstone with the index of its removal. Rows of a tree that is
noted as removed (`kv.trees`) count as absent in all functions here.

Source: https://developer.hashicorp.com/consul/api-docs/kv.
"""

from quorate.base.ports import Rows
from quorate.kv.commands import KvCas, KvDelete, KvDeleteCas, KvSet
from quorate.kv.subjects import of_key
from quorate.kv.tables import (
    KV,
    KV_LOCKS,
    KV_TOMBSTONES,
    KvPair,
    KvRow,
    decode_row,
    encode_row,
    is_gone,
    lock_key,
    row_of,
)


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
    rows.mark_changed(KV, b"k" + key)
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


def remove_entry(rows: Rows, entry: KvPair) -> None:
    """Remove a key that exists, given as it was just read."""
    _remove(rows, entry.key, entry.row)


def forget_gone(rows: Rows, key: bytes, old: KvRow) -> None:
    """Delete the lock entry of a removed row that is about to be overwritten."""
    if old.session:
        rows.delete(KV_LOCKS, lock_key(old.session, key))


def _remove(rows: Rows, key: bytes, old: KvRow) -> None:
    index = rows.take_index()
    rows.delete(KV, key)
    if old.session:
        rows.delete(KV_LOCKS, lock_key(old.session, key))
    subject = of_key(key)
    rows.put(KV_TOMBSTONES, key, index.to_bytes(8, "big"))
    rows.schedule_removal(subject)
    rows.mark_changed(KV, subject)


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
