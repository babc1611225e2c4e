"""Seeds run, repeat themselves, and shrink when they fail."""

import os
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from quorate.base.domain import Domain
from quorate.domains import DOMAINS
from quorate.machine.engine import assembled
from quorate.sim.cluster import Make, SimCluster
from quorate.sim.faults import FAULTS, Fault
from quorate.sim.minimise import minimise
from quorate.sim.run import run
from quorate.sim.swarm import HORIZON_S, Plan, plan_of
from quorate.sim.workload import WorkloadProfile
from quorate.sim.world import World


@pytest.mark.parametrize("seed", range(24))
def test_a_seed_ends_well(seed: int) -> None:
    result = run(plan_of(seed, 12.0))

    assert result.failure == ""


def test_a_session_does_not_expire_before_its_logged_time() -> None:
    """These two once found an expiry that a deposed leader had judged by its own clock."""
    for seed in (5, 51):
        assert run(plan_of(seed)).failure == ""


def test_an_output_alone_wakes_nobody_and_need_not() -> None:
    """It takes no index (CTG-4): this seed changes one that a client waits for."""
    assert run(plan_of(1012)).failure == ""


def test_a_link_that_flaps_stops_when_faults_end() -> None:
    """A fault that had not ended by then went on: seed 2501673, two nodes that never met again."""
    world = World("flapping")
    cluster = SimCluster(world, Make(profile=WorkloadProfile(clients=0)))
    cluster.start()
    world.run(5.0)
    fault = Fault(0.0, "flapping", 100.0, 1)
    assert FAULTS["flapping"](cluster, Random(1), fault) is not None
    names = list(cluster.hosts)

    def is_cut() -> bool:
        return any(cluster.network.is_cut(one, other) for one in names for other in names)

    assert world.run_while(lambda: not is_cut(), world.now + 10.0)
    cluster.end_faults()
    assert not is_cut()
    assert not world.run_while(lambda: not is_cut(), world.now + 10.0)


@pytest.mark.slow
def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    lines: set[str] = set()
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "quorate.sim", "--seed", "7"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        lines.add(done.stdout)
    assert len(lines) == 1
    assert "seed 7 ok" in lines.pop()


FAULTS_MIN = 8


def plan_with_faults(horizon_s: float = HORIZON_S) -> Plan:
    """The plan of the first seed that draws many faults; some draw none."""
    plans = (plan_of(seed, horizon_s) for seed in range(200))
    return next(plan for plan in plans if len(plan.faults) >= FAULTS_MIN)


def test_leaving_out_a_fault_changes_nothing_before_it() -> None:
    plan = plan_with_faults(12.0)
    last = plan.faults[-1]
    shorter = msgspec.structs.replace(plan, faults=plan.faults[:-1])
    traces: list[list[str]] = []
    for one in (plan, shorter):
        lines: list[str] = []
        run(one, lines.append)
        traces.append([line for line in lines if float(line.split()[0]) < last.at_s])

    assert traces[0] == traces[1]


def test_every_kind_of_fault_happens_in_some_seed() -> None:
    kinds = {fault.kind for seed in range(200) for fault in plan_of(seed).faults}

    assert kinds == set(FAULTS)


def with_notes(domain: Domain, seen: set[str]) -> Domain:
    """The domain, whose part of the model notes the commands, facts and questions that it meets."""

    def noting(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def note(model: Any, command: Any) -> Any:
            seen.add(type(command).__name__)
            return handler(model, command)

        return note

    model = {each: noting(handler) for each, handler in domain.simulation.model.items()}
    simulation = msgspec.structs.replace(domain.simulation, model=model)
    return msgspec.structs.replace(domain, simulation=simulation)


def test_clients_do_all_that_domains_can_and_restore_the_state_meanwhile() -> None:
    """Else a checker that finds nothing says nothing."""
    seen, restores = set[str](), 0
    domains = assembled(with_notes(domain, seen) for domain in DOMAINS.all[1:])
    wanted = {each.__name__ for domain in domains.all[1:] for each in domain.simulation.model}
    for seed in range(140, 240):
        result = run(plan_of(seed, 12.0, domains))
        assert result.failure == ""
        restores += result.operations["restores"]
        if seen >= wanted and restores:
            break
    assert (wanted - seen, restores > 0) == (set(), True)


def test_a_failing_plan_shrinks_to_the_fault_that_matters() -> None:
    plan = plan_with_faults()
    guilty = plan.faults[len(plan.faults) // 2]

    def fails(candidate: Plan) -> bool:
        return guilty in candidate.faults

    small = minimise(plan, fails)

    assert guilty in small.faults
    assert len(small.faults) < len(plan.faults) / 4
    assert isinstance(guilty, Fault)
