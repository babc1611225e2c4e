"""Restoring a user's snapshot while the cluster runs.

Rows arrive as ordinary commands in a generation that nobody reads yet; one command makes it
current and wakes everybody. Membership, dedup and logged time stay; so times in the snapshot are
counted anew: each session gets its full time, each lock-delay what was left of it.
"""

from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any

import msgspec

from quorate.base.commands.machine import RestoreBegin, RestoreCommit, RestoreRows
from quorate.base.outcomes import Failure
from quorate.base.schema import Table
from quorate.kv import locks
from quorate.kv import store as kv
from quorate.machine.rows import READ_UNITS, WRITE_UNITS, Rows
from quorate.machine.state import (
    GENERATIONS_MAX,
    META_GENERATION,
    RESTORE_KEY,
    Restore,
    decode_restore,
    encode_restore,
)
from quorate.registry import catalog, sessions

_PIECE = 32


def _empty(data: bytes) -> None:
    if data:
        raise ValueError("a row that should be empty")


def _name(data: bytes) -> None:
    data.decode()


def _number(data: bytes) -> None:
    if len(data) != 8:
        raise ValueError("a number of the wrong length")


CONTENT: dict[int, Callable[[bytes], Any]] = {
    Table.KV: kv.decode_row,
    Table.KV_LOCKS: _empty,
    Table.KV_DELAY: _number,
    Table.SESSIONS: sessions.decode_row,
    Table.NODES: catalog.decode_node,
    Table.SERVICES: catalog.decode_service,
    Table.CHECKS: catalog.decode_check,
    Table.NODE_SERVICES: _name,
}
"""The tables that a snapshot for users holds, and what a row of each must decode as.

What is remembered of removals stays behind: after a restore every older index answers at once.
"""


def is_sound(key: bytes, value: bytes) -> bool:
    """Whether a snapshot's row belongs to a known table and decodes."""
    check = CONTENT.get(key[0]) if key else None
    if check is None:
        return False
    try:
        check(value)
    except (ValueError, msgspec.MsgspecError):  # foreign bytes: the answer is "no"
        return False
    return True


def on_restore_begin(rows: Rows, command: RestoreBegin) -> bool | Failure:
    """Apply `RestoreBegin`."""
    before = _under_way(rows)
    if before is not None:
        rows.stale = (*rows.stale, before.generation)
    used = {META_GENERATION, rows.generation, *rows.stale}
    free = next((number for number in range(1, GENERATIONS_MAX + 1) if number not in used), None)
    if free is None:
        return Failure("precondition", "too many unfinished restores; try again later")
    _store(rows, Restore(command.restore_id, free, 0))
    return True


def on_restore_rows(rows: Rows, command: RestoreRows) -> Generator[None, None, bool | Failure]:
    """Apply `RestoreRows`. A row that does not decode spoils the whole restore."""
    restore = _under_way(rows)
    if restore is None or restore.restore_id != command.restore_id or restore.is_broken:
        return False
    for key, value in command.rows:
        if not is_sound(key, value):
            _store(rows, msgspec.structs.replace(restore, is_broken=True))
            return Failure("bad_request", "a row of the snapshot cannot be read")
        if rows.spend(READ_UNITS):
            yield
    prefix = bytes((restore.generation,))
    for key, value in command.rows:
        rows.put_full(prefix + key, value)
        if rows.spend(WRITE_UNITS):
            yield
    _store(rows, msgspec.structs.replace(restore, rows=restore.rows + len(command.rows)))
    return True


def on_restore_commit(rows: Rows, command: RestoreCommit) -> Generator[None, None, bool]:
    """Apply `RestoreCommit`."""
    restore = _under_way(rows)
    if restore is None or restore.restore_id != command.restore_id:
        return False
    if restore.is_broken or restore.rows != command.rows:
        return False
    rows.delete_full(RESTORE_KEY)
    rows.stale = (*rows.stale, rows.generation)
    rows.switch(restore.generation)
    rows.removals = ()
    rows.index = max(rows.index, command.index)
    rows.replace_all()
    for _, data in _in_pieces(rows, sessions.SESSIONS):
        sessions.renew(rows, sessions.decode_row(data))
        if rows.spend(WRITE_UNITS):
            yield
    for key, left in _in_pieces(rows, locks.KV_DELAY):
        locks.delay(rows, key, int.from_bytes(left, "big"))
        if rows.spend(WRITE_UNITS):
            yield
    return True


def _in_pieces(rows: Rows, table: int) -> Iterator[tuple[bytes, bytes]]:
    """Every row of a table whose rows change meanwhile; none is added."""
    first = b""
    while piece := list(islice(rows.range(table, first), _PIECE)):
        yield from piece
        first = piece[-1][0] + b"\0"


def _under_way(rows: Rows) -> Restore | None:
    data = rows.transaction.get(RESTORE_KEY)
    return None if data is None else decode_restore(data)


def _store(rows: Rows, restore: Restore) -> None:
    rows.put_full(RESTORE_KEY, encode_restore(restore))
