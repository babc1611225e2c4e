"""The transaction of one batch for handlers: rows by table, digest, undo, changed watch keys.

ROW-1: the digest covers every write and deletion, in order; so the next comparison finds replicas
    that differ, whatever the cause.
ROW-2: between `open_undo` and `undo` or `close_undo` every old value is kept: the tables port has
    no nested transactions.
ROW-3: a command takes at most one index, and marks changes only after it. `is_taken` is cleared
    before each command.
ROW-4: work is counted in units, about 2 microseconds each: a row read counts as 1, a row written or
    a command as 8. Long handlers are generators that yield when `spend` says so; the transaction
    stays open meanwhile, and readers see the state before it.
ROW-6: rows of secondary indexes (`base.domain.Derived`) are not in the digest: they follow from
    rows that are, and a version that has no such index must come to the same digest.
ROW-5: the reactions to a fact run before `emit` returns, in the order of the domains, under the
    index of the same command; reactions may emit facts, to a bounded depth. So what follows from a
    command is the same on every replica, and undone with it.
"""

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TypeVar
from zlib import crc32

import msgspec

from quorate.base import subjects
from quorate.base.command import Command
from quorate.base.config import ClusterConfig, Limits
from quorate.base.errors import invariant
from quorate.base.facts import Fact, Question
from quorate.base.outcomes import Outcome
from quorate.base.ports import Transaction, View
from quorate.base.removals import TreeRemoval
from quorate.base.schema import SUBJECTS, TOMBSTONES, index_key, prefix_end
from quorate.machine.domains import Domains
from quorate.machine.state import State, prefixes

READ_UNITS = 1
WRITE_UNITS = 8

FACT_DEPTH_MAX = 8
"""Maximal depth of reactions to reactions."""

T = TypeVar("T")

_DELETED = b"\0deleted"


TimerChange = tuple[str, bytes, int | None]
"""Kind, key, and the deadline in log time; None: it was cleared."""


class Bounds(msgspec.Struct, frozen=True):
    """Limits of one turn and one batch; see `base.config`.

    Attributes:
        turn_units: Work of one turn (ROW-4).
        removals_max: Rows that one batch removes one by one.
        result_bytes_max: What the result of one transaction may hold.
    """

    turn_units: int = Limits().turn_units
    removals_max: int = ClusterConfig().removals_max
    result_bytes_max: int = ClusterConfig().txn_result_bytes_max


_BOUNDS = Bounds()


class _UndoState(msgspec.Struct, frozen=True, gc=False):
    """The state besides rows that `undo` restores."""

    index: int
    digest: int
    changed_subjects: int
    indexes: dict[int, int]
    timers: int
    removals: tuple[TreeRemoval, ...]
    floor: int


class BatchRows:
    """Fills `base.ports.Rows` for one batch.

    Args:
        transaction: Of the tables; committed by the caller.
        domains: Whose commands are applied.
        state: After the previous batch.
        log_time_ms: Log time of this batch.
        bounds: Of this batch and its turns.
    """

    __slots__ = (
        "_delete",
        "_fact_depth",
        "_get",
        "_indexes",
        "_prefixes",
        "_put",
        "_turn_units",
        "_undo",
        "_undo_state",
        "_units",
        "changed_subjects",
        "digest",
        "domains",
        "floor",
        "generation",
        "has_kept_up",
        "index",
        "is_taken",
        "log_time_ms",
        "removals",
        "removals_left",
        "restored",
        "result_bytes_max",
        "stale",
        "timers",
        "transaction",
        "unindexed_changes",
    )

    def __init__(
        self,
        transaction: Transaction,
        domains: Domains,
        state: State,
        log_time_ms: int,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self.transaction = transaction
        self.domains = domains
        self._get = transaction.get
        self._put = transaction.put
        self._delete = transaction.delete
        self.log_time_ms = log_time_ms
        self.index: int = state.index
        self.digest = state.digest
        self.stale = state.stale
        self.restored: int = state.restored
        self.floor: int = state.floor
        self.removals: tuple[TreeRemoval, ...] = state.removals
        self.removals_left = bounds.removals_max
        self.result_bytes_max = bounds.result_bytes_max
        self._turn_units = self._units = bounds.turn_units
        self._indexes = dict(state.indexes)
        self.is_taken = False
        self._undo: list[tuple[bytes, bytes | None]] | None = None
        self._undo_state: _UndoState | None = None
        self.changed_subjects: list[bytes] = []
        self.timers: list[TimerChange] = []
        self._fact_depth = 0
        self.has_kept_up = False
        self.unindexed_changes = 0
        self.switch(state.generation)

    # --- rows ---------------------------------------------------------------------------------

    def get(self, table: int, key: bytes) -> bytes | None:
        """See `base.ports.TableRows.get`."""
        return self._get(self._prefixes[table] + key)

    def put(self, table: int, key: bytes, value: bytes) -> None:
        """See `base.ports.Rows.put`."""
        full = self._prefixes[table] + key
        if self._undo is not None:
            self._undo.append((full, self._get(full)))
        self.digest = crc32(full + value, self.digest)
        self._put(full, value)

    def delete(self, table: int, key: bytes) -> bool:
        """See `base.ports.Rows.delete`."""
        return self.delete_full(self._prefixes[table] + key)

    def range(
        self, table: int, first: bytes, last: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.TableRows.range`."""
        prefix = self._prefixes[table]
        end = prefix_end(prefix) if last is None else prefix + last
        length = len(prefix)
        for full, value in self.transaction.range(prefix + first, end):
            yield full[length:], value

    def add_derived(self, table: int, key: bytes) -> None:
        """See `base.ports.Rows.add_derived` (ROW-6)."""
        full = self._prefixes[table] + key
        if self._undo is not None:
            self._undo.append((full, self._get(full)))
        self._put(full, b"")

    def remove_derived(self, table: int, key: bytes) -> None:
        """See `base.ports.Rows.remove_derived` (ROW-6)."""
        full = self._prefixes[table] + key
        if self._undo is not None:
            self._undo.append((full, self._get(full)))
        self._delete(full)

    def put_full(self, full: bytes, value: bytes) -> None:
        """Write under a full key: rows of the machine itself, or of another generation."""
        invariant(self._undo is None, "no transaction writes outside its generation")
        self.digest = crc32(value, crc32(full, self.digest))
        self._put(full, value)

    def delete_full(self, full: bytes) -> bool:
        """Remove by full key; True if it was there."""
        if self._undo is not None:
            self._undo.append((full, self._get(full)))
        is_there = self._delete(full)
        if is_there:
            self.digest = crc32(_DELETED, crc32(full, self.digest))
        return is_there

    # --- the running command ------------------------------------------------------------------

    def run_short(self, group: Sequence[Command], outcomes: list[Outcome] | None) -> bool:
        """Apply commands, if all of them are short: the loops on the path of every write.

        Args:
            group: The commands.
            outcomes: Gets their outcomes; None: no client of this node waits for them.

        Returns:
            False if one may take long: nothing was applied.
        """
        domains = self.domains
        if not domains.long_handlers.keys().isdisjoint(map(type, group)):
            return False
        handlers = domains.handlers
        if outcomes is None:
            for command in group:
                self.is_taken = False
                handlers[type(command)](self, command)
        else:
            for command in group:
                self.is_taken = False
                value = handlers[type(command)](self, command)
                outcomes.append(Outcome(self.index, value))
        return True

    def begin_command(self) -> None:
        """Another command begins: it has not taken an index yet (ROW-3)."""
        self.is_taken = False

    def take_index(self) -> int:
        """See `base.ports.Rows.take_index`."""
        if not self.is_taken:
            self.is_taken = True
            self.index += 1
        return self.index

    def mark_changed(self, table: int, subject: bytes) -> None:
        """See `base.ports.Rows.mark_changed`."""
        self._indexes[table] = self.index
        self.changed_subjects.append(subject)

    def note_subject(self, table: int, subject: bytes) -> None:
        """See `base.ports.Rows.note_subject`."""
        self.put(SUBJECTS, subject, index_key(self.index))
        self.mark_changed(table, subject)

    def note_unindexed(self) -> None:
        """See `base.ports.Rows.note_unindexed`."""
        self.unindexed_changes += 1

    def schedule_removal(self, subject: bytes) -> None:
        """See `base.ports.Rows.schedule_removal`."""
        self.put(TOMBSTONES, index_key(self.index) + subject, b"")

    def set_timer(self, kind: str, key: bytes, due_ms: int) -> None:
        """See `base.ports.Rows.set_timer`."""
        self.timers.append((kind, key, due_ms))

    def clear_timer(self, kind: str, key: bytes) -> None:
        """See `base.ports.Rows.clear_timer`."""
        self.timers.append((kind, key, None))

    def emit(self, fact: Fact) -> Generator[None, None, None]:
        """See `base.ports.Rows.emit` (ROW-5)."""
        invariant(self._fact_depth < FACT_DEPTH_MAX, "reactions to facts end")
        self._fact_depth += 1
        try:
            for react in self.domains.reactions.get(type(fact), ()):
                yield from react(self, fact)
        finally:
            self._fact_depth -= 1

    def ask(self, question: Question[T]) -> T:
        """See `base.ports.Rows.ask`."""
        answer: T = self.domains.resolvers[type(question)](self, question)
        return answer

    def spend(self, units: int) -> bool:
        """See `base.ports.Rows.spend`."""
        self._units -= units
        if self._units > 0:
            return False
        self._units = self._turn_units
        return True

    def note_upkeep(self) -> None:
        """Upkeep, which no client requested, was begun."""
        self.has_kept_up = True

    def raise_floor(self, index: int) -> None:
        """Tombstones up to `index` have been dropped."""
        self.floor = max(self.floor, index)

    # --- trees --------------------------------------------------------------------------------

    def written(self, table: int, first: bytes) -> list[bytes]:
        """See `base.ports.Rows.written`."""
        if self._undo is None:
            return []
        prefix = self._prefixes[table]
        begin, length = prefix + first, len(prefix)
        keys = {full[length:]: None for full, _ in self._undo if full.startswith(begin)}
        return list(keys)

    def limit_removals(self, most: int) -> int:
        """See `base.ports.Rows.limit_removals`."""
        left, self.removals_left = self.removals_left, most
        return left

    def spend_removals(self, count: int) -> None:
        """See `base.ports.Rows.spend_removals`."""
        self.removals_left -= count

    def note_removal(self, prefix: bytes) -> None:
        """See `base.ports.Rows.note_removal`."""
        kept = tuple(one for one in self.removals if not one.prefix.startswith(prefix))
        self._set_removals((*kept, TreeRemoval(prefix, self.index, prefix)))
        self.floor = max(self.floor, self.index)

    def advance_removal(self, cursor: bytes | None) -> None:
        """See `base.ports.Rows.advance_removal`."""
        first, *others = self.removals
        if cursor is None:
            self._set_removals(tuple(others))
        else:
            self._set_removals((TreeRemoval(first.prefix, first.index, cursor), *others))

    def _set_removals(self, removals: tuple[TreeRemoval, ...]) -> None:
        self.removals = removals
        for one in removals:
            self.digest = crc32(one.prefix + b"%d " % one.index + one.cursor, self.digest)

    # --- all or nothing -----------------------------------------------------------------------

    def open_undo(self) -> None:
        """From here on keep old values."""
        invariant(self._undo is None, "transactions do not nest")
        self._undo = []
        self._undo_state = _UndoState(
            self.index,
            self.digest,
            len(self.changed_subjects),
            dict(self._indexes),
            len(self.timers),
            self.removals,
            self.floor,
        )

    def close_undo(self) -> None:
        """The transaction succeeded: drop the old values."""
        self._undo = None
        self._undo_state = None

    def undo(self) -> None:
        """Restore the state as of `open_undo`."""
        log, before = self._undo, self._undo_state
        self.close_undo()
        if log is None or before is None:
            return
        for full, old in reversed(log):
            if old is None:
                self._delete(full)
            else:
                self._put(full, old)
        self.index, self.digest, self._indexes = before.index, before.digest, before.indexes
        self.removals, self.floor = before.removals, before.floor
        del self.changed_subjects[before.changed_subjects :]
        del self.timers[before.timers :]
        self.is_taken = False

    # --- the whole --------------------------------------------------------------------------

    def switch(self, generation: int) -> None:
        """Make another generation the current one; `removals` still belong to the previous one."""
        self.generation = generation
        self._prefixes = prefixes(generation)

    def restore(self, generation: int, index: int) -> None:
        """A restored generation becomes the current one; the previous one is swept later.

        Args:
            generation: Which.
            index: The highest one in it; the next command takes a higher one.
        """
        self.drop_generation(self.generation)
        self.switch(generation)
        self.removals = ()
        self.index = max(self.index, index)

    def remove_derived_full(self, full: bytes) -> None:
        """Remove a row of a secondary index by full key, of a generation that is not read."""
        self._delete(full)

    def drop_generation(self, generation: int) -> None:
        """This generation is not read any more: its rows are swept in the background."""
        self.stale = (*self.stale, generation)

    def end_sweep(self) -> None:
        """The first of the stale generations has no row left."""
        self.stale = self.stale[1:]

    def replace_all(self) -> None:
        """The state was replaced as a whole under the command's index: every watcher is woken.

        Only timers that are set from now on are valid.
        """
        index = self.take_index()
        self.restored = index
        self._indexes = dict.fromkeys(self.domains.indexed, index)
        self.changed_subjects.append(subjects.EVERYTHING)
        self.timers.clear()

    def mixed_digest(self, slot: int) -> int:
        """The digest after this batch, with other fields of the machine's own row."""
        summary = f"{slot} {self.index} {self.log_time_ms} {self.floor} {self.restored}"
        return crc32(summary.encode(), self.digest)

    @property
    def indexes(self) -> dict[int, int]:
        """Newest change of each indexed table that ever changed, by its number; a copy."""
        return dict(self._indexes)

    def changed_tables(self, before: int) -> list[bytes]:
        """The watch keys of the tables that changed under an index above `before`."""
        of_table = subjects.of_table
        return [of_table(table) for table, index in self._indexes.items() if index > before]


class ViewRows:
    """Rows of a view's current generation, for reading; fills `base.ports.TableRows`."""

    __slots__ = ("_prefixes", "_view", "removals")

    def __init__(self, view: View, state: State) -> None:
        self._view = view
        self._prefixes = prefixes(state.generation)
        self.removals = state.removals

    def get(self, table: int, key: bytes) -> bytes | None:
        """See `base.ports.TableRows.get`."""
        return self._view.get(self._prefixes[table] + key)

    def range(
        self, table: int, first: bytes, last: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.TableRows.range`."""
        prefix = self._prefixes[table]
        end = prefix_end(prefix) if last is None else prefix + last
        length = len(prefix)
        # A `map`: a generator would keep a reference to a row until the next one is requested.
        return map(partial(_without_prefix, length), self._view.range(prefix + first, end))


def _without_prefix(length: int, row: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return row[0][length:], row[1]
