"""Reads that fail because the seed says so: the client gets the error, and nothing is kept."""

from typing import Any

import pytest

from quorate.base.errors import StorageError, UnavailableError
from quorate.base.results import Answer
from quorate.kv.queries import LongList
from quorate.sim.cluster import Make
from quorate.sim.operations import Operation, OperationKind, OperationStatus
from quorate.sim.readfaults import FailingReads, HoldableTables, ReadFaults
from quorate.sim.run import run
from quorate.sim.swarm import Plan, plan_of
from quorate.sim.tables import DictTables
from quorate.sim.workload import WorkloadProfile
from quorate.sim.world import ViolationError, seeded_rng
from tests.sim.test_checkers import CheckedLog

MANY = ReadFaults(evaluations=0.2, searches=0.2, holds=0.4)
WEIGHTS = {"set": 1.0, "plain": 3.0, "read": 1.0, "watch": 6.0, "archive": 0.3}
READERS = WorkloadProfile(clients=6, think_s=0.05, weights=WEIGHTS)


def plan(seed: int, faults: ReadFaults) -> Plan:
    make = Make(read_faults=faults, profile=READERS)
    return Plan(seed, make, (), 15.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_cluster_whose_reads_fail_tells_of_each_and_keeps_nothing(seed: int) -> None:
    result = run(plan(seed, MANY))
    assert result.failure == ""
    well = run(plan(seed, ReadFaults()))
    assert result.operations["refused"] > well.operations["refused"] + 8
    assert result.operations["watches"] > 20


def test_seeds_draw_each_of_these_faults_and_many_draw_none() -> None:
    drawn = [plan_of(seed).make.read_faults for seed in range(200)]
    assert 100 < drawn.count(ReadFaults()) < 180
    for kind in ("evaluations", "searches", "holds"):
        assert sum(getattr(each, kind) > 0 for each in drawn) > 10


# --- what is drawn ------------------------------------------------------------------------------


def operation(number: int = 1, client: str = "c") -> Operation:
    return Operation(number, client, "a", OperationKind.READ, 0.0)


def failing(faults: ReadFaults, *open_now: Operation) -> FailingReads:
    by_client = {each.client: each for each in open_now}
    return FailingReads(faults, seeded_rng(1, "test"), by_client.get)


def test_an_evaluation_that_fails_marks_its_operation() -> None:
    one = operation()
    made = failing(ReadFaults(evaluations=1.0))
    with pytest.raises(UnavailableError) as caught:
        made.evaluated(one, Answer(1, 1, 1, ()))
    assert caught.value.text == one.planted != ""
    made.is_over = True
    assert made.evaluated(one, 7) == 7


def test_a_search_fails_for_whoever_of_its_client_asks_now() -> None:
    """An answer is shared by those who ask for the same in one state."""
    first, now = operation(1), operation(2)

    def search(_: Any) -> Any:
        yield from (1, 2, 3)

    made = failing(ReadFaults(searches=1.0), now)
    asked = LongList(b"", None, changed=1, subjects=(), search=search)
    with pytest.raises(UnavailableError):
        list(made.evaluated(first, asked).search(None))
    assert (first.planted, now.planted) == ("", "the seed lets read 2 fail")
    none_open = failing(ReadFaults(searches=1.0))
    assert list(none_open.evaluated(first, asked).search(None)) == [1, 2, 3]


def test_tables_refuse_to_be_held_and_close_what_is_held_early() -> None:
    tables = DictTables({b"a": b"1", b"b": b"2"})
    view = failing(ReadFaults()).tables(tables)
    assert view is tables
    refusing = HoldableTables(tables, failing(MANY), 1.0)
    with pytest.raises(StorageError):
        refusing.hold(is_for_client=True)
    made = HoldableTables(tables, failing(MANY), 0.5)
    seen: set[str] = set()
    for _ in range(50):
        try:
            held = made.hold(is_for_client=True)
        except StorageError as error:
            seen.add(error.text)
            continue
        assert made.held == 1
        try:
            for _ in range(100):
                assert (held.get(b"a"), len(list(held.range(b"")))) == (b"1", 2)
        except StorageError as error:
            seen.add(error.text)
        held.close()
        held.close()
        assert made.held == 0
    assert len(seen) == 2
    assert (made.get(b"a"), made.version) == (b"1", tables.version)


# --- what is found ------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["another", ""])
def test_another_error_than_the_one_that_was_met_is_found(said: str) -> None:
    checked = CheckedLog()
    read = checked.ask(OperationKind.READ)
    read.planted = "this one"
    with pytest.raises(ViolationError, match="than it returned"):
        checked.checker.refuse(read, 0.0, said, is_definite=True)


def test_an_answer_to_a_read_that_failed_is_found() -> None:
    checked = CheckedLog()
    read = checked.ask(OperationKind.READ)
    read.planted = "this one"
    with pytest.raises(ViolationError, match="returned no error"):
        checked.checker.read(read, 0.0, checked.model.slot, ())


def test_the_error_that_was_met_is_accepted() -> None:
    checked = CheckedLog()
    read = checked.ask(OperationKind.READ)
    read.planted = "this one"
    checked.checker.refuse(read, 0.0, "this one", is_definite=True)
    assert read.end is OperationStatus.REFUSED
