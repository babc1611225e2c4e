"""What only a leader's message proved chosen is stored before it could be lost (LRN-4)."""

from typing import Any

from quorate.base.config import NodeSettings
from quorate.base.effects import Persist
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.records import Chosen, Promised
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.learning import Learning

ME, ANN = NodeId("me"), NodeId("ann")
FIRST, SECOND = Ballot(1, ANN), Ballot(2, ANN)


class FakeLearner:
    """Knows chosen what it is given."""

    def __init__(self) -> None:
        self.watermark = Slot(0)
        self.chosen: dict[Slot, bytes] = {}

        self.has_hole = False

    def on_watermark(self, ballot: Ballot, watermark: Slot, *_: object) -> None:
        self.watermark = self.watermark if self.has_hole else watermark


def made() -> tuple[Learning, FakeLearner]:
    learner: Any = FakeLearner()
    unused: Any = None
    acceptor = Acceptor(Slot(0), 10)
    return Learning(ME, NodeSettings(), unused, acceptor, learner, set(), lambda: None), learner


def learn(learning: Learning, ballot: Ballot, watermark: int, *, is_stored: bool = False) -> Any:
    return learning.learn(ballot, Slot(watermark), ANN, is_stored=is_stored)


def stored(ballot: Ballot, watermark: int) -> list[Persist]:
    return [Persist(Promised(ballot, Slot(watermark)))]


def test_what_a_leader_reported_is_stored_once_and_in_its_newest_form() -> None:
    learning, _ = made()
    assert learn(learning, FIRST, 5) == []
    assert learn(learning, FIRST, 6) == []
    assert learn(learning, FIRST, 4) == []
    assert learning.log_report() == stored(FIRST, 6)
    assert learning.log_report() == []


def test_what_the_record_of_a_vote_holds_is_not_stored_again() -> None:
    learning, _ = made()
    learn(learning, FIRST, 5)
    assert learn(learning, FIRST, 6, is_stored=True) == []
    assert learning.log_report() == []


def test_a_late_report_does_not_take_the_place_of_a_newer_one_while_there_is_a_hole() -> None:
    """Seed 2100972: a report came while a snapshot was awaited, and a late Accept hid it."""
    for is_stored in (True, False):
        learning, learner = made()
        learner.has_hole = True
        learn(learning, FIRST, 46)
        assert learn(learning, FIRST, 21, is_stored=is_stored) == []
        assert learning.log_report() == stored(FIRST, 46)


def test_before_another_leader_s_report_takes_its_place_the_first_is_stored() -> None:
    learning, _ = made()
    learn(learning, FIRST, 5)
    assert learn(learning, SECOND, 7) == stored(FIRST, 5)
    assert learning.log_report() == stored(SECOND, 7)


def test_votes_of_a_new_ballot_come_after_what_an_older_or_its_own_leader_proved() -> None:
    for ballot in (FIRST, SECOND):
        learning, learner = made()
        learn(learning, FIRST, 5)
        learner.chosen = {Slot(9): b"z", Slot(8): b"y"}
        ahead = [Persist(Chosen(Slot(8), b"y")), Persist(Chosen(Slot(9), b"z"))]
        assert learning.log_ahead(ballot) == stored(FIRST, 5) + ahead


def test_a_report_of_a_higher_leader_waits_as_its_record_would_be_a_promise() -> None:
    learning, _ = made()
    learn(learning, SECOND, 5)
    assert learning.log_ahead(FIRST) == []
    assert learning.log_report() == stored(SECOND, 5)


def test_who_leads_no_more_keeps_what_its_own_ballot_proved_and_stores_what_another_did() -> None:
    learning, learner = made()
    learner.watermark = Slot(3)
    assert learning.keep_own_report(FIRST) == []
    assert learning.log_report() == stored(FIRST, 3)

    learn(learning, SECOND, 5)
    learner.watermark = Slot(6)
    assert learning.keep_own_report(FIRST) == stored(SECOND, 5)
    assert learning.log_report() == stored(FIRST, 6)
