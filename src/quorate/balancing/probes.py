"""`probe_hcl`: a pool of recent answers of instances about their own load, as in Prequal."""

import msgspec

from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.base.ports import Rng

POOL_MAX = 16
AGE_MAX_S = 1.0
HOT_QUANTILE = 0.84
PROBES_PER_REQUEST = 3


class PooledProbe(msgspec.Struct):
    """One answer: an instance's own requests in flight and latency.

    Attributes:
        candidate: Who answered.
        in_flight: It had, and was sent since.
        latency_s: That it estimates for one more.
        probed_s: When it answered.
    """

    candidate: Candidate
    in_flight: int
    latency_s: float
    probed_s: float


class HotColdProbes(Strategy):
    """`probe_hcl`: of the cold probes the least latency; none cold: the fewest in flight.

    A probe is hot if its requests in flight reach the 0.84 quantile of the pool: at equal counts
    nobody is cold, and the count decides. The probe that decided is used up; what is left of the
    same instance counts one request more, with its latency. Without a probe the choice is uniform.

    The caller asks the instances that `wanted` names for their load, and hands what they answer to
    `on_probe`: `PROBES_PER_REQUEST` for each request, beside it and not before it.

    Cost: O(pool), 16.
    Source: Wydrowski and others, "Load is not what you should balance" (NSDI 2024).
    """

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self._pool: list[PooledProbe] = []

    def wanted(self, now_s: float, count: int = PROBES_PER_REQUEST) -> list[Candidate]:
        """Distinct instances that should be asked now."""
        return self._sampled(count, ANY, now_s)

    def on_probe(self, target_id: str, in_flight: int, latency_s: float, now_s: float) -> None:
        """Keep an answer; the oldest one goes when the pool is full."""
        candidate = self.get(target_id)
        if candidate is None:
            return
        if len(self._pool) == POOL_MAX:
            del self._pool[0]
        self._pool.append(PooledProbe(candidate, in_flight, latency_s, now_s))

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the best probe, and use it up."""
        oldest_s = now_s - AGE_MAX_S
        self._pool = [each for each in self._pool if each.probed_s >= oldest_s]
        probes = [each for each in self._pool if self.is_open(each.candidate, demand, now_s)]
        if not probes:
            return self._drawn(demand, now_s)
        counts = sorted(each.in_flight for each in probes)
        hot = counts[int(HOT_QUANTILE * len(counts))]
        cold = [each for each in probes if each.in_flight < hot]
        if cold:
            best = min(cold, key=lambda each: each.latency_s)
        else:
            best = min(probes, key=lambda each: each.in_flight)
        self._pool = [each for each in self._pool if each is not best]
        for each in self._pool:
            if each.candidate is best.candidate:
                each.latency_s *= (each.in_flight + 2) / (each.in_flight + 1)
                each.in_flight += 1
        return best.candidate

    def _removed(self, candidate: Candidate) -> None:
        self._pool = [each for each in self._pool if each.candidate is not candidate]
