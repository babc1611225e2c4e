"""`rendezvous` and `maglev`: keys to instances by the best hash, or by a table of them."""

import math

from quorate.balancing.hashes import BITS, hashed, mixed
from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.base.errors import invariant
from quorate.base.ports import Rng

TABLE_SIZE = 4093
"""A prime, 100 times the instances that shares within 1 % need: for about 40."""


class Rendezvous(Strategy):
    """`rendezvous`: each instance draws a number from the key and its name; the best one wins.

    Weights count exactly, those in force: a smaller factor moves only keys of that instance.

    Cost: O(n); nothing to keep, a change of members is O(1).
    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); with
        weights: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005).
    """

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self._names: dict[str, int] = {}

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the one that wins the key."""
        key = hashed(demand.key)
        best: Candidate | None = None
        most = -math.inf
        for candidate in self._open(demand, now_s):
            part = (mixed(key, self._names[candidate.id]) + 0.5) / (1 << BITS)
            score = -candidate.weight / math.log(part) if part < 1 else math.inf
            if best is None or score > most:
                best, most = candidate, score
        return best

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._names[candidate.id] = hashed(candidate.id.encode())

    def _removed(self, candidate: Candidate) -> None:
        del self._names[candidate.id]


class Maglev(Strategy):
    """`maglev`: a table in which each instance has its share of places, almost exactly.

    Shares are more even than on a circle, and a choice is a look into a list; in turn a change of
    members also moves a few keys of instances that stay. A key whose instance is not open goes to
    the next place of the table that is another's.

    Cost: O(1) per choice while most are open. The first choice after changes of members makes the
        table anew: O(size), some milliseconds for 4,093 places.
    Source: Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer"
        (NSDI 2016), 3.4.

    Args:
        rng: Not used.
        size: Of the table, a prime; 100 times as many as instances.
    """

    def __init__(self, rng: Rng, size: int = TABLE_SIZE) -> None:
        super().__init__(rng)
        invariant(size > 2 and all(size % each for each in range(2, math.isqrt(size) + 1)), "prime")
        self._size = size
        self._table: list[Candidate] = []

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Look the key up."""
        table = self.table
        start = hashed(demand.key) % self._size
        for step in range(len(table)):
            candidate = table[(start + step) % self._size]
            if self.is_open(candidate, demand, now_s):
                return candidate
        return None

    @property
    def table(self) -> list[Candidate]:
        """Who has which place; empty without members."""
        if not self._table:
            self._table = self._made()
        return self._table

    def _made(self) -> list[Candidate]:
        """The table: in turns, each takes the next free place of its own order, by weight."""
        members = sorted(
            (each for each in self.candidates if each.target.weight > 0), key=lambda each: each.id
        )
        if not members:
            return []
        size = self._size
        names = [hashed(each.id.encode()) for each in members]
        places = [name % size for name in names]
        steps = [name // size % (size - 1) + 1 for name in names]
        heaviest = max(each.target.weight for each in members)
        gains = [each.target.weight / heaviest for each in members]
        turns = [0.0] * len(members)
        table: list[Candidate | None] = [None] * size
        filled = 0
        while filled < size:
            for number, candidate in enumerate(members):
                turns[number] += gains[number]
                if turns[number] < 1:
                    continue
                turns[number] -= 1
                while table[places[number]] is not None:
                    places[number] = (places[number] + steps[number]) % size
                table[places[number]] = candidate
                filled += 1
                if filled == size:
                    break
        return [each for each in table if each is not None]

    def _added(self, candidate: Candidate, now_s: float) -> None:
        self._table = []

    def _removed(self, candidate: Candidate) -> None:
        self._table = []
