"""A new cluster is made out of what survived the loss of a majority."""

from random import Random

import pytest

from quorate.kv.tables import KV
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
