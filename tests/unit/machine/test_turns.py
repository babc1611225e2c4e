"""Turns of the machine: no step does more than its share, whatever a batch holds."""

from collections.abc import Iterator

import pytest

from quorate.base.batches import Batch, Bundle, encode_batch
from quorate.base.command import Command, encode_command, join_commands
from quorate.base.config import ClusterConfig
from quorate.base.errors import StorageError
from quorate.base.ids import Ballot, Slot
from quorate.base.subjects import EVERYTHING, beginning, exactly
from quorate.base.txn import TxnOp
from quorate.catalog.commands import (
    CatalogRegister,
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.fields import PASSING, Check, Service
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvDeleteTree, KvSet
from quorate.kv.subjects import of_tree
from quorate.machine.commands import (
    RestoreBegin,
    RestoreCommit,
    RestoreRows,
    Sweep,
    TombstonesReap,
    Txn,
)
from quorate.machine.machine import GROUP, Machine
from quorate.machine.rows import WRITE_UNITS
from quorate.machine.snapshot import content, restore_commands
from quorate.machine.timers import DUE_MAX, READ_MAX
from quorate.machine.watches import LOOKS_MAX, MARKED_MAX, TICKETS_MAX, Watches
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sim.tables import DictTables, DictTransaction
from tests.unit.machine.lab import ANN, Lab

MANY = 400
TURN_UNITS = 80
ROWS_MAX = 2 * TURN_UNITS
"""Rows that a step may touch: a command or a row written counts as 8 units, and touches a few."""


class CountingTransaction(DictTransaction):
    """Counts the rows that are read and written."""

    def __init__(self, tables: "CountingTables") -> None:
        super().__init__(tables)
        self._counting = tables

    def get(self, key: bytes) -> bytes | None:
        self._counting.rows += 1
        return super().get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for row in super().range(first, last, reverse=reverse):
            self._counting.rows += 1
            yield row

    def put(self, key: bytes, value: bytes) -> None:
        self._counting.rows += 1
        super().put(key, value)

    def delete(self, key: bytes) -> bool:
        self._counting.rows += 1
        return super().delete(key)


class CountingTables(DictTables):
    """Tables whose transactions count."""

    rows = 0

    def begin(self) -> DictTransaction:
        super().begin()
        self._open = CountingTransaction(self)
        return self._open


def encoded(machine: Machine, *commands: Command) -> bytes:
    sequence = machine.last_sequence(ANN)[1] + 1
    body = join_commands([encode_command(command) for command in commands])
    bundle = Bundle(ANN, 1, sequence, len(commands), body)
    return encode_batch(Batch(Ballot(1, ANN), 1_000_000, 0, (bundle,)))


def steps(lab: Lab, *commands: Command) -> list[int]:
    """The rows touched by each step of applying these commands in one batch."""
    machine, tables = lab.machine, lab.tables
    assert isinstance(tables, CountingTables)
    machine.begin(Slot(machine.applied + 1), encoded(machine, *commands), None, ANN)
    found: list[int] = []
    while machine.is_applying:
        tables.rows = 0
        machine.step()
        found.append(tables.rows)
    return found


def finish(machine: Machine) -> None:
    while machine.is_applying:
        machine.step()


def lab_of(*commands: Command, removals_max: int = 10_000) -> Lab:
    lab = Lab(
        CountingTables(),
        settings=ClusterConfig(removals_max=removals_max),
        turn_units=TURN_UNITS,
    )
    for command in commands:
        lab.do(command)
    return lab


def tree() -> list[Command]:
    return [KvSet(b"t/%03d" % number, b"v") for number in range(MANY)]


def holding(behavior: str) -> list[Command]:
    """A session that holds many keys."""
    made: list[Command] = [SessionCreate("s", "", "ann", 15_000, behavior, "", 0, ("serfHealth",))]
    return made + [KvAcquire(b"l/%03d" % number, b"", 0, "s") for number in range(MANY)]


def crowd() -> list[Command]:
    """Many sessions of one node."""
    return [
        SessionCreate(f"s{number}", "", "ann", 0, "release", "", 10_000, ("serfHealth",))
        for number in range(MANY)
    ]


def services() -> list[Command]:
    return [ServiceRegister("ann", f"i{number}", f"n{number}", b"{}") for number in range(MANY)]


def checks() -> tuple[Check, ...]:
    return tuple(Check(f"c{number}", "", PASSING, service_id="i") for number in range(MANY))


def checked() -> list[Command]:
    """An instance with many checks."""
    return [CatalogRegister("ann", service=Service("i", "web"), checks=checks())]


def bound() -> SessionCreate:
    """A session that ends with any of many checks."""
    names = tuple(check.id for check in checks())
    return SessionCreate("s", "", "ann", 0, "release", "", 10_000, (), names)


def restoring() -> list[Command]:
    other = Lab()
    for command in [*tree(), *crowd()]:
        other.do(command)
    begin, *rows, _ = restore_commands(DOMAINS, b"".join(content(DOMAINS, other.tables)), "r")
    return [begin, *rows]


def commit() -> Command:
    *_, last = restoring_all()
    return last


def restoring_all() -> list[RestoreBegin | RestoreRows | RestoreCommit]:
    other = Lab()
    for command in [*tree(), *crowd()]:
        other.do(command)
    return list(restore_commands(DOMAINS, b"".join(content(DOMAINS, other.tables)), "r"))


CASES: dict[str, tuple[list[Command], list[Command]]] = {
    "a tree, row by row": (tree(), [KvDeleteTree(b"t/")]),
    "trees in a transaction": (tree(), [Txn((TxnOp("delete-tree", b"t/"),) * 64)]),
    "trees read in a transaction": (
        tree(),
        [Txn((TxnOp("set", b"x"), *(TxnOp("get-tree", b"t/"),) * 8))],
    ),
    "many commands": ([], tree()),
    "a session that frees its keys": (holding("release"), [SessionDestroy("s")]),
    "a session that takes its keys along": (holding("delete"), [SessionDestroy("s")]),
    "a node whose check fails": (crowd(), [NodeHealth("ann", "critical")]),
    "a node with sessions": (crowd(), [NodeDeregister("ann")]),
    "a node with services": (services(), [NodeDeregister("ann")]),
    "a node that changes": (services(), [NodeRegister("ann", "Ann", "10.0.0.9", "dc1", {}, {})]),
    "an instance with many checks": ([], checked()),
    "many checks of an instance that is there": (
        [CatalogRegister("ann", service=Service("i", "web"))],
        [CatalogRegister("ann", checks=(*checks(), Check("c", "", PASSING, service_id="none")))],
    ),
    "checks of an instance whose service changes": (
        checked(),
        [CatalogRegister("ann", service=Service("i", "shop"))],
    ),
    "the same, as older versions say it": (checked(), [ServiceRegister("ann", "i", "shop", b"{}")]),
    "an instance that goes with its checks": (checked(), [ServiceDeregister("ann", "i")]),
    "a session bound to many checks": (checked(), [bound()]),
    "the end of a session bound to many checks": ([*checked(), bound()], [SessionDestroy("s")]),
    "rows of a restore": ([], restoring()),
    "the end of a restore": (restoring(), [commit()]),
    "the rest of a restore": ([*tree(), *restoring(), commit()], [Sweep(MANY)]),
    "tombstones": ([*tree(), KvDeleteTree(b"t/")], [TombstonesReap(10_000, MANY)]),
}


@pytest.mark.parametrize("name", CASES)
def test_no_step_touches_more_rows_than_its_share(name: str) -> None:
    before, commands = CASES[name]
    found = steps(lab_of(*before), *commands)
    assert len(found) > 3
    assert max(found) <= ROWS_MAX


@pytest.mark.parametrize("name", CASES)
def test_steps_come_to_the_same_state_as_one_turn(name: str) -> None:
    before, commands = CASES[name]
    sliced, whole = lab_of(*before), Lab(settings=ClusterConfig(removals_max=10_000))
    whole.machine = Machine(whole.tables, whole.settings, DOMAINS, 10**9)
    for command in before:
        whole.do(command)
    assert whole.machine.digest == sliced.machine.digest
    steps(sliced, *commands)
    data = encoded(whole.machine, *commands)
    whole.machine.apply(Slot(whole.machine.applied + 1), data, None, ANN)
    assert sliced.machine.digest == whole.machine.digest
    assert dict(sliced.tables.range(b"")) == dict(whole.tables.range(b""))


def test_a_large_tree_is_removed_in_one_step_however_large_it_is() -> None:
    found = steps(lab_of(*tree(), removals_max=10), KvDeleteTree(b"t/"))
    assert len(found) == 1
    assert found[0] <= ROWS_MAX


def test_a_noted_tree_is_looked_through_in_steps() -> None:
    lab = lab_of(*tree(), removals_max=10)
    lab.do(KvDeleteTree(b"t/"))
    found = steps(lab, KvDeleteTree(b"t/"))
    assert len(found) > 3
    assert max(found) <= ROWS_MAX


def test_readers_see_the_state_before_until_the_last_step() -> None:
    lab = lab_of(*tree())
    machine = lab.machine
    applied = machine.applied
    machine.begin(Slot(applied + 1), encoded(machine, KvDeleteTree(b"t/")), None, ANN)
    while machine.is_applying:
        assert len(lab.read.kv_list(b"t/").value) == MANY
        assert machine.applied == lab.read.applied == applied
        machine.step()
    assert lab.read.kv_list(b"t/").value == []


def test_what_is_abandoned_was_never_begun() -> None:
    lab = lab_of(*tree())
    machine = lab.machine
    data = encoded(machine, KvDeleteTree(b"t/"))
    before = dict(lab.tables.range(b""))
    machine.begin(Slot(machine.applied + 1), data, None, ANN)
    assert machine.step() is None
    machine.abandon()
    assert not machine.is_applying
    assert dict(lab.tables.range(b"")) == before
    machine.apply(Slot(machine.applied + 1), data, None, ANN)
    assert lab.read.kv_list(b"t/").value == []


def test_a_disk_that_fills_between_steps_leaves_everything_as_it_was() -> None:
    lab = lab_of(*tree())
    machine, tables = lab.machine, lab.tables
    assert isinstance(tables, CountingTables)
    data = encoded(machine, KvDeleteTree(b"t/"))
    machine.begin(Slot(machine.applied + 1), data, None, ANN)
    tables.is_full = True
    with pytest.raises(StorageError, match="full"):
        finish(machine)
    assert machine.applied == lab.read.applied < Slot(MANY + 10)
    assert not machine.is_applying
    tables.is_full = False
    machine.apply(Slot(machine.applied + 1), data, None, ANN)
    assert lab.read.kv_list(b"t/").value == []


def test_a_transaction_holds_no_larger_results_than_the_limit() -> None:
    lab = Lab(settings=ClusterConfig(txn_result_bytes_max=10_000))
    lab.add_shadow()
    for number in range(10):
        lab.do(KvSet(b"t/%d" % number, b"v" * 500))
    ops = (TxnOp("set", b"x", b"1"), *(TxnOp("get-tree", b"t/"),) * 128)
    done = lab.do(Txn(ops))
    assert done.items == ()
    (fault,) = done.faults
    assert fault.op_index == 2
    assert "10000 bytes (txn_result_bytes_max)" in fault.what
    assert lab.read.kv_get(b"x").value is None, "all or nothing"
    assert len(lab.do(Txn((TxnOp("set", b"x"), TxnOp("get-tree", b"t/")))).items) == 11


# --- watchers ---------------------------------------------------------------------------------


def turns(watches: Watches) -> list[list[object]]:
    found: list[list[object]] = []
    while watches.is_waking:
        watches.give_share()
        found.append(watches.take(0.0))
    return found


def test_no_turn_wakes_more_watchers_than_its_share() -> None:
    watches = Watches()
    for number in range(10_000):
        watches.add([beginning(b"k")], number)
    watches.mark([b"ka"], 0.0)
    found = turns(watches)
    assert max(len(one) for one in found) == TICKETS_MAX
    assert [number for one in found for number in one] == list(range(10_000))


@pytest.mark.parametrize("changed_subjects", [[EVERYTHING], [of_tree(b"a/")]])
def test_the_same_holds_for_a_replaced_state_and_a_removed_tree(
    changed_subjects: list[bytes],
) -> None:
    watches = Watches()
    for number in range(5_000):
        watches.add([exactly(b"ka/%d" % number)], number)
    watches.mark(changed_subjects, 0.0)
    assert max(len(one) for one in turns(watches)) == TICKETS_MAX
    assert len(watches) == 0


def test_no_turn_looks_at_more_subjects_than_its_share() -> None:
    watches = Watches()
    watches.add([exactly(b"kz")], 1)
    watches.mark([b"k%d" % number for number in range(10 * LOOKS_MAX)] + [b"kz"], 0.0)
    found = turns(watches)
    assert len(found) >= 10
    assert found[-1] == [1]


def test_beyond_a_bound_of_what_is_marked_everybody_is_woken_instead() -> None:
    watches = Watches()
    for number in range(3):
        watches.add([exactly(b"k%d" % number)], number)
    batch = [b"other"] * 512
    while watches.marked <= MARKED_MAX - len(batch):
        watches.mark(list(batch), 0.0)
    assert watches.take(0.0) == []
    watches.give_share()
    watches.mark(list(batch), 0.0)
    watches.mark(list(batch), 0.0)
    assert watches.marked <= 2 * len(batch)
    watches.add([exactly(b"k9")], "late")
    assert [number for one in turns(watches) for number in one] == [0, 1, 2]
    assert (watches.marked, len(watches), watches.is_waking) == (0, 1, False)
    watches.mark([b"k9"], 0.0)
    assert watches.take(0.0) == ["late"]


def test_a_change_that_keeps_coming_is_marked_within_the_bound() -> None:
    watches = Watches()
    watches.add([exactly(b"kz")], "z")
    for _ in range(1_000):
        watches.mark([b"k%d" % number for number in range(512)], 0.0)
        watches.give_share()
        watches.take(0.0)
        assert watches.marked <= MARKED_MAX
        if not len(watches):
            watches.add([exactly(b"kz")], "z")


def test_a_removed_tree_wakes_who_waits_for_a_key_in_it_or_for_keys_around_it() -> None:
    watches = Watches()
    watches.add([exactly(b"ka/1")], "key")
    watches.add([exactly(b"kb")], "other key")
    watches.add([beginning(b"k")], "all")
    watches.add([beginning(b"ka/1")], "within")
    watches.add([beginning(b"kb")], "other prefix")
    watches.add([exactly(b"sa/1")], "session")
    watches.mark([of_tree(b"a/")], 0.0)
    assert watches.take(0.0) == ["key", "all", "within"]


def test_who_comes_after_a_change_is_not_woken_for_it() -> None:
    watches = Watches()
    for number in range(2 * TICKETS_MAX):
        watches.add([exactly(b"ka")], number)
    watches.mark([b"kb", b"ka"], 0.0)
    watches.take(0.0)
    watches.add([exactly(b"ka")], "late")
    assert "late" not in [ticket for one in turns(watches) for ticket in one]
    assert len(watches) == 1


def test_the_deadlines_of_a_restored_state_are_taken_in_over_several_steps() -> None:
    lab = lab_of()
    for number in range(3 * MANY):
        lab.session(f"s{number:04d}", ttl_ms=10_000)
    *rows, last = restore_commands(DOMAINS, b"".join(content(DOMAINS, lab.tables)), "r")
    for command in rows:
        steps(lab, command)
    found = steps(lab, last)
    quiet = [count for count in found if count == 0]
    assert len(quiet) >= 3, "steps that touch no row: they take in deadlines"
    expiries = lab.machine.expirations(1_000_000 + 20_000)
    assert sum(isinstance(one, SessionExpire) for one in expiries) == DUE_MAX


def test_replaced_tables_are_asked_for_deadlines_by_and_by() -> None:
    lab = lab_of()
    for number in range(3 * READ_MAX):
        lab.session(f"s{number:04d}", ttl_ms=10_000)
    assert len(due(lab.machine, 1)) == DUE_MAX
    lab.machine.reload()
    lab.do(SessionRenew("s0767"), SessionDestroy("s0700"))
    found = [due(lab.machine, number) for number in range(4)]
    asked = [name for names in found for name in names]
    assert len(asked) == len(set(asked)) == 3 * READ_MAX - 1
    assert "s0700" not in asked
    assert len(found[0]) <= READ_MAX + 1


def due(machine: Machine, number: int) -> list[str]:
    """Sessions that a leader would end."""
    commands = machine.expirations(2_000_000 + number)
    return [one.id for one in commands if isinstance(one, SessionExpire)]


def test_a_share_of_a_command_is_what_the_units_say() -> None:
    lab = lab_of()
    found = steps(lab, *tree())
    together = GROUP * -(-TURN_UNITS // (GROUP * WRITE_UNITS))
    assert len(found) == MANY // together + 1


def test_how_long_after_the_change_each_was_woken_is_measured() -> None:
    watches = Watches()
    for number in range(TICKETS_MAX + 1):
        watches.add((exactly(b"ka"),), number)
    watches.mark([b"ka"], 10.0)
    watches.give_share()
    assert len(watches.take(10.0)) == TICKETS_MAX
    watches.give_share()
    assert watches.take(12.0) == [TICKETS_MAX]
    watches.wakes.collect()
    assert (watches.wakes.count, watches.wakes.total_s) == (TICKETS_MAX + 1, 2.0)
