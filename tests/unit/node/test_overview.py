"""What each node knows of the progress of all members."""

from quorate.base.effects import Send
from quorate.base.ids import Slot
from quorate.base.messages import Heartbeat, HeartbeatAnswer, MemberProgress, Overview
from quorate.base.ports import Seen
from tests.unit.node.lone import Lone, lead, member


def led(lone: Lone, seconds: float) -> list[Overview]:
    """Lead for so long, reaching n2 alone; what the leader sent it meanwhile."""
    ballot = lead(lone).ballot
    found: list[Overview] = []
    for _ in range(round(seconds / 0.2)):
        lone.wait(0.2)
        said = [send.message for send in lone.all(Send) if send.to == member(2).id]
        lone.effects.clear()
        found += [each for each in said if isinstance(each, Overview)]
        rounds = [each.round for each in said if isinstance(each, Heartbeat)]
        lone.receive(2, HeartbeatAnswer(ballot, Slot(1), rounds[-1], Slot(0), 0))
    return found


def test_a_follower_shows_what_the_leader_reported_and_lets_it_grow_old() -> None:
    lone = Lone(3)
    lone.heartbeat(2)
    received = (
        MemberProgress(member(2).id, Slot(9), 0),
        MemberProgress(member(3).id, Slot(7), 1500),
    )
    lone.receive(2, Overview(received))
    before_s = lone.now_s
    lone.wait(0.5)
    seen = lone.node.status(lone.now_s).seen
    waited_s = lone.now_s - before_s
    assert seen[member(2).id] == Seen(Slot(9), waited_s)
    assert seen[member(3).id] == Seen(Slot(7), 1.5 + waited_s)
    assert seen[member(1).id] == Seen(lone.node.status(lone.now_s).watermark, 0.0)


def test_who_does_not_lead_is_not_believed() -> None:
    lone = Lone(3)
    lone.heartbeat(2)
    lone.receive(3, Overview((MemberProgress(member(2).id, Slot(9), 0),)))
    assert member(2).id not in lone.node.status(lone.now_s).seen


def test_the_leader_tells_what_it_knows_once_a_second() -> None:
    lone = Lone(3)
    found = led(lone, 3.0)
    assert len(found) == 3
    assert {each.node for each in found[-1].members} == {member(1).id, member(2).id}
    assert all(each.watermark == 1 for each in found[-1].members)


def test_a_member_that_never_answered_has_no_progress() -> None:
    lone = Lone(3)
    led(lone, 1.0)
    status = lone.node.status(lone.now_s)
    assert status.watermark_of(member(1).id) == status.watermark_of(member(2).id) == Slot(1)
    assert status.watermark_of(member(3).id) == Slot(0)
    assert set(status.seen) == {member(1).id, member(2).id}


def test_a_leader_that_stepped_down_shows_what_it_measured_itself() -> None:
    lone = Lone(3)
    lone.heartbeat(2)
    lone.receive(2, Overview((MemberProgress(member(2).id, Slot(1), 600_000),)))
    led(lone, 3.0)
    before_s = lone.now_s
    lone.wait(20)
    status = lone.node.status(lone.now_s)
    assert status.role == "follower"
    assert status.seen[member(2).id].last_contact_s < lone.now_s - before_s + 1.5
