"""`orca_weighted_round_robin`: weights from what instances report of their rate and utilisation."""

import math
from typing import NamedTuple

from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.balancing.turns import SmoothRoundRobin
from quorate.base.ports import Rng

BLACKOUT_S = 10.0
EXPIRY_S = 180.0
ERROR_PENALTY = 1.0


class ReportedWeight(NamedTuple):
    """What the reports of an instance come to.

    Attributes:
        weight: Requests a second by utilisation; 0 if the reports do not say.
        since_s: Of the first report of an unbroken series.
        updated_s: Of the last one.
    """

    weight: float
    since_s: float
    updated_s: float


class OrcaRoundRobin(SmoothRoundRobin):
    """`orca_weighted_round_robin`: smooth, with w_i = q_i / (u_i + e_i / q_i * penalty).

    An instance whose reports began less than 10 s ago, or ended more than 3 min ago, has the mean
    weight of the others. The weight of its registration multiplies.

    Cost: O(n).
    Source: gRPC proposal A58, client-side weighted round robin.

    Args:
        rng: Not used.
        blackout_s: That a newcomer's reports do not count yet.
        expiry_s: That a report counts.
        error_penalty: Utilisation that one error per request adds.
    """

    def __init__(
        self,
        rng: Rng,
        *,
        blackout_s: float = BLACKOUT_S,
        expiry_s: float = EXPIRY_S,
        error_penalty: float = ERROR_PENALTY,
    ) -> None:
        super().__init__(rng)
        self._blackout_s = blackout_s
        self._expiry_s = expiry_s
        self._error_penalty = error_penalty
        self._reported: dict[str, ReportedWeight] = {}

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the one whose turn it is."""
        candidates = self._open(demand, now_s)
        known = [self.reported_weight(each.id, now_s) for each in candidates]
        valid = [each for each in known if each > 0]
        mean = sum(valid) / len(valid) if valid else 1.0
        weights = [
            (weight or mean) * each.weight for each, weight in zip(candidates, known, strict=True)
        ]
        return self._next(candidates, weights)

    def reported_weight(self, target_id: str, now_s: float) -> float:
        """Its weight by its reports; 0 while these do not count."""
        known = self._reported.get(target_id)
        if known is None or now_s - known.updated_s >= self._expiry_s:
            return 0.0
        return known.weight if now_s - known.since_s >= self._blackout_s else 0.0

    def _removed(self, candidate: Candidate) -> None:
        super()._removed(candidate)
        self._reported.pop(candidate.id, None)

    def _on_report(self, candidate: Candidate, now_s: float) -> None:
        report = candidate.report
        if report is None:
            return
        used = report.cpu if report.utilisation is None else report.utilisation
        rate = report.requests_per_s
        if rate <= 0 or used <= 0:
            return  # it says nothing of what it could do
        weight = rate / (used + report.errors_per_s / rate * self._error_penalty)
        known = self._reported.get(candidate.id, ReportedWeight(0.0, now_s, -math.inf))
        is_series = now_s - known.updated_s < self._expiry_s
        since_s = known.since_s if is_series else now_s
        self._reported[candidate.id] = ReportedWeight(weight, since_s, now_s)
