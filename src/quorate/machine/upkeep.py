"""What nobody asked for but must be done: forgetting removals, sweeping what is out of force.

Both are commands like any other, proposed by the leader, and do a bounded piece of work each.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import islice

from quorate.base.commands.kv import TombstonesReap
from quorate.base.commands.machine import Sweep, SweepAll
from quorate.base.schema import Table, prefix_end
from quorate.kv import locks
from quorate.kv.store import KV_TOMB
from quorate.kv.trees import sweep_removed
from quorate.machine.rows import Rows
from quorate.machine.state import index_of

GRAVEYARD = int(Table.GRAVEYARD)
SUBJECTS = int(Table.SUBJECTS)

_INDEX_BYTES = 8
_UNITS = 8  # of a row that goes
_PIECE = 32


def on_tombstones_reap(rows: Rows, command: TombstonesReap) -> Generator[None, None, None]:
    """Apply `TombstonesReap`: oldest first, so that the floor says what may be missing."""
    rows.has_kept_up = True
    for grave in _in_pieces(partial(rows.range, GRAVEYARD, b""), command.rows_max):
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
        if rows.spend(_UNITS):
            yield


def on_sweep(rows: Rows, command: Sweep) -> Generator[None, None, int]:
    """Apply `Sweep`: lock-delays that are over, rows of removed trees, and of old generations."""
    most = max(command.rows_max, 0)
    return (yield from _sweep(rows, most, locks.LOOKED_AT_SHARE * most))


def on_sweep_all(rows: Rows, command: SweepAll) -> Generator[None, None, int]:
    """Apply `SweepAll`."""
    return (yield from _sweep(rows, max(command.rows_max, 0), None))


def _sweep(rows: Rows, most: int, delays_max: int | None) -> Generator[None, None, int]:
    rows.has_kept_up = True
    swept = yield from locks.drop_delays(rows, most, delays_max)
    swept += yield from sweep_removed(rows, most - swept)
    while rows.stale and swept < most:
        prefix = bytes((rows.stale[0],))
        wanted, doomed = most - swept, 0
        whole = partial(rows.transaction.range, prefix, prefix_end(prefix))
        for key in _in_pieces(whole, wanted):
            rows.delete_full(key)
            doomed += 1
            if rows.spend(_UNITS):
                yield
        swept += doomed
        if doomed < wanted:
            rows.stale = rows.stale[1:]
    return swept


def _in_pieces(rows: Callable[[], Iterable[tuple[bytes, bytes]]], most: int) -> Iterator[bytes]:
    """The first keys of rows that are deleted one by one as they come."""
    while most > 0:
        piece = [key for key, _ in islice(rows(), min(most, _PIECE))]
        if not piece:
            return
        yield from piece
        most -= len(piece)


def _forget(rows: Rows, table: int, key: bytes, index: int) -> None:
    """Drop what is remembered of a removal, unless it changed again since."""
    stored = rows.get(table, key)
    if stored is not None and index_of(stored) <= index:
        rows.delete(table, key)
