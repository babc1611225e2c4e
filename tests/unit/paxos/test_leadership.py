"""Leading: what a node does from its first promise to its last heartbeat."""

from quorate.base.batches import NOOP
from quorate.base.ids import Slot
from quorate.base.messages import Fetched, Heartbeat
from tests.unit.paxos.lone import Lone

BATCH, OTHER = b"\x01ours", b"\x01theirs"


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
