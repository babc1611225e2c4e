"""Which session holds which key: acquire, release, release at the end of a session, lock-delay.

LCK-1: a key's row names the session that holds it, and KV_LOCKS lists the same pair, so that the
    keys of an ended session are found. Both change in one command. KV_LOCKS may still list pairs
    of removed rows (`kv.trees`); such a pair is no lock.
LCK-2: LockIndex counts acquisitions since the last plain write of the unlocked key.
LCK-3: a lock-delay is a deadline in log time, stored with the key, also of a deleted key.

What a session is, and whether it exists, is the matter of another domain: `base.facts`.
"""

from collections.abc import Generator
from itertools import islice

from quorate.base.facts import IsSessionAlive, SessionEnded
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import prefix_end
from quorate.kv.apply import forget_gone, remove
from quorate.kv.commands import KvAcquire, KvRelease
from quorate.kv.subjects import of_key
from quorate.kv.tables import (
    KV,
    KV_DELAY,
    KV_LOCKS,
    KvRow,
    decode_row,
    delay,
    encode_row,
    lock_key,
    row_of,
)

MISSING_SESSION = Failure("bad_request", "missing session")

_PIECE = 32
_LOOK_UNITS, _DELETE_UNITS = 1, 8
_UNITS = 24  # of a key that is unlocked or removed


def is_delayed(rows: TableRows, key: bytes, log_time_ms: int) -> bool:
    """Whether a lock-delay forbids to acquire this key now."""
    until = rows.get(KV_DELAY, key)
    return until is not None and int.from_bytes(until, "big") > log_time_ms


def acquire(rows: Rows, key: bytes, value: bytes, flags: int, session: str) -> KvRow | None:
    """Lock for an existing session, and write; None if another one holds it.

    The caller has checked `is_delayed`.
    """
    old = row_of(rows, key)
    if old is None:
        if rows.removals:
            _forget_gone(rows, key)
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


def is_held(rows: TableRows, session: str, key: bytes) -> bool:
    """Whether this session holds this key."""
    row = row_of(rows, key)
    return row is not None and row.session == session


def held(rows: TableRows, session: str) -> list[bytes]:
    """The keys that a session holds, in the order of bytes. Cost: O(keys)."""
    prefix = lock_key(session, b"")
    listed = rows.range(KV_LOCKS, prefix, prefix_end(prefix))
    keys = [key[len(prefix) :] for key, _ in listed]
    return [key for key in keys if not rows.removals or is_held(rows, session, key)]


def drop_delays(rows: Rows, rows_max: int, looked_max: int | None) -> Generator[None, None, int]:
    """Forget lock-delays that are over, at most `rows_max`. Returns how many.

    Examines at most `looked_max` (None: all). Yields whenever this turn's share of work is done.
    """
    over: list[bytes] = []
    for key, until in islice(rows.range(KV_DELAY, b""), looked_max):
        if len(over) >= rows_max:
            break
        if int.from_bytes(until, "big") <= rows.log_time_ms:
            over.append(key)
        if rows.spend(_LOOK_UNITS):
            yield
    for key in over:
        rows.delete(KV_DELAY, key)
        if rows.spend(_DELETE_UNITS):
            yield
    return len(over)


def _forget_gone(rows: Rows, key: bytes) -> None:
    data = rows.get(KV, key)
    if data is not None:
        forget_gone(rows, key, decode_row(data))


def _unlock(rows: Rows, key: bytes, session: str) -> None:
    rows.delete(KV_LOCKS, lock_key(session, key))
    old = row_of(rows, key)
    if old is None or old.session != session:
        return
    row = KvRow(old.create_index, rows.take_index(), old.lock_index, old.flags, "", old.value)
    _put(rows, key, row)


def _put(rows: Rows, key: bytes, row: KvRow) -> None:
    rows.put(KV, key, encode_row(row))
    rows.mark_changed(KV, of_key(key))


# --- commands and reactions -------------------------------------------------------------------


def refusal(rows: Rows, session: str) -> Failure | None:
    """Why this session may lock nothing; None if it exists."""
    if not session:
        return MISSING_SESSION
    if not rows.ask(IsSessionAlive(session)):
        return Failure("not_found", f'invalid session "{session}"')
    return None


def on_acquire(rows: Rows, command: KvAcquire) -> bool | Failure:
    """Apply `KvAcquire`."""
    failure = refusal(rows, command.session)
    if failure is not None:
        return failure
    if is_delayed(rows, command.key, rows.log_time_ms):
        return False
    row = acquire(rows, command.key, command.value, command.flags, command.session)
    return row is not None


def on_release(rows: Rows, command: KvRelease) -> bool | Failure:
    """Apply `KvRelease`; an unknown session holds nothing, so it is False."""
    if not command.session:
        return MISSING_SESSION
    row = release(rows, command.key, command.value, command.flags, command.session)
    return row is not None


def on_session_ended(rows: Rows, fact: SessionEnded) -> Generator[None, None, None]:
    """A session ended: unlock or remove its keys, each with a lock-delay.

    Yields whenever this turn's share of work is done.
    """
    session = fact.id
    prefix = lock_key(session, b"")
    while True:  # every listed pair is deleted, so each piece begins at the prefix
        listed = islice(rows.range(KV_LOCKS, prefix, prefix_end(prefix)), _PIECE)
        piece = [key[len(prefix) :] for key, _ in listed]
        for key in piece:
            if is_held(rows, session, key):
                delay(rows, key, fact.lock_delay_ms)
                if fact.is_delete:
                    remove(rows, key)
                else:
                    _unlock(rows, key, session)
            rows.delete(KV_LOCKS, prefix + key)
            if rows.spend(_UNITS):
                yield
        if len(piece) < _PIECE:
            return
