"""Reads as they are carried out: points, watches, timers, searches, and what becomes of them."""

from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Any

import pytest

from quorate.base.context import PLAIN, PLAIN_STALE, Consistency, Principal, RequestContext
from quorate.base.errors import StorageError, UnavailableError
from quorate.base.results import Answer, LongAnswer, StateView
from quorate.base.subjects import exactly
from quorate.kv.commands import KvSet
from quorate.kv.queries import changes, kv_get
from quorate.kv.subjects import of_key
from quorate.machine.queries import Reader
from quorate.serving import reads
from quorate.serving.reads import Query
from tests.unit.serving.stage import LOST, REMOVED, Asker, Stage


def of_a(reader: Reader) -> Answer[Any]:
    return kv_get(reader, b"a")


def put(stage: Stage, value: bytes) -> int:
    return stage.apply(KvSet(b"a", value)).index


def values(asker: Asker) -> list[bytes]:
    return [entry.row.value for entry, _ in asker.results]


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    put(made, b"1")
    return made


def waiting(stage: Stage, context: RequestContext = PLAIN, **more: Any) -> Asker:
    """Somebody waits for a change of `a`."""
    asker = Asker(context)
    index = stage.lab.machine.index
    reads.read(stage.serving, asker, Query(of_a, index, 10.0, **more))
    if not context.is_stale:
        stage.point()
    assert len(stage.watches) == 1
    assert asker.results == []
    return asker


def test_a_default_read_sees_what_was_there_when_its_point_came(stage: Stage) -> None:
    asker = Asker()
    reads.read(stage.serving, asker, Query(of_a))
    put(stage, b"2")
    assert asker.results == []
    stage.point()
    assert values(asker) == [b"2"]


def test_a_stale_read_asks_nobody(stage: Stage) -> None:
    asker = Asker(PLAIN_STALE)
    reads.read(stage.serving, asker, Query(of_a))
    assert values(asker) == [b"1"]
    assert (stage.points, stage.contexts, asker.provenance[0].is_stale) == ([], [], True)


def test_who_waits_is_answered_by_the_change_and_leaves_nothing_behind(stage: Stage) -> None:
    asker = waiting(stage)
    stage.apply(KvSet(b"b", b"1"))
    assert asker.results == []
    index = put(stage, b"2")
    assert asker.results[0][1] == index
    assert values(asker) == [b"2"]
    assert (len(stage.watches), asker.on_lost, stage.points) == (0, None, [])
    assert [each.is_cancelled for each in stage.alarms] == [True]


def test_every_question_of_a_read_has_its_context(stage: Stage) -> None:
    context = RequestContext(Principal("ann"), deadline_s=99.0, trace_id="t1")
    waiting(stage, context)
    stage.alarms[0].step()
    assert stage.contexts == [context] * 3  # a point, a watch, a point


def test_unchanged_is_certified_and_a_change_meanwhile_is_not_lost(stage: Stage) -> None:
    asker = waiting(stage)
    stage.alarms[0].step()
    assert asker.results == []
    put(stage, b"2")
    stage.point()
    assert values(asker) == [b"2"]


def test_a_node_that_is_cut_off_certifies_nothing(stage: Stage) -> None:
    asker = waiting(stage)
    stage.alarms[0].step()
    stage.point(LOST)
    assert (asker.results, asker.errors) == ([], [LOST])
    assert (len(stage.watches), asker.on_lost) == (0, None)


@pytest.mark.parametrize("context", [PLAIN, PLAIN_STALE])
@pytest.mark.parametrize("end", ["wake", "time"])
def test_who_waits_at_a_node_that_is_removed_is_notified(
    stage: Stage, context: RequestContext, end: str
) -> None:
    asker = waiting(stage, context)
    stage.removal = REMOVED
    if end == "wake":
        put(stage, b"2")
    else:
        stage.alarms[0].step()
    assert (asker.results, asker.errors) == ([], [REMOVED])
    assert len(stage.watches) == 0


def test_a_removed_node_reads_nothing_stale(stage: Stage) -> None:
    stage.removal = REMOVED
    with pytest.raises(UnavailableError):
        reads.read(stage.serving, Asker(PLAIN_STALE), Query(of_a))
    with pytest.raises(UnavailableError):
        reads.confirmed(stage.serving, Asker(PLAIN_STALE), lambda: None)


@pytest.mark.parametrize("is_point_there", [True, False])
def test_who_is_gone_is_not_waited_for(stage: Stage, is_point_there: bool) -> None:
    if is_point_there:
        asker = waiting(stage)
        asker.is_lost = True
        assert asker.on_lost is not None
        asker.on_lost()
        assert [each.is_cancelled for each in stage.alarms] == [True]
    else:
        asker = Asker()
        reads.read(stage.serving, asker, Query(of_a, 99, 10.0))
        asker.is_lost = True
        stage.point()
        assert stage.alarms == []
    assert len(stage.watches) == 0


def test_who_may_not_wait_is_refused_and_holds_nothing(stage: Stage) -> None:
    asker = Asker()
    asker.may_wait = False
    reads.read(stage.serving, asker, Query(of_a, 99, 10.0))
    stage.point()
    assert [error.code for error in asker.errors if isinstance(error, UnavailableError)] == [
        "overloaded"
    ]
    assert (len(stage.watches), stage.alarms) == (0, [])


def test_an_answer_is_made_when_it_is_wanted_of_what_is_there_then(stage: Stage) -> None:
    asker = waiting(stage)
    asker.is_wanted = False
    put(stage, b"2")
    put(stage, b"3")
    asker.postponed[0]()
    assert values(asker) == [b"3"]


def test_the_reported_index_never_falls_below_the_one_that_was_brought(stage: Stage) -> None:
    index = stage.apply(KvSet(b"b", b"1")).index
    asker = Asker()
    reads.read(stage.serving, asker, Query(of_a, index, 10.0))
    stage.point()
    stage.alarms[0].step()
    stage.point()
    assert asker.results[0][1] == index
    asker = Asker()
    reads.read(stage.serving, asker, Query(of_a, index + 100, 10.0))  # of another cluster
    stage.point()
    stage.alarms[1].step()
    stage.point()
    assert asker.results[0][1] < index


def test_what_makes_an_evaluation_fail_is_answered(stage: Stage) -> None:
    def damaged(_: Reader) -> Answer[Any]:
        raise StorageError("corrupt", "a row does not match its checksum")

    for index in (0, 5):
        asker = Asker()
        reads.read(stage.serving, asker, Query(damaged, index, 10.0))
        stage.point()
        assert [type(error) for error in asker.errors] == [StorageError]


def test_equal_readers_share_an_evaluation_and_other_principals_do_not(stage: Stage) -> None:
    evaluated: list[int] = []

    def counted(reader: Reader) -> Answer[Any]:
        evaluated.append(reader.index)
        return of_a(reader)

    askers = [Asker(RequestContext(Principal(name)), b"a") for name in ("ann", "ann", "bob")]
    for asker in askers:
        reads.read(stage.serving, asker, Query(counted, stage.lab.machine.index, 10.0))
        stage.point()
    assert len(evaluated) == 2
    index = put(stage, b"2")
    assert evaluated[2:] == [index, index]
    assert [values(asker) for asker in askers] == [[b"2"]] * 3


# --- age ----------------------------------------------------------------------------------------


def aged(age_s_max: float) -> RequestContext:
    return RequestContext(consistency=Consistency.STALE, age_s_max=age_s_max)


def test_a_bound_on_age_counts_from_when_a_confirmed_read_was_asked_for(stage: Stage) -> None:
    reads.confirmed(stage.serving, Asker(), lambda: None)
    stage.now_s += 3
    stage.point()
    stage.now_s += 1
    for age_s_max, is_asked in ((4.0, False), (3.9, True), (inf, False)):
        asker = Asker(aged(age_s_max))
        reads.read(stage.serving, asker, Query(of_a))
        assert (len(stage.points) == 1) is is_asked
        if is_asked:
            assert asker.results == []
            stage.points.clear()
        else:
            assert values(asker) == [b"1"]


def test_a_read_counts_as_old_as_its_question(stage: Stage) -> None:
    reads.read(stage.serving, Asker(), Query(of_a))
    stage.now_s += 3
    stage.point()
    assert stage.serving.fresh_s == stage.now_s - 3


def test_a_read_that_had_to_ask_is_not_stale_any_more(stage: Stage) -> None:
    asker = Asker(aged(1.0))
    reads.read(stage.serving, asker, Query(of_a, stage.lab.machine.index, 10.0))
    stage.point()
    stage.alarms[0].step()
    assert len(stage.points) == 1  # it says "unchanged" under a fresh point only
    stage.point()
    assert asker.provenance[0].is_stale is False


# --- what is too long -----------------------------------------------------------------------------


def long_a(reader: Reader) -> LongAnswer:
    return LongAnswer(
        changed=reader.index,
        subjects=(exactly(of_key(b"a")),),
        search=partial(changes, prefix=b"a"),
    )


def searching(stage: Stage, index: int) -> Asker:
    asker = Asker()
    reads.read(stage.serving, asker, Query(long_a, index, 10.0, is_list=True))
    stage.point()
    assert len(stage.watches) == 1
    return asker


def test_what_changed_in_a_long_list_is_searched_for_while_it_is_watched(stage: Stage) -> None:
    index = stage.lab.machine.index
    stage.apply(KvSet(b"b", b"1"))
    asker = searching(stage, index)
    while stage.steps:
        stage.turn()
    assert asker.results == []  # it was another key: it goes on waiting
    put(stage, b"2")
    stage.turn()
    assert len(asker.results) == 1


def test_a_search_that_finds_a_change_ends_the_wait(stage: Stage) -> None:
    asker = searching(stage, stage.lab.machine.index - 1)
    while stage.steps:
        stage.turn()
    assert len(asker.results) == 1
    assert (len(stage.watches), asker.on_lost) == (0, None)


def test_a_change_ends_a_search(stage: Stage) -> None:
    index = stage.lab.machine.index
    stage.apply(KvSet(b"b", b"1"))
    asker = searching(stage, index)
    put(stage, b"2")
    while stage.steps:
        stage.turn()
    assert len(asker.results) == 1


def test_a_read_that_fails_when_it_is_woken_waits_no_more(stage: Stage) -> None:
    asker, error = Asker(), StorageError("corrupt", "damaged")
    index = stage.lab.machine.index

    def evaluate(reader: Reader) -> Answer[Any]:
        if reader.index > index:
            raise error
        return of_a(reader)

    reads.read(stage.serving, asker, Query(evaluate, index, 10.0))
    stage.point()
    put(stage, b"2")
    assert asker.errors == [error]
    assert (len(stage.watches), stage.alarms[0].is_cancelled) == (0, True)
    assert asker.on_lost is None


def test_a_read_whose_search_fails_waits_no_more(stage: Stage) -> None:
    asker, error = Asker(), StorageError("corrupt", "damaged")

    def search(_: StateView) -> Iterator[int]:
        raise error

    def evaluate(reader: Reader) -> LongAnswer:
        subjects = (exactly(of_key(b"a")),)
        return LongAnswer(changed=reader.index + 1, subjects=subjects, search=search)

    reads.read(stage.serving, asker, Query(evaluate, stage.lab.machine.index, 10.0, is_list=True))
    stage.point()
    assert len(stage.watches) == 1
    while stage.steps:
        stage.turn()
    assert asker.errors == [error]
    assert (len(stage.watches), stage.alarms[0].is_cancelled) == (0, True)
    assert asker.on_lost is None
