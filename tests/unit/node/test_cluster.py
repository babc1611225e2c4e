"""Whole pure nodes together: found, elect, write, read, lose a leader, lose power."""

import pytest

from quorate.base.commands import KvCas, KvSet
from quorate.base.outcomes import Outcome
from tests.unit.node.cluster import Cluster


def done(cluster: Cluster, ticket: object) -> Outcome:
    _, _, outcome = cluster.outcomes[ticket]
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_cluster_is_founded_and_writes_from_every_node(size: int) -> None:
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
    heights = [h.node.machine.applied for h in cluster.hosts.values() if h.node is not None]
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
