"""What nobody asked for but must be done: forgetting removals, sweeping old generations.

Both are commands like any other, proposed by the leader, and do a bounded piece of work each.
"""

from itertools import islice

from quorate.base.commands.kv import TombstonesReap
from quorate.base.commands.machine import Sweep
from quorate.base.schema import Table, prefix_end
from quorate.kv import locks
from quorate.kv.store import KV_TOMB
from quorate.machine.rows import Rows
from quorate.machine.state import index_of

GRAVEYARD = int(Table.GRAVEYARD)
SUBJECTS = int(Table.SUBJECTS)

_INDEX_BYTES = 8


def on_tombstones_reap(rows: Rows, command: TombstonesReap) -> None:
    """Apply `TombstonesReap`: oldest first, so that the floor says what may be missing."""
    rows.has_kept_up = True
    graves = list(islice(rows.range(GRAVEYARD, b""), max(command.rows_max, 0)))
    for grave, _ in graves:
        index = index_of(grave)
        if index > command.index:
            break
        rows.delete(GRAVEYARD, grave)
        subject = grave[_INDEX_BYTES:]
        if subject[:1] == b"k":
            _forget(rows, KV_TOMB, subject[1:], index)
        else:
            _forget(rows, SUBJECTS, subject, index)
        rows.floor = max(rows.floor, index)


def on_sweep(rows: Rows, command: Sweep) -> int:
    """Apply `Sweep`: lock-delays that are over, then rows of generations no longer current."""
    rows.has_kept_up = True
    swept = locks.drop_delays(rows, max(command.rows_max, 0))
    while rows.stale and swept < command.rows_max:
        prefix = bytes((rows.stale[0],))
        wanted = command.rows_max - swept
        doomed = [
            key for key, _ in islice(rows.transaction.range(prefix, prefix_end(prefix)), wanted)
        ]
        for key in doomed:
            rows.delete_full(key)
        swept += len(doomed)
        if len(doomed) < wanted:
            rows.stale = rows.stale[1:]
    return swept


def _forget(rows: Rows, table: int, key: bytes, index: int) -> None:
    """Drop what is remembered of a removal, unless it changed again since."""
    stored = rows.get(table, key)
    if stored is not None and index_of(stored) <= index:
        rows.delete(table, key)
