"""Directed scenarios: what seeds find rarely, each with all checkers on."""

import pytest

from quorate.base.config import Limits, NodeSettings
from quorate.base.errors import OutcomeUnknownError
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetched,
    Forward,
    HeartbeatAnswer,
    SnapshotChunk,
    TransferNow,
)
from quorate.sim.operations import Operation, OperationKind, OperationStatus
from quorate.sim.partitions import PARTITIONS
from quorate.sim.script import Stage

SHORT_TAIL = NodeSettings(limits=Limits(tail_slots_max=5))


def end_of(operation: Operation) -> OperationStatus:
    return operation.end


def test_a_forward_lost_under_a_living_leader_is_sent_again() -> None:
    stage = Stage()
    follower = stage.followers[0]
    lost = stage.catch(Forward, sender=follower)

    write = stage.write(follower)
    stage.run(0.1)
    assert len(lost.caught) == 1
    stage.let_go(lost)

    stage.done(write)
    stage.level()


def test_a_write_at_a_follower_is_applied_once_though_every_forward_comes_twice() -> None:
    stage = Stage()
    follower = stage.followers[0]
    held = stage.catch(Forward, sender=follower, is_held=True)
    write = stage.write(follower)
    stage.run(1.5)
    assert len(held.caught) >= 2

    stage.let_go(held)

    stage.done(write)
    stage.level()


def test_a_bundle_whose_predecessor_went_with_its_leader_waits_for_it() -> None:
    """The next leader finds the second bundle and a hole before it: both go again, in order."""
    stage = Stage()
    leader, origin = stage.leader, stage.followers[0]
    lost = stage.catch(Accept, sender=leader)
    first = stage.write(origin, b"first")
    stage.until(lambda: len(lost.caught) == 2)
    stage.let_go(lost)
    second = stage.write(origin, b"second")
    stage.run(0.02)
    leader.crash(is_power_cut=False)

    stage.done(first, second)
    assert first.slot <= second.slot
    leader.start()
    stage.level()


def test_an_answer_to_an_earlier_round_confirms_no_read_of_a_deposed_leader() -> None:
    stage = Stage()
    old = stage.leader
    others = stage.followers
    stage.done(stage.write(old))
    late = stage.catch(HeartbeatAnswer, receiver=old, is_held=True)
    stage.run(0.3)
    pairs = stage.cut(old, others)
    stage.until(lambda: stage.cluster.leader in others)
    stage.done(stage.write(stage.leader))

    read = stage.read(old)
    stage.let_go(late)
    stage.run(0.2)

    assert read.end is not OperationStatus.DONE
    stage.heal(pairs)
    stage.until(lambda: read.end is not OperationStatus.OPEN)
    stage.level()


def test_an_answer_to_a_first_try_confirms_no_later_read() -> None:
    """A round that stays unanswered is followed by another under a new token, never by itself."""
    stage = Stage()
    old = stage.leader
    others = stage.followers
    stage.done(stage.write(old))
    late = stage.catch(HeartbeatAnswer, receiver=old, is_held=True)
    first = stage.read(old)
    stage.run(0.01)
    pairs = stage.cut(old, others)
    stage.until(lambda: stage.cluster.leader in others)
    stage.done(stage.write(stage.leader))
    second = stage.read(old)
    stage.run(0.2)
    assert old.node is not None
    assert old.node.group.replica is not None
    assert old.node.group.replica.is_serving, "it does not know better yet"

    stage.let_go(late)
    stage.run(0.1)

    assert first.end is OperationStatus.DONE
    assert second.end is OperationStatus.OPEN
    stage.heal(pairs)
    stage.done(second)
    stage.level()


def test_a_node_far_behind_catches_up_by_snapshot_and_its_clients_do_not_wait_for_ever() -> None:
    stage = Stage(settings=SHORT_TAIL)
    leader, behind = stage.leader, stage.followers[0]
    results = stage.catch((Accept, Fetched), receiver=behind)
    write = stage.write(behind)
    stage.writes(leader, 20)
    assert write.end is OperationStatus.OPEN

    stage.let_go(results)
    stage.until(lambda: write.end is not OperationStatus.OPEN, within_s=3.0)

    assert end_of(write) is OperationStatus.UNKNOWN
    stage.done(stage.write(behind))
    stage.level()


def test_a_snapshot_whose_chunks_are_lost_is_asked_for_again() -> None:
    stage = Stage(settings=SHORT_TAIL)
    leader, behind = stage.leader, stage.followers[0]
    results = stage.catch((Accept, Fetched), receiver=behind)
    stage.writes(leader, 20)
    chunks = stage.catch(SnapshotChunk)
    stage.let_go(results)
    stage.until(lambda: bool(chunks.caught))

    stage.let_go(chunks)

    stage.level()


def test_nothing_is_acknowledged_while_only_one_disk_holds_it() -> None:
    stage = Stage()
    votes = stage.catch(Accepted)

    write = stage.write(stage.leader)
    stage.run(0.5)

    assert write.end is OperationStatus.OPEN
    stage.let_go(votes)
    stage.done(write)
    stage.level()


def test_power_lost_everywhere_loses_nothing_acknowledged() -> None:
    stage = Stage()
    stage.writes(stage.leader, 10)
    for host in list(stage.cluster.hosts.values()):
        host.crash(is_power_cut=True)
    for host in stage.cluster.hosts.values():
        host.start()

    stage.until(lambda: stage.cluster.leader is not None)
    stage.done(stage.read(stage.leader), stage.write(stage.leader))
    stage.level()


def test_a_late_old_batch_is_adopted_by_whoever_finds_it() -> None:
    """A batch of the first ballot is chosen behind batches of the second one, or not at all."""
    stage = Stage(5, settings=NodeSettings())
    old = stage.leader
    one, *rest = stage.followers
    late = stage.catch(Accept, sender=old, is_held=True)
    isolated = stage.write(old)
    stage.run(0.05)
    pairs = stage.cut(old, [one, *rest])
    stage.until(lambda: stage.cluster.leader not in (None, old))
    stage.writes(stage.leader, 5)

    stage.let_go(late)
    stage.run(0.2)
    stage.heal(pairs)

    stage.until(lambda: isolated.end is not OperationStatus.OPEN)
    stage.level()


def test_a_leader_replaced_by_a_fresh_disk_answers_no_read_from_before() -> None:
    stage = Stage(3)
    stage.writes(stage.leader, 3)
    lost = stage.followers[0]
    stage.cluster.wipe(lost)
    stage.until(lambda: stage.cluster.is_membership_stable and len(stage.cluster.members) == 3)

    stage.done(*(stage.read(host) for host in stage.cluster.members if host.is_running))
    stage.level()


def test_a_member_can_be_removed_while_it_is_down_if_the_rest_is_a_quorum() -> None:
    stage = Stage(4)
    gone = stage.followers[0]
    gone.crash(is_power_cut=False)

    results = stage.change("remove", gone.me, stage.leader)
    stage.until(lambda: bool(results))

    assert results == [None]
    stage.done(stage.write(stage.leader))


def test_a_transfer_of_leadership_fails_no_write() -> None:
    stage = Stage()
    old, heir = stage.leader, stage.followers[0]
    writes = [stage.write(host) for host in stage.cluster.living]

    results = stage.change("transfer", heir.me, old)
    writes += [stage.write(host) for host in stage.cluster.living]

    stage.until(lambda: bool(results))
    assert results == [None]
    assert stage.cluster.leader is heir, "it is answered when it is done"
    stage.done(*writes)
    stage.level()


def test_a_transfer_to_a_node_that_does_not_take_over_is_no_success() -> None:
    """And the leader goes on; it is not attempted again for the same request."""
    stage = Stage()
    old, heir = stage.leader, stage.followers[0]
    lost = stage.catch(TransferNow, sender=old)
    results = stage.change("transfer", heir.me, old)
    stage.until(lambda: bool(results))
    (error,) = results
    assert isinstance(error, OutcomeUnknownError)
    assert "has not taken over in time" in error.text
    assert lost.caught
    assert stage.cluster.leader is old
    stage.done(stage.write(old))


def test_a_paused_leader_notices_that_it_no_longer_leads() -> None:
    stage = Stage()
    old = stage.leader
    old.pause()
    stage.until(lambda: stage.cluster.leader not in (None, old))
    stage.done(stage.write(stage.leader))

    old.resume()
    read = stage.read(old)

    stage.done(read)
    stage.level()


def test_one_full_disk_stops_nobody_and_comes_back_by_itself() -> None:
    stage = Stage()
    full = stage.followers[0]
    full.set_full(is_full=True)
    stage.writes(stage.leader, 5)
    refused = stage.write(full)
    assert refused.end is OperationStatus.REFUSED

    full.set_full(is_full=False)

    stage.done(stage.write(full))
    stage.level()


def test_a_leaping_clock_and_a_wrong_wall_clock_change_nothing() -> None:
    stage = Stage()
    for host in stage.cluster.hosts.values():
        host.clock.leap(stage.world.now, 3600.0)
        host.clock.leap_wall(-(10**12))

    stage.until(lambda: stage.cluster.leader is not None)
    stage.done(*(stage.write(host) for host in stage.cluster.living))
    stage.level()


def test_a_blocking_read_of_a_missing_key_wakes_for_that_key_only() -> None:
    stage = Stage()
    follower = stage.followers[0]
    watch = stage.ask(follower, OperationKind.WATCH, None, b"missing", index=1)
    stage.run(0.1)
    stage.done(stage.write(stage.leader, b"missing-not"))
    stage.run(0.1)
    assert watch.end is OperationStatus.OPEN

    stage.done(stage.write(stage.leader, b"missing"))

    stage.done(watch)
    assert [key for key, _ in watch.value] == [b"missing"]


@pytest.mark.parametrize("partition", ["quorum_loss", "constrained", "chained"])
def test_a_partly_connected_cluster_goes_on(partition: str) -> None:
    stage = Stage(5)
    names = list(stage.cluster.hosts)
    stage.done(stage.write(stage.leader))
    before = stage.cluster.oracle.prefix
    stage.cluster.network.cut(PARTITIONS[partition](names, stage.leader.name))
    stage.run(6.0)

    leader = stage.leader
    stage.done(stage.write(leader))

    assert stage.cluster.oracle.prefix > before
