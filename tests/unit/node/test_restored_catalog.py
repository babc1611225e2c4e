"""A restored snapshot may know nothing of the members, or call living ones critical."""

from quorate.base.ids import NodeId
from quorate.domains import DOMAINS
from quorate.machine.commands import RestoreBegin, RestoreCommit
from quorate.machine.snapshot import content, restore_commands
from tests.unit.machine.lab import Lists
from tests.unit.node.cluster import Cluster


def reader(cluster: Cluster, node: NodeId) -> Lists:
    return Lists(cluster.hosts[node].tables)


def names(cluster: Cluster, node: NodeId) -> list[str]:
    return [row.name for row in reader(cluster, node).nodes().value]


def health(cluster: Cluster, node: NodeId) -> dict[str, str]:
    """The `serfHealth` of each member."""
    found: dict[str, str] = {}
    for name in names(cluster, node):
        checks = reader(cluster, node).checks_of_node(name).value
        found[name] = next(row.status for row in checks if row.id == "serfHealth")
    return found


def test_members_are_in_the_catalog_again_after_a_snapshot_without_them() -> None:
    cluster = Cluster(3, seed=1)
    cluster.run(5)
    asked = cluster.leader_of(set(cluster.hosts))
    assert names(cluster, asked) == ["n1", "n2", "n3"]
    cluster.submit(asked, RestoreBegin("r"), "begin")
    cluster.run(1)
    cluster.submit(asked, RestoreCommit("r", 0, 0), "commit")
    cluster.run(1)
    assert names(cluster, asked) == ["n1", "n2", "n3"]
    assert set(health(cluster, asked).values()) == {"passing"}


def test_the_health_of_members_is_judged_anew_after_a_restore() -> None:
    cluster = Cluster(3, seed=2)
    cluster.run(5)
    asked = cluster.leader_of(set(cluster.hosts))
    other = next(node for node in cluster.hosts if node != asked)
    name = cluster.hosts[other].member.name
    healthy = b"".join(content(DOMAINS, cluster.hosts[asked].tables))
    cluster.power_cut(other)
    cluster.run(10)
    asked = cluster.leader_of(set(cluster.hosts) - {other})
    assert health(cluster, asked)[name] == "critical"
    for number, command in enumerate(restore_commands(DOMAINS, healthy, "r")):
        cluster.submit(asked, command, f"r{number}")
        cluster.run(1)
    cluster.run(1)
    assert health(cluster, asked)[name] == "critical"
