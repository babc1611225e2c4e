"""Who may try to lead, and when."""

import random

from quorate.base.config import Timing
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.paxos.election import FAR_BEHIND_SLOTS, Election

ME, ANN, BOB = NodeId("me"), NodeId("ann"), NodeId("bob")
FIRST, SECOND = Ballot(1, ANN), Ballot(2, BOB)
LOW, HIGH = Slot(0), Slot(FAR_BEHIND_SLOTS + 1)


def election() -> Election:
    return Election(Timing(), random.Random(1), 0.0)


def test_only_a_newer_ballot_is_a_new_leader() -> None:
    made = election()
    assert made.on_leader(SECOND, 0.0)
    assert not made.on_leader(FIRST, 0.1, is_serving=True)
    assert made.last_contact_s == 0.0
    assert made.on_leader(SECOND, 0.2, is_serving=True)
    assert not made.on_leader(SECOND, 0.3, is_serving=True)
    assert (made.leader, made.is_leader_serving, made.last_contact_s) == (SECOND, True, 0.3)


def test_no_pre_vote_is_granted_while_a_leader_is_live() -> None:
    made = election()
    made.on_leader(FIRST, 0.0)
    assert not made.may_grant(LOW, HIGH, 0.9)
    assert made.may_grant(LOW, HIGH, 1.0)


def test_a_candidate_far_behind_is_granted_only_after_a_while() -> None:
    made = election()
    made.on_leader(FIRST, 0.0)
    assert not made.may_grant(HIGH, LOW, 2.9)
    assert made.may_grant(HIGH, Slot(1), 2.9)
    assert made.may_grant(HIGH, LOW, 3.0)


def test_how_long_a_candidate_far_behind_waits_follows_from_the_timeout() -> None:
    """Three timeouts after the leader was lost, whatever the clock shows."""
    made = Election(Timing(election_timeout_s=2.0), random.Random(1), 1_000.0)
    made.on_leader(FIRST, 1_000.0)
    assert not made.may_grant(HIGH, LOW, 1_005.9)
    assert made.may_grant(HIGH, LOW, 1_006.0)


def test_a_leader_that_is_gone_serves_nobody() -> None:
    made = election()
    made.on_leader(FIRST, 0.0, is_serving=True)
    made.forget(0.1)
    assert not made.is_leader_serving
    assert made.on_leader(FIRST, 0.2, is_serving=True)  # news, once more


def test_a_broken_link_to_the_leader_counts_as_silence() -> None:
    made = election()
    made.on_leader(FIRST, 0.0)
    assert not made.on_link_lost(BOB, 0.1)
    assert made.on_link_lost(ANN, 0.1)
    assert not made.has_live_leader(0.1)
    assert made.due_s <= 0.1 + Timing().reconnect_poll_s
    assert not made.on_link_lost(ANN, 0.1)


def test_only_grants_of_the_current_pre_vote_count() -> None:
    made = election()
    old = made.begin_pre_vote(ME, 0.0)
    number = made.begin_pre_vote(ME, 1.0)
    assert made.on_grant(ANN, old) == set()
    assert made.on_grant(ANN, number) == {ME, ANN}
    made.end_pre_vote()
    assert made.on_grant(BOB, number) == set()


def test_a_pre_vote_that_is_outbid_is_repeated_soon_unless_a_leader_is_live() -> None:
    made = election()
    made.postpone(0.0)
    made.expedite(0.0)
    assert made.due_s <= Timing().reconnect_poll_s
    made.on_leader(FIRST, 0.0)
    made.expedite(0.1)
    assert made.due_s >= 1.0
