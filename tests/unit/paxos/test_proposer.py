"""One ballot: its promises, and its slots on the way."""

import pytest

from quorate.base.batches import NOOP
from quorate.base.effects import SendWhenDurable
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Prepare, Promise, SlotState
from quorate.base.records import Vote
from quorate.paxos.acceptor import PAGE_BYTES_MAX, Acceptor
from quorate.paxos.proposer import Phase1, Pipeline

ANN, BOB, CY = NodeId("ann"), NodeId("bob"), NodeId("cy")
OLD, MINE = Ballot(1, ANN), Ballot(2, BOB)
ONE = Slot(1)
VOTERS = frozenset({ANN, BOB, CY})


def pages(acceptor: Acceptor, chosen: dict[Slot, bytes] | None = None) -> list[Promise]:
    effects = acceptor.on_prepare(BOB, Prepare(MINE, ONE), chosen or {})
    replies = [effect.message for effect in effects if isinstance(effect, SendWhenDurable)]
    return [message for message in replies if isinstance(message, Promise)]


def big_votes(*slots: int) -> Acceptor:
    made = Acceptor(Slot(0), 100)
    for slot in slots:
        made.remember(Vote(OLD, Slot(slot), Slot(0), b"%d" % slot + b"x" * (PAGE_BYTES_MAX // 2)))
    return made


def promised(*held: SlotState) -> Promise:
    return Promise(MINE, ONE, Slot(0), 0, 1, held, ONE)


def test_pages_of_two_answers_that_leave_a_slot_out_are_no_promise() -> None:
    """Else a noop would be proposed over an accepted batch."""
    acceptor = big_votes(1, 2, 3, 4)
    first = pages(acceptor)
    acceptor.forget(Slot(2))  # the old leader reported that 1 and 2 are chosen, in between
    fetched = b"y" * PAGE_BYTES_MAX  # and 5 and 6 were fetched
    again = pages(acceptor, {Slot(5): fetched, Slot(6): fetched})
    assert len(first) == len(again) > 1
    for mixed in ([first[0], *again[1:]], [*again[1:], first[0]]):
        phase1 = Phase1(MINE, ONE)
        assert not any(phase1.on_promise(ANN, page) for page in mixed)
        assert phase1.promised == set()


def test_pages_that_fit_together_are_a_promise_in_any_order_and_twice() -> None:
    whole = pages(big_votes(1, 2, 3))
    for order in (whole, whole[::-1], [*whole[:1], *whole]):
        phase1 = Phase1(MINE, ONE)
        assert [phase1.on_promise(ANN, page) for page in order].count(True) == 1
        assert phase1.slot_last == 3
        assert not phase1.on_promise(ANN, whole[-1])


def test_an_answer_with_another_number_of_pages_begins_anew() -> None:
    acceptor = big_votes(1, 2, 3, 4)
    phase1 = Phase1(MINE, ONE)
    first = pages(acceptor)
    assert not phase1.on_promise(ANN, first[0])
    acceptor.forget(Slot(4))
    assert phase1.on_promise(ANN, *pages(acceptor))
    assert phase1.watermark_max == 4
    assert phase1.watermark_holder == ANN


def test_the_answer_to_another_prepare_is_no_promise() -> None:
    phase1 = Phase1(MINE, ONE)
    assert not phase1.on_promise(ANN, Promise(OLD, ONE, Slot(0), 0, 1, (), ONE))
    assert not phase1.on_promise(ANN, Promise(MINE, Slot(2), Slot(0), 0, 1, (), Slot(2)))
    assert phase1.promised == set()


def test_what_is_known_chosen_beats_the_highest_ballot_and_holes_are_noops() -> None:
    phase1 = Phase1(MINE, ONE)
    phase1.on_promise(ANN, promised(SlotState(Slot(3), NO_BALLOT, b"chosen", is_chosen=True)))
    phase1.on_promise(
        CY, promised(SlotState(Slot(2), OLD, b"low"), SlotState(Slot(3), OLD, b"late"))
    )
    phase1.on_promise(BOB, promised(SlotState(Slot(2), MINE, b"high")))
    assert [phase1.batch_for(Slot(slot)) for slot in (1, 2, 3)] == [NOOP, b"high", b"chosen"]
    assert phase1.is_enough(VOTERS)
    assert not phase1.is_enough(frozenset({ANN, NodeId("x"), NodeId("y"), NodeId("z")}))


def test_a_slot_is_chosen_by_a_quorum_of_its_voters_and_once() -> None:
    pipeline = Pipeline(MINE, ONE)
    slot = pipeline.open(b"x", VOTERS, 0.0, 0.1)
    assert pipeline.on_accepted(NodeId("other"), slot) is None
    assert pipeline.on_accepted(ANN, slot) is None
    assert pipeline.on_accepted(ANN, slot) is None
    assert pipeline.on_accepted(CY, slot) == b"x"
    assert pipeline.on_accepted(BOB, slot) is None


def test_slots_others_chose_are_proposed_no_more_and_stay_on_the_way_until_voted_for() -> None:
    pipeline = Pipeline(MINE, ONE)
    for _ in range(3):
        pipeline.open(b"x", VOTERS, 0.0, 0.1)
    pipeline.skip(Slot(2))
    assert pipeline.slot_next == 4
    pipeline.skip(Slot(9))
    assert pipeline.slot_next == 10
    assert list(pipeline.in_flight) == [1, 2, 3]
    assert pipeline.on_accepted(ANN, ONE) is None
    assert pipeline.on_accepted(CY, ONE) == b"x"
    assert list(pipeline.in_flight) == [2, 3]


@pytest.mark.parametrize(("now_s", "timeout_s"), [(0.05, 0.1), (0.1, 0.2), (7.0, 0.2)])
def test_the_timeout_doubles_with_each_resend(now_s: float, timeout_s: float) -> None:
    pipeline = Pipeline(MINE, ONE)
    slot = pipeline.open(b"x", VOTERS, 0.0, 0.1)
    pipeline.overdue(now_s)
    assert pipeline.in_flight[slot].timeout_s == timeout_s


def test_the_timeout_ends_at_five_seconds() -> None:
    pipeline = Pipeline(MINE, ONE)
    slot = pipeline.open(b"x", VOTERS, 0.0, 4.0)
    assert [found for found, _ in pipeline.overdue(10.0)] == [slot]
    assert pipeline.in_flight[slot].timeout_s == 5.0
