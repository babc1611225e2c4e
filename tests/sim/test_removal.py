"""When a change of members is answered, whoever it removed may be shut down."""

import pytest

from quorate.base.messages import ChangeAnswer, HeartbeatAnswer
from quorate.sim.host import Host
from quorate.sim.script import Stage


def changed(stage: Stage, verb: str, whom: Host, at: Host) -> None:
    """A change, up to its answer; not a moment longer."""
    results = stage.change(verb, whom.me, at)
    stage.until(lambda: bool(results))
    assert results == [None]


def only(stage: Stage, *left: Host) -> None:
    """The power goes everywhere, and only these come back."""
    for host in stage.cluster.living:
        host.crash(is_power_cut=True)
    for host in left:
        host.start()


def goes_on(stage: Stage, *left: Host) -> None:
    stage.until(lambda: stage.cluster.leader in left, within_s=15.0)
    stage.done(*(stage.write(host) for host in left))


@pytest.mark.parametrize("asked", ["leader", "removed", "other"])
@pytest.mark.parametrize("removed", ["leader", "follower"])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_who_was_removed_may_go_at_once_and_another_one_be_lost(
    removed: str, asked: str, lost: int
) -> None:
    """Of four voters, two are left: no quorum of the older configuration."""
    stage = Stage(4)
    stage.writes(stage.leader, 3)
    gone = stage.leader if removed == "leader" else stage.followers[0]
    others = [host for host in stage.cluster.living if host is not gone]
    at = {"leader": stage.leader, "removed": gone, "other": others[2]}[asked]
    changed(stage, "remove", gone, at)
    left = [host for number, host in enumerate(others) if number != lost]
    only(stage, *left)
    goes_on(stage, *left)


def test_no_answer_while_the_configuration_before_may_need_who_was_removed() -> None:
    """The others do not know that the last slots of the older configuration are chosen."""
    stage = Stage(4)
    gone, *others = stage.followers
    results = stage.change("remove", gone.me, stage.leader)
    inbound_cut = [stage.catch(HeartbeatAnswer, sender=other) for other in others]
    stage.run(0.9)
    assert results == []
    for rule in inbound_cut:
        stage.let_go(rule)
    stage.until(lambda: bool(results))
    assert results == [None]


def test_a_change_that_a_new_leader_finds_made_is_answered_by_that_one() -> None:
    """Whoever made it is gone before it could answer: nobody is left without an answer."""
    stage = Stage(5)
    leader, (gone, *others) = stage.leader, stage.followers
    inbound_cut = stage.catch(HeartbeatAnswer, receiver=leader)
    results = stage.change("remove", gone.me, others[0])
    stage.run(0.5)
    assert results == []
    leader.crash(is_power_cut=False)
    stage.let_go(inbound_cut)
    stage.until(lambda: bool(results))
    assert results == [None]
    only(stage, *others)
    goes_on(stage, *others)


def test_a_removed_node_learns_that_it_is_removed_though_its_leader_is_gone() -> None:
    """It follows nobody any more, so it asks all it is linked to."""
    stage = Stage(5)
    leader, (gone, *others) = stage.leader, stage.followers
    lost = stage.catch(ChangeAnswer, receiver=gone)
    results = stage.change("remove", gone.me, gone)
    stage.until(lambda: gone.node is not None and gone.node.group.refusal is not None)
    stage.run(1.5)
    leader.crash(is_power_cut=False)
    stage.let_go(lost)
    stage.until(lambda: bool(results))
    assert results == [None]
    only(stage, *others)
    goes_on(stage, *others)


def test_so_it_is_after_a_restart() -> None:
    """Tables of a killed process may hold more than its log proves: then a snapshot comes first."""
    stage = Stage(4)
    stage.writes(stage.leader, 3)
    for host in stage.cluster.living:
        host.crash(is_power_cut=False)
    for host in stage.cluster.hosts.values():
        host.start()
    stage.until(lambda: stage.cluster.leader is not None)
    gone, *others = stage.followers
    changed(stage, "remove", gone, others[0])
    only(stage, *others)
    goes_on(stage, *others)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_vote_is_answered_when_an_older_voter_may_be_lost(lost: int) -> None:
    """Two voters, and a third one: before, slots of the older configuration need both."""
    stage = Stage(2, spares=1)
    old, new = stage.cluster.living, stage.host("c")
    new.start()
    stage.run(3.0)
    changed(stage, "promote", new, stage.leader)
    left = [old[1 - lost], new]
    only(stage, *left)
    goes_on(stage, *left)
