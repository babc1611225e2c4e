"""What Quorate shall reach, as ratios to etcd's JSON gateway in the same run."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.measure import Summary


class Figures(NamedTuple):
    """All that was measured of one system; what was left out is missing.

    Attributes:
        workloads: By name, such as `put-64-leader`.
        client_per_s: Puts a second through our own client in Python, 64 at once.
        gap_s: The median fail-over gap.
    """

    workloads: Mapping[str, Summary]
    client_per_s: float | None = None
    gap_s: float | None = None


class Goal(NamedTuple):
    """One goal.

    Attributes:
        about: What is compared.
        limit: The ratio to reach.
        is_floor: True if the ratio must be at least `limit`, False if at most.
        ratio: Ours over theirs.
    """

    about: str
    limit: float
    is_floor: bool
    ratio: Callable[[Figures, Figures], float]

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio >= self.limit if self.is_floor else ratio <= self.limit


class Verdict(NamedTuple):
    """A goal and how it stands; `ratio` is None if a figure is missing."""

    goal: Goal
    ratio: float | None

    @property
    def word(self) -> str:
        """`ok`, `not yet`, or `not measured`."""
        if self.ratio is None:
            return "not measured"
        return "ok" if self.goal.is_met(self.ratio) else "not yet"


def _rate(name: str) -> Callable[[Figures, Figures], float]:
    return lambda ours, theirs: ours.workloads[name].per_s / theirs.workloads[name].per_s


def _known(value: float | None) -> float:
    if value is None:
        raise KeyError
    return value


def _follower_p50(ours: Figures, _: Figures) -> float:
    return ours.workloads["put-1-follower"].p50_ms / ours.workloads["put-1-leader"].p50_ms


def _cpu(ours: Figures, theirs: Figures) -> float:
    name = "put-64-leader"
    return ours.workloads[name].cpu_us / theirs.workloads[name].cpu_us


def _gap(ours: Figures, theirs: Figures) -> float:
    return _known(ours.gap_s) / _known(theirs.gap_s)


def _client(ours: Figures, theirs: Figures) -> float:
    return _known(ours.client_per_s) / theirs.workloads["put-64-leader"].per_s


GOALS = (
    Goal("PUT, 64 connections: rate over etcd's", 4.0, True, _rate("put-64-leader")),
    Goal("GET linearizable, 64 connections: rate over etcd's", 4.0, True, _rate("get-64-leader")),
    Goal("PUT, 1 connection: rate over etcd's", 1.2, True, _rate("put-1-leader")),
    Goal("PUT, 1 connection: p50 through a follower over the leader's", 2.0, False, _follower_p50),
    Goal("PUT, 64 connections: server CPU over etcd's", 0.2, False, _cpu),
    Goal("fail-over gap over etcd's", 0.5, False, _gap),
    Goal("our Python client, 64 puts at once, over etcd's PUT rate at 64", 3.0, True, _client),
)


def judged(ours: Figures, theirs: Figures) -> list[Verdict]:
    """How every goal stands."""
    verdicts: list[Verdict] = []
    for goal in GOALS:
        try:
            verdicts.append(Verdict(goal, goal.ratio(ours, theirs)))
        except (KeyError, ZeroDivisionError):
            verdicts.append(Verdict(goal, None))
    return verdicts
