"""Background work: dropping tombstones, sweeping rows that are not valid any more.

Both are commands like any other, proposed by the leader, and do a bounded amount of work each.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import islice

from quorate.base.schema import SUBJECTS, TOMBSTONES, index_of
from quorate.machine import derived
from quorate.machine.commands import Sweep, SweepAll, TombstonesReap
from quorate.machine.rows import BatchRows

_INDEX_BYTES = 8
_UNITS = 8  # of a row that is deleted
_PIECE = 32


def on_tombstones_reap(rows: BatchRows, command: TombstonesReap) -> Generator[None, None, None]:
    """Apply `TombstonesReap`: oldest first: the floor is the highest index that was dropped."""
    rows.note_upkeep()
    tombstone_tables = rows.domains.tombstone_tables
    for tombstone in _in_pieces(partial(rows.range, TOMBSTONES, b""), command.rows_max):
        index = index_of(tombstone)
        if index > command.index:
            break
        rows.delete(TOMBSTONES, tombstone)
        subject = tombstone[_INDEX_BYTES:]
        table = tombstone_tables.get(subject[:1])
        if table is not None:
            _forget(rows, table, subject[1:], index)
        else:
            _forget(rows, SUBJECTS, subject, index)
        rows.raise_floor(index)
        if rows.spend(_UNITS):
            yield


def on_sweep(rows: BatchRows, command: Sweep) -> Generator[None, None, int]:
    """Apply `Sweep`: rows that domains do not need any more, then rows of old generations."""
    return (yield from _sweep(rows, max(command.rows_max, 0), is_all=False))


def on_sweep_all(rows: BatchRows, command: SweepAll) -> Generator[None, None, int]:
    """Apply `SweepAll`."""
    return (yield from _sweep(rows, max(command.rows_max, 0), is_all=True))


def _sweep(rows: BatchRows, most: int, *, is_all: bool) -> Generator[None, None, int]:
    rows.note_upkeep()
    swept = 0
    for upkeep in rows.domains.upkeep:
        swept += yield from upkeep.sweep(rows, most - swept, is_all)
    while rows.stale and swept < most:
        generation = rows.stale[0]
        wanted, expired = most - swept, 0
        for key in _in_pieces(partial(derived.other_rows, rows, generation), wanted):
            rows.delete_full(key)
            expired += 1
            if rows.spend(_UNITS):
                yield
        swept += expired
        if expired < wanted:
            yield from _sweep_derived(rows, generation)
            rows.end_sweep()
    return swept


def _sweep_derived(rows: BatchRows, generation: int) -> Generator[None, None, None]:
    """Delete the rows of secondary indexes; they are not counted, as some versions have none."""
    while piece := [key for key, _ in islice(derived.own_rows(rows, generation), _PIECE)]:
        for key in piece:
            rows.remove_derived_full(key)
            if rows.spend(_UNITS):
                yield


def _in_pieces(rows: Callable[[], Iterable[tuple[bytes, bytes]]], most: int) -> Iterator[bytes]:
    """The first keys of `rows`; the caller deletes each before it takes the next."""
    while most > 0:
        piece = [key for key, _ in islice(rows(), min(most, _PIECE))]
        if not piece:
            return
        yield from piece
        most -= len(piece)


def _forget(rows: BatchRows, table: int, key: bytes, index: int) -> None:
    """Drop the tombstone of a key or subject, unless it has changed since."""
    stored = rows.get(table, key)
    if stored is not None and index_of(stored) <= index:
        rows.delete(table, key)
