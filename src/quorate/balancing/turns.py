"""Strategies that look at no count: by chance, in turn, by weight."""

from collections import OrderedDict

from quorate.balancing.strategy import TRIES, Strategy
from quorate.balancing.sums import PrefixSums
from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.base.ports import Rng


class UniformChoice(Strategy):
    """`random`: uniform over the open ones. O(1)."""

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Draw one."""
        return self._drawn(demand, now_s)


class WeightedChoice(Strategy):
    """`weighted_random`: P(i) = w_i / sum of w, over the open ones.

    Cost: O(log n) per choice while most of the weight is open, and per change of members.
    """

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self._sums = PrefixSums()

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Draw one by weight."""
        for _ in range(TRIES):
            total = self._sums.total
            if total <= 0:
                break
            candidate = self.candidates[self._sums.find(self._rng.random() * total)]
            if self.is_open(candidate, demand, now_s):
                return candidate
        return self._by_weight(self._open(demand, now_s))

    def _by_weight(self, candidates: list[Candidate]) -> Candidate | None:
        rest = self._rng.random() * sum(each.weight for each in candidates)
        for candidate in candidates:
            rest -= candidate.weight
            if rest < 0:
                return candidate
        return candidates[-1] if candidates else None

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._sums.append(candidate.weight)

    def _removed(self, candidate: Candidate) -> None:
        self._sums.remove(candidate.position)

    def _reweighted(self, candidate: Candidate, change: float) -> None:
        self._sums.set(candidate.position, candidate.weight)


class RoundRobin(Strategy):
    """`round_robin`: the next one in the order of arrival; what is not open loses its turn.

    Cost: O(1) while most are open, else O(n).
    """

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self._order: OrderedDict[str, Candidate] = OrderedDict()

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the first, which becomes the last."""
        order = self._order
        for _ in range(len(order)):
            candidate = next(iter(order.values()))
            order.move_to_end(candidate.id)
            if self.is_open(candidate, demand, now_s):
                return candidate
        return None

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._order[candidate.id] = candidate

    def _removed(self, candidate: Candidate) -> None:
        del self._order[candidate.id]


class SmoothRoundRobin(Strategy):
    """`weighted_round_robin`, smooth: heavy ones come often, and not several times in a row.

    Each open one gains its weight; the largest sum wins and pays what all gained together.

    Cost: O(n).
    Source: nginx, "Upstream: smooth weighted round-robin balancing" (2012).
    """

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self._sums: dict[str, float] = {}

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the one whose turn it is."""
        candidates = self._open(demand, now_s)
        return self._next(candidates, [each.weight for each in candidates])

    def _next(self, candidates: list[Candidate], weights: list[float]) -> Candidate | None:
        best: Candidate | None = None
        most = 0.0
        sums = self._sums
        for candidate, weight in zip(candidates, weights, strict=True):
            sums[candidate.id] = reached = sums[candidate.id] + weight
            if best is None or reached > most:
                best, most = candidate, reached
        if best is not None:
            sums[best.id] -= sum(weights)
        return best

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._sums[candidate.id] = 0.0

    def _removed(self, candidate: Candidate) -> None:
        del self._sums[candidate.id]
