"""Who is left goes on: histories that once left intact disks without a leader, or never ended."""

from collections.abc import Callable

import msgspec
import pytest

from quorate.base.config import Limits, NodeSettings
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import (
    Accept,
    Fetch,
    Fetched,
    Forward,
    ForwardGap,
    Message,
)
from quorate.sim.host import Host
from quorate.sim.network import Rule
from quorate.sim.operations import Operation, OperationKind
from quorate.sim.run import idle
from quorate.sim.script import RELIABLE, Stage

ECHOING = msgspec.structs.replace(RELIABLE, duplicates=0.5, tail_s=0.05)


def counted(stage: Stage, *kinds: type[Message]) -> list[Message]:
    """Every message of these kinds from now on; it goes its way."""
    seen: list[Message] = []

    def look(*path: object) -> bool:
        seen.extend(message for message in path if isinstance(message, kinds))
        return False

    stage.cluster.network.rules.append(Rule(look))
    return seen


def voters_of(host: Host) -> frozenset[NodeId]:
    assert host.node is not None
    assert host.node.group.replica is not None
    replica = host.node.group.replica
    return replica.membership.governing(Slot(replica.watermark + 1)).voter_ids


def are_all_voters(stage: Stage) -> Callable[[], bool]:
    ids = frozenset(host.me.id for host in stage.cluster.hosts.values())
    return lambda: all(voters_of(host) == ids for host in stage.cluster.hosts.values())


def test_what_closed_an_old_configuration_is_known_after_a_power_cut() -> None:
    """Once a configuration is in force everywhere, the voters of the one before it may be lost.

    The last slots of the old one were known to be chosen by a heartbeat alone. If that is gone
    with the power, only a quorum of the old configuration could tell, and there is none.
    """
    stage = Stage(3, is_bootstrapped_alone=True)
    stage.until(are_all_voters(stage))
    stage.run(0.2)
    lost, *left = stage.cluster.hosts.values()
    for host in (lost, *left):
        host.crash(is_power_cut=True)

    for host in left:
        host.start()

    stage.until(lambda: stage.cluster.leader in left, within_s=10.0)
    stage.done(stage.write(left[0]), stage.write(left[1]))


def test_an_answer_that_comes_twice_is_no_reason_to_ask_twice() -> None:
    """Each answer once led to a question, each duplicate too: a storm."""
    settings = NodeSettings(limits=Limits(fetch_bytes_max=1))
    stage = Stage(settings=settings, conditions=ECHOING)
    behind = stage.followers[0]
    lost = stage.catch((Accept, Fetched), receiver=behind)
    stage.writes(stage.leader, 60)
    asked = counted(stage, Fetch)

    stage.let_go(lost)
    stage.level()

    assert len(asked) <= 60 + 20


def test_a_gap_among_forwards_that_come_twice_is_no_storm() -> None:
    settings = NodeSettings(limits=Limits(gather_commands_min=1))
    conditions = msgspec.structs.replace(ECHOING, is_fifo=False, jitter_s=0.02)
    stage = Stage(settings=settings, conditions=conditions)
    origin = stage.followers[0]
    sent = counted(stage, Forward, ForwardGap)

    for _ in range(20):
        operations: list[Operation] = []
        for _ in range(4):
            operations.append(stage.write(origin))
            stage.run(0.0005)
        stage.done(*operations)

    stage.level()
    assert len(sent) <= 80 * 8


@pytest.mark.parametrize("initial_nodes", [1, 3, 5])
def test_an_idle_cluster_says_little(initial_nodes: int) -> None:
    stage = Stage(initial_nodes)
    stage.writes(stage.leader, 3)
    stage.level()

    idle(stage.cluster)


def test_a_wait_at_a_removed_node_ends_though_nothing_changed() -> None:
    stage = Stage(4)
    gone = stage.followers[0]
    stage.ask(gone, OperationKind.WATCH, None, b"missing", index=1000)
    stage.run(0.1)
    assert gone.node is not None
    assert len(gone.node.group.watches) == 1

    stage.change("remove", gone.me, stage.leader)
    stage.until(lambda: gone.node is not None and gone.node.group.refusal is not None)
    stage.run(1.0)
    stage.done(stage.write(stage.leader))


def changed(stage: Stage, verb: str, whom: Host, at: Host) -> None:
    results = stage.change(verb, whom.me, at)
    stage.until(lambda: results == [None])


def no_snapshot(slot: Slot, done: Callable[[Slot], None]) -> None:
    """Its disk is too slow for one."""


def test_a_node_that_takes_itself_for_the_one_who_knows_more_asks_nodes_it_does_not_know() -> None:
    """It led while all others were replaced, lost its power, and has a hole from before that.

    Who is left needs its vote, and knows less than it reported itself. For it they are no
    members, until it has asked them. The hole: tables that outlived a kill were ahead of the log.
    """
    stage = Stage(3, spares=2)
    stage.writes(stage.leader, 3)
    stage.run(1.0)  # all have applied them
    first = stage.cluster.living
    for host in first:
        host.crash(is_power_cut=False)
    for host in first:
        host.start()
    stage.until(lambda: stage.cluster.leader is not None)
    back, behind, other = stage.leader, stage.host("d"), stage.host("e")
    back.store.take_snapshot = no_snapshot  # type: ignore[method-assign]
    for host in (behind, other):
        host.start()
        stage.run(3.0)
        changed(stage, "promote", host, back)
    for host in first:
        if host is not back:
            changed(stage, "remove", host, back)
            host.crash(is_power_cut=False)
    assert stage.leader is back
    pairs = stage.cut(behind, [back])
    stage.writes(back, 3)
    back.crash(is_power_cut=True)
    other.crash(is_power_cut=False)
    stage.heal(pairs)

    back.start()
    assert back.node is not None
    assert back.node.group.replica is not None
    assert behind.node is not None
    assert behind.node.group.replica is not None
    learner = back.node.group.replica.learner
    assert learner.has_hole
    assert learner.remote_node == back.me.id
    assert learner.remote_watermark > behind.node.group.replica.watermark
    assert behind.me.id not in back.node.group.replica.membership.members

    stage.until(lambda: stage.cluster.leader is not None, within_s=10.0)
    stage.done(stage.write(back), stage.write(behind))
