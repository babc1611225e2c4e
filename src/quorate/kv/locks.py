"""Which session holds which key, as far as keys know: acquire, release, freeing, lock-delay.

L1: a key's row names the session that holds it, and KV_LOCKS lists the same pair, so that an
    ended session finds what it held. Both change in one command.
L2: LockIndex counts acquisitions since the last plain write of the unlocked key.
L3: a lock-delay is a deadline in logged time, stored with the key, also of a deleted key.

What a session is, and whether it lives, `machine.ownership` asks the registry.
"""

from quorate.base import subjects
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import Table, prefix_end
from quorate.kv.store import (
    KV,
    KV_LOCKS,
    KvRow,
    encode_row,
    lock_key,
    remove,
    row_of,
)

KV_DELAY = int(Table.KV_DELAY)

LOCK_DELAY_MS_MAX = 60_000
"""A longer lock-delay is kept and shown, but counts as this."""


def is_delayed(rows: TableRows, key: bytes, stamp_ms: int) -> bool:
    """Whether a lock-delay forbids to acquire this key now."""
    until = rows.get(KV_DELAY, key)
    return until is not None and int.from_bytes(until, "big") > stamp_ms


def acquire(rows: Rows, key: bytes, value: bytes, flags: int, session: str) -> KvRow | None:
    """Lock for a session that lives, and write; None if another one holds it.

    The caller has asked `is_delayed`.
    """
    old = row_of(rows, key)
    if old is None:
        index = rows.take_index()
        row = KvRow(index, index, 1, flags, session, value)
    elif old.session and old.session != session:
        return None
    else:
        lock_index = old.lock_index if old.session else old.lock_index + 1
        if old.session and old.value == value and old.flags == flags:
            return old
        row = KvRow(old.create_index, rows.take_index(), lock_index, flags, session, value)
    if old is None or not old.session:
        rows.put(KV_LOCKS, lock_key(session, key), b"")
    _put(rows, key, row)
    return row


def release(rows: Rows, key: bytes, value: bytes, flags: int, session: str) -> KvRow | None:
    """Unlock and write; None if `session` does not hold it. Sets no lock-delay."""
    old = row_of(rows, key)
    if old is None or not session or old.session != session:
        return None
    row = KvRow(old.create_index, rows.take_index(), old.lock_index, flags, "", value)
    rows.delete(KV_LOCKS, lock_key(session, key))
    _put(rows, key, row)
    return row


def held(rows: TableRows, session: str) -> list[bytes]:
    """The keys that a session holds, in the order of bytes."""
    prefix = lock_key(session, b"")
    return [key[len(prefix) :] for key, _ in rows.range(KV_LOCKS, prefix, prefix_end(prefix))]


def free(rows: Rows, session: str, is_delete: bool, lock_delay_ms: int) -> None:
    """A session ended: its keys lose it, or go; each is closed for the lock-delay."""
    for key in held(rows, session):
        delay(rows, key, lock_delay_ms)
        if is_delete:
            remove(rows, key)
        else:
            _unlock(rows, key, session)


def delay(rows: Rows, key: bytes, delay_ms: int) -> None:
    """Close a key for acquirers from now on for so long; not at all if it is 0."""
    if delay_ms > 0:
        until_ms = rows.stamp_ms + min(delay_ms, LOCK_DELAY_MS_MAX)
        rows.put(KV_DELAY, key, until_ms.to_bytes(8, "big"))


def drop_delays(rows: Rows, rows_max: int) -> int:
    """Forget lock-delays that are over, at most `rows_max`. Returns how many."""
    over: list[bytes] = []
    for key, until in rows.range(KV_DELAY, b""):
        if len(over) >= rows_max:
            break
        if int.from_bytes(until, "big") <= rows.stamp_ms:
            over.append(key)
    for key in over:
        rows.delete(KV_DELAY, key)
    return len(over)


def _unlock(rows: Rows, key: bytes, session: str) -> None:
    rows.delete(KV_LOCKS, lock_key(session, key))
    old = row_of(rows, key)
    if old is None or old.session != session:
        return
    row = KvRow(old.create_index, rows.take_index(), old.lock_index, old.flags, "", old.value)
    _put(rows, key, row)


def _put(rows: Rows, key: bytes, row: KvRow) -> None:
    rows.put(KV, key, encode_row(row))
    rows.touch(KV, subjects.of_key(key))
