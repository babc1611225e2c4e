"""A replica's roles together: elections, learning, links."""

from quorate.base.batches import NOOP
from quorate.base.effects import Persist
from quorate.base.events import SnapshotTaken
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetch,
    Fetched,
    Heartbeat,
    Nack,
    Prepare,
    PreVote,
    PreVoteAnswer,
    Promise,
    ReadIndexRequest,
    Removed,
    TransferNow,
)
from quorate.base.records import Chosen, Promised, Record, Vote
from tests.unit.paxos.lone import Lone

BATCH, OTHER = b"\x01one", b"\x01other"
TWO, THREE = Ballot(1, NodeId("n2")), Ballot(2, NodeId("n3"))


def test_a_node_that_lags_behind_a_candidate_does_not_judge_its_membership() -> None:
    """It may have joined in slots not known here; Removed would leave no node to elect it."""
    lone = Lone(3, applied=10)
    lone.connect(7)
    lone.wait(3.5)
    lone.said.clear()
    lone.take_from(7, PreVote(9, 1, Slot(11)))
    (answer,) = lone.take(PreVoteAnswer, to=7)
    assert answer.is_granted


def test_a_node_that_lags_behind_a_candidate_catches_up_from_it() -> None:
    lone = Lone(3, applied=10)
    lone.connect(7)
    lone.take_from(7, PreVote(9, 1, Slot(11)))
    assert lone.take(Fetch, to=7) == [Fetch(Slot(11), Slot(11))]
    lone.take_from(7, Fetched(Slot(11), (NOOP,), Slot(11), Slot(1)))
    assert lone.released == [(11, NOOP)]


def test_a_candidate_that_lags_behind_a_voter_catches_up_from_it() -> None:
    lone = Lone(3)
    lone.wait(1)
    lone.said.clear()
    lone.take_from(3, PreVoteAnswer(0, False, NO_BALLOT, Slot(4)))
    assert lone.take(Fetch, to=3) == [Fetch(Slot(1), Slot(4))]


def test_a_removed_node_that_sends_a_pre_vote_gets_removed_and_no_vote() -> None:
    lone = Lone(3, applied=10)
    lone.connect(7)
    lone.wait(3.5)
    lone.said.clear()
    lone.take_from(7, PreVote(9, 1, Slot(10)))
    assert lone.take(PreVoteAnswer, to=7) == []
    lone.take_from(7, PreVote(9, 1, Slot(10)))
    assert lone.take(Removed, to=7) == [Removed(1)]


def test_a_node_that_a_newer_configuration_removed_campaigns_no_more() -> None:
    lone = Lone(3)
    lone.take_from(2, Removed(2))
    lone.wait(5)
    assert lone.take(PreVote) == []


def test_a_removed_message_of_a_node_that_knows_less_means_nothing() -> None:
    lone = Lone(3)
    lone.take_from(2, Removed(1))
    lone.wait(5)
    assert lone.take(PreVote) != []


def test_a_reply_is_held_behind_an_earlier_record() -> None:
    lone = Lone(disk=False)
    lone.take_from(2, Accept(TWO, Slot(1), Slot(0), BATCH))
    lone.take_from(3, Prepare(THREE, Slot(1)))
    assert lone.take(Accepted) == []
    lone.sync()
    assert [type(message) for _, message in lone.said] == [Accepted, Promise]


def test_a_vote_of_another_ballot_is_not_chosen_by_the_watermark_but_fetched() -> None:
    lone = Lone()
    lone.take_from(2, Accept(TWO, Slot(1), Slot(0), BATCH))
    lone.take_from(3, Heartbeat(THREE, Slot(1), 1, is_serving=True))
    assert lone.released == []
    assert lone.take(Fetch, to=3) == [Fetch(Slot(1), Slot(1))]
    lone.take_from(3, Fetched(Slot(1), (OTHER,), Slot(1), Slot(1)))
    assert lone.released == [(1, OTHER)]
    assert lone.records[-1] == Chosen(Slot(1), OTHER)


def test_a_follower_releases_its_own_votes_by_the_leaders_watermark() -> None:
    lone = Lone()
    lone.take_from(2, Accept(TWO, Slot(1), Slot(0), BATCH))
    assert lone.released == []
    lone.take_from(2, Accept(TWO, Slot(2), Slot(1), OTHER))
    assert lone.released == [(1, BATCH)]
    assert lone.replica.ballot == TWO


def test_an_old_leader_learns_of_the_higher_ballot_by_its_rounds_only() -> None:
    lone = Lone()
    lone.take_from(3, Prepare(THREE, Slot(1)))
    lone.take_from(2, Heartbeat(TWO, Slot(0), 0, is_serving=True))
    assert lone.take(Nack) == []
    lone.take_from(2, Heartbeat(TWO, Slot(0), 4, is_serving=True))
    assert lone.take(Nack) == [Nack(TWO, THREE)]
    assert lone.replica.serving(lone.now_s)[0] is None


def test_only_a_serving_leader_that_is_live_takes_bundles() -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(0), 1, is_serving=False))
    assert lone.replica.serving(lone.now_s)[0] is None
    lone.take_from(2, Heartbeat(TWO, Slot(0), 2, is_serving=True))
    assert lone.replica.serving(lone.now_s)[0] == "n2"
    assert lone.replica.serving(lone.now_s + 1)[0] is None
    lone.campaign(2, 3)
    assert lone.replica.serving(lone.now_s)[0] is None
    lone.promise(2)
    lone.accept(2, 1)
    assert lone.replica.serving(lone.now_s)[0] == "n1"


def test_a_node_that_is_sent_transfer_now_campaigns_without_a_pre_vote() -> None:
    lone = Lone()
    lone.take_from(2, TransferNow(TWO))
    assert lone.replica.leadership is None, "that node does not lead"
    lone.take_from(2, Heartbeat(TWO, Slot(0), 1, is_serving=True))
    lone.take_from(2, TransferNow(TWO))
    assert lone.take(PreVote) == []
    assert lone.ballot > TWO


def test_what_a_peer_no_longer_keeps_is_taken_as_a_snapshot() -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(9), 1, is_serving=True))
    lone.take_from(3, Fetched(Slot(1), (), Slot(0), Slot(1)))
    assert lone.replica.learning.snapshot_source is None, "that one knows as little"
    lone.take_from(2, Fetched(Slot(1), (), Slot(9), Slot(5)))
    assert lone.replica.learning.snapshot_source == "n2"
    lone.said.clear()
    lone.wait(1)
    assert lone.take(Fetch) == []
    lone.obey(lone.replica.on_installed(Slot(7), lone.replica.membership, lone.now_s))
    lone.end_turn()
    assert lone.take(Fetch)[-1] == Fetch(Slot(8), Slot(9))


def test_nothing_is_released_while_the_tables_are_replaced() -> None:
    lone = Lone()
    lone.replica.release.stop()
    lone.fetched(2, 1, BATCH, OTHER, NOOP)
    assert lone.released == []
    lone.obey(lone.replica.on_installed(Slot(2), lone.replica.membership, lone.now_s))
    assert lone.released == [(3, NOOP)]


def test_a_leader_whose_tables_jump_over_slots_on_the_way_leads_no_more() -> None:
    lone = Lone()
    lone.lead(2)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.obey(lone.replica.on_installed(Slot(5), lone.replica.membership, lone.now_s))
    assert lone.replica.leadership is None


def test_a_leader_whose_tables_jump_stores_no_report_for_what_it_proposed_there() -> None:
    """Else its log would prove its own batches in slots that others chose, and tell peers so."""
    lone = Lone(5)
    ballot = lone.lead(2, 3)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.obey(lone.replica.on_installed(Slot(5), lone.replica.membership, lone.now_s))
    assert lone.replica.learner.leader_watermark[0] != ballot
    lone.take_from(
        4, Heartbeat(Ballot(ballot.round + 1, NodeId("n4")), Slot(6), 1, is_serving=True)
    )
    lone.fetched(4, 6, NOOP)

    again = Lone(5, applied=5, records=lone.records)

    assert again.replica.learner.held(Slot(2)) != BATCH
    again.take_from(2, Fetch(Slot(2), Slot(2)))
    assert [m.batches for m in again.take(Fetched)] == [()]


def test_what_a_leader_knew_chosen_above_a_hole_is_known_after_a_power_cut() -> None:
    """Nobody else may know it: its own votes prove it no more when it leads no more."""
    lone = Lone(5)
    ballot = lone.lead(2, 3)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.obey(lone.leadership.propose(OTHER, lone.now_s))
    lone.accept(2, 3)
    lone.accept(3, 3)
    lone.take_from(4, Nack(ballot, Ballot(ballot.round + 1, NodeId("n4"))))
    assert lone.replica.leadership is None
    lone.fetched(4, 2, BATCH)
    assert lone.released[-1] == (3, OTHER)

    again = Lone(5, records=lone.records)

    assert again.replica.watermark == 3


def test_a_hole_is_asked_of_another_peer_when_one_stays_silent() -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(1), 1, is_serving=True))
    lone.wait(0.5)
    asked = [to for to, message in lone.said if isinstance(message, Fetch)]
    assert asked[:3] == ["n2", "n3", "n2"]
    lone.disconnect(2)
    lone.disconnect(3)
    lone.said.clear()
    lone.wait(0.5)
    assert lone.take(Fetch) == []


def test_chosen_batches_are_given_to_who_asks() -> None:
    lone = Lone()
    lone.fetched(2, 1, BATCH, OTHER)
    lone.take_from(3, Fetch(Slot(2), Slot(9)))
    assert lone.take(Fetched, to=3) == [Fetched(Slot(2), (OTHER,), Slot(2), Slot(1))]


def test_the_log_alone_proves_what_was_chosen() -> None:
    """A node that lost its tables replays votes of the ballot whose watermark passed them."""
    records: list[Record] = [
        Vote(TWO, Slot(1), Slot(0), BATCH),
        Vote(THREE, Slot(2), Slot(0), OTHER),
        Vote(THREE, Slot(3), Slot(2), OTHER),
        Chosen(Slot(1), BATCH),
        Promised(Ballot(9, NodeId("n3"))),
    ]
    lone = Lone(1, records=records)
    assert [batch for _, batch, _ in lone.replica.take_released()] == [BATCH, OTHER]
    assert lone.replica.watermark == 2
    assert lone.replica.acceptor.promised.round == 9
    assert sorted(lone.replica.acceptor.votes) == [3]


def test_a_lost_link_to_the_leader_makes_a_node_send_a_pre_vote_at_once() -> None:
    lone = Lone()
    lone.take_from(2, Heartbeat(TWO, Slot(0), 1, is_serving=True))
    lone.said.clear()
    lone.disconnect(3)
    lone.disconnect(2)
    lone.wait(0.04)
    assert {to for to, message in lone.said if isinstance(message, PreVote)} == {"n2", "n3"}
    assert "leader lost" in [note.what for note in lone.notes]


def test_a_leader_yields_to_a_higher_ballot_and_a_cluster_of_one_needs_no_grant() -> None:
    lone = Lone()
    lone.lead(2)
    lone.take_from(3, Prepare(Ballot(9, NodeId("n3")), Slot(1)))
    assert lone.replica.leadership is None
    alone = Lone(1)
    alone.wait(1)
    assert alone.replica.is_serving


def test_what_no_role_takes_changes_nothing() -> None:
    lone = Lone()
    before = lone.replica.learner.remote_watermark
    lone.take_from(2, ReadIndexRequest(1))
    lone.obey(lone.replica.receive(SnapshotTaken(Slot(1)), lone.now_s))
    lone.obey(lone.replica.step_down(lone.now_s, "nothing to step down from"))
    lone.take_from(2, Accepted(TWO, Slot(1)))
    lone.take_from(2, Promise(TWO, Slot(1), Slot(0), 0, 1, ()))
    assert lone.replica.learner.remote_watermark == before
    assert lone.released == []


def test_a_leader_that_votes_for_a_higher_ballot_stores_the_vote_and_leads_no_more() -> None:
    lone = Lone()
    ballot = lone.lead(2)
    higher = Ballot(ballot.round + 1, NodeId("n3"))
    lone.said.clear()
    lone.take_from(3, Accept(higher, Slot(2), Slot(0), BATCH))
    assert lone.replica.leadership is None
    assert Vote(higher, Slot(2), Slot(0), BATCH) in lone.records
    assert lone.take(Accepted) == [Accepted(higher, Slot(2))]


def test_a_watermark_is_in_the_log_by_the_vote_that_came_with_it_and_only_by_a_new_one() -> None:
    """What came with a vote that was stored before is stored when it could be lost (LRN-4)."""
    lone = Lone(5)
    leader = Ballot(6, NodeId("n2"))
    for slot in (1, 2, 3):
        lone.take_from(2, Accept(leader, Slot(slot), Slot(0), BATCH))
    lone.take_from(2, Accept(leader, Slot(3), Slot(1), BATCH))
    assert lone.replica.watermark == 1
    assert lone.replica.learning.log_report() == [Persist(Promised(leader, Slot(1)))]

    lone.take_from(2, Accept(leader, Slot(4), Slot(2), BATCH))
    assert lone.replica.watermark == 2
    assert lone.replica.learning.log_report() == []
