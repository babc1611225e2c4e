"""Settings on which the effect of a batch depends stay what they were when the cluster was made."""

import pytest
from msgspec.structs import replace

from quorate.base.config import ClusterConfig, NodeSettings
from quorate.kv.commands import KvDeleteTree
from quorate.node.settings import FIXED
from quorate.sim.host import Host
from quorate.sim.operations import OperationKind
from quorate.sim.script import Stage
from quorate.sim.world import ViolationError

BEFORE = ClusterConfig(removals_max=2)
OTHERS = tuple(name for name in ClusterConfig.__struct_fields__ if name not in FIXED)


def stopped() -> tuple[Stage, list[Host]]:
    """A cluster that has deleted more than `removals_max` rows at once, and lost its power."""
    stage = Stage(settings=NodeSettings(cluster=BEFORE))
    stage.done(*(stage.write(stage.leader, b"t/%d" % number) for number in range(5)))
    stage.done(stage.ask(stage.leader, OperationKind.WRITE, KvDeleteTree(b"t/"), b"t/"))
    stage.level()
    hosts = list(stage.cluster.living)
    for host in hosts:
        host.crash(is_power_cut=True)  # the tables are made anew: every batch is applied again
    return stage, hosts


def set_cluster(hosts: list[Host], cluster: ClusterConfig) -> None:
    for host in hosts:
        host.settings = replace(host.settings, cluster=cluster)


@pytest.mark.parametrize("name", FIXED)
def test_no_node_starts_under_another_value_than_the_log_was_applied_under(name: str) -> None:
    stage, hosts = stopped()
    value = getattr(BEFORE, name)
    set_cluster(hosts, replace(BEFORE, **{name: value + 8}))
    for host in hosts:
        with pytest.raises(ViolationError, match=f"cannot start.*{name} = {value},.* {value + 8}:"):
            host.start()
    set_cluster(hosts, BEFORE)
    for host in hosts:
        host.start()
    stage.until(lambda: stage.cluster.leader is not None)
    stage.done(stage.write(stage.leader))
    stage.level()


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_may_change_when_all_nodes_are_started_again(name: str) -> None:
    stage, hosts = stopped()
    set_cluster(hosts, replace(BEFORE, **{name: max(1, getattr(BEFORE, name) // 2)}))
    for host in hosts:
        host.start()
    stage.until(lambda: stage.cluster.leader is not None)
    stage.done(*(stage.write(stage.leader, b"u/%d" % number) for number in range(5)))
    stage.level()


def test_a_node_with_other_settings_gets_no_link_to_those_of_a_cluster() -> None:
    stage = Stage(spares=1)
    spare = next(host for host in stage.cluster.hosts.values() if not host.epoch)
    set_cluster([spare], ClusterConfig(window_slots=2))
    spare.format()
    spare.start()
    stage.run(10.0)
    assert spare.node is not None
    assert not spare.node.cluster_id
    assert not any(stage.cluster.network.is_linked(spare.name, one.name) for one in stage.followers)


def test_a_directory_that_belongs_to_no_cluster_may_be_started_under_any_settings() -> None:
    stage = Stage(spares=1)
    spare = next(host for host in stage.cluster.hosts.values() if not host.epoch)
    set_cluster([spare], ClusterConfig(removals_max=3))
    spare.format()
    spare.start()
    stage.run(2.0)
    spare.crash(is_power_cut=False)
    set_cluster([spare], ClusterConfig())
    spare.start()
    stage.until(lambda: spare.node is not None and bool(spare.node.cluster_id))
    stage.level()
