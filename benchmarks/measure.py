"""One workload on one system: rate, latency, and the CPU time it took on each member."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import load, processes
from benchmarks.pools import Workload
from benchmarks.systems import MEMBERS, System


class Run(NamedTuple):
    """One run of one workload.

    Attributes:
        load: What the generator saw.
        cpu_us: CPU time of all members together per request.
        leader_cpu_us: The leader's part of it.
        follower_cpu_us: The mean part of a follower.
    """

    load: load.Load
    cpu_us: float
    leader_cpu_us: float
    follower_cpu_us: float


class Summary(NamedTuple):
    """The medians of several runs of one workload on one system."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    leader_cpu_us: float
    follower_cpu_us: float
    errors: int


def run(system: System, workload: Workload, seconds: float) -> Run:
    """Load a system for some seconds; it must have its keys already."""
    leader = system.leader()
    target = leader if workload.via == "leader" else (leader + 1) % MEMBERS
    before_s = cpu_s(system)
    seen = load.run(
        system.address(target), system.requests(workload.verb), workload.connections, seconds
    )
    return attributed(seen, leader, before_s, cpu_s(system))


def cpu_s(system: System) -> list[float]:
    """CPU seconds used so far by each member."""
    return [processes.usage(system.pid(member)).cpu_s for member in range(MEMBERS)]


def attributed(
    seen: load.Load, leader: int, before_s: Sequence[float], after_s: Sequence[float]
) -> Run:
    """Divide the CPU time between two looks among the requests answered between them."""
    requests = max(1, seen.requests)
    used_us = [
        1e6 * (later - earlier) / requests for earlier, later in zip(before_s, after_s, strict=True)
    ]
    followers_us = [used for member, used in enumerate(used_us) if member != leader]
    return Run(seen, sum(used_us), used_us[leader], statistics.mean(followers_us))


def summary(runs: Sequence[Run]) -> Summary:
    """Medians, each figure for itself; errors are added up."""

    def median(figures: Sequence[float]) -> float:
        return statistics.median(figures)

    return Summary(
        median([each.load.per_s for each in runs]),
        median([each.load.p50_ms for each in runs]),
        median([each.load.p99_ms for each in runs]),
        median([each.cpu_us for each in runs]),
        median([each.leader_cpu_us for each in runs]),
        median([each.follower_cpu_us for each in runs]),
        sum(each.load.errors for each in runs),
    )
