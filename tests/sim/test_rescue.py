"""A new cluster is made out of what survived the loss of a majority."""

from random import Random

import pytest

from quorate.base.command import Command
from quorate.base.config import ClusterConfig, NodeSettings
from quorate.kv.commands import KvDeleteTree, KvSet
from quorate.kv.tables import KV
from quorate.sim.operations import OperationKind
from quorate.sim.rescue import rescued
from quorate.sim.script import Stage

WRITES = 30


def values(stage: Stage, names: str) -> dict[bytes, bytes]:
    old = rescued(stage.cluster, [stage.host(name) for name in names], Random(1))
    assert old is not None
    return {key[1:]: value for key, value in old.rows if key[0] == KV}


@pytest.mark.parametrize("names", ["a", "b", "c", "ab", "bc", "abc"])
def test_survivors_hold_what_was_written_while_all_were_well(names: str) -> None:
    stage = Stage()
    stage.writes(stage.leader, WRITES)
    stage.level()
    written = values(stage, "abc")
    assert written
    for host in stage.cluster.living:
        host.crash(is_power_cut=False)
    assert values(stage, names) == written


def test_what_only_the_lost_nodes_held_is_lost_and_nothing_else() -> None:
    stage = Stage()
    stage.done(stage.write(stage.leader, b"early"))
    stage.level()
    away = stage.followers[0]
    away.crash(is_power_cut=False)
    stage.done(stage.write(stage.leader, b"late"))
    others = "".join(host.name for host in stage.cluster.living)
    assert any(b"late" in key for key in values(stage, others[0]))
    only_away = values(stage, away.name)
    assert any(b"early" in key for key in only_away)
    assert not any(b"late" in key for key in only_away)


@pytest.mark.parametrize(
    ("cluster", "command"),
    [
        (ClusterConfig(), KvSet(b"x", b"1")),
        (ClusterConfig(removals_max=1), KvDeleteTree(b"t/")),
        (ClusterConfig(alpha_slots=1, window_slots=1), KvSet(b"x", b"1")),
    ],
    ids=["defaults", "removals_max", "alpha_slots"],
)
def test_what_survives_is_applied_under_the_settings_of_its_cluster(
    cluster: ClusterConfig, command: Command
) -> None:
    stage = Stage(settings=NodeSettings(cluster=cluster))
    stage.done(*(stage.write(stage.leader, b"t/%d" % number) for number in range(3)))
    gone = stage.followers[0]
    stage.cluster.retired.add(gone.name)
    results = stage.change("remove", gone.me, stage.leader)
    stage.until(lambda: results == [None])
    stage.done(stage.ask(stage.leader, OperationKind.WRITE, command, b"x"))
    stage.level()
    slot = stage.cluster.oracle.prefix
    for host in stage.cluster.living:
        host.crash(is_power_cut=True)  # no snapshot was taken: there is the log alone
    members = [host for host in stage.cluster.hosts.values() if host is not gone]

    old = rescued(stage.cluster, members, Random(1))

    assert old is not None
    assert old.state.applied == slot
    assert old.state.digest == stage.cluster.oracle.digests[slot]
