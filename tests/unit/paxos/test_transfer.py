"""Handing leadership over: to whom, and what is said when."""

from quorate.base.config import Timing
from quorate.base.effects import Note, Send
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import TransferNow
from quorate.paxos.progress import Progress
from quorate.paxos.transfer import Transfer, best_successor

BALLOT = Ballot(3, NodeId("a"))
B, C = NodeId("b"), NodeId("c")
TIMING = Timing()


def peers(match: int) -> dict[NodeId, Progress]:
    peer = Progress(0.0, 1000, is_linked=True)
    peer.on_watermark(Slot(match), Slot(match), 0.0)
    return {B: peer}


def test_who_knows_most_succeeds_and_of_equals_the_lowest_id() -> None:
    assert best_successor({B: Slot(3), C: Slot(4)}) == C
    assert best_successor({C: Slot(4), B: Slot(4)}) == B
    assert best_successor({}) is None


def test_a_successor_is_notified_when_it_has_caught_up_and_again_after_a_while() -> None:
    transfer = Transfer(BALLOT, TIMING)
    assert transfer.step(peers(5), Slot(5), 0.0) == []
    transfer.begin(B, 0.0)
    assert transfer.step(peers(4), Slot(5), 0.0) == []
    reported = [Send(B, TransferNow(BALLOT))]
    assert transfer.step(peers(5), Slot(5), 0.0) == reported
    assert transfer.step(peers(5), Slot(5), 0.0) == []
    assert transfer.step(peers(5), Slot(5), TIMING.accept_resend_s) == reported


def test_a_transfer_that_comes_to_nothing_ends_and_is_noted_once() -> None:
    for is_quiet in (False, True):
        transfer = Transfer(BALLOT, TIMING)
        transfer.begin(B, 0.0, is_quiet=is_quiet)
        assert transfer.expire(TIMING.election_timeout_s / 2) == []
        assert transfer.to == B
        notes = [] if is_quiet else [Note("transfer failed", {"to": B})]
        assert transfer.expire(TIMING.election_timeout_s) == notes
        assert transfer.to is None
        assert transfer.expire(TIMING.election_timeout_s) == []
