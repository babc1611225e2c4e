"""Strategies that compare counts: all of them, or those of a few drawn at random.

With the exact counts of one chooser a full scan is best. With counts that are old, all choosers
send to the same instance until they learn better; two random draws stay good (docs/balancing.md).
"""

import math

from quorate.balancing.costs import CostModel
from quorate.balancing.strategy import (
    REPORT_EXPIRY_S,
    Outstanding,
    Strategy,
    counted,
)
from quorate.balancing.targets import ANY, Candidate, Demand, Grant
from quorate.base.ports import Rng

PEAK_DECAY_S = 10.0
FAILURE_S = 1.0
"""Latency, at least, for which a failure counts: what fails fast must not look fast."""

TIE = 0.05
"""Sums within this part of the least are equal; chance among them keeps choosers apart."""

CPU_WEIGHT, MEMORY_WEIGHT, CUSTOM_WEIGHT, ERROR_WEIGHT = 0.25, 0.25, 0.25, 1.0


class LeastOutstanding(Strategy):
    """`least_outstanding`: argmin of (a_i + 1) / w_i. O(n).

    Args:
        rng: Breaks ties.
        outstanding: What a_i is: `counted`, or for a comparison `reported`, `reported_and_sent`.
    """

    def __init__(self, rng: Rng, outstanding: Outstanding = counted) -> None:
        super().__init__(rng)
        self._outstanding = outstanding

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the one with the fewest by weight."""
        candidates = self._open(demand, now_s)
        count = self._outstanding
        return self._least(candidates, [(count(each) + 1) / each.weight for each in candidates])


class PowerOfChoices(Strategy):
    """`power_of_two`, or JSQ(d): of d distinct random ones, that with the least (a_i + 1) / w_i.

    Cost: O(d) while most are open, else O(n).
    Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
    """

    def __init__(self, rng: Rng, outstanding: Outstanding = counted, choices: int = 2) -> None:
        super().__init__(rng)
        self._outstanding = outstanding
        self._choices = choices

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Draw some, take the best."""
        best: Candidate | None = None
        least = math.inf
        for candidate in self._sampled(self._choices, demand, now_s):
            cost = self._cost(candidate, now_s)
            if best is None or cost < least:
                best, least = candidate, cost
        return best

    def _cost(self, candidate: Candidate, now_s: float) -> float:
        return (self._outstanding(candidate) + 1) / candidate.weight


class PeakEwma(PowerOfChoices):
    """`peak_ewma`: two choices on latency times (a_i + 1), by weight.

    The latency jumps to a new maximum and else decays towards what is seen; while an instance is
    idle it decays to 0, so that it is tried again. A failure is a latency of a second at least. One
    that was not seen yet costs nothing while it is idle.

    Cost: as `PowerOfChoices`.
    Source: Twitter, Finagle, "Peak EWMA" (`com.twitter.finagle.loadbalancer`).
    """

    def __init__(self, rng: Rng, decay_s: float = PEAK_DECAY_S) -> None:
        super().__init__(rng)
        self._decay_s = decay_s
        self._peaks: dict[str, tuple[float, float]] = {}  # latency, and when it was that

    def _cost(self, candidate: Candidate, now_s: float) -> float:
        latency_s, seen_s = self._peaks[candidate.id]
        if not candidate.in_flight:
            latency_s *= math.exp(min(seen_s - now_s, 0.0) / self._decay_s)
        elif not latency_s:
            latency_s = math.inf  # it has one, and nobody knows yet how long that takes
        return latency_s * (candidate.in_flight + 1) / candidate.weight

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._peaks[candidate.id] = (0.0, now_s)

    def _removed(self, candidate: Candidate) -> None:
        del self._peaks[candidate.id]

    def _ended(self, grant: Grant, now_s: float, service_s: float, is_ok: bool) -> None:
        latency_s, seen_s = self._peaks[grant.candidate.id]
        observed_s = now_s - grant.started_s
        if not is_ok:
            observed_s = max(observed_s, FAILURE_S)
        if observed_s < latency_s:
            kept = math.exp(min(seen_s - now_s, 0.0) / self._decay_s)
            observed_s += (latency_s - observed_s) * kept
        self._peaks[grant.candidate.id] = (observed_s, now_s)


class LeastLoaded(Strategy):
    """`least_loaded`: L(n) = argmin of the weighted load sum.

    L(i) = (R_i + c) / C_i + 0.25 cpu_i d + 0.25 memory_i d + custom terms + 1.0 errors_i, where c
    is the expected time of this function, R_i the sum of those granted and not ended, C_i slots
    times weight times learned speed, and d fades a report out while it ages.

    Cost: O(n).

    Args:
        rng: Breaks ties.
        report_expiry_s: Age at which a report has faded out: three intervals.
        weights: Of custom terms of reports by name; 0.25 if not named.
    """

    def __init__(
        self,
        rng: Rng,
        *,
        report_expiry_s: float = REPORT_EXPIRY_S,
        weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__(rng, report_expiry_s=report_expiry_s)
        self._weights = weights or {}
        self._costs = CostModel()

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the one with the least load; at random among those within 5 %."""
        candidates = self._open(demand, now_s)
        expected_s = self._expected_s(demand)
        loads = [self._load(each, expected_s, now_s) for each in candidates]
        return self._least(candidates, loads, TIE)

    def load(self, target_id: str, demand: Demand = ANY, now_s: float = 0.0) -> float:
        """L of one member, to explain a choice; infinite for others."""
        candidate = self.get(target_id)
        if candidate is None:
            return math.inf
        return self._load(candidate, self._expected_s(demand), now_s)

    def _load(self, candidate: Candidate, expected_s: float, now_s: float) -> float:
        capacity = candidate.target.slots * candidate.weight * candidate.speed
        load = (candidate.granted_s + expected_s) / capacity if capacity > 0 else math.inf
        load += ERROR_WEIGHT * candidate.error_share
        report = candidate.report
        if report is None:
            return load
        fresh = 1 - (now_s - candidate.report_s) / self._report_expiry_s
        if fresh <= 0:
            return load
        terms = CPU_WEIGHT * report.cpu + MEMORY_WEIGHT * report.memory
        for name, amount in report.custom.items():
            terms += self._weights.get(name, CUSTOM_WEIGHT) * amount
        return load + terms * min(fresh, 1.0)

    def _expected_s(self, demand: Demand) -> float:
        return demand.cost_s or self._costs.expected_s(demand.function)

    def _ended(self, grant: Grant, now_s: float, service_s: float, is_ok: bool) -> None:
        if not is_ok:
            return  # how long a failure took says nothing of the next success
        if service_s > 0:
            grant.candidate.observe_speed(grant.cost_s / service_s)
        self._costs.observe(grant.function, service_s)
