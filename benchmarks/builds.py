"""Two builds of Quorate, measured in alternating rounds: did a change make it slower?

A machine swings by a third from round to round, so each round measures both builds, one right
after the other and in alternating order, and only ratios within a round count. The median of
their ratios is the verdict; the quartiles tell how far it can be trusted.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.measure import Run

AFTER = "quorate"
BEFORE = "before"
ROUNDS_MIN = 9
"""Fewer rounds do not tell 5 % from noise."""


class Change(NamedTuple):
    """How a workload changed; every figure is this build's over the other's.

    Attributes:
        rounds: How many there were.
        rate: Median of the rounds' ratios of requests a second; so the other figures.
        rate_low, rate_high: Quartiles of it.
    """

    workload: str
    rounds: int
    rate: float
    rate_low: float
    rate_high: float
    p50: float
    p99: float
    cpu: float


def changes(runs: Mapping[str, Mapping[str, Sequence[Run]]]) -> list[Change]:
    """Compare the builds `quorate` and `before`, workload by workload.

    Args:
        runs: System name to workload name to its runs, in the order of rounds.
    """
    before = runs.get(BEFORE, {})
    return [
        _change(name, list(zip(after, before[name], strict=False)))
        for name, after in runs.get(AFTER, {}).items()
        if before.get(name)
    ]


def _change(workload: str, pairs: Sequence[tuple[Run, Run]]) -> Change:
    rates = [after.load.per_s / before.load.per_s for after, before in pairs]
    low, _, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else rates * 3
    return Change(
        workload,
        len(pairs),
        statistics.median(rates),
        low,
        high,
        statistics.median(after.load.p50_ms / before.load.p50_ms for after, before in pairs),
        statistics.median(after.load.p99_ms / before.load.p99_ms for after, before in pairs),
        statistics.median(after.cpu_us / before.cpu_us for after, before in pairs),
    )
