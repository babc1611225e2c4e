"""The gates of the strategies in the model of queues, and that the model is the one described."""

import math
import random

import pytest

from benchmarks import balancing, queueing
from benchmarks.queueing import Policy, Setting, makespan_bound_s, size_of
from quorate.balancing.least import LeastOutstanding
from quorate.balancing.turns import RoundRobin


def test_the_strategies_that_ship_keep_their_gates() -> None:
    found = list(balancing.gates(tasks=40_000, seeds=7))
    assert [text for text, holds in found if not holds] == []
    assert len(found) == 5


@pytest.mark.soak
def test_every_figure_is_in_its_range() -> None:
    found = [*balancing.gates(60_000, 25), *balancing.ranges(60_000, 25)]
    assert [text for text, holds in found if not holds] == []


def test_sizes_are_bounded_pareto_with_their_mean() -> None:
    parts = [(number + 0.5) / 1_000_000 for number in range(1_000_000)]
    sizes = [size_of(part) for part in parts]
    assert sum(sizes) / len(sizes) == pytest.approx(queueing.MEAN_S, rel=0.01)
    assert size_of(0.0) == pytest.approx(queueing.SMALLEST_S)
    assert size_of(1.0) == pytest.approx(queueing.SMALLEST_S * queueing.SPAN)
    assert sum(queueing.SPEEDS) == 22.5


def test_one_task_at_a_time_is_slowed_by_its_worker_alone() -> None:
    policy = Policy(LeastOutstanding, window=1)
    measured = queueing.run(policy, Setting(400, 0.0001), seed=1)
    assert measured.p99 == pytest.approx(0.5)  # the fast ones are idle
    assert queueing.run(Policy(RoundRobin), Setting(400, 0.0001), seed=1).p99 == pytest.approx(2.0)


def test_a_run_is_its_seed() -> None:
    setting = Setting(2_000, is_noisy=True)
    policy = balancing.POLICIES["power_of_two on reports 1 s old, stealing"]
    runs = [queueing.run(policy, setting, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_no_batch_ends_before_its_bound() -> None:
    for name, (policy, setting) in balancing.BATCH.items():
        found = balancing.ratios(policy, setting._replace(tasks=200), 5)
        assert found[0] >= 1 - 1e-9, name
    assert makespan_bound_s([9.0, 1.0]) == 4.5
    assert makespan_bound_s([1.0] * 225) == 10.0


def test_stealing_and_noise_end_every_task_once() -> None:
    rng = random.Random(1)
    for name in ("round_robin, with stealing", "least_loaded, at most 2 in flight"):
        simulation = queueing.Simulation(
            balancing.POLICIES[name], Setting(3_000, is_noisy=True), rng.randrange(1000)
        )
        measured = simulation.run()
        assert len(simulation.slowdowns) == 3_000
        assert all(each.in_flight == 0 for each in simulation.strategies[0].candidates)
        assert math.isfinite(measured.p99)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert balancing.main(["noisy", "--tasks", "300", "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(balancing.NOISY) + 2
    assert balancing.main(["batch", "--seeds", "1"]) == 0
    assert balancing.main(["placement", "--tasks", "300", "--seeds", "1"]) == 0
