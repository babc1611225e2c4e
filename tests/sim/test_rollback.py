"""An old copy of a data directory is put back: who finds it, and that nothing is lost by it."""

import pytest

from quorate.base.messages import Accept, Fetched, Recognized
from quorate.base.records import Record
from quorate.sim.host import Host
from quorate.sim.operations import Operation
from quorate.sim.script import Stage
from quorate.sim.store import Crash, Directory

WRITES = 50


def put_back(stage: Stage, host: Host, old: Directory) -> None:
    """Start a host with an old copy of its directory."""
    host.crash(is_power_cut=False)
    stage.cluster.oracle.rolled_back(host.me.id)
    host.store.roll_back(old)
    host.is_rolled_back = True
    host.start()


def read_all(stage: Stage, hosts: list[Host]) -> list[Operation]:
    reads = [stage.read(host) for host in hosts]
    stage.done(*reads)
    return reads


@pytest.mark.parametrize("is_leader", [True, False])
def test_an_old_copy_is_found_by_who_wrote_with_it(is_leader: bool) -> None:
    """The reported case: one node is away, the copy comes back to the other one that wrote."""
    stage = Stage()
    away = stage.followers[0]
    old_host = stage.leader if is_leader else stage.followers[1]
    other = next(host for host in stage.cluster.living if host not in (away, old_host))
    away.crash(is_power_cut=False)
    old = old_host.store.copied()
    stage.writes(stage.leader, WRITES)

    put_back(stage, old_host, old)
    stage.until(lambda: old_host.is_lost)

    away.start()
    stage.until(lambda: stage.cluster.leader in (other, away))
    read_all(stage, [other, away])


def test_an_old_copy_is_found_by_the_replicated_state_when_all_were_restarted() -> None:
    stage = Stage()
    old_host = stage.followers[0]
    others = [host for host in stage.cluster.living if host is not old_host]
    old = old_host.store.copied()
    stage.writes(stage.leader, WRITES)
    stage.run(3.0)  # the report of the last write is in the log
    for host in (old_host, *others):
        host.crash(is_power_cut=True)

    for host in others:
        host.start()
    put_back(stage, old_host, old)

    stage.until(lambda: old_host.is_lost)
    stage.until(lambda: stage.cluster.leader in others)
    read_all(stage, others)


def test_what_a_third_node_only_knows_of_is_not_lost_with_an_old_copy() -> None:
    """Who wrote with the old copy is away; the third node holds no batch, but knows of the choice.

    Nobody leads, rather than that it is lost, until the one that holds it is back.
    """
    stage = Stage()
    leader, (old_host, knowing) = stage.leader, stage.followers
    old = old_host.store.copied()
    dropped = stage.catch((Accept, Fetched), receiver=knowing)
    written = stage.writes(leader, WRITES)
    stage.run(2.5)
    leader.crash(is_power_cut=False)
    put_back(stage, old_host, old)
    stage.let_go(dropped)

    stage.run(10.0)
    assert stage.cluster.leader is None

    leader.start()
    stage.until(lambda: old_host.is_lost)
    stage.until(lambda: stage.cluster.leader is not None)
    (seen,) = read_all(stage, [knowing])
    assert seen.slot >= written[-1].slot


def test_a_node_that_kept_its_directory_votes_though_nobody_recognizes_it() -> None:
    """One node is away, the answers of the other one are lost: an election timeout is enough."""
    stage = Stage()
    away, host = stage.followers
    stage.writes(stage.leader, 3)
    away.crash(is_power_cut=False)
    results = stage.catch(Recognized, receiver=host)
    host.crash(is_power_cut=True)
    host.start()

    stage.done(stage.write(host))

    assert results.caught
    stage.let_go(results)
    away.start()
    stage.level()


def test_whoever_kept_its_directory_is_never_refused() -> None:
    stage = Stage(5, snapshot_s=1.0)
    for host in list(stage.cluster.hosts.values()):
        stage.writes(stage.leader, 10)
        host.crash(is_power_cut=True)
        stage.run(1.5)
        host.start()
        stage.until(lambda: stage.cluster.leader is not None)
    stage.level()


def test_an_old_copy_whose_start_is_cut_short_is_judged_by_what_its_log_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy that lacks nothing need not halt, however many starts it takes to read it."""
    stage = Stage()
    host = stage.followers[0]
    stage.writes(stage.leader, 3)
    stage.level()
    recover, tries = host.store.recover, iter((True, True, False))

    def cut_short() -> list[Record]:
        if next(tries, False):
            raise Crash
        return recover()

    monkeypatch.setattr(host.store, "recover", cut_short)
    stage.cluster.roll_back(host, host.store.copied())
    stage.run(10.0)
    assert host.is_running
    assert not host.is_rolled_back
