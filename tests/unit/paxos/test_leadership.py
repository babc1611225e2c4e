"""Leading: what a node does from its first promise to its last heartbeat."""

import pytest

from quorate.base.batches import NOOP, Configuration
from quorate.base.config import Limits, NodeSettings
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Fetch,
    Fetched,
    Heartbeat,
    Nack,
    Promise,
    ReadIndexAnswer,
    SlotState,
    TransferNow,
)
from tests.unit.paxos.harness import member
from tests.unit.paxos.lone import Lone

BATCH, OTHER = b"\x01ours", b"\x01theirs"

FOURTH = member(4)


def with_learner() -> Lone:
    """Slot 1 brought n4 in as learner; n2 alone answers n1."""
    voters = tuple(member(number) for number in (1, 2, 3))
    lone = Lone(3, applied=10, chain=[(Slot(1), Configuration(2, 1, voters, (FOURTH,)))])
    lone.connect(4)
    return lone


def promote(lone: Lone) -> Configuration:
    """The fourth node shall vote: chosen in slot 12, governs from slot 20."""
    newest = lone.replica.membership.derive("promote", FOURTH)
    lone.obey(lone.leadership.propose_change(newest, lone.now_s))
    for slot in range(12, 20):
        lone.accept(2, slot)
    return newest


def test_a_leader_asks_for_the_promises_that_a_new_configuration_needs() -> None:
    lone = with_learner()
    lone.lead(2)
    promote(lone)
    lone.said.clear()
    assert lone.replica.watermark == 19
    assert lone.leadership.capacity() == 0
    lone.wait(0.3)
    assert NodeId("n4") in lone.prepared()
    lone.promise(4, watermark=19)
    assert lone.leadership.capacity() > 0


def test_nothing_but_noops_until_a_change_begins_and_nothing_under_it_without_promises() -> None:
    lone = with_learner()
    lone.lead(2)
    lone.said.clear()
    promote(lone)
    batches = {accept.slot: accept.batch for accept in lone.proposed()}
    assert sorted(batches) == list(range(12, 20))
    assert all(batches[Slot(slot)] == NOOP for slot in range(13, 20))


def test_a_peer_that_never_answered_is_not_healthy() -> None:
    """Else a learner that is dead from the start would be promoted, and stop the cluster."""
    lone = with_learner()
    lone.lead(2)
    assert lone.leadership.healthy(lone.now_s) == {"n1", "n2"}
    newest = lone.replica.membership.derive("remove", member(2))
    assert not lone.leadership.quorum_would_live(newest, lone.now_s)
    lone.answer(3, 1)
    assert lone.leadership.quorum_would_live(newest, lone.now_s)
    lone.wait(0.99)
    lone.answer(2, 2)
    lone.now_s += 0.02
    assert lone.leadership.healthy(lone.now_s) == {"n1", "n2"}


def test_a_leader_that_learns_its_slot_went_to_another_batch_leads_no_more() -> None:
    """Else it would tell a watermark by which holders of its own vote take that for chosen."""
    lone = Lone(5)
    ballot = lone.lead(2, 3)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.said.clear()
    lone.fetched(4, 2, OTHER)
    lone.wait(0.5)
    reported = [m for m in lone.heartbeats() if m.ballot == ballot and m.watermark >= 2]
    assert reported == []
    assert lone.replica.leadership is None
    assert lone.released == [(1, NOOP), (2, OTHER)]


def test_a_leader_whose_barrier_was_chosen_by_another_leads_no_more() -> None:
    lone = Lone(5)
    lone.campaign(2, 3)
    lone.promise(2)
    lone.promise(3)
    lone.fetched(4, 1, NOOP)
    assert lone.replica.leadership is None


@pytest.mark.parametrize("slot", [2, 3])
def test_a_leader_that_learns_from_others_what_it_did_not_choose_leads_no_more(slot: int) -> None:
    """A later ballot chose it, be it the same batch: ballots between need not know it.

    Reported under its own ballot it would count as one that they must know.
    """
    lone = Lone(5)
    ballot = lone.lead(2, 3)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    if slot == 3:
        lone.accept(2, 2)
        lone.accept(3, 2)
    lone.said.clear()
    lone.fetched(4, slot, BATCH)
    lone.wait(0.5)
    assert lone.replica.leadership is None
    assert [m for m in lone.heartbeats() if m.ballot == ballot and m.watermark >= slot] == []


def test_a_leader_that_recovers_may_learn_from_others_that_a_batch_is_chosen() -> None:
    """Until its barrier is proposed; what a later ballot chose before never lets it be chosen."""
    lone = Lone(5)
    lone.campaign(2, 3)
    lone.promise(2, held=(SlotState(Slot(9), Ballot(1, NodeId("n4")), BATCH),))
    lone.promise(3)
    assert lone.leadership.pipeline is not None
    assert lone.leadership.pipeline.slot_next == 9
    lone.fetched(4, 1, NOOP)
    assert lone.replica.leadership is not None


def test_prepare_leaves_only_when_its_ballot_is_durable() -> None:
    lone = Lone(disk=False)
    lone.campaign(2, 3)
    lone.wait(0.1)
    assert lone.prepared() == []
    lone.sync()
    assert set(lone.prepared()) == {"n2", "n3"}


def test_an_accept_leaves_at_once_and_the_own_vote_counts_only_when_durable() -> None:
    lone = Lone()
    lone.lead(2)
    lone.disk = False
    lone.said.clear()
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    assert [accept.batch for accept in lone.proposed()] == [BATCH]
    lone.end_turn()
    lone.accept(2, 2)
    assert lone.replica.watermark == 1
    lone.sync()
    assert lone.replica.watermark == 2


def test_a_nack_of_the_own_ballot_ends_it_and_a_late_one_does_not() -> None:
    lone = Lone()
    ballot = lone.lead(2)
    lone.take_from(3, Nack(Ballot(0, ballot.node), Ballot(9, NodeId("n3"))))
    assert lone.replica.is_serving
    lone.take_from(3, Nack(ballot, Ballot(9, NodeId("n3"))))
    assert lone.replica.leadership is None
    assert lone.campaign(2).round == 10


def test_a_restarted_node_never_resumes_a_ballot() -> None:
    lone = Lone()
    ballot = lone.lead(2)
    again = Lone(records=lone.records)
    assert again.replica.leadership is None
    assert again.campaign(2) > ballot


def test_what_promises_report_is_proposed_again_and_holes_are_filled() -> None:
    lone = Lone()
    old = Ballot(0, NodeId("n3"))
    lone.campaign(2)
    lone.said.clear()
    lone.promise(2, held=(SlotState(Slot(1), old, OTHER), SlotState(Slot(3), old, BATCH)))
    assert [accept.batch for accept in lone.proposed()] == [OTHER, NOOP, BATCH, NOOP]
    assert not lone.replica.is_serving
    for slot in (1, 2, 3):
        lone.accept(2, slot)
    assert not lone.replica.is_serving
    lone.accept(2, 4)
    assert lone.replica.is_serving, "the barrier is chosen"


def test_a_candidate_fetches_up_to_the_highest_watermark_before_it_proposes() -> None:
    lone = Lone()
    lone.campaign(2)
    lone.said.clear()
    lone.promise(2, watermark=2)
    assert lone.proposed() == []
    lone.wait(0.3)
    assert lone.take(Fetch)[-1] == Fetch(Slot(1), Slot(2))
    lone.take_from(2, Fetched(Slot(1), (BATCH, OTHER), Slot(2), Slot(1)))
    assert [(accept.slot, accept.batch) for accept in lone.proposed()] == [(3, NOOP)]


def test_a_late_old_batch_behind_newer_ones_is_adopted() -> None:
    """Its other holder lost it before the sync, so the leader between never saw it."""
    lone = Lone()
    first, second = Ballot(1, NodeId("n3")), Ballot(2, NodeId("n2"))
    lone.take_from(2, Accept(second, Slot(2), Slot(0), OTHER))
    lone.campaign(3)
    lone.said.clear()
    lone.promise(3, held=(SlotState(Slot(1), first, BATCH),))
    assert [accept.batch for accept in lone.proposed()][:2] == [BATCH, OTHER]


def test_promises_that_are_late_are_asked_for_again() -> None:
    lone = Lone()
    lone.campaign(2)
    lone.said.clear()
    lone.wait(0.2)
    assert set(lone.prepared()) == {"n2", "n3"}


def test_a_candidate_without_promises_gives_up_in_time() -> None:
    lone = Lone()
    lone.campaign(2)
    lone.wait(2.1)
    assert "no quorum reachable" in [note.fields.get("why") for note in lone.notes]


def test_a_leader_without_a_quorum_steps_down() -> None:
    lone = Lone()
    lone.lead(2)
    lone.wait(1.1)
    assert lone.replica.leadership is None


def test_unanswered_accepts_go_again_to_those_who_have_not_voted() -> None:
    lone = Lone(5)
    lone.lead(2, 3)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.accept(2, 2)
    lone.said.clear()
    lone.wait(0.2)
    resent = {to for to, message in lone.said if isinstance(message, Accept)}
    assert resent == {"n3", "n4", "n5"}


def test_accepts_go_again_at_once_over_a_new_link_and_not_without_one() -> None:
    lone = Lone()
    lone.lead(2)
    lone.disconnect(2)
    lone.disconnect(3)
    lone.said.clear()
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    assert lone.proposed() == []
    lone.connect(3)
    lone.wait(0.01)
    assert [accept.slot for accept in lone.take(Accept, to=3)] == [2]


def test_a_new_link_to_who_owes_a_promise_is_asked_at_once() -> None:
    lone = Lone()
    lone.campaign(2)
    lone.disconnect(3)
    lone.said.clear()
    lone.connect(3)
    lone.wait(0.01)
    assert lone.prepared() == ["n3"]


def test_leadership_is_handed_to_who_has_caught_up_and_kept_if_that_fails() -> None:
    lone = Lone()
    ballot = lone.lead(2)
    lone.leadership.transfer.begin(NodeId("n3"), lone.now_s)
    lone.end_turn()
    assert lone.leadership.capacity() == 0
    assert lone.take(TransferNow) == []
    lone.answer(3, 1, watermark=1)
    assert lone.take(TransferNow, to=3)[0] == TransferNow(ballot)
    for _ in range(11):
        lone.wait(0.1)
        lone.answer(2, 0, watermark=1)
    assert lone.leadership.capacity() > 0
    assert "transfer failed" in [note.what for note in lone.notes]


def test_a_leader_hands_over_only_when_nothing_is_in_flight() -> None:
    """Else its last batches would be chosen by another ballot, or not at all."""
    lone = Lone()
    ballot = lone.lead(2)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.leadership.transfer.begin(NodeId("n3"), lone.now_s)
    lone.answer(3, 1, watermark=1)
    assert lone.take(TransferNow) == []
    lone.accept(3, 2)
    lone.answer(3, 2, watermark=2)
    assert lone.take(TransferNow, to=3) == [TransferNow(ballot)]


def with_answers(lone: Lone, seconds: float, *peers: int) -> None:
    """Time passes in which these peers answer heartbeats."""
    for _ in range(round(seconds * 10)):
        lone.wait(0.1)
        for peer in peers:
            if lone.replica.leadership is not None:
                lone.answer(peer, 0, watermark=lone.replica.watermark)


TIMEOUT_S = NodeSettings().timing.election_timeout_s


def test_a_leader_that_no_quorum_answers_steps_down_after_a_timeout_and_not_before() -> None:
    lone = Lone(5)
    lone.lead(2, 3)
    with_answers(lone, 5 * TIMEOUT_S, 2, 3)
    assert lone.replica.is_serving
    with_answers(lone, 0.8 * TIMEOUT_S, 2)
    assert lone.replica.is_serving
    with_answers(lone, 0.4 * TIMEOUT_S, 2)
    assert lone.replica.leadership is None


def test_a_candidate_has_a_timeout_to_be_answered_and_two_to_be_promised() -> None:
    lone = Lone(5)
    ballot = lone.campaign(2, 3)
    lone.wait(0.8 * TIMEOUT_S)
    assert lone.ballot == ballot
    with_answers(lone, 1.1 * TIMEOUT_S, 2, 3, 4, 5)
    assert lone.ballot == ballot
    with_answers(lone, 0.2 * TIMEOUT_S, 2, 3, 4, 5)
    assert lone.replica.leadership is None


def test_a_successor_is_sent_transfer_now_once_in_a_while_and_not_in_every_turn() -> None:
    lone = Lone()
    ballot = lone.lead(2)
    lone.leadership.transfer.begin(NodeId("n3"), lone.now_s)
    lone.answer(3, 1, watermark=1)
    for _ in range(20):
        lone.end_turn()
    assert lone.take(TransferNow) == [TransferNow(ballot)]
    lone.wait(0.5)
    assert 1 <= len(lone.take(TransferNow)) <= 5


def test_a_leader_that_cannot_learn_what_a_dead_peer_knew_steps_down() -> None:
    lone = Lone(5)
    lone.lead(2, 3)
    lone.promise(4, watermark=30)
    assert lone.leadership.capacity() == 0
    for _ in range(12):
        lone.wait(0.1)
        lone.answer(2, 0, watermark=1)
        lone.answer(3, 0, watermark=1)
        lone.answer(4, 0, watermark=30)
    assert lone.replica.is_serving, "the one who knows may still be asked"
    lone.disconnect(4)
    for _ in range(25):
        lone.wait(0.1)
        if not lone.replica.is_serving:
            break
        lone.answer(2, 0, watermark=1)
        lone.answer(3, 0, watermark=1)
    assert not lone.replica.is_serving


def test_a_slow_peer_gets_heartbeats_only_until_it_has_caught_up() -> None:
    lone = Lone(settings=NodeSettings(limits=Limits(peer_bytes_in_flight_max=10)))
    lone.lead(2)
    for slot in (2, 3, 4):
        lone.obey(lone.leadership.propose(BATCH + b"x" * 10, lone.now_s))
        lone.accept(2, slot)
        lone.answer(2, 0, watermark=slot)
    sent = [message.slot for to, message in lone.said if to == "n3" and isinstance(message, Accept)]
    assert sent == [1, 2]
    lone.answer(3, 0, watermark=1)
    lone.said.clear()
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    assert [message.slot for message in lone.take(Accept, to=3)] == [5]


def test_the_point_of_a_read_is_taken_before_its_round_and_none_before_the_barrier() -> None:
    lone = Lone()
    lone.campaign(2)
    lone.promise(2)
    lone.leadership.request_read_index(NodeId("n3"), 1)
    lone.accept(2, 1)
    assert lone.replica.is_serving
    assert not lone.leadership.rounds.has_waiting, "a request before the barrier is not kept"
    lone.leadership.request_read_index(NodeId("n3"), 2)
    lone.end_turn()
    counter = lone.heartbeats()[-1].round
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.accept(2, 2)
    assert lone.replica.watermark == 2
    lone.said.clear()
    lone.answer(2, counter)
    assert lone.take(ReadIndexAnswer) == [ReadIndexAnswer(2, Slot(1), 0)]


def test_a_read_round_asks_a_quorum_of_those_who_govern_the_next_slot() -> None:
    """Who chose a later write has promises of a quorum of these; the outgoing may know nothing."""
    lone = with_learner()
    lone.lead(2)
    promote(lone)
    assert lone.replica.watermark == 19
    lone.said.clear()
    lone.leadership.request_read_index(NodeId("n3"), 7)
    lone.end_turn()
    counter = lone.heartbeats()[-1].round
    lone.answer(2, counter)
    assert lone.take(ReadIndexAnswer) == []
    lone.answer(4, counter)
    assert lone.take(ReadIndexAnswer) == [ReadIndexAnswer(7, Slot(19), 0)]


def test_the_watermark_leaves_at_the_end_of_the_turn_in_which_it_rose() -> None:
    lone = Lone()
    lone.lead(2)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.said.clear()
    lone.accept(2, 2)
    assert {message.watermark for message in lone.take(Heartbeat)} == {2}


def test_a_watermark_that_no_node_waits_for_is_sent_a_moment_later_if_nothing_follows() -> None:
    lone = Lone()
    lone.lead(2)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s, is_awaited=False))
    lone.accept(2, 2)
    due_s = lone.leadership.announce_due_s
    assert due_s == lone.now_s + lone.settings.timing.tell_s
    lone.said.clear()
    lone.end_turn()
    assert lone.leadership.announce_due_s == due_s, "a turn does not put it off"
    assert lone.said == []
    lone.now_s = due_s
    lone.end_turn()
    assert [(to, m.watermark) for to, m in lone.said if isinstance(m, Heartbeat)] == [
        ("n2", 2),
        ("n3", 2),
    ]
    assert lone.leadership.announce_due_s == float("inf")


def test_a_slot_that_a_late_promise_fills_is_proposed_though_the_watermark_may_wait() -> None:
    lone = with_learner()
    lone.lead(2)
    promote(lone)
    lone.obey(lone.replica.tick(lone.now_s))
    assert NodeId("n4") in lone.prepared()
    leadership = lone.leadership
    assert leadership.announce_due_s < float("inf"), (
        "the watermark waits for something to leave with"
    )
    assert not leadership.is_turn_due
    first, held = leadership.phase1.slot_first, SlotState(Slot(20), Ballot(1, NodeId("n4")), BATCH)
    leadership.on_promise(
        NodeId("n4"), Promise(lone.ballot, first, Slot(19), 0, 1, (held,)), lone.now_s
    )
    assert leadership.is_turn_due
    lone.said.clear()
    lone.end_turn()
    assert {accept.slot: accept.batch for accept in lone.proposed()} == {Slot(20): BATCH}


def test_a_watermark_that_no_node_waits_for_is_sent_with_the_next_batch() -> None:
    lone = Lone()
    lone.lead(2)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s, is_awaited=False))
    lone.accept(2, 2)
    lone.said.clear()
    lone.obey(lone.leadership.propose(BATCH, lone.now_s, is_awaited=False))
    lone.now_s += lone.settings.timing.tell_s
    lone.end_turn()
    assert [type(message) for _, message in lone.said] == [Accept, Accept]
    assert {message.watermark for message in lone.take(Accept)} == {2}
    assert lone.leadership.announce_due_s == float("inf")


def test_a_slow_peer_catches_up_with_a_leader_that_is_never_idle() -> None:
    """Each batch takes the watermark along before it is due, but not to a peer that is paused."""
    lone = Lone(settings=NodeSettings(limits=Limits(peer_bytes_in_flight_max=10)))
    lone.lead(2)
    known, taken = 1, [1]
    for slot in range(2, 400):
        lone.now_s += 0.001
        lone.said.clear()
        lone.obey(lone.leadership.propose(BATCH, lone.now_s, is_awaited=False))
        lone.obey(lone.replica.tick(lone.now_s))
        lone.accept(2, slot)
        for message in [message for to, message in lone.said if to == "n3"]:
            if isinstance(message, Accept):
                taken.append(message.slot)
            elif isinstance(message, Heartbeat):
                if message.round:
                    lone.answer(2, message.round, watermark=slot)
                    lone.answer(3, message.round, watermark=known)
                known = message.watermark  # it fetches what is reported
    assert max(taken) > 100


def test_a_change_is_announced_at_once() -> None:
    lone = with_learner()
    lone.lead(2)
    newest = lone.replica.membership.derive("promote", FOURTH)
    lone.obey(lone.leadership.propose_change(newest, lone.now_s))
    lone.end_turn()
    lone.said.clear()
    lone.accept(2, 12)
    assert {beat.watermark for beat in lone.take(Heartbeat, to=4)} == {12}


def test_there_is_capacity_for_a_window_and_no_more() -> None:
    lone = Lone(3)
    lone.lead(2)
    window = lone.settings.cluster.window_slots
    assert lone.leadership.capacity() == window
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    assert lone.leadership.capacity() == window - 1
    lone.accept(2, 2)
    assert lone.leadership.capacity() == window
