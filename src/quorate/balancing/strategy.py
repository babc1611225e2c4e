"""The protocol of a strategy, and what all have in common: the members and their counts.

    candidate = strategy.choose(demand, now_s)         # None: no instance may take it now
    grant = strategy.on_start(candidate, demand, now_s)
    strategy.on_end(grant, now_s, is_ok=True)

`choose` changes at most the strategy's own turn or list, never a count: it may be asked and not
followed. Members come and go one by one, each at the cost that the strategy states; unless it
says otherwise, in O(1). What is not open to a demand is never chosen: weight 0, no free place
(`Target.in_flight_max`), memory reported as full, or excluded by the demand.
"""

from collections.abc import Callable

from quorate.balancing.targets import ANY, Candidate, Demand, Grant, LoadReport, Target
from quorate.base.errors import invariant
from quorate.base.ports import Rng

MEMORY_FULL = 0.80
"""An instance that reports so much of its memory in use gets nothing."""

REPORT_EXPIRY_S = 3.0
"""A report older than this says nothing any more: three intervals of 1 s."""

TRIES = 8
"""Random draws that may meet an instance that is not open, before all are looked at."""

Outstanding = Callable[[Candidate], float]
"""How many requests a candidate has, as the chooser believes."""


def counted(candidate: Candidate) -> float:
    """What this chooser gave it: exact if nobody else gives it any."""
    return candidate.in_flight


def reported(candidate: Candidate) -> float:
    """What it reported last. All choosers send to the same one until the next report: a warning."""
    return candidate.in_flight if candidate.report is None else candidate.report.in_flight


def reported_and_sent(candidate: Candidate) -> float:
    """What it reported last, and what this chooser gave it since: for several choosers."""
    if candidate.report is None:
        return candidate.in_flight
    return candidate.report.in_flight + candidate.since_report


class Strategy:
    """Members with counts, and no rule yet: `choose` is what the strategies add.

    Args:
        rng: Every random choice comes from it, so a seed repeats a run.
        report_expiry_s: Age at which a load report is ignored.
    """

    def __init__(self, rng: Rng, *, report_expiry_s: float = REPORT_EXPIRY_S) -> None:
        self._rng = rng
        self._report_expiry_s = report_expiry_s
        self.candidates: list[Candidate] = []
        self._by_id: dict[str, Candidate] = {}

    # --- members

    def get(self, target_id: str) -> Candidate | None:
        """The member of that name, or None."""
        return self._by_id.get(target_id)

    def add(self, target: Target, now_s: float) -> Candidate:
        """Make it a member. One of this name must not be there."""
        invariant(target.id not in self._by_id, "an instance is added once")
        candidate = Candidate(target, len(self.candidates))
        self.candidates.append(candidate)
        self._by_id[target.id] = candidate
        self._added(candidate, now_s)
        return candidate

    def remove(self, target_id: str) -> None:
        """Drop a member and all that is known of it; unknown names are ignored."""
        candidate = self._by_id.pop(target_id, None)
        if candidate is None:
            return
        self._removed(candidate)
        last = self.candidates.pop()
        if last is not candidate:
            self.candidates[candidate.position] = last
            last.move_to(candidate.position)

    def set_factor(self, target_id: str, factor: float) -> None:
        """Multiply a member's weight, 0 (not chosen) to 1; unknown names are ignored."""
        if (candidate := self._by_id.get(target_id)) is not None:
            before = candidate.weight
            candidate.set_factor(factor)
            self._reweighted(candidate, candidate.weight - before)

    # --- requests

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Where a request goes, or None: nobody is open to it now."""
        raise NotImplementedError

    def on_start(self, candidate: Candidate, demand: Demand, now_s: float) -> Grant:
        """Count a request that is sent to a candidate."""
        grant = Grant(candidate, demand, self._expected_s(demand), now_s)
        candidate.take(grant.cost_s, grant.needs)
        if self._is_member(candidate):
            self._started(candidate, now_s)
        return grant

    def on_end(
        self, grant: Grant, now_s: float, *, is_ok: bool = True, service_s: float | None = None
    ) -> None:
        """Count its end; called once per grant.

        Args:
            grant: From `on_start`.
            now_s: The time.
            is_ok: Whether it was carried out.
            service_s: Time that it ran, without waiting; else the time since the start counts.
        """
        candidate = grant.candidate
        self.on_abandoned(grant)
        candidate.observe_end(is_ok=is_ok)
        if self._is_member(candidate):
            elapsed_s = now_s - grant.started_s
            self._ended(grant, now_s, elapsed_s if service_s is None else service_s, is_ok)

    def on_abandoned(self, grant: Grant) -> None:
        """Count the end of a request whose result is not known, in place of `on_end`.

        Nothing is learned from it: how long it would have taken is not known either.
        """
        grant.candidate.give_back(grant)
        if self._is_member(grant.candidate):
            self._released(grant.candidate)

    def on_load(self, target_id: str, report: LoadReport, now_s: float) -> None:
        """Keep the last report of a member; unknown names are ignored."""
        if (candidate := self._by_id.get(target_id)) is not None:
            candidate.on_report(report, now_s)
            self._on_report(candidate, now_s)

    # --- what a strategy adds

    def _added(self, candidate: Candidate, now_s: float) -> None:
        pass

    def _removed(self, candidate: Candidate) -> None:
        pass

    def _reweighted(self, candidate: Candidate, change: float) -> None:
        pass

    def _started(self, candidate: Candidate, now_s: float) -> None:
        pass

    def _released(self, candidate: Candidate) -> None:
        pass

    def _ended(self, grant: Grant, now_s: float, service_s: float, is_ok: bool) -> None:
        pass

    def _on_report(self, candidate: Candidate, now_s: float) -> None:
        pass

    def _expected_s(self, demand: Demand) -> float:
        return 0.0

    # --- for strategies

    def _is_member(self, candidate: Candidate) -> bool:
        return self._by_id.get(candidate.id) is candidate

    def is_open(self, candidate: Candidate, demand: Demand, now_s: float) -> bool:
        """Whether a candidate may take a request of that demand now. O(1)."""
        if candidate.weight <= 0 or candidate.in_flight >= candidate.target.in_flight_max:
            return False
        report = candidate.report
        if (
            report is not None
            and report.memory >= MEMORY_FULL
            and now_s - candidate.report_s < self._report_expiry_s
        ):
            return False
        return candidate.id not in demand.excluded

    def _open(self, demand: Demand, now_s: float) -> list[Candidate]:
        """All that may take it. O(n)."""
        is_open = self.is_open
        return [each for each in self.candidates if is_open(each, demand, now_s)]

    def _drawn(self, demand: Demand, now_s: float) -> Candidate | None:
        """One of those, uniformly. O(1) while most are open."""
        candidates = self.candidates
        if not candidates:
            return None
        for _ in range(TRIES):
            candidate = candidates[self._rng.randrange(len(candidates))]
            if self.is_open(candidate, demand, now_s):
                return candidate
        return self._any_of(self._open(demand, now_s))

    def _sampled(self, count: int, demand: Demand, now_s: float) -> list[Candidate]:
        """Up to so many distinct ones, uniformly. O(count) while most are open, else O(n)."""
        candidates, randrange = self.candidates, self._rng.randrange
        if not candidates:
            return []
        drawn: list[Candidate] = []
        for _ in range(TRIES):
            candidate = candidates[randrange(len(candidates))]
            if candidate not in drawn and self.is_open(candidate, demand, now_s):
                drawn.append(candidate)
                if len(drawn) == count:
                    return drawn
        rest = self._open(demand, now_s)
        if len(rest) > count:
            for place in range(count):  # the first draws of a shuffle
                other = place + randrange(len(rest) - place)
                rest[place], rest[other] = rest[other], rest[place]
            del rest[count:]
        return rest

    def _any_of(self, candidates: list[Candidate]) -> Candidate | None:
        """One of a list, uniformly; None of an empty one."""
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        return candidates[self._rng.randrange(len(candidates))]

    def _least(
        self, candidates: list[Candidate], scores: list[float], tolerance: float = 0.0
    ) -> Candidate | None:
        """One of those with the least score, or up to that part above it; at random."""
        if not candidates:
            return None
        limit = min(scores) * (1 + tolerance)
        return self._any_of(
            [each for each, score in zip(candidates, scores, strict=True) if score <= limit]
        )
