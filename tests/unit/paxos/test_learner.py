"""What is chosen, in slot order."""

import pytest

from quorate.base.errors import InvariantError
from quorate.base.ids import NO_NODE, Ballot, NodeId, Slot
from quorate.base.records import Chosen, Vote
from quorate.paxos.learner import ContradictionError, Learner
from quorate.paxos.log import Tail

ANN, BOB = NodeId("ann"), NodeId("bob")
LOW, HIGH = Ballot(1, ANN), Ballot(2, BOB)


def learner(watermark: int = 0, slots_max: int = 10) -> Learner:
    return Learner(Slot(watermark), Tail(Slot(watermark), 1000, slots_max))


def vote(ballot: Ballot, slot: int, watermark: int = 0) -> Vote:
    return Vote(ballot, Slot(slot), Slot(watermark), b"%d" % slot)


def released(made: Learner) -> list[int]:
    slots: list[int] = []
    while (one := made.next_released()) is not None:
        slots.append(one[0])
    return slots


def test_a_slot_never_changes() -> None:
    made = learner()
    assert made.choose(Slot(1), b"x")
    assert not made.choose(Slot(1), b"x")
    with pytest.raises(ContradictionError):
        made.choose(Slot(1), b"y")
    made.next_released()
    assert not made.choose(Slot(1), b"x")
    with pytest.raises(ContradictionError):
        made.choose(Slot(1), b"y")


@pytest.mark.parametrize("more", [0, 10])
def test_own_votes_of_the_ballot_that_reports_a_watermark_are_chosen_by_it(more: int) -> None:
    made = learner()
    votes = {Slot(slot): vote(HIGH, slot) for slot in (1, 2, 4)} | {Slot(3): vote(LOW, 3)}
    votes |= {Slot(slot): vote(HIGH, slot) for slot in range(20, 20 + more)}
    made.on_watermark(HIGH, Slot(8), votes, BOB)
    assert released(made) == [1, 2]
    assert made.has_hole
    made.on_watermark(HIGH, Slot(1), votes, ANN)
    assert (made.remote_watermark, made.remote_node) == (8, BOB)
    made.choose(Slot(3), b"3")
    assert released(made) == [3, 4]


def test_what_is_missing_is_fetched_from_the_node_that_reported_it() -> None:
    made = learner(5)
    assert not made.has_hole
    made.note_remote_watermark(Slot(5), ANN)
    assert (made.remote_watermark, made.remote_node) == (5, NO_NODE)
    made.note_remote_watermark(Slot(7), ANN)
    made.note_remote_watermark(Slot(6), BOB)
    assert (made.remote_watermark, made.remote_node) == (7, ANN)
    assert made.has_hole


def test_a_snapshot_jumps_forward_only() -> None:
    made = learner()
    for slot in (2, 4, 6):
        made.choose(Slot(slot), b"x")
    made.on_installed(Slot(5))
    assert (made.watermark, made.remote_watermark) == (5, 5)
    assert released(made) == [6]
    made.on_installed(Slot(3))
    assert made.watermark == 6
    assert made.tail.slot_first == 6


def test_the_tail_is_rebuilt_from_what_the_log_proves_chosen() -> None:
    made = learner(4)
    made.replay_record(Chosen(Slot(1), b"1"))
    for one in (vote(LOW, 2), vote(HIGH, 3, watermark=1), vote(HIGH, 4, watermark=3)):
        made.replay_record(one)
    made.replay_record(vote(HIGH, 5, watermark=4))
    made.choose(Slot(5), b"5")
    assert released(made) == [5]
    made.end_recovery(Slot(4))
    assert [made.tail.get(Slot(slot)) for slot in range(1, 6)] == [None, None, b"3", b"4", b"5"]


def kept(made: Learner, last: int) -> list[int]:
    return [slot for slot in range(1, last + 1) if made.held(Slot(slot)) is not None]


@pytest.mark.parametrize("size", [1, 200])
def test_what_the_log_proved_goes_as_the_tail_grows(size: int) -> None:
    """A removed node kept both for ever, and a learner twice what the caps say."""
    made, batch = learner(8), b"x" * size
    for slot in range(1, 8):  # the newest is proven by no record: there is no run down from it
        made.replay_record(Chosen(Slot(slot), batch))
    made.end_recovery(Slot(8))
    most = min(10, 1000 // size)
    assert len(kept(made, 8)) == min(7, most)
    for slot in range(9, 30):
        made.choose(Slot(slot), batch)
        made.next_released()
        found = kept(made, slot)
        assert len(found) <= most
        assert found[-1] == slot
    assert kept(made, 29) == list(range(30 - most, 30))


def test_of_a_long_log_no_more_is_kept_than_twice_the_caps() -> None:
    made = learner(3_000)
    for slot in range(1, 3_000):
        made.replay_record(Chosen(Slot(slot), b"x" * 100))
        assert len(made._proven) <= 2 * 10 + 1  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    made.end_recovery(Slot(3_000))
    assert kept(made, 3_000) == list(range(2_990, 3_000))


def test_a_tail_too_short_for_what_was_replayed_stays_as_it_is() -> None:
    made = learner(1, slots_max=2)
    made.replay_record(Chosen(Slot(1), b"1"))
    for slot in (2, 3, 4):
        made.choose(Slot(slot), b"%d" % slot)
    assert released(made) == [2, 3, 4]
    made.end_recovery(Slot(1))
    assert made.tail.slot_first == 3


def test_the_tail_keeps_the_newest_within_its_caps() -> None:
    tail = Tail(Slot(10), bytes_max=5, slots_max=3)
    for slot in (11, 12, 13, 14):
        tail.add(Slot(slot), b"xx")
    assert (tail.slot_first, tail.slot_last) == (13, 14)
    assert tail.get(Slot(12)) is None
    assert tail.run(Slot(13), Slot(20), bytes_max=1) == [b"xx"]
    assert tail.run(Slot(13), Slot(20), bytes_max=4) == [b"xx", b"xx"]
    assert tail.run(Slot(12), Slot(20), bytes_max=4) == []
    with pytest.raises(InvariantError):
        tail.add(Slot(16), b"x")


def test_a_run_of_the_tail_has_at_most_so_many_bytes() -> None:
    tail = Tail(Slot(10), bytes_max=100, slots_max=10)
    for slot in range(11, 18):
        tail.add(Slot(slot), b"xx")
    assert tail.run(Slot(11), Slot(20), bytes_max=7) == [b"xx"] * 3
    assert tail.run(Slot(11), Slot(20), bytes_max=8) == [b"xx"] * 4
    assert tail.run(Slot(11), Slot(12), bytes_max=8) == [b"xx"] * 2
