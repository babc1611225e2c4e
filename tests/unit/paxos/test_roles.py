"""The roles of Paxos, one rule a test."""

from itertools import combinations

import pytest

from quorate.base.batches import NOOP, Configuration, Member
from quorate.base.effects import Persist, Send, SendWhenDurable
from quorate.base.errors import InvariantError
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Accept, Accepted, Nack, Prepare, Promise, SlotState
from quorate.base.records import Promised, Vote
from quorate.node.gate import Gate
from quorate.paxos.acceptor import PAGE_BYTES_MAX, Acceptor
from quorate.paxos.learner import Learner
from quorate.paxos.log import Tail
from quorate.paxos.membership import Membership
from quorate.paxos.proposer import Phase1
from quorate.paxos.quorum import is_phase1_quorum, phase2_size

ANN, BOB, CY = NodeId("ann"), NodeId("bob"), NodeId("cy")
LOW, HIGH = Ballot(1, ANN), Ballot(2, BOB)
ONE = Slot(1)


def acceptor(*records: Promised | Vote) -> Acceptor:
    made = Acceptor(Slot(0), slots_ahead_max=100)
    for record in records:
        made.remember(record)
    return made


def learner() -> Learner:
    return Learner(Slot(0), Tail(Slot(0), 1000, 10))


def members(*names: str) -> tuple[Member, ...]:
    return tuple(Member(NodeId(name), name, f"{name}:1") for name in names)


def test_a_promise_reports_every_vote_from_the_asked_slot_on() -> None:
    vote = Vote(LOW, Slot(7), Slot(0), b"x")
    effects = acceptor(Vote(LOW, Slot(3), Slot(0), b"old"), vote).on_prepare(
        BOB, Prepare(HIGH, Slot(4)), {}
    )
    held = (SlotState(Slot(7), LOW, b"x"),)
    assert effects == [
        Persist(Promised(HIGH)),
        SendWhenDurable(BOB, Promise(HIGH, Slot(4), Slot(0), 0, 1, held, Slot(4))),
    ]


def test_a_lower_ballot_is_refused_and_nothing_is_written() -> None:
    made = acceptor(Promised(HIGH))
    assert made.on_accept(ANN, Accept(LOW, ONE, Slot(0), b"late")) == [Send(ANN, Nack(LOW, HIGH))]
    assert made.votes == {}


def test_a_vote_raises_the_promise() -> None:
    made = acceptor()
    made.on_accept(BOB, Accept(HIGH, ONE, Slot(0), b"x"))
    assert made.on_prepare(ANN, Prepare(LOW, ONE), {}) == [Send(ANN, Nack(LOW, HIGH))]


def test_a_repeated_accept_writes_nothing_and_is_answered() -> None:
    made = acceptor()
    first = made.on_accept(BOB, Accept(HIGH, ONE, Slot(0), b"x"))
    again = made.on_accept(BOB, Accept(HIGH, ONE, Slot(0), b"x"))
    assert isinstance(first[0], Persist)
    assert again == [SendWhenDurable(BOB, Accepted(HIGH, ONE))]


def test_one_ballot_never_brings_two_batches_for_a_slot() -> None:
    made = acceptor(Vote(HIGH, ONE, Slot(0), b"x"))
    with pytest.raises(InvariantError):
        made.on_accept(BOB, Accept(HIGH, ONE, Slot(0), b"y"))


def test_what_was_fetched_is_promised_as_chosen_not_as_a_vote() -> None:
    effects = acceptor(Vote(LOW, ONE, Slot(0), b"vote")).on_prepare(
        BOB, Prepare(HIGH, ONE), {ONE: b"chosen"}
    )
    reply = effects[1]
    assert isinstance(reply, SendWhenDurable)
    assert isinstance(reply.message, Promise)
    assert reply.message.held == (SlotState(ONE, NO_BALLOT, b"chosen", is_chosen=True),)


def test_a_large_promise_comes_in_pages_and_counts_only_whole() -> None:
    big = b"x" * (PAGE_BYTES_MAX - 10)
    made = acceptor(*(Vote(LOW, Slot(n), Slot(0), big) for n in (1, 2, 3)))
    replies = made.on_prepare(BOB, Prepare(HIGH, ONE), {})[1:]
    phase1 = Phase1(HIGH, ONE)
    complete = [
        phase1.on_promise(ANN, reply.message)
        for reply in replies
        if isinstance(reply, SendWhenDurable) and isinstance(reply.message, Promise)
    ]
    assert complete == [False, False, True]
    assert phase1.slot_last == Slot(3)


def test_the_batch_of_the_highest_ballot_wins_and_holes_are_noops() -> None:
    phase1 = Phase1(Ballot(9, CY), ONE)
    phase1.on_promise(
        ANN, Promise(Ballot(9, CY), ONE, Slot(0), 0, 1, (SlotState(Slot(2), LOW, b"low"),))
    )
    phase1.on_promise(
        BOB, Promise(Ballot(9, CY), ONE, Slot(0), 0, 1, (SlotState(Slot(2), HIGH, b"high"),))
    )
    assert phase1.batch_for(Slot(2)) == b"high"
    assert phase1.batch_for(ONE) == NOOP


def test_the_answer_to_another_prepare_is_no_promise() -> None:
    phase1 = Phase1(HIGH, ONE)
    assert not phase1.on_promise(ANN, Promise(HIGH, Slot(5), Slot(0), 0, 1, ()))
    assert not phase1.on_promise(ANN, Promise(LOW, ONE, Slot(0), 0, 1, ()))
    assert phase1.promised == set()


def test_a_watermark_chooses_only_votes_of_its_own_ballot() -> None:
    made = learner()
    votes = {ONE: Vote(LOW, ONE, Slot(0), b"other")}
    made.on_watermark(HIGH, ONE, votes, BOB)
    assert made.next_released() is None
    assert made.has_hole
    made.on_watermark(LOW, ONE, votes, ANN)
    assert made.next_released() == (ONE, b"other")


def test_slots_are_released_in_order() -> None:
    made = learner()
    made.choose(Slot(2), b"two")
    assert made.next_released() is None
    made.choose(ONE, b"one")
    assert [made.next_released(), made.next_released()] == [(1, b"one"), (2, b"two")]


def test_a_configuration_governs_from_alpha_slots_later_and_is_void_without_predecessor() -> None:
    first = Configuration(1, 0, members("ann", "bob"))
    membership = Membership([(Slot(0), first)], alpha=8)
    second = membership.derive("add", members("cy")[0])
    assert membership.judge(Slot(5), second) is second
    assert membership.governing(Slot(12)) is first
    assert membership.governing(Slot(13)) is second
    assert membership.judge(Slot(6), second) is None


def test_a_reply_is_held_until_every_record_before_it_is_durable() -> None:
    gate = Gate()
    gate.asked = 2
    gate.hold(ANN, Accepted(LOW, ONE))
    assert gate.on_persisted(1) == []
    assert gate.on_persisted(2) == [(ANN, Accepted(LOW, ONE))]
    with pytest.raises(InvariantError):
        gate.on_persisted(3)


@pytest.mark.parametrize("size", range(1, 8))
def test_every_phase_1_quorum_meets_every_phase_2_quorum(size: int) -> None:
    voters = frozenset(NodeId(str(n)) for n in range(size))
    sets = [frozenset(c) for n in range(size + 1) for c in combinations(sorted(voters), n)]
    firsts = [s for s in sets if is_phase1_quorum(s, voters)]
    seconds = [s for s in sets if len(s) >= phase2_size(size)]
    assert firsts
    assert all(one & other for one in firsts for other in seconds)
