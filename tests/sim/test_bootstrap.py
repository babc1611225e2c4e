"""Bootstrap and join: who starts when, who crashes in between, and two clusters."""

import msgspec
import pytest

from quorate.base.records import Bootstrapped
from quorate.sim.behaviour import Behaviour
from quorate.sim.cluster import Make, SimCluster
from quorate.sim.host import Host
from quorate.sim.neighbour import EitherOracle, Neighbour
from quorate.sim.run import run
from quorate.sim.script import QUICK, RELIABLE
from quorate.sim.swarm import Plan, plan_of
from quorate.sim.workload import WorkloadProfile
from quorate.sim.world import ViolationError, World

MAKE = Make(
    conditions=RELIABLE,
    speed=QUICK,
    behaviour=Behaviour(flush_share=1.0, snapshot_s=1e9),
    profile=WorkloadProfile(clients=0),
)


def made(seed: object = "bootstrap", **fields: int) -> SimCluster:
    return SimCluster(World(seed), msgspec.structs.replace(MAKE, **fields))


def until(cluster: SimCluster, holds: object, within_s: float = 60.0) -> None:
    assert callable(holds)
    world = cluster.world
    assert world.run_while(lambda: not holds(), world.now + within_s), cluster.behind()


def belongs(host: Host) -> str:
    return host.node.cluster_id if host.node else ""


def all_belong(cluster: SimCluster, count: int) -> bool:
    """So many are members, and know the leader."""
    known = [h for h in cluster.members if h.node is not None and h.node.group.leader is not None]
    return len(known) == count and cluster.leader is not None


@pytest.mark.parametrize("early", [1, 2])
def test_nodes_that_start_together_with_three_that_bootstrap_become_members(early: int) -> None:
    cluster = made(initial_nodes=3, spares=early, early=early)
    cluster.start()
    until(cluster, lambda: all_belong(cluster, 3 + early))


@pytest.mark.parametrize("size", [4, 5])
def test_of_more_than_expected_the_others_join(size: int) -> None:
    for seed in range(5):
        cluster = made(seed, initial_nodes=size, expect=3)
        cluster.start()
        until(cluster, lambda cluster=cluster, size=size: all_belong(cluster, size))


def test_a_node_whose_links_stand_all_the_time_joins_without_a_reconnect() -> None:
    cluster = made(initial_nodes=3, spares=1, early=1)
    fourth = cluster.hosts["d"]
    cluster.start()
    world = cluster.world
    world.run(0.6)
    before = cluster.network.counts["links"]
    until(cluster, lambda: bool(belongs(fourth)))
    assert (
        cluster.network.counts["links"] - before <= 3
    )  # initial nodes that had no link to the others


@pytest.mark.parametrize("victim", ["a", "b", "c"])
@pytest.mark.parametrize("after_ms", [1, 20, 60, 200, 550])
@pytest.mark.parametrize("is_power_cut", [False, True])
def test_an_initial_node_that_crashes_in_between_is_waited_for(
    victim: str, after_ms: int, is_power_cut: bool
) -> None:
    cluster = made(f"{victim}{after_ms}", initial_nodes=3, spares=1, early=1)
    cluster.start()
    world, host = cluster.world, cluster.hosts[victim]
    until(cluster, lambda: sum(bool(each.epoch) for each in cluster.hosts.values()) == 4)
    world.run(world.now + after_ms / 1000)
    host.crash(is_power_cut=is_power_cut)
    world.after(2.0, host.start)
    until(cluster, lambda: all_belong(cluster, 4))
    assert len({belongs(each) for each in cluster.hosts.values()}) == 1


@pytest.mark.parametrize("victim", ["a", "b", "c"])
@pytest.mark.parametrize("after_ms", [20, 60, 200])
def test_an_initial_node_that_never_comes_back_is_done_without(victim: str, after_ms: int) -> None:
    """Four that expect three: whichever is lost, at whichever point, three are left."""
    cluster = made(f"{victim}{after_ms}", initial_nodes=4, expect=3)
    cluster.start()
    world = cluster.world
    until(cluster, lambda: sum(bool(each.epoch) for each in cluster.hosts.values()) >= 3)
    world.run(world.now + after_ms / 1000)
    lost = cluster.hosts[victim]
    lost.crash(is_power_cut=True)
    others = [host for host in cluster.hosts.values() if host is not lost]
    until(cluster, lambda: len({belongs(h) for h in others} - {""}) == 1 and all_of(others))
    until(cluster, lambda: cluster.leader is not None)


def all_of(hosts: list[Host]) -> bool:
    return all(belongs(host) for host in hosts)


@pytest.mark.parametrize("initial_nodes", [2, 3])
def test_an_empty_node_that_knows_two_clusters_is_a_member_of_one(initial_nodes: int) -> None:
    for seed in range(6):
        cluster = made(seed, initial_nodes=initial_nodes, spares=1)
        neighbour = Neighbour(cluster, initial_nodes)
        cluster.start()
        neighbour.start()
        cluster.world.run(20.0)
        neighbour.check()
        joined = belongs(neighbour.visitor)
        assert joined in (cluster.oracle.cluster_id, neighbour.cluster.oracle.cluster_id)


def test_a_node_that_belongs_to_two_clusters_is_seen_by_the_checker() -> None:
    """The checker's own test: a directory that joins both."""
    cluster = made(initial_nodes=1, spares=1)
    neighbour = Neighbour(cluster, 1)
    cluster.start()
    neighbour.start()
    cluster.world.run(10.0)
    oracle = neighbour.visitor.oracle
    assert isinstance(oracle, EitherOracle)
    other = next(
        each
        for each in (cluster, neighbour.cluster)
        if each.oracle.cluster_id != belongs(neighbour.visitor)
    )
    model = other.oracle.model
    assert model is not None
    records = [Bootstrapped(other.oracle.cluster_id, model.chain[0][1], complete=True)]
    with pytest.raises(ViolationError, match="belongs to two clusters"):
        oracle.durable(neighbour.visitor.me.id, records)


@pytest.mark.parametrize("seed", range(6))
def test_seeds_with_two_clusters_and_faults(seed: int) -> None:
    plan = plan_of(seed, 12.0)
    make = msgspec.structs.replace(plan.make, spares=1, early=0, neighbours=2 + seed % 2)
    result = run(Plan(plan.seed, make, plan.faults, plan.horizon_s))
    assert result.failure == ""
