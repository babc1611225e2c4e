"""Ports between layers: Protocols that the runtime, the simulator or a test double fills.

All callbacks and iterators are synchronous and run on the one thread of the node. Bytes that are
passed are not mutated afterwards.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

from quorate.base.batches import Configuration, Member
from quorate.base.command import Command
from quorate.base.context import PLAIN, RequestContext
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.facts import Fact, Question
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.metrics import Metric
from quorate.base.outcomes import Outcome
from quorate.base.removals import TreeRemoval

T = TypeVar("T")


class Rng(Protocol):
    """Seeded randomness; `random.Random` fills it."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...

    def randrange(self, stop: int, /) -> int:
        """A whole number in [0, stop)."""
        ...


class View(Protocol):
    """One consistent state of the tables, for reading. Keys and values are bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        ...

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with first <= key < last (None: to the end) in key order, or reversed.

        Valid until the view ends; for a Transaction, changing rows ahead of the cursor while
        iterating is not allowed: collect first.
        """
        ...


class CurrentView(View, Protocol):
    """The last committed state: it changes with every commit."""

    @property
    def version(self) -> int:
        """Another number after every change: at an equal one nothing has changed."""
        ...


class HeldView(View, Protocol):
    """A View that stays at its state until closed (a snapshot under way)."""

    def close(self) -> None:
        """Close it."""
        ...


class Transaction(View, Protocol):
    """One atomic change of the tables; sees its own writes."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a row."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove a row; True if it was there."""
        ...

    def commit(self) -> None:
        """Make it current. Survives a killed process; durability is the log's.

        Raises:
            StorageError: `disk_full`, here or from `put` or `delete`; nothing was changed. Abort,
                and begin again: at once (the store may have been enlarged), then when there is
                    space.
        """
        ...

    def abort(self) -> None:
        """Forget it."""
        ...


class Tables(CurrentView, Protocol):
    """Ordered rows of bytes. As a View it shows the last committed state.

    Keys may be up to 64 KiB, values up to 1 MiB. `tests/contract` runs one suite on every
    implementation.

    Raises (every read):
        StorageError: `corrupt`: a row does not match its checksum; it is never served.
    """

    def begin(self) -> Transaction:
        """Open the one write transaction. Readers keep the state before it until commit."""
        ...

    def hold(self, *, is_for_client: bool = False) -> HeldView:
        """A view of the current state that outlives later commits.

        One that pins too many old rows is closed: its reader gets `StorageError` `locked`, and
        begins again.

        Args:
            is_for_client: It may pin less than one that the node itself needs.

        Raises:
            StorageError: `locked`: a transaction is open, as a large batch is being applied. It
                continues in later turns: try again then.
        """
        ...


class TableRows(Protocol):
    """Rows of the current generation by table, for reading; `machine` fills it."""

    @property
    def removals(self) -> tuple[TreeRemoval, ...]:
        """Removals of trees that are in force while rows of theirs are still there."""
        ...

    def get(self, table: int, key: bytes) -> bytes | None:
        """The row of a key, or None."""
        ...

    def range(
        self, table: int, first: bytes, last: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with first <= key < last (None: to the table's end), keys without prefix."""
        ...


class Rows(TableRows, Protocol):
    """The tables and the batch, for handlers of commands.

    Attributes:
        log_time_ms: Log time of this batch; the only time that apply depends on.
        removals_left: Rows that commands of this batch may still remove one by one; a larger
            tree is noted as removed.
        result_bytes_max: What the result of one transaction may hold.
    """

    log_time_ms: int
    removals_left: int
    result_bytes_max: int

    def spend(self, units: int) -> bool:
        """Count work done; True if this turn has done its share: yield before the next piece.

        What is counted: see `machine.rows`.
        """
        ...

    def written(self, table: int, first: bytes) -> list[bytes]:
        """Keys with this prefix that this transaction has written so far."""
        ...

    def limit_removals(self, most: int) -> int:
        """Let commands of this batch remove so many rows one by one; returns what was left."""
        ...

    def spend_removals(self, count: int) -> None:
        """So many rows are about to be removed one by one."""
        ...

    def note_removal(self, prefix: bytes) -> None:
        """From this command's index on, older rows with this prefix are gone: see `kv.trees`.

        The caller marks their watch keys changed.
        """
        ...

    def advance_removal(self, cursor: bytes | None) -> None:
        """Rows of the first noted removal are deleted up to here; None: all of them."""
        ...

    def put(self, table: int, key: bytes, value: bytes) -> None:
        """Write a row."""
        ...

    def delete(self, table: int, key: bytes) -> bool:
        """Remove a row; True if it was there."""
        ...

    def add_derived(self, table: int, key: bytes) -> None:
        """Write a row of a secondary index (`base.domain.Derived`). Not in the digest."""
        ...

    def remove_derived(self, table: int, key: bytes) -> None:
        """Remove a row of a secondary index, if it is there."""
        ...

    def take_index(self) -> int:
        """The index of this command: the first call takes it, later ones return the same."""
        ...

    def mark_changed(self, table: int, subject: bytes) -> None:
        """Mark a watch key of a table changed by this command, which has taken its index."""
        ...

    def note_subject(self, table: int, subject: bytes) -> None:
        """Mark it changed and store the index as its newest change, for keys without a row."""
        ...

    def note_unindexed(self) -> None:
        """Rows of this command are written under no index: no index says that they changed."""
        ...

    def schedule_removal(self, subject: bytes) -> None:
        """Schedule the removal of the tombstone or index of a removed subject."""
        ...

    def set_timer(self, kind: str, key: bytes, due_ms: int) -> None:
        """Have the command of this kind (`base.domain.TimerKind`) proposed at that log time.

        Derived, not stored; replaces an earlier deadline of this key.
        """
        ...

    def clear_timer(self, kind: str, key: bytes) -> None:
        """Remove a deadline."""
        ...

    def emit(self, fact: Fact) -> Generator[None, None, None]:
        """Have other domains react to what this command does, before it continues.

        Yields whenever this turn's share of work is done.
        """
        ...

    def ask(self, question: Question[T]) -> T:
        """Ask another domain."""
        ...


class Seen(msgspec.Struct, frozen=True):
    """What is known of another member.

    Attributes:
        watermark: It had applied, or could, every slot up to here.
        last_contact_s: Seconds since the leader's last contact with it.
    """

    watermark: Slot
    last_contact_s: float


class Status(msgspec.Struct, frozen=True):
    """What a node knows of itself and its cluster, for status endpoints and people.

    Attributes:
        leader: The member believed to lead; None if unknown.
        last_contact_s: Seconds since the last contact with the leader; 0 on it, infinity if never.
        is_serving: This node believes that writes can be taken by the cluster now.
        healthy: Ids of members that were reachable lately, this node included.
        seen: What is known of each member: the leader measures it and reports it once a
            second. A member that never answered is missing.
        reason: Why this node knows no serving leader, as a clause for people, without a full stop;
            "" while it knows one. "removed" as role: the cluster has removed this node, and nothing
            that it holds is kept up to date any more.
    """

    node: Member
    cluster_id: str
    role: str  # "leader", "follower", "candidate", "learner", "joining", "removed"
    leader: Member | None
    last_contact_s: float
    is_serving: bool
    ballot: Ballot
    watermark: Slot
    applied: Slot
    index: int
    log_time_ms: int
    digest: int
    configuration: Configuration
    healthy: frozenset[NodeId]
    seen: dict[NodeId, Seen]
    reason: str = ""

    def watermark_of(self, node: NodeId) -> Slot:
        """How far a member is known to be; 0 if nothing is known of it."""
        seen = self.seen.get(node)
        return Slot(0) if seen is None else seen.watermark


Done = Callable[[Outcome | QuorateError], None]
"""Called exactly once, on the node's thread; may be called before `submit` returns."""


class Submit(Protocol):
    """Writes: from a gateway into the log."""

    def submit(
        self, context: RequestContext, command: Command, done: Done, *, urgent: bool = False
    ) -> None:
        """Have a command applied; `done` gets its Outcome when this node has applied it.

        Args:
            context: Who asks. What is still unproposed at its deadline, or after the node's hold
                time, is withdrawn with `UnavailableError("no_quorum", "No cluster leader")`.
            command: Self-contained: ids and random values are drawn by the caller.
            done: Gets an Outcome (its value may be a Failure), or UnavailableError (definite:
                never proposed) or OutcomeUnknownError.
            urgent: Goes before others that wait (sessions, expiries).
        """
        ...


class ReadIndex(Protocol):
    """Linearizable reads."""

    def read(self, context: RequestContext, done: Callable[[int | QuorateError], None]) -> None:
        """Call `done` when this node's tables are linearizable for a read begun now.

        It gets the leader's log time in ms when the read index was confirmed, or
        `UnavailableError("no_quorum")` when that takes until the deadline of the context, or
        longer than the node's hold time. It must read within the call. Stale reads just read.
        """
        ...

    @property
    def tables(self) -> CurrentView:
        """The last applied state; use within one call, do not keep."""
        ...


class WatchHandle(Protocol):
    """A registered watcher."""

    def cancel(self) -> None:
        """Cancel it; harmless if it was called."""
        ...


class Watch(Protocol):
    """Wake-ups of blocking queries."""

    def watch(
        self, context: RequestContext, subjects: Sequence[bytes], fire: Callable[[], None]
    ) -> WatchHandle:
        """Call `fire` once when a batch has changed any of these watch keys.

        It is called after the batch is applied; the caller evaluates its query again then.
        """
        ...


class Admin(Protocol):
    """What operators ask of a node."""

    def status(self) -> Status:
        """A fresh status; cheap."""
        ...

    def change(
        self,
        context: RequestContext,
        verb: str,
        member: Member,
        done: Callable[[QuorateError | None], None],
    ) -> None:
        """Ask for a change of members.

        Args:
            context: Who asks.
            verb: "add" (as learner), "promote" (it votes), "remove", "transfer" (leadership to it).
            member: Whom.
            done: Gets None, or why not: ConflictError `precondition`, definite, for a learner that
                has not caught up yet; NotFoundError; UnavailableError; OutcomeUnknownError.
        """
        ...

    def metrics(self) -> list[Metric]:
        """What this node counts and measures, as it is now."""
        ...


class Local(Submit, ReadIndex, Watch, Admin, Protocol):
    """All that a gateway may request of its node."""

    @property
    def now_s(self) -> float:
        """Monotonic seconds, for deadlines of the gateway."""
        ...

    @property
    def removal(self) -> UnavailableError | None:
        """Set when the cluster has removed this node: not even a stale read may be answered.

        `submit` and `read` refuse by themselves.
        """
        ...

    @property
    def unindexed_changes(self) -> int:
        """Another number after each change under no index: see `Rows.note_unindexed`.

        At an equal one, what has an unchanged index has not changed.
        """
        ...

    def report(self, error: BaseException, context: RequestContext = PLAIN) -> str:
        """Have an internal error written to the log, without values; returns its id there.

        Args:
            error: What was raised.
            context: Of the request that met it, if one did.
        """
        ...


class Clock(Protocol):
    """The source of time."""

    def __call__(self) -> float:
        """Monotonic seconds."""
        ...
