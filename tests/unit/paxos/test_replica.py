"""A replica's roles together: elections, learning, links."""

from quorate.base.batches import NOOP
from quorate.base.ids import NO_BALLOT, Slot
from quorate.base.messages import Farewell, Fetch, Fetched, Poll, PollAnswer
from tests.unit.paxos.lone import Lone


def test_a_node_that_lags_behind_a_candidate_does_not_judge_its_membership() -> None:
    """It may have joined in slots not known here; a farewell would leave nobody to elect it."""
    lone = Lone(3, applied=10)
    lone.connect(7)
    lone.wait(3.5)
    lone.said.clear()
    lone.hear(7, Poll(9, 1, Slot(11)))
    (answer,) = lone.take(PollAnswer, to=7)
    assert answer.is_granted


def test_a_node_that_lags_behind_a_candidate_catches_up_from_it() -> None:
    lone = Lone(3, applied=10)
    lone.connect(7)
    lone.hear(7, Poll(9, 1, Slot(11)))
    assert lone.take(Fetch, to=7) == [Fetch(Slot(11), Slot(11))]
    lone.hear(7, Fetched(Slot(11), (NOOP,), Slot(11), Slot(1)))
    assert lone.released == [(11, NOOP)]


def test_a_candidate_that_lags_behind_a_voter_catches_up_from_it() -> None:
    lone = Lone(3)
    lone.wait(1)
    lone.said.clear()
    lone.hear(3, PollAnswer(0, False, NO_BALLOT, Slot(4)))
    assert lone.take(Fetch, to=3) == [Fetch(Slot(1), Slot(4))]


def test_a_removed_node_that_polls_is_told_farewell_and_gets_no_vote() -> None:
    lone = Lone(3, applied=10)
    lone.connect(7)
    lone.wait(3.5)
    lone.said.clear()
    lone.hear(7, Poll(9, 1, Slot(10)))
    assert lone.take(PollAnswer, to=7) == []
    lone.hear(7, Poll(9, 1, Slot(10)))
    assert lone.take(Farewell, to=7) == [Farewell(1)]


def test_a_node_told_farewell_by_a_newer_configuration_stands_no_more() -> None:
    lone = Lone(3)
    lone.hear(2, Farewell(2))
    lone.wait(5)
    assert lone.take(Poll) == []


def test_a_farewell_of_a_node_that_knows_less_means_nothing() -> None:
    lone = Lone(3)
    lone.hear(2, Farewell(1))
    lone.wait(5)
    assert lone.take(Poll) != []
