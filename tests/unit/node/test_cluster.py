"""Whole pure nodes together: found, elect, write, read, lose a leader, lose power."""

import pytest

from quorate.base.config import Limits, NodeSettings
from quorate.base.errors import OutcomeUnknownError
from quorate.base.ids import NodeId
from quorate.base.messages import Forward
from quorate.base.outcomes import Outcome
from quorate.kv.commands import KvCas, KvSet
from quorate.node.node import Node
from tests.unit.node.cluster import Cluster


def done(cluster: Cluster, ticket: object) -> Outcome:
    _, _, outcome = cluster.outcomes[ticket]
    assert isinstance(outcome, Outcome)
    return outcome


def alive(cluster: Cluster, node: NodeId) -> Node:
    found = cluster.hosts[node].node
    assert found is not None
    return found


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_cluster_is_bootstrapped_and_writes_from_every_node(size: int) -> None:
    cluster = Cluster(size, seed=1)
    cluster.run(4)
    assert cluster.leader() is not None
    for node in cluster.hosts:
        cluster.submit(node, KvSet(b"k/" + node.encode(), b"v"), node)
    cluster.run(1)
    assert all(done(cluster, node).value is True for node in cluster.hosts)


@pytest.mark.parametrize("seed", range(30))
def test_a_lost_leader_is_a_pause_for_clients_of_the_others(seed: int) -> None:
    cluster = Cluster(3, seed, loss=0.02)
    cluster.run(4)
    leader = cluster.leader()
    assert leader is not None
    others = [node for node in cluster.hosts if node != leader]
    for number in range(20):
        cluster.submit(others[number % 2], KvSet(b"k%d" % number, b"v"), number)
        if number == 10:
            cluster.power_cut(leader)
        cluster.run(0.02)
    cluster.run(6)
    assert all(done(cluster, number).value is True for number in range(20))
    cluster.start(leader)
    cluster.run(3)
    heights = [h.node.group.machine.applied for h in cluster.hosts.values() if h.node is not None]
    assert len(heights) == 3
    assert max(heights) - min(heights) <= 1


@pytest.mark.parametrize("seed", range(30))
def test_nothing_acknowledged_is_lost_when_all_lose_power(seed: int) -> None:
    cluster = Cluster(3, seed)
    cluster.run(4)
    nodes = list(cluster.hosts)
    snapshots = {node: cluster.hosts[node].tables.save() for node in nodes}
    for number in range(30):
        cluster.submit(nodes[number % 3], KvSet(b"k%d" % number, b"v%d" % number), number)
        cluster.run(0.004)
    acknowledged = [n for n in range(30) if n in cluster.outcomes]
    for node in nodes:
        cluster.power_cut(node, snapshots[node])
    for node in nodes:
        cluster.start(node)
    cluster.run(5)
    leader = cluster.leader()
    assert leader is not None
    for number in acknowledged:
        cluster.submit(leader, KvCas(b"k%d" % number, b"x", 0, 0), ("again", number))
    cluster.run(2)
    assert all(done(cluster, ("again", n)).value is False for n in acknowledged)


@pytest.mark.parametrize("seed", range(20))
def test_a_partitioned_leader_serves_no_stale_read_and_loses_no_write(seed: int) -> None:
    cluster = Cluster(3, seed)
    cluster.run(4)
    old = cluster.leader()
    assert old is not None
    cluster.partition(old)
    host = cluster.hosts[old]
    assert host.node is not None
    host.node.read(("stale", b"key"), cluster.now_s + 60)
    cluster.submit(old, KvSet(b"key", b"late"), "late")
    cluster.run(5)
    assert ("stale", b"key") not in cluster.reads
    new = cluster.leader_of(set(cluster.hosts) - {old})
    cluster.submit(new, KvSet(b"key", b"new"), "new")
    cluster.run(1)
    assert done(cluster, "new").value is True
    cluster.heal()
    cluster.run(4)
    assert done(cluster, "late").value is True
    assert ("stale", b"key") in cluster.reads


@pytest.mark.parametrize("seed", range(20))
def test_a_node_joins_votes_and_is_removed_under_load(seed: int) -> None:
    cluster = Cluster(3, seed)
    cluster.run(4)
    leader = cluster.leader()
    assert leader is not None
    new = cluster.add()
    for number in range(40):
        cluster.submit(leader, KvSet(b"k%d" % number, b"v"), number)
        cluster.run(0.1)
    newest = alive(cluster, leader).group.machine.configurations[-1][1]
    assert new in newest.voter_ids
    assert all(done(cluster, number).value is True for number in range(40))
    gone = next(node for node in cluster.hosts if node not in (leader, new))
    cluster.change(new, "remove", gone, "remove")
    cluster.run(4)
    assert cluster.changes["remove"] is None
    newest = alive(cluster, leader).group.machine.configurations[-1][1]
    assert gone not in newest.voter_ids
    assert gone in newest.removed
    cluster.submit(new, KvSet(b"after", b"v"), "after")
    cluster.run(2)
    assert done(cluster, "after").value is True
    assert cluster.leader() != gone


@pytest.mark.parametrize("seed", range(20))
def test_a_removed_leader_hands_over(seed: int) -> None:
    cluster = Cluster(3, seed)
    cluster.run(4)
    leader = cluster.leader()
    assert leader is not None
    other = next(node for node in cluster.hosts if node != leader)
    cluster.change(other, "remove", leader, "remove")
    cluster.run(5)
    cluster.submit(other, KvSet(b"after", b"v"), "after")
    cluster.run(2)
    assert done(cluster, "after").value is True
    assert cluster.leader() not in (None, leader)


@pytest.mark.parametrize("seed", range(20))
def test_leadership_is_transferred_and_nothing_fails(seed: int) -> None:
    cluster = Cluster(3, seed)
    cluster.run(4)
    leader = cluster.leader()
    assert leader is not None
    to = next(node for node in cluster.hosts if node != leader)
    cluster.change(leader if seed % 2 else to, "transfer", to, "transfer")
    for number in range(20):
        cluster.submit(leader, KvSet(b"k%d" % number, b"v"), number)
        assert "transfer" not in cluster.changes or cluster.leader() == to
        cluster.run(0.02)
    cluster.run(2)
    assert cluster.changes["transfer"] is None
    assert cluster.leader() == to
    assert all(done(cluster, number).value is True for number in range(20))


@pytest.mark.parametrize("seed", range(20))
def test_a_node_long_away_catches_up_by_snapshot(seed: int) -> None:
    settings = NodeSettings(limits=Limits(tail_slots_max=5, chunk_bytes_max=300))
    cluster = Cluster(3, seed, settings=settings)
    cluster.run(4)
    leader = cluster.leader()
    assert leader is not None
    away = next(node for node in cluster.hosts if node != leader)
    cluster.partition(away)
    cluster.submit(away, KvSet(b"from away", b"v"), "away")
    for number in range(60):
        cluster.submit(leader, KvSet(b"k%d" % number, b"v"), number)
        cluster.run(0.02)
    cluster.heal()
    cluster.run(6)
    assert cluster.installed
    here, there = alive(cluster, leader).group.machine, alive(cluster, away).group.machine
    assert (here.applied, here.digest) == (there.applied, there.digest)
    answer = cluster.outcomes["away"]
    assert isinstance(answer, OutcomeUnknownError) or done(cluster, "away").value is True


@pytest.mark.parametrize("healthy", [0, 1, 2])
def test_nothing_is_acknowledged_before_a_quorum_has_it_on_disk(healthy: int) -> None:
    cluster = Cluster(3, seed=healthy)
    cluster.run(4)
    leader = cluster.leader()
    assert leader is not None
    cluster.stuck = {node for n, node in enumerate(cluster.hosts) if n != healthy}
    cluster.submit(leader, KvSet(b"k", b"v"), "write")
    cluster.run(0.5)
    assert "write" not in cluster.outcomes
    cluster.stuck = set()
    cluster.run(3)
    assert done(cluster, "write").value is True


def test_a_forward_lost_under_a_living_leader_is_sent_again() -> None:
    cluster = Cluster(3, seed=3)
    cluster.run(4)
    leader = cluster.leader()
    other = next(node for node in cluster.hosts if node != leader)
    cluster.dropped = Forward
    cluster.submit(other, KvSet(b"k", b"v"), "write")
    cluster.run(0.1)
    cluster.dropped = None
    cluster.run(2)
    assert cluster.leader() == leader
    assert done(cluster, "write").value is True
