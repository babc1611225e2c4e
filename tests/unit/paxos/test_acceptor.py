"""What must not be forgotten."""

from random import Random
from typing import NoReturn

import pytest

from quorate.base.config import ClusterConfig, Limits
from quorate.base.effects import Persist, Send, SendWhenDurable
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accept, Accepted, Nack, Prepare, Promise
from quorate.base.records import Promised, Vote
from quorate.paxos.acceptor import PAGE_BYTES_MAX, Acceptor

ANN, BOB = NodeId("ann"), NodeId("bob")
LOW, HIGH = Ballot(1, ANN), Ballot(2, BOB)
NONE = Slot(0)


def test_a_slot_known_chosen_is_granted_without_a_vote_and_still_raises_the_promise() -> None:
    made = Acceptor(Slot(5), 10)
    first = made.on_accept(BOB, Accept(HIGH, Slot(5), NONE, b"x"))
    assert first == [Persist(Promised(HIGH)), SendWhenDurable(BOB, Accepted(HIGH, Slot(5)))]
    again = made.on_accept(BOB, Accept(HIGH, Slot(4), NONE, b"x"))
    assert again == [SendWhenDurable(BOB, Accepted(HIGH, Slot(4)))]
    assert made.votes == {}
    assert made.on_prepare(ANN, Prepare(LOW, Slot(1)), {}) == [Send(ANN, Nack(LOW, HIGH))]


def test_a_page_of_a_promise_is_filled_to_its_limit_and_never_beyond() -> None:
    made = Acceptor(NONE, 20)
    half = b"x" * (PAGE_BYTES_MAX // 2)
    for slot in range(1, 6):
        made.remember(Vote(LOW, Slot(slot), NONE, half))
    effects = made.on_prepare(BOB, Prepare(HIGH, Slot(1)), {})
    pages = [
        e.message
        for e in effects
        if isinstance(e, SendWhenDurable) and isinstance(e.message, Promise)
    ]
    assert [[held.slot for held in page.held] for page in pages] == [[1, 2], [3, 4], [5]]


def test_a_repeated_prepare_is_promised_again_without_a_record() -> None:
    made = Acceptor(NONE, 10)
    first = made.on_prepare(BOB, Prepare(HIGH, Slot(1)), {})
    again = made.on_prepare(BOB, Prepare(HIGH, Slot(1)), {})
    assert [type(effect) for effect in first] == [Persist, SendWhenDurable]
    assert [type(effect) for effect in again] == [SendWhenDurable]


def test_accepts_too_far_ahead_are_ignored() -> None:
    made = Acceptor(Slot(5), 10)
    assert made.on_accept(BOB, Accept(HIGH, Slot(16), NONE, b"x")) == []
    assert made.on_accept(BOB, Accept(HIGH, Slot(15), NONE, b"x")) != []


def test_a_vote_keeps_its_own_ballot_when_more_is_promised() -> None:
    made = Acceptor(NONE, 10)
    made.on_accept(ANN, Accept(LOW, Slot(1), NONE, b"x"))
    reply = made.on_prepare(BOB, Prepare(HIGH, Slot(1)), {})[-1]
    assert isinstance(reply, SendWhenDurable)
    assert isinstance(reply.message, Promise)
    assert [(held.ballot, held.batch) for held in reply.message.held] == [(LOW, b"x")]


def test_a_higher_ballot_replaces_a_vote() -> None:
    made = Acceptor(NONE, 10)
    made.on_accept(ANN, Accept(LOW, Slot(1), NONE, b"x"))
    made.on_accept(BOB, Accept(HIGH, Slot(1), NONE, b"y"))
    assert made.votes == {Slot(1): Vote(HIGH, Slot(1), NONE, b"y")}


def test_an_accept_that_comes_again_drops_no_vote_behind_it() -> None:
    """Links may deliver twice and late; what was voted for since stays."""
    made = Acceptor(NONE, 10)
    for slot in (1, 2, 3):
        made.on_accept(ANN, Accept(LOW, Slot(slot), NONE, b"x"))
    again = made.on_accept(ANN, Accept(LOW, Slot(1), NONE, b"x"))
    assert again == [SendWhenDurable(ANN, Accepted(LOW, Slot(1)))]
    assert sorted(made.votes) == [1, 2, 3]


def test_votes_up_to_the_watermark_are_dropped_however_far_it_rises() -> None:
    for watermark, left in ((1, [2, 4]), (4, []), (100, [])):
        made = Acceptor(NONE, 10)
        for slot in (1, 2, 4):
            made.remember(Vote(LOW, Slot(slot), NONE, b"x"))
        made.forget(Slot(watermark))
        assert sorted(made.votes) == left
        assert made.watermark == watermark
        made.forget(NONE)
        assert made.watermark == watermark, "it never falls"


def test_what_the_log_holds_makes_the_same_acceptor() -> None:
    live, again = Acceptor(NONE, 10), Acceptor(NONE, 10)
    effects = live.on_accept(ANN, Accept(LOW, Slot(1), NONE, b"x"))
    effects += live.on_prepare(BOB, Prepare(HIGH, Slot(1)), {})
    for effect in effects:
        if isinstance(effect, Persist):
            assert isinstance(effect.record, Promised | Vote)
            again.remember(effect.record)
    assert (again.promised, again.votes) == (live.promised, live.votes)


@pytest.mark.parametrize("size", [1, 1000])
def test_votes_above_a_hole_are_bounded_in_bytes_and_in_slots(size: int) -> None:
    """A replica that misses one slot is sent all that follow: 1024 of them may be a gibibyte."""
    made = Acceptor(Slot(0), slots_ahead_max=200, bytes_ahead_max=50_000, alpha_slots=16)
    ballot = Ballot(1, NodeId("ann"))
    for slot in range(2, 400):
        made.on_accept(ballot.node, Accept(ballot, Slot(slot), Slot(0), bytes(size)))
    assert len(made.votes) == (199 if size == 1 else 51)
    higher = Ballot(2, NodeId("bob"))
    for slot in (1, 16, 51):  # what a leader with this watermark needs; and what is held
        effects = made.on_accept(higher.node, Accept(higher, Slot(slot), Slot(0), bytes(size)))
        assert isinstance(effects[-1], SendWhenDurable)
    made.forget(Slot(20))
    effects = made.on_accept(higher.node, Accept(higher, Slot(60), Slot(20), bytes(size)))
    assert isinstance(effects[-1], SendWhenDurable), "it has caught up"


class Unread(dict[Slot, Vote]):
    """Votes that nobody may go through."""

    def values(self) -> NoReturn:
        raise AssertionError("a pass over all votes for each Accept")

    def items(self) -> NoReturn:
        self.values()

    def __iter__(self) -> NoReturn:
        self.values()


def test_whether_an_accept_is_too_far_ahead_is_known_without_a_pass_over_the_votes() -> None:
    made = Acceptor(Slot(0), slots_ahead_max=5_000, bytes_ahead_max=1_000, alpha_slots=1)
    made.votes = Unread()
    for slot in range(2, 2_000):
        made.on_accept(ANN, Accept(LOW, Slot(slot), NONE, b"x"))
    assert len(made.votes) == 1_001


@pytest.mark.parametrize("seed", range(20))
def test_the_bytes_of_all_votes_are_counted_as_votes_come_change_and_go(seed: int) -> None:
    chance, made = Random(seed), Acceptor(NONE, 50)
    for round_ in range(1, 200):
        slot = Slot(made.watermark + chance.randrange(10))
        batch = bytes(chance.randrange(100))
        act = chance.randrange(8)
        if act == 0:
            made.forget(Slot(made.watermark + chance.randrange(chance.choice((3, 30)))))
        elif act == 1:
            made.remember(Vote(Ballot(round_, ANN), slot, NONE, batch))
        else:
            made.on_accept(ANN, Accept(Ballot(round_, ANN), slot, NONE, batch))
        assert made.votes_bytes == sum(len(vote.batch) for vote in made.votes.values())


def test_what_is_not_said_is_as_the_settings_have_it() -> None:
    said = Acceptor(NONE, 9, Limits().bytes_ahead_max, ClusterConfig().alpha_slots)
    assert vars(Acceptor(NONE, 9)) == vars(said)
