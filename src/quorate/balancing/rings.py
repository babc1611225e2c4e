"""`consistent_hash` and `bounded_load`: keys and instances on a circle of hashes."""

import math
from bisect import bisect_left, insort
from collections.abc import Iterator

from quorate.balancing.hashes import hashed, mixed
from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.base.ports import Rng

POINTS = 100
"""On the circle per unit of weight: shares of equal instances then differ by about 10 %."""

POINTS_MAX = 2_000
"""Of one instance, whatever its weight."""

OVERLOAD = 0.25


class ConsistentHash(Strategy):
    """`consistent_hash`: the first instance at or after the key's hash on the circle.

    A newcomer takes about 1/n of the keys, from all others; who leaves gives its own away, and no
    other key moves. Points are by the weight of the registration: ejection (factor 0) makes a key
    pass on to the next one on the circle, other factors move no key.

    Cost: O(log(n * points)) per choice while most are open; a change of members moves 100 points
        per unit of weight in a sorted list.
    Source: Karger and others, "Consistent Hashing and Random Trees" (1997).
    """

    def __init__(self, rng: Rng, points: int = POINTS) -> None:
        super().__init__(rng)
        self._points = points
        self._circle: list[tuple[int, str]] = []

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the first open one from the key on."""
        for candidate in self._from(demand.key):
            if self.is_open(candidate, demand, now_s):
                return candidate
        return None

    def _from(self, key: bytes) -> Iterator[Candidate]:
        """All members in the order in which they follow the key on the circle."""
        circle = self._circle
        start = bisect_left(circle, (hashed(key), ""))
        seen: set[str] = set()
        for step in range(len(circle)):
            target_id = circle[(start + step) % len(circle)][1]
            if target_id not in seen:
                seen.add(target_id)
                yield self._by_id[target_id]
                if len(seen) == len(self.candidates):
                    return

    def _points_of(self, candidate: Candidate) -> list[tuple[int, str]]:
        count = min(max(round(self._points * candidate.target.weight), 1), POINTS_MAX)
        name = hashed(candidate.id.encode())
        return [(mixed(name, number), candidate.id) for number in range(count)]

    def _added(self, candidate: Candidate, now_s: float) -> None:
        for point in self._points_of(candidate):
            insort(self._circle, point)

    def _removed(self, candidate: Candidate) -> None:
        for point in self._points_of(candidate):
            del self._circle[bisect_left(self._circle, point)]


class BoundedLoad(ConsistentHash):
    """`bounded_load`: the first from the key on that has less than its part of all requests.

    With m requests in flight, the new one counted, instance i has at most
    ceil((1 + e) * m * w_i / sum of w), e = 0.25. So a key that everybody asks for is spread over
    as many instances as it needs, always the same ones first.

    Cost: as `ConsistentHash`, and O(n) at worst.
    Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).

    Args:
        rng: For the choice where exclusions leave none below the bound.
        overload: e.
        points: On the circle.
    """

    def __init__(self, rng: Rng, overload: float = OVERLOAD, points: int = POINTS) -> None:
        super().__init__(rng, points)
        self._overload = overload
        self._in_flight = 0
        self._weight = 0.0

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the first open one from the key on that is below its bound."""
        for candidate in self._from(demand.key):
            if candidate.in_flight < self.bound(candidate) and self.is_open(
                candidate, demand, now_s
            ):
                return candidate
        rest = self._open(demand, now_s)
        return self._least(rest, [(each.in_flight + 1) / each.weight for each in rest])

    def bound(self, candidate: Candidate) -> int:
        """Requests that it may have, if one more is given out."""
        if self._weight <= 0:
            return 0
        share = candidate.weight / self._weight
        return math.ceil((1 + self._overload) * (self._in_flight + 1) * share)

    def _added(self, candidate: Candidate, now_s: float) -> None:
        super()._added(candidate, now_s)
        self._weight += candidate.weight

    def _removed(self, candidate: Candidate) -> None:
        super()._removed(candidate)
        self._weight = max(self._weight - candidate.weight, 0.0)
        self._in_flight -= candidate.in_flight

    def _reweighted(self, candidate: Candidate, change: float) -> None:
        self._weight = max(self._weight + change, 0.0)

    def _started(self, candidate: Candidate, now_s: float) -> None:
        self._in_flight += 1

    def _released(self, candidate: Candidate) -> None:
        self._in_flight -= 1
