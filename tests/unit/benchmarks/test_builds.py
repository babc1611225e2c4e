"""Two builds are compared round by round."""

from pathlib import Path

import pytest

from benchmarks import builds, load
from benchmarks.__main__ import parsed, planned
from benchmarks.measure import Run
from benchmarks.systems import program_of


def run(per_s: int, ms: float, cpu_us: float) -> Run:
    return Run(load.Load(per_s, 1.0, ms, 2 * ms, 9 * ms, 0), cpu_us, cpu_us, cpu_us)


def test_ratios_are_of_one_round_and_their_median_counts() -> None:
    after = [run(200, 1.0, 10.0), run(90, 1.0, 10.0), run(1100, 1.0, 10.0)]
    before = [run(100, 2.0, 20.0), run(100, 2.0, 20.0), run(1000, 2.0, 20.0)]
    (change,) = builds.changes({builds.AFTER: {"put": after}, builds.BEFORE: {"put": before}})
    assert (change.workload, change.rounds, change.rate) == ("put", 3, 1.1)
    assert (change.p50, change.p99, change.cpu) == (0.5, 0.5, 0.5)
    assert change.rate_low == 0.9
    assert change.rate_high == 2.0


def test_a_single_round_has_no_spread() -> None:
    pair = {builds.AFTER: {"put": [run(3, 1, 1)]}, builds.BEFORE: {"put": [run(2, 1, 1)]}}
    (change,) = builds.changes(pair)
    assert (change.rate_low, change.rate, change.rate_high) == (1.5, 1.5, 1.5)


def test_without_another_build_there_is_nothing_to_compare() -> None:
    assert builds.changes({builds.AFTER: {"put": [run(3, 1, 1)]}}) == []


def test_nine_rounds_of_the_central_workloads_are_planned() -> None:
    plan = planned(parsed(["--before", "x"]))
    assert len(plan.workloads) == 9 * 4
    assert (plan.kills, plan.with_client) == (0, False)


def test_a_checkout_without_a_build_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make check"):
        program_of(tmp_path)
