"""The replicated state machine: takes batches, returns outcomes and the watch keys that changed.

MAC-1: slots are applied strictly in order; data, applied slot, dedup, log time and digest change in
    one transaction.
MAC-2: apply depends on the tables, the batch, its slot and the log time, and on nothing else: no
    clock, no randomness, no hash order.
MAC-3: log time never decreases, though a late old batch may carry a lower one than its predecessor.
MAC-5: a batch whose work exceeds a turn's share is applied in several steps, in one transaction
    that stays open between them; readers see the state before it until it is committed.
MAC-4: a bundle that cannot be decoded has no effect on any replica, and is counted. A batch of an
    unknown kind stops the node: a newer version may know it.
"""

from collections.abc import Generator
from itertools import islice

import msgspec

from quorate.base.batches import Batch, BatchKind, Bundle, Configuration, Shown, decode_batch
from quorate.base.command import Command
from quorate.base.config import ClusterConfig, Limits
from quorate.base.errors import StorageError, invariant, violated
from quorate.base.ids import NO_NODE, Ballot, Index, NodeId, Slot
from quorate.base.outcomes import Failure, Outcome
from quorate.base.ports import Tables, Transaction
from quorate.machine import derived
from quorate.machine.dedup import Counted, Origins, Verdict
from quorate.machine.domains import Domains
from quorate.machine.rows import READ_UNITS, WRITE_UNITS, BatchRows, Bounds, ViewRows
from quorate.machine.shown import read_shown, store_shown
from quorate.machine.state import (
    STATE_KEY,
    State,
    decode_state,
    encode_state,
)
from quorate.machine.timers import Timers

_NOTHING = Batch(Ballot(0, NO_NODE), 0, 0)
_UNREADABLE = Failure("bad_request", "the bundle cannot be decoded")
_KINDS = frozenset(BatchKind)
_Job = tuple[Slot, Batch, Configuration | None, NodeId | None]
_TIMERS_PIECE = 256
GROUP = 8
"""Commands between two checks of a turn's share: a check for each costs 6 % of apply."""

_TRIES = 4
"""A transaction that outgrows the store is tried again: the runtime enlarges the store in steps."""


class BundleResult(msgspec.Struct, frozen=True):
    """The result of one bundle of a batch.

    Attributes:
        outcomes: One per command, for bundles of the own origin that were applied; else empty.
        position: Position of its first command in the batch, all bundles before it counted.
        is_applied: False if it was skipped: repeated, out of sequence, or not from a member.
        count: How many commands it holds.
    """

    origin: NodeId
    incarnation: int
    sequence: int
    outcomes: list[Outcome]
    position: int
    is_applied: bool
    count: int


class ApplyResult(msgspec.Struct, frozen=True):
    """The result of applying a batch.

    Attributes:
        changed_subjects: Watch keys whose watchers are to be woken.
        bundles: Their results, in order.
        commands: Number of commands in the batch, applied or not.
        has_shown: The batch reported what the disks of members hold.
    """

    changed_subjects: list[bytes]
    bundles: list[BundleResult]
    commands: int
    has_shown: bool


class MachineCounters(msgspec.Struct):
    """Since this machine was made; for metrics."""

    batches: int = 0
    commands: int = 0
    bundles_applied: int = 0
    bundles_repeated: int = 0
    bundles_out_of_sequence: int = 0
    bundles_of_nonmembers: int = 0
    bundles_unreadable: int = 0


class Machine:
    """The tables of one replica and what is derived from them.

    Args:
        tables: Their state is used as it is; empty ones belong to no cluster until `bootstrap`.
        settings: Equal on every node.
        domains: Whose commands it applies; equal on every node.
        turn_units: Work of one step: see `machine.rows`.
    """

    def __init__(
        self,
        tables: Tables,
        settings: ClusterConfig,
        domains: Domains,
        turn_units: int = Limits().turn_units,
    ) -> None:
        self._tables = tables
        self._domains = domains
        self._bounds = Bounds(turn_units, settings.removals_max, settings.txn_result_bytes_max)
        self._settings = settings
        self.counters = MachineCounters()
        self._work: Generator[None, None, ApplyResult] | None = None
        self._job: _Job | None = None
        self._tries = 0
        self.shown_version = 0
        self.unindexed_changes = 0
        self.reload()
        self._timers.read_all(ViewRows(tables, self._state))

    def reload(self) -> None:
        """Read everything anew: the tables were replaced. Nothing may be under way.

        Deadlines are read in pieces, when a leader asks for them. Missing secondary indexes are
        made; tables that this version wrote have all.

        Raises:
            StorageError: There is no space for them.
        """
        invariant(self._work is None, "no batch is half applied")
        data = self._tables.get(STATE_KEY)
        self._state = State() if data is None else decode_state(data)
        self._origins = Origins(self._tables, self._settings.alpha_slots)
        self._timers = Timers(self._domains, is_behind=True)
        self._shown = read_shown(self._tables)
        self.shown_version += 1
        self.unindexed_changes += 1
        derived.make_up(self._tables, self._domains, self._state)

    # --- queries --------------------------------------------------------------------------------

    @property
    def applied(self) -> Slot:
        """The newest slot applied."""
        return self._state.applied

    @property
    def index(self) -> Index:
        """The index of the newest command that changed something."""
        return self._state.index

    @property
    def log_time_ms(self) -> int:
        """The highest log time of a batch that was applied."""
        return self._state.log_time_ms

    @property
    def wall_ms(self) -> int:
        """The highest wall clock applied; for people."""
        return self._state.wall_ms

    @property
    def digest(self) -> int:
        """Rolling CRC of all that apply wrote; equal on replicas at the same slot."""
        return self._state.digest

    @property
    def generation(self) -> int:
        """The current generation: a different number after each restored snapshot."""
        return self._state.generation

    @property
    def cluster_id(self) -> str:
        """The cluster of the tables; "" before bootstrap."""
        return self._state.cluster_id

    @property
    def configurations(self) -> tuple[tuple[Slot, Configuration], ...]:
        """Configurations in force and to come, by the slot in which each was chosen."""
        return self._origins.chain.chosen

    def last_sequence(self, origin: NodeId) -> Counted:
        """(incarnation, sequence) of an origin's last bundle that counted; (0, 0) if none."""
        return self._origins.last(origin)

    def shown(self, node: NodeId) -> Shown | None:
        """What a member has shown its disk to hold, according to the log."""
        return self._shown.get(node)

    def expirations(self, now_ms: int) -> list[Command]:
        """Commands that a leader should propose now; one under way is not repeated too soon.

        Args:
            now_ms: The leader's log time.
        """
        rows = ViewRows(self._tables, self._state)
        return self._timers.due(now_ms, rows, self._state)

    # --- what changes the tables ----------------------------------------------------------------

    def bootstrap(self, cluster_id: str, configuration: Configuration) -> None:
        """Assign empty tables to a cluster."""
        invariant(self._state.applied == 0, "only empty tables can be assigned to a cluster")
        self._state = msgspec.structs.replace(self._state, cluster_id=cluster_id)
        self.store_configuration_base(Slot(0), configuration)

    def store_configuration_base(self, slot: Slot, configuration: Configuration) -> None:
        """Store a configuration that is in no batch: one of slot 0 is in force from slot 1."""
        transaction = self._tables.begin()
        try:
            rows = BatchRows(transaction, self._domains, self._state, self._state.log_time_ms)
            self._origins.pass_slot(slot, configuration)
            self._origins.store(rows)
            state = msgspec.structs.replace(self._state, digest=rows.digest)
            transaction.put(STATE_KEY, encode_state(state))
            derived.mark(transaction, self._domains)
            transaction.commit()
        except BaseException:
            transaction.abort()
            self._origins.abort()
            raise
        self._origins.commit()
        self._state = state

    def apply(
        self, slot: Slot, data: bytes, configuration: Configuration | None, own: NodeId | None
    ) -> ApplyResult:
        """Apply the batch of the next slot, however long it takes; see `begin` and `step`.

        Raises:
            StorageError: As `step`.
        """
        self.begin(slot, data, configuration, own)
        while (application := self.step()) is None:
            pass
        return application

    def begin(
        self, slot: Slot, data: bytes, configuration: Configuration | None, own: NodeId | None
    ) -> None:
        """Begin to apply the batch of the next slot; `step` does it.

        Args:
            slot: Exactly one above `applied`.
            data: The encoded batch.
            configuration: The one that becomes valid by this slot, as determined by `paxos`; None:
                none.
            own: The node whose bundles get outcomes.

        Raises:
            StorageError: `version`: the batch is of a kind not known here.
        """
        invariant(self._work is None, "one batch at a time")
        invariant(slot == self._state.applied + 1, "slots are applied in order")
        self._job = (slot, self._decode(slot, data), configuration, own)
        self._tries = _TRIES
        self._work = self._apply(*self._job)

    def step(self) -> ApplyResult | None:
        """Continue the batch that was begun, for one turn's share; None: there is more to do.

        Raises:
            StorageError: `disk_full`: nothing changed; begin again when there is space. Others:
                the tables cannot be used any more.
        """
        work = self._work
        if work is None:
            violated("a batch was begun")
        try:
            next(work)
        except StopIteration as end:
            self._work = None
            application: ApplyResult = end.value
            return application
        except StorageError as error:
            self._work, self._tries = None, self._tries - 1
            if error.code != "disk_full" or self._tries == 0 or self._job is None:
                raise
            self._work = self._apply(*self._job)  # the store may have been enlarged: once more
            return self.step()
        except BaseException:
            self._work = None
            raise
        return None

    @property
    def is_applying(self) -> bool:
        """A batch was begun and is not applied yet."""
        return self._work is not None

    def abandon(self) -> None:
        """Abort the batch that was begun: the tables will be replaced."""
        work, self._work = self._work, None
        if work is not None:
            work.close()

    def _apply(
        self, slot: Slot, batch: Batch, configuration: Configuration | None, own: NodeId | None
    ) -> Generator[None, None, ApplyResult]:
        before = self._state
        counters = msgspec.structs.replace(self.counters)
        transaction = self._tables.begin()
        try:
            log_time_ms = max(before.log_time_ms, batch.log_time_ms)
            rows = BatchRows(transaction, self._domains, before, log_time_ms, self._bounds)
            bundles, count = yield from self._bundles(rows, batch, own, counters)
            self._origins.pass_slot(slot, configuration)
            self._origins.store(rows)
            state = self._store(transaction, rows, slot, batch.wall_ms)
            shown = store_shown(transaction, self._shown, batch.shown) if batch.shown else None
            is_restored = rows.generation != before.generation
            timers = (yield from _timers_of(rows)) if is_restored else self._timers
            transaction.commit()
        except BaseException:
            transaction.abort()
            self._origins.abort()
            raise
        self._origins.commit()
        self._state = state
        if shown is not None:
            self._shown = shown
            self.shown_version += 1
        counters.batches += 1
        self.counters = counters
        self.unindexed_changes += rows.unindexed_changes
        self._timers = timers
        if not is_restored:
            timers.add(rows.timers)
        if rows.has_kept_up:
            self._timers.upkeep_applied()
        self._timers.sample(state.log_time_ms, state.index)
        changed_subjects = rows.changed_subjects + rows.changed_tables(before.index)
        return ApplyResult(changed_subjects, bundles, count, shown is not None)

    def _bundles(
        self, rows: BatchRows, batch: Batch, own: NodeId | None, counters: MachineCounters
    ) -> Generator[None, None, tuple[list[BundleResult], int]]:
        """Apply the bundles in order; their results, and the number of their commands."""
        results: list[BundleResult] = []
        position = 0
        for bundle in batch.bundles:
            origin, count = bundle.origin, bundle.count
            outcomes: list[Outcome] = []
            verdict = self._origins.judge(bundle)
            is_applied = verdict is Verdict.COUNTS
            if is_applied:
                counters.bundles_applied += 1
                is_own = origin == own
                commands = _decoded(rows, bundle, counters)
                if commands is None:
                    outcomes = [Outcome(rows.index, _UNREADABLE)] * count if is_own else []
                elif count > GROUP or not rows.run_short(commands, outcomes if is_own else None):
                    yield from _run(rows, commands, outcomes if is_own else None)
                elif rows.spend(WRITE_UNITS * count):
                    yield
            elif verdict is Verdict.REPEATED:
                counters.bundles_repeated += 1
            elif verdict is Verdict.GAP:
                counters.bundles_out_of_sequence += 1
            else:
                counters.bundles_of_nonmembers += 1
            results.append(
                BundleResult(
                    origin,
                    bundle.incarnation,
                    bundle.sequence,
                    outcomes,
                    position,
                    is_applied,
                    count,
                )
            )
            position += count
        return results, position

    def _store(self, transaction: Transaction, rows: BatchRows, slot: Slot, wall_ms: int) -> State:
        before = self._state
        state = State(
            applied=slot,
            index=Index(rows.index),
            log_time_ms=rows.log_time_ms,
            wall_ms=max(before.wall_ms, wall_ms),
            digest=rows.mixed_digest(slot),
            generation=rows.generation,
            stale=rows.stale,
            restored=Index(rows.restored),
            floor=Index(rows.floor),
            indexes=rows.indexes,
            cluster_id=before.cluster_id,
            removals=rows.removals,
        )
        transaction.put(STATE_KEY, encode_state(state))
        return state

    def _decode(self, slot: Slot, data: bytes) -> Batch:
        if data and data[0] not in _KINDS:
            raise StorageError(
                "version",
                f"slot {slot} holds a batch of kind {data[0]}, which this version of Quorate does "
                "not know: start the newest version that the other nodes run on this node too",
            )
        try:
            return decode_batch(data)
        except ValueError:  # on every replica alike: the slot changes nothing
            self.counters.bundles_unreadable += 1
            return _NOTHING


def _timers_of(rows: BatchRows) -> Generator[None, None, Timers]:
    """The deadlines of a restored state, all of which were just set."""
    timers, changes = Timers(rows.domains), iter(rows.timers)
    while piece := list(islice(changes, _TIMERS_PIECE)):
        timers.add(piece)
        if rows.spend(READ_UNITS * len(piece)):
            yield
    return timers


def _decoded(rows: BatchRows, bundle: Bundle, counters: MachineCounters) -> list[Command] | None:
    """The commands of a bundle; None if their number is not the declared one (MAC-4)."""
    try:
        commands = rows.domains.decode(bundle.body)
    except ValueError:
        commands = None
    if commands is None or len(commands) != bundle.count:
        counters.bundles_unreadable += 1
        return None
    counters.commands += len(commands)
    return commands


def _run(
    rows: BatchRows, commands: list[Command], outcomes: list[Outcome] | None
) -> Generator[None, None, None]:
    """Apply a bundle's commands in order, some of which may take long."""
    handlers, long_handlers = rows.domains.handlers, rows.domains.long_handlers
    for first in range(0, len(commands), GROUP):
        group = commands[first : first + GROUP]
        if not rows.run_short(group, outcomes):
            for command in group:
                rows.begin_command()
                long = long_handlers.get(type(command))
                if long is None:
                    value = handlers[type(command)](rows, command)
                else:
                    value = yield from long(rows, command)
                if outcomes is not None:
                    outcomes.append(Outcome(rows.index, value))
        if rows.spend(WRITE_UNITS * len(group)):
            yield
