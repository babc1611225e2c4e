"""The interface of a domain to the engine: one `Domain` that lists all its parts.

A domain is a package of layer 2 (`kv`, `sessions`, `catalog`): its commands, tables, handlers,
reads, timers, reactions. Domains do not import each other, and `machine`, which applies their
commands, imports none of them: it gets the list (`quorate.domains`).
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from enum import Enum
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec

from quorate.base.command import Command
from quorate.base.facts import Fact, Question
from quorate.base.ids import Slot
from quorate.base.ports import Rng, Rows, TableRows
from quorate.base.results import Answer
from quorate.base.txn import TxnItem, TxnResult, TxnRow

T = TypeVar("T")

Work = Generator[None, None, Any]
"""Work that may take long: yields when its turn's share is done; returns the value."""

Handler = Callable[[Any, Any], Any]
"""(rows, command) -> value of the outcome. A Failure changed nothing."""

LongHandler = Callable[[Any, Any], Work]
"""Likewise, for a command that may take long."""


class Derived(msgspec.Struct, frozen=True):
    """Says that a table is a secondary index: its rows follow from those of another table.

    They are keys without a value. Handlers maintain them, by `Rows.add_derived` and
    `remove_derived`; the engine makes missing ones: in a directory that an
    older version wrote, and after a restore. They are part neither of the digest nor of snapshots
    for users.

    Attributes:
        source: Number of the table that they follow from, of the same domain.
        keys: Of the rows that follow from one row of it (its key, its value). No two rows of it
            have a key in common.
        version: Rises with every change of `keys`: what was stored before is made anew.
    """

    source: int
    keys: Callable[[bytes, bytes], Iterable[bytes]]
    version: int = 1


class Table(msgspec.Struct, frozen=True):
    """One table of a domain.

    Attributes:
        number: See `base.numbers`; part of every row's key.
        name: For people and dumps.
        title: What `snapshot inspect` calls its rows.
        decode: A row of it, from bytes; raises ValueError. None: a snapshot for users does not hold
            the table.
        is_indexed: It has an index of its own: that of its newest change.
        by_path: Snapshots count its rows by the parts of their keys.
        saved: Gives what a snapshot for users says in place of a row (rows, log time, key,
            value); None: it leaves the row out. None instead of a function: the row as it is.
        restored: Applied to each row of a snapshot that became the state (rows, key, value); it
            sets the row's timer, too. None: if its rows have timers, these are set.
        counted: The newest index that a row names, and the highest number that counts on.
        derived: It is a secondary index; then nothing else is said of it. None: it is not.
    """

    number: int
    name: str
    title: str
    decode: Callable[[bytes], Any] | None = None
    is_indexed: bool = False
    by_path: bool = False
    saved: Callable[[TableRows, int, bytes, bytes], bytes | None] | None = None
    restored: Callable[[Rows, bytes, bytes], None] | None = None
    counted: Callable[[bytes], tuple[int, int]] | None = None
    derived: Derived | None = None


class TimerKind(msgspec.Struct, frozen=True):
    """Deadlines of one kind, in log time; set with `Rows.set_timer`, derived from a table.

    Attributes:
        name: The kind.
        table: Number of the table whose rows have deadlines; a timer's key is a row's key.
        due_ms: The deadline that a row (its bytes) says; None if it has none.
        command: What to propose when a timer is due (rows, key); None: nothing. It must be void
            when it is applied if the deadline is another one by then.
    """

    name: str
    table: int
    due_ms: Callable[[bytes], int | None]
    command: Callable[[TableRows, bytes], Command | None]


class Upkeep(msgspec.Struct, frozen=True):
    """Rows that are not needed any more, deleted in the background.

    Attributes:
        is_due: Whether there are any (rows, log time).
        sweep: Deletes some (rows, how many at most, whether all are examined); returns how many
            were deleted or examined.
    """

    is_due: Callable[[TableRows, int], bool]
    sweep: Callable[[Rows, int, bool], Generator[None, None, int]]


class Pause(Enum):
    """What a verb yields when its turn's share of work is done."""

    PAUSE = "pause"


PAUSE = Pause.PAUSE

Step = TxnItem | TxnRow | Pause | None
"""What a verb gives, one by one: a result, a pause, or None for a row without one."""


class Operations(msgspec.Struct, frozen=True):
    """Operations of transactions that a domain offers.

    Attributes:
        of: The type of the operations; its field `verb` chooses one of the verbs below.
        number: Stands for the type in the log; `tests/unit/machine/test_numbers.py` holds all.
        name: What it is called in errors.
        check: Raises `OperationError` if an operation of a known verb lacks something.
        writes: Verbs that may change something (rows, operation).
        reads: Verbs that change nothing; a transaction of these alone is a read.
    """

    of: type[Any]
    number: int
    name: str
    check: Callable[[Any], None]
    writes: Mapping[str, Callable[[Rows, Any], Iterable[Step]]]
    reads: Mapping[str, Callable[[TableRows, Any], Iterable[Step]]]


class OperationError(Exception):
    """One operation of a transaction failed; the text is Consul's."""


class Model(Protocol):
    """What the simulator's model (`sim.model`) is to the model of a domain.

    Attributes:
        own: The state of each domain, by its name.
        slot: The slot that is being applied.
        index: Of the newest command that changed something.
        log_time_ms: Log time.
        txn_result_bytes_max: See `base.config`.
        copies: What each domain's `Simulation.save` gave, after each slot, by its name.
    """

    own: dict[str, Any]
    slot: Slot
    index: int
    log_time_ms: int
    txn_result_bytes_max: int
    copies: dict[int, dict[str, Any]]

    def take(self) -> int:
        """The index of the running command."""
        ...

    def untake(self, index: int) -> None:
        """The running command is undone: its index is free again."""
        ...

    def tell(self, fact: Fact) -> None:
        """Let the other domains react."""
        ...

    def ask(self, question: Question[T]) -> T:
        """Ask another domain."""
        ...

    def fail(self, text: str) -> NoReturn:
        """An invariant is violated: the run fails."""
        ...


class SimulatedRead(msgspec.Struct, frozen=True):
    """A read of the simulator's clients, and its expected result.

    Attributes:
        see: What a client sees of one state of the tables: (`StateView`, key), as a value that can
            be compared.
        indexed: The read whose indexes and subjects these are: (`StateView`, key). None: it
            is not waited for.
        expect: The same by the model: (model, slot, key); of the state after that slot.
        key: Draws what is read.
        awaited: The part of a result whose changes take an index, and so wake who waits.
            None: all of it.
    """

    see: Callable[[Any, bytes], Any]
    expect: Callable[[Any, int, bytes], Any]
    key: Callable[[Rng], bytes]
    indexed: "Callable[[Any, bytes], Answer[Any]] | None" = None
    awaited: Callable[[Any], Any] | None = None

    def answer(self, reading: Any, key: bytes) -> Answer[Any]:
        """What a client gets."""
        value = self.see(reading, key)
        if self.indexed is None:
            return Answer(value, 0, 0, ())
        found = self.indexed(reading, key)
        return Answer(value, found.changed, found.header, found.subjects)


class Simulation(msgspec.Struct, frozen=True):
    """What the simulator needs to check a domain.

    Attributes:
        model: What each command, fact and question means, a second time and as simply as possible:
            (model, it) -> value of the outcome, nothing, or the answer. And each operation of
            transactions: (model, it) -> its results, or raises `OperationError`.
        state: Makes what the model keeps, in `Model.own` under the domain's name.
        end_slot: Called after each slot.
        transact: What a transaction of the domain's operations means.
        acts: What clients of the simulator do, by name: draws a command from chance. The text is
            one that no other command has.
        operations: What they do in transactions with operations of any type: each draws one from
            chance, such a text, and an index to compare.
        queries: What they read, by name.
        save: A copy of what the model keeps, as users' snapshots hold it: (model) -> copy; taken
            after each slot.
        restore: A snapshot became the state: (model, copy).
    """

    model: Mapping[type[Any], Callable[[Any, Any], Any]] = {}
    state: Callable[[Model], Any] | None = None
    end_slot: Callable[[Model], None] | None = None
    transact: Callable[[Model, Any], TxnResult] | None = None
    acts: Mapping[str, Callable[[Rng, str], Command]] = {}
    operations: tuple[Callable[[Rng, str, int], Any], ...] = ()
    queries: Mapping[str, SimulatedRead] = {}
    save: Callable[[Any], Any] | None = None
    restore: Callable[[Any, Any], None] | None = None


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """One domain.

    Attributes:
        name: Of its package, and of its ranges in `base.numbers`.
        tables: All of them.
        handlers: How a command that is short is applied.
        long_handlers: How one is that may take long.
        reactions: What it does, inside the same command, when another domain emits a fact.
        resolvers: How it answers questions of other domains: (rows, question) -> answer.
        asks: Questions that its handlers ask; another domain must have a resolver.
        timers: Kinds of deadlines.
        subjects: The letters that begin its subjects. A number: of the table that remembers the
            removal of such a subject; None: the engine's, by `Rows.note_subject`.
        upkeep: Its background deletions.
        operations: What it offers in transactions.
        simulation: For the simulator.
    """

    name: str
    tables: tuple[Table, ...] = ()
    handlers: Mapping[type[Command], Handler] = {}
    long_handlers: Mapping[type[Command], LongHandler] = {}
    reactions: Mapping[type[Fact], LongHandler] = {}
    resolvers: Mapping[type[Question[Any]], Callable[[Any, Any], Any]] = {}
    asks: tuple[type[Question[Any]], ...] = ()
    timers: tuple[TimerKind, ...] = ()
    subjects: Mapping[bytes, int | None] = {}
    upkeep: Upkeep | None = None
    operations: tuple[Operations, ...] = ()
    simulation: Simulation = Simulation()
