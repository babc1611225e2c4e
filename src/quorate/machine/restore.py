"""Restoring a user's snapshot while the cluster runs.

Ordinary commands write the rows into a generation that is not read yet; one command makes it
current and wakes all watchers. Membership, dedup and log time stay; so the domains start the times
in the snapshot anew (`base.domain.Table.restored`).
"""

from collections.abc import Generator
from functools import partial

import msgspec

from quorate.base.outcomes import Failure
from quorate.machine.commands import RestoreBegin, RestoreCommit, RestoreRows
from quorate.machine.derived import derive_all, in_pieces
from quorate.machine.domains import Domains
from quorate.machine.rows import READ_UNITS, WRITE_UNITS, BatchRows
from quorate.machine.state import (
    GENERATIONS_MAX,
    META_GENERATION,
    RESTORE_KEY,
    Restore,
    decode_restore,
    encode_restore,
)


def is_sound(domains: Domains, key: bytes, value: bytes) -> bool:
    """Whether a snapshot's row belongs to a known table and decodes."""
    table = domains.tables.get(key[0]) if key else None
    if table is None or table.decode is None:
        return False
    try:
        table.decode(value)
    except (ValueError, msgspec.MsgspecError):  # not a row: the result is False
        return False
    return True


def on_restore_begin(rows: BatchRows, command: RestoreBegin) -> bool | Failure:
    """Apply `RestoreBegin`."""
    before = _under_way(rows)
    if before is not None:
        rows.drop_generation(before.generation)
    used = {META_GENERATION, rows.generation, *rows.stale}
    free = next((number for number in range(1, GENERATIONS_MAX + 1) if number not in used), None)
    if free is None:
        return Failure("precondition", "too many unfinished restores; try again later")
    _store(rows, Restore(command.restore_id, free, 0))
    return True


def on_restore_rows(rows: BatchRows, command: RestoreRows) -> Generator[None, None, bool | Failure]:
    """Apply `RestoreRows`. A row that cannot be decoded ends the whole restore."""
    restore = _under_way(rows)
    if restore is None or restore.restore_id != command.restore_id or restore.is_broken:
        return False
    for key, value in command.rows:
        if not is_sound(rows.domains, key, value):
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


def on_restore_commit(rows: BatchRows, command: RestoreCommit) -> Generator[None, None, bool]:
    """Apply `RestoreCommit`."""
    restore = _under_way(rows)
    if restore is None or restore.restore_id != command.restore_id:
        return False
    if restore.is_broken or restore.rows != command.rows:
        return False
    rows.delete_full(RESTORE_KEY)
    rows.restore(restore.generation, command.index)
    rows.replace_all()
    for table, restored in rows.domains.restored:
        for key, value in in_pieces(partial(rows.range, table)):
            restored(rows, key, value)
            if rows.spend(WRITE_UNITS):
                yield
    yield from derive_all(rows)
    return True


def _under_way(rows: BatchRows) -> Restore | None:
    data = rows.transaction.get(RESTORE_KEY)
    return None if data is None else decode_restore(data)


def _store(rows: BatchRows, restore: Restore) -> None:
    rows.put_full(RESTORE_KEY, encode_restore(restore))
