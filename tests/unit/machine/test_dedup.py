"""Which bundles count: next in sequence, of a member, once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.base.batches import Bundle
from quorate.base.ids import NodeId
from quorate.machine.dedup import Origins, Verdict
from quorate.sim.tables import DictTables
from tests.unit.machine.lab import ANN, Lab


def origins() -> Origins:
    tables = DictTables()
    Lab(tables, with_node=False)
    return Origins(tables, 8)


def judged(origins: Origins, incarnation: int, sequence: int, origin: NodeId = ANN) -> Verdict:
    verdict = origins.judge(Bundle(origin, incarnation, sequence, 0, b""))
    origins.commit()
    return verdict


def test_a_bundle_counts_once_and_a_repeat_is_distinguished_from_a_gap() -> None:
    known = origins()
    assert judged(known, 1, 1) is Verdict.COUNTS
    assert judged(known, 1, 1) is Verdict.REPEATED
    assert judged(known, 1, 3) is Verdict.GAP
    assert judged(known, 1, 2) is Verdict.COUNTS
    assert judged(known, 1, 1) is Verdict.REPEATED
    assert known.last(ANN) == (1, 2)


def test_a_new_incarnation_begins_at_one() -> None:
    known = origins()
    assert judged(known, 3, 1) is Verdict.COUNTS
    assert judged(known, 4, 2) is Verdict.GAP
    assert judged(known, 4, 1) is Verdict.COUNTS
    assert judged(known, 3, 2) is Verdict.REPEATED


def test_bundles_of_non_members_never_count() -> None:
    assert judged(origins(), 1, 1, NodeId("eve")) is Verdict.NOT_A_MEMBER


def test_several_bundles_of_one_batch_follow_each_other() -> None:
    known = origins()
    verdicts = [known.judge(Bundle(ANN, 1, n, 0, b"")) for n in (1, 2, 2, 4, 3)]
    counts, repeated, gap = Verdict.COUNTS, Verdict.REPEATED, Verdict.GAP
    assert verdicts == [counts, counts, repeated, gap, counts]


def test_what_was_aborted_may_come_again() -> None:
    known = origins()
    known.judge(Bundle(ANN, 1, 1, 0, b""))
    known.abort()
    assert known.last(ANN) == (0, 0)
    assert judged(known, 1, 1) is Verdict.COUNTS


@pytest.mark.parametrize("starts", [1, 2, 3])
@given(data=st.data())
def test_whatever_arrives_each_number_counts_once_and_in_order(
    starts: int, data: st.DataObject
) -> None:
    known, counted = origins(), list[tuple[int, int]]()
    arrivals = st.lists(st.tuples(st.integers(1, starts), st.integers(1, 4)), max_size=30)
    for incarnation, sequence in data.draw(arrivals):
        if judged(known, incarnation, sequence) is Verdict.COUNTS:
            counted.append((incarnation, sequence))
    assert counted == sorted(set(counted))
    for incarnation, sequence in counted:
        assert sequence == 1 or (incarnation, sequence - 1) in counted
