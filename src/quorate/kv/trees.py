"""Removing all keys with a prefix, also very many, without one long turn.

A small tree is deleted row by row, each with a tombstone. A large one is noted as removed: one
entry in the machine's row says "keys with this prefix, older than this index, are removed"; reads
and writes skip such rows, and later commands (`Sweep`) delete them in pieces. The command takes one
index and is atomic for readers either way.

TRE-1: a row whose key begins with a noted prefix and whose ModifyIndex is below the removal's index
    counts as absent: no read shows it, no write finds it, no session holds it.
TRE-2: what a transaction wrote before its own removal has the same index; it is deleted row by row.
TRE-3: deleting removed rows changes nothing that a read shows, and takes no index.
TRE-4: a noted removal leaves no tombstones; it raises the floor, as dropped tombstones do.

Alternatives: deleting in one turn (3.6 s for 200,000 keys, and an election), or in many turns of
one slot (later slots would wait): see `docs/adr/0018-bounded-turns.md`.
"""

from collections.abc import Generator
from typing import TypeVar

from quorate.base.ports import Rows
from quorate.base.removals import NO_LIMIT
from quorate.base.schema import prefix_end
from quorate.kv.apply import remove_entry
from quorate.kv.commands import KvDeleteTree, KvDeleteTreeByRow
from quorate.kv.subjects import of_tree
from quorate.kv.tables import (
    KV,
    KV_LOCKS,
    KvPair,
    decode_row,
    is_gone,
    lock_key,
    looked_at,
    row_of,
)

NOTED_MAX = 64
"""With so many noted removals the next goes row by row, in slices: each costs every read."""

T = TypeVar("T")

_READ, _WRITE = 1, 24
"""Units of a row that is examined and of one that is removed: see `machine.rows`."""

_DELETE = 8

_PIECE = 32


def remove_tree(rows: Rows, prefix: bytes) -> Generator[None, None, bool]:
    """Remove every key with this byte prefix under one index; whether there were any.

    Yields whenever this turn's share of work is done.
    """
    most = rows.removals_left
    to_remove: list[KvPair] = []
    for entry in looked_at(rows, prefix):
        if rows.spend(_READ):
            yield
        if entry is not None:
            to_remove.append(entry)
            if len(to_remove) > most:
                break
    if not to_remove:
        return False
    if len(to_remove) <= most:
        rows.spend_removals(len(to_remove))
        yield from _remove_all(rows, to_remove)
    elif len(rows.removals) < NOTED_MAX:
        yield from _note(rows, prefix)
    else:
        yield from _remove_in_pieces(rows, prefix)
    return True


def _note(rows: Rows, prefix: bytes) -> Generator[None, None, None]:
    index = rows.take_index()
    own: list[KvPair] = []  # TRE-2
    for key in rows.written(KV, prefix):
        row = row_of(rows, key)
        if row is not None and row.modify_index == index:
            own.append(KvPair(key, row))
    yield from _remove_all(rows, own)
    rows.note_removal(prefix)
    rows.mark_changed(KV, of_tree(prefix))


def _remove_in_pieces(rows: Rows, prefix: bytes) -> Generator[None, None, None]:
    first = prefix
    while True:
        piece: list[KvPair] = []
        for entry in looked_at(rows, prefix, first):
            if rows.spend(_READ):
                yield
            if entry is not None:
                piece.append(entry)
                if len(piece) == _PIECE:
                    break
        yield from _remove_all(rows, piece)
        if len(piece) < _PIECE:
            return
        first = piece[-1].key + b"\0"


def _remove_all(rows: Rows, to_remove: list[KvPair]) -> Generator[None, None, None]:
    for entry in to_remove:
        remove_entry(rows, entry)
        if rows.spend(_WRITE):
            yield


def sweep_removed(rows: Rows, rows_max: int) -> Generator[None, None, int]:
    """Delete rows of the oldest noted removal; examines up to `rows_max` rows.

    Returns how many it examined (TRE-3).
    """
    if not rows.removals or rows_max <= 0:
        return 0
    removal = rows.removals[0]
    to_remove: list[KvPair] = []
    looked, last = 0, removal.cursor
    for key, data in rows.range(KV, removal.cursor, prefix_end(removal.prefix)):
        looked, last = looked + 1, key
        row = decode_row(data)
        if is_gone(rows.removals, key, row):
            to_remove.append(KvPair(key, row))
        if rows.spend(_READ):
            yield
        if looked == rows_max:
            break
    for entry in to_remove:
        if rows.spend(_DELETE):
            yield
        rows.delete(KV, entry.key)
        if entry.row.session:
            rows.delete(KV_LOCKS, lock_key(entry.row.session, entry.key))
    rows.advance_removal(last + b"\0" if looked == rows_max else None)
    return looked


def on_delete_tree(rows: Rows, command: KvDeleteTree) -> Generator[None, None, bool]:
    """Apply `KvDeleteTree`."""
    yield from remove_tree(rows, command.prefix)
    return True


def on_delete_tree_by_row(rows: Rows, command: KvDeleteTreeByRow) -> Generator[None, None, bool]:
    """Apply `KvDeleteTreeByRow`."""
    yield from without_limit(rows, remove_tree(rows, command.prefix))
    return True


def without_limit(rows: Rows, work: Generator[None, None, T]) -> Generator[None, None, T]:
    """Do work of a log of format 1, in which every tree is deleted row by row."""
    left = rows.limit_removals(NO_LIMIT)
    done = yield from work
    rows.limit_removals(left)
    return done
