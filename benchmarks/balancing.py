"""How even each strategy is: `python -m benchmarks.balancing`, in virtual time.

    python -m benchmarks.balancing placement            slowdowns under 50, 80 and 90 % load
    python -m benchmarks.balancing noisy                workers that are slow for a while
    python -m benchmarks.balancing batch                makespan of a batch by its lower bound
    python -m benchmarks.balancing gates                what must hold; exit code 1 if it does not

The model is in `benchmarks.queueing`; the strategies are those that ship. A few policies are made
for comparison only, as the literature has them: argmin that takes the first of equal ones from a
random start, and own requests that are counted until the next report, even if they ended.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from benchmarks.queueing import Measured, Policy, Setting, run
from quorate.balancing.idle import JoinIdle
from quorate.balancing.least import LeastLoaded, LeastOutstanding, PeakEwma, PowerOfChoices
from quorate.balancing.probes import HotColdProbes
from quorate.balancing.strategy import reported, reported_and_sent
from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.balancing.turns import RoundRobin, SmoothRoundRobin, UniformChoice, WeightedChoice
from quorate.base.ports import Rng


class ScanFromRandomStart(LeastOutstanding):
    """Argmin as simple balancers have it: the first of equal ones wins, from a random start on."""

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Scan."""
        start = self._rng.randrange(len(self.candidates))
        order = self.candidates[start:] + self.candidates[:start]
        return min(order, key=lambda each: (self._outstanding(each) + 1) / each.weight)


class ReportsAndOwnSends(ScanFromRandomStart):
    """What was sent since the report is added, and not taken away when it ends."""

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng, lambda each: reported(each) + self._sent[each.id])
        self._sent: dict[str, int] = {}

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._sent[candidate.id] = 0

    def _started(self, candidate: Candidate, now_s: float) -> None:
        self._sent[candidate.id] += candidate.report is not None

    def _on_report(self, candidate: Candidate, now_s: float) -> None:
        self._sent[candidate.id] = 0


def _on_reports(rng: Rng) -> LeastOutstanding:
    return LeastOutstanding(rng, reported)


def _on_reports_scanned(rng: Rng) -> LeastOutstanding:
    return ScanFromRandomStart(rng, reported)


def _on_reports_and_sent(rng: Rng) -> LeastOutstanding:
    return LeastOutstanding(rng, reported_and_sent)


def _two_on_reports(rng: Rng) -> PowerOfChoices:
    return PowerOfChoices(rng, reported)


def _by_queue_alone(rng: Rng) -> JoinIdle:
    return JoinIdle(rng, math.inf)


POLICIES: dict[str, Policy] = {
    "random": Policy(UniformChoice),
    "round_robin": Policy(RoundRobin),
    "weighted_random": Policy(WeightedChoice),
    "weighted_round_robin": Policy(SmoothRoundRobin),
    "least_outstanding": Policy(LeastOutstanding),
    "least_outstanding, weights unknown": Policy(LeastOutstanding, is_weighted=False),
    "power_of_two": Policy(PowerOfChoices),
    "power of four": Policy(partial(PowerOfChoices, choices=4)),
    "argmin on reports 0.1 s old": Policy(_on_reports_scanned, 0.1),
    "argmin on reports 1 s old": Policy(_on_reports_scanned, 1.0),
    "argmin on reports 5 s old": Policy(_on_reports_scanned, 5.0),
    "the same, 1 s, ties at random": Policy(_on_reports, 1.0),
    "argmin on reports 1 s old and own sends": Policy(ReportsAndOwnSends, 1.0),
    "the same, 4 choosers": Policy(ReportsAndOwnSends, 1.0, 4),
    "reported_and_sent, 1 s": Policy(_on_reports_and_sent, 1.0),
    "reported_and_sent, 1 s, 4 choosers": Policy(_on_reports_and_sent, 1.0, 4),
    "power_of_two on reports 1 s old": Policy(_two_on_reports, 1.0),
    "power_of_two on reports 5 s old": Policy(_two_on_reports, 5.0),
    "join_idle": Policy(JoinIdle),
    "join_idle, never two draws": Policy(_by_queue_alone),
    "probe_hcl": Policy(HotColdProbes),
    "peak_ewma, weights unknown": Policy(PeakEwma, is_weighted=False),
    "least_loaded, all learned": Policy(LeastLoaded, is_weighted=False),
    "least_loaded, at most 1 in flight": Policy(LeastLoaded, window=1, is_weighted=False),
    "least_loaded, at most 2 in flight": Policy(LeastLoaded, window=2, is_weighted=False),
    "least_outstanding, at most 1 in flight": Policy(LeastOutstanding, window=1),
    "least_outstanding, at most 2 in flight": Policy(LeastOutstanding, window=2),
    "least_outstanding, at most 4 in flight": Policy(LeastOutstanding, window=4),
    "least_outstanding, at most 8 in flight": Policy(LeastOutstanding, window=8),
    "argmin on reports 1 s old, with stealing": Policy(_on_reports_scanned, 1.0, steals=True),
    "power_of_two on reports 1 s old, stealing": Policy(_two_on_reports, 1.0, steals=True),
    "round_robin, with stealing": Policy(RoundRobin, 1.0, steals=True),
}

NOISY = (
    "weighted_round_robin",
    "power_of_two on reports 1 s old",
    "probe_hcl",
    "least_outstanding",
    "least_loaded, all learned",
    "least_loaded, at most 1 in flight",
    "least_outstanding, at most 1 in flight",
    "least_outstanding, at most 2 in flight",
    "least_outstanding, at most 4 in flight",
    "power_of_two on reports 1 s old, stealing",
)

BATCH: dict[str, tuple[Policy, Setting]] = {
    "random": (POLICIES["random"], Setting()),
    "round_robin": (POLICIES["round_robin"], Setting()),
    "least_outstanding": (POLICIES["least_outstanding"], Setting()),
    "least_outstanding, at most 1 in flight": (
        POLICIES["least_outstanding, at most 1 in flight"],
        Setting(),
    ),
    "least_loaded, sizes known": (Policy(LeastLoaded), Setting(knows_sizes=True)),
    "at most 1 in flight, longest first": (
        POLICIES["least_outstanding, at most 1 in flight"],
        Setting(longest_first=True),
    ),
}


class Summary(NamedTuple):
    """Medians over seeds, and the range of p99."""

    p50: float
    p99: float
    p99_min: float
    p99_max: float
    imbalance: float


def summary(policy: Policy, setting: Setting, seeds: int) -> Summary:
    """Run some seeds, beginning with 0."""
    found: list[Measured] = [run(policy, setting, seed) for seed in range(seeds)]
    p99s = [each.p99 for each in found]
    return Summary(
        statistics.median(each.p50 for each in found),
        statistics.median(p99s),
        min(p99s),
        max(p99s),
        statistics.median(each.imbalance for each in found),
    )


def ratios(policy: Policy, setting: Setting, seeds: int) -> list[float]:
    """Makespan of a batch by its lower bound, sorted."""
    batch = setting._replace(load=math.inf)
    found = [run(policy, batch, seed) for seed in range(seeds)]
    return sorted(each.makespan_s / each.bound_s for each in found)


def gates(tasks: int, seeds: int) -> Iterator[tuple[str, bool]]:
    """What must hold of the medians at 80 % load, each with whether it does."""
    setting = Setting(tasks)
    exact = summary(POLICIES["least_outstanding"], setting, seeds)
    loaded = summary(POLICIES["least_loaded, all learned"], setting, seeds)
    window = summary(POLICIES["least_loaded, at most 1 in flight"], setting, seeds)
    control = summary(POLICIES["argmin on reports 1 s old"], setting, seeds)
    yield f"least_loaded: p99 {loaded.p99:.1f} <= 13", loaded.p99 <= 13
    share = loaded.p99 / exact.p99
    yield f"least_loaded: {share:.2f} <= 1.15 times exact argmin", share <= 1.15
    yield f"least_loaded, 1 in flight: p99 {window.p99:.1f} <= 6", window.p99 <= 6
    yield f"least_loaded: imbalance {loaded.imbalance:.1f} <= 3", loaded.imbalance <= 3
    yield f"argmin on old reports: p99 {control.p99:.0f} > 200", control.p99 > 200


def ranges(tasks: int, seeds: int) -> Iterator[tuple[str, bool]]:
    """The comparisons with an independent implementation of the model, which take longer."""
    for name, least, most in RANGES:
        p99 = summary(POLICIES[name], Setting(tasks), seeds).p99
        yield (
            f"{name}: p99 {least * 0.9:.1f} <= {p99:.1f} <= {most * 1.1:.1f}",
            least * 0.9 <= p99 <= most * 1.1,
        )
    for name, medians in MAKESPANS.items():
        policy, setting = BATCH[name]
        for count, wanted in zip(BATCHES, medians, strict=True):
            found = ratios(policy, setting._replace(tasks=count), GATE_SEEDS)
            median = statistics.median(found)
            yield (
                f"batch of {count}, {name}: {median:.2f} within 10 % of {wanted}",
                abs(median / wanted - 1) <= 0.10,
            )


BATCHES = (200, 1_000, 10_000)
BATCH_SEEDS = 30
GATE_SEEDS = 100  # the medians of 30 differ by up to 10 % from batch to batch

MAKESPANS: dict[str, tuple[float, float, float]] = {
    "random": (3.60, 3.31, 2.57),
    "round_robin": (3.45, 3.12, 2.59),
    "least_outstanding": (2.21, 1.84, 1.38),
    "least_outstanding, at most 1 in flight": (2.00, 1.60, 1.06),
    "least_loaded, sizes known": (1.31, 1.14, 1.02),
    "at most 1 in flight, longest first": (1.00, 1.00, 1.00),
}
"""Medians of the makespan of a batch by its bound, likewise."""

RANGES: tuple[tuple[str, float, float], ...] = (
    ("weighted_random", 199, 372),
    ("weighted_round_robin", 231, 454),
    ("power_of_two", 59, 101),
    ("power of four", 20, 23),
    ("argmin on reports 1 s old", 298, 364),
    ("argmin on reports 1 s old and own sends", 54, 76),
    ("power_of_two on reports 1 s old", 99, 134),
    ("join_idle, never two draws", 29, 51),
    ("probe_hcl", 20, 25),
    ("least_outstanding, at most 1 in flight", 3.4, 5.8),
)
"""p99 of each policy at 80 % load, as an independent implementation of the model found it."""


def _placement(tasks: int, seeds: int) -> None:
    print("| Policy | 50 %: p99 | 80 %: p50 | 80 %: p99 (range) | imbalance | 90 %: p99 |")
    print("|---|---|---|---|---|---|")
    for name, policy in POLICIES.items():
        half, most, full = (
            summary(policy, Setting(tasks, load), seeds) for load in (0.5, 0.8, 0.9)
        )
        print(
            f"| {name} | {half.p99:.3g} | {most.p50:.2g} | {most.p99:.3g} "
            f"({most.p99_min:.3g}–{most.p99_max:.3g}) | {most.imbalance:.1f} | {full.p99:.3g} |"
        )


def _noisy(tasks: int, seeds: int) -> None:
    print("| Policy | 60 %, slow for a while: p99 (range) |")
    print("|---|---|")
    for name in NOISY:
        found = summary(POLICIES[name], Setting(tasks, 0.6, is_noisy=True), seeds)
        print(f"| {name} | {found.p99:.3g} ({found.p99_min:.3g}–{found.p99_max:.3g}) |")


def _batch(_: int, seeds: int) -> None:
    print("| Policy | 200 tasks | 1,000 | 10,000 |")
    print("|---|---|---|---|")
    for name, (policy, setting) in BATCH.items():
        cells: list[str] = []
        for tasks in BATCHES:
            found = ratios(policy, setting._replace(tasks=tasks), seeds)
            p90 = found[math.ceil(0.9 * len(found)) - 1]
            cells.append(f"{statistics.median(found):.2f} ({p90:.2f})")
        print(f"| {name} | {' | '.join(cells)} |")


def _gates(tasks: int, seeds: int) -> int:
    is_held = True
    for text, holds in chain(gates(tasks, seeds), ranges(tasks, seeds)):
        print("ok  " if holds else "FAIL", text)
        is_held &= holds
    return 0 if is_held else 1


def main(words: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="How even each strategy is, in virtual time.")
    parser.add_argument("what", choices=["placement", "noisy", "batch", "gates"])
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=0, help="default: 15; batch 30")
    options = parser.parse_args(words)
    seeds = options.seeds or (BATCH_SEEDS if options.what == "batch" else 15)
    actions: dict[str, Callable[[int, int], int | None]] = {
        "placement": _placement, "noisy": _noisy, "batch": _batch, "gates": _gates,
    }  # fmt: skip
    return actions[options.what](options.tasks, seeds) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
