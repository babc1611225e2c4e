"""Leading: what a node does from its first promise to its last heartbeat."""

from quorate.base.batches import NOOP, Configuration
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import Fetched, Heartbeat
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
    assert lone.leadership.room() == 0
    lone.wait(0.3)
    assert NodeId("n4") in lone.prepared()
    lone.promise(4, watermark=19)
    assert lone.leadership.room() > 0


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
    lone.hear(4, Fetched(Slot(2), (OTHER,), Slot(2), Slot(1)))
    lone.wait(0.5)
    told = [m for m in lone.heartbeats() if m.ballot == ballot and m.watermark >= 2]
    assert told == []
    assert lone.replica.leadership is None
    assert lone.released == [(1, NOOP), (2, OTHER)]


def test_a_leader_whose_barrier_was_chosen_by_another_leads_no_more() -> None:
    lone = Lone(5)
    lone.stand(2, 3)
    lone.promise(2)
    lone.promise(3)
    lone.hear(4, Fetched(Slot(1), (NOOP,), Slot(1), Slot(1)))
    assert lone.replica.leadership is None


def test_a_leader_may_learn_from_others_that_its_own_batch_is_chosen() -> None:
    lone = Lone(5)
    lone.lead(2, 3)
    lone.obey(lone.leadership.propose(BATCH, lone.now_s))
    lone.hear(4, Fetched(Slot(2), (BATCH,), Slot(2), Slot(1)))
    assert lone.replica.is_serving
    assert max(m.watermark for m in lone.take(Heartbeat)) == 2
