"""Store: the data directory of one host, and how it is lost.

A log on a simulated disk, tables that survive a kill and return to the last snapshot at a power
cut, and the counters of the data directory. Records that wait become one commit, as in
`runtime.wal`; a crash in the middle of one leaves any prefix of its operations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from quorate.base.config import ClusterConfig
from quorate.base.effects import Persist
from quorate.base.errors import StorageError
from quorate.base.ids import NodeId, Slot
from quorate.base.records import Record
from quorate.chunks import rows_of
from quorate.machine.state import STATE_KEY, State, decode_state
from quorate.sim.disk import SimDisk
from quorate.sim.tables import DictTables, Saved
from quorate.sim.world import World
from quorate.wire.fileops import FileOp
from quorate.wire.journal import Journal, Layout, LogIdentity
from quorate.wire.recovery import Recovery

SYNC_S_MAX = 8.0
"""No sync takes longer, however slow the disk: the liveness phase must be able to outlast it."""

COPY_S_MAX = 3.0
"""No copy of the few rows of a simulation takes longer than this."""

CHUNK_S = 0.001
"""How long a chunk for such a copy takes to be stored."""

RELEASE_EVERY = 8
"""Now and then a recycled segment is released; by count, so that no random number depends on it."""


class Speed(msgspec.Struct, frozen=True):
    """How fast a disk is; drawn from the seed. Seconds."""

    sync_s: float = 0.001
    jitter_s: float = 0.002
    stall: float = 0.0  # share of syncs that take up to stall_s longer
    stall_s: float = 0.5


def _ignore() -> None:
    """No listener yet."""


class Crash(BaseException):
    """The process ends here, in the middle of its work."""


class WatchedTables(DictTables):
    """Tables that report each state committed, and may crash between two transactions."""

    def __init__(self, at_boundary: Callable[[], None], on_state: Callable[[State], None]) -> None:
        super().__init__()
        self._at_boundary = at_boundary
        self._on_state = on_state

    def begin(self) -> Any:
        """See `base.ports.Tables.begin`."""
        self._at_boundary()
        return super().begin()

    def merge(self, changes: Any) -> None:
        """Make changes current, and report the state after them."""
        super().merge(changes)
        data = changes.get(STATE_KEY)
        if data is not None:
            self._on_state(decode_state(data))


class Directory(msgspec.Struct, frozen=True):
    """A copy of a data directory."""

    disk: SimDisk
    snapshot: tuple[Slot, Saved]
    incarnation: int


class Commit(msgspec.Struct):
    """A commit under way."""

    operations: list[FileOp]
    records: list[Record]
    mark: int


class Store:
    """The data directory of one host, for one node id after the other.

    Args:
        world: Time and random numbers.
        name: Of the host.
        layout: Of the log.
        speed: Of the disk.
        tables: Where the machine writes.
    """

    def __init__(
        self, world: World, name: str, layout: Layout, speed: Speed, tables: WatchedTables
    ) -> None:
        self.world = world
        self.speed = speed
        self.slowness = 1.0
        self.layout = layout
        self.tables = tables
        self.disk = SimDisk()
        self.node_id = NodeId("")
        self.incarnation = 0
        self.has_log = False
        self.cluster: ClusterConfig | None = None  # of the newest start, as in node.json
        self.snapshot: tuple[Slot, Saved] = (Slot(0), {})
        self.journal: Journal | None = None
        self._rng = world.rng(f"disk {name}")
        self._waiting: list[Persist] = []
        self._asked = 0
        self._commit: Commit | None = None
        self._truncate_to = Slot(0)
        self._epoch = 0
        self.on_failure: Callable[[], None] = _ignore

    # --- starts and stops ---------------------------------------------------------------------

    def format(self, node_id: NodeId) -> None:
        """A new empty directory under a new id."""
        self.disk = SimDisk()
        self.tables.power_cut({})
        self.snapshot = (Slot(0), {})
        self.node_id, self.incarnation, self.has_log = node_id, 0, False
        self.cluster = None

    def recover(self) -> list[Record]:
        """Start: read the log, make durable what it holds, and open it for writing.

        Raises:
            StorageError: The log cannot be trusted.
            Crash: The process ends in the middle of it.
        """
        self._epoch += 1
        self.incarnation += 1
        epoch = self._rng.getrandbits(64)
        identity = LogIdentity(self.node_id, self.incarnation, epoch)
        recovery = Recovery(
            self.disk.files, self.disk.read, identity, self.layout, is_begun=self.has_log
        )
        records = list(recovery.records())
        self.journal, operations = recovery.finish()
        is_cut_short = self._rng.random() < 0.02
        if is_cut_short:
            operations = operations[: self._rng.randrange(len(operations) + 1)]
        try:
            self.disk.obey(operations)
        except StorageError as error:  # the disk failed: not the log's fault, so try again
            raise Crash from error
        if is_cut_short:
            raise Crash
        self.has_log = True
        self._waiting, self._asked, self._commit = [], 0, None
        self._truncate_to = Slot(0)
        return records

    def end(self, *, is_power_cut: bool) -> None:
        """The process ended; what was being written may be partly done."""
        self._epoch += 1
        commit, self._commit = self._commit, None
        if commit is not None:
            done = self._rng.randrange(len(commit.operations) + 1)
            self.disk.sync_failures = 0
            self.disk.obey(commit.operations[:done])
        self.journal = None
        self._waiting = []
        if is_power_cut:
            self.disk.power_cut(self._rng)
            self.tables.power_cut(self.snapshot[1])
        else:
            self.disk.kill()
            self.tables.kill()

    def copied(self) -> Directory:
        """A copy of the directory as it is now; its tables are those of the last snapshot."""
        return Directory(self.disk.copied(), self.snapshot, self.incarnation)

    def roll_back(self, old: Directory) -> None:
        """Replace the directory by an old copy; no process uses it."""
        self.disk, self.snapshot, self.incarnation = old.disk, old.snapshot, old.incarnation
        self.tables.power_cut(old.snapshot[1])

    # --- the log ------------------------------------------------------------------------------

    def append(self, asked: Persist, done: Callable[[int, list[Record]], None]) -> None:
        """Write a record with the next commit; `done(mark, records)` when it is durable."""
        self._asked += 1
        self._waiting.append(asked)
        if self._commit is None:
            self._begin_commit(done)

    def truncate(self, slot: Slot) -> None:
        """Remove old segments, when no commit is under way."""
        self._truncate_to = max(self._truncate_to, slot)
        if self._commit is None:
            self._tidy()

    def _begin_commit(self, done: Callable[[int, list[Record]], None]) -> None:
        journal = self.journal
        if journal is None:
            return
        asked, self._waiting = self._waiting, []
        records = [persist.record for persist in asked]
        self._commit = Commit(journal.append(asked), records, self._asked)
        self.world.after(self._duration(), self._end_commit, self._epoch, done)

    def _end_commit(self, epoch: int, done: Callable[[int, list[Record]], None]) -> None:
        commit = self._commit
        if epoch != self._epoch or commit is None:
            return
        self._commit = None
        if not self._obey(commit.operations):
            return
        if self._waiting:
            self._begin_commit(done)
        else:
            self._tidy()
        done(commit.mark, commit.records)

    def _tidy(self) -> None:
        journal = self.journal
        if journal is None:
            return
        if not self._obey(journal.truncate(self._truncate_to)):
            return
        spare = journal.prepare()
        if spare:
            self.disk.obey(spare)
            journal.prepared(has_succeeded=True)
        elif self._asked % RELEASE_EVERY == 0 and not self._obey(journal.release()):
            return
        if self._rng.random() < 0.05:
            self._obey(journal.close_idle())

    def _obey(self, operations: Sequence[FileOp]) -> bool:
        """Do them; False if the disk failed, which ends the process."""
        try:
            self.disk.obey(operations)
        except StorageError:  # a failed sync: the host that owns this store stops
            self.on_failure()
            return False
        return True

    def _duration(self) -> float:
        rng, speed = self._rng, self.speed
        seconds = speed.sync_s + speed.jitter_s * rng.random()
        if rng.random() < speed.stall:
            seconds += speed.stall_s * rng.random()
        return min(seconds * self.slowness, SYNC_S_MAX)

    def close(self) -> bool:
        """Record that all was synced, as a clean stop does; False if something is being written."""
        if self._commit is not None or self.journal is None:
            return False
        return self._obey(self.journal.close_idle())

    # --- snapshots ----------------------------------------------------------------------------

    def take_snapshot(self, slot: Slot, done: Callable[[Slot], None]) -> None:
        """Copy the tables as they are now; `done(slot)` when the copy is durable."""
        saved = self.tables.save()
        self.world.after(self._copying_s(), self._keep, self._epoch, slot, saved, done)

    def _copying_s(self) -> float:
        return min(10 * self._duration(), COPY_S_MAX)

    def _keep(self, epoch: int, slot: Slot, saved: Saved, done: Callable[[Slot], None]) -> None:
        if epoch == self._epoch and slot > self.snapshot[0]:
            self.snapshot = (slot, saved)
            done(slot)

    def put_chunk(self, data: bytes, *, is_first: bool) -> None:
        """Put the rows of a chunk into the copy beside the tables."""
        if is_first:
            self.tables.begin_install()
        self.tables.install_rows(rows_of(data))

    def after_chunk(self, call: Callable[..., None], *arguments: object) -> None:
        """Call this when a chunk for the copy beside the tables is stored."""
        self.world.after(CHUNK_S, call, *arguments)

    def install(self, slot: Slot, done: Callable[[], None]) -> None:
        """Later the copy beside the tables replaces them, and is durable."""
        self.world.after(self._copying_s(), self._replace, self._epoch, slot, done)

    def _replace(self, epoch: int, slot: Slot, done: Callable[[], None]) -> None:
        if epoch == self._epoch:
            self.tables.finish_install()
            self.snapshot = (slot, self.tables.save())
            done()
