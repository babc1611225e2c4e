"""`bin_pack` and `spread`: by resources, for work that is shaped by memory or devices."""

from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import ANY, Candidate, Demand


class BinPack(Strategy):
    """`bin_pack`: the fullest instance that the demand still fits into; None if there is none.

    How full an instance is, is the used part of its scarcest resource. Few instances are full
    then, and the others free for what is large. O(n * resources).
    """

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the fullest that fits."""
        fitting, used = self._fitting(demand, now_s)
        return self._least(fitting, [-each for each in used])

    def _fitting(self, demand: Demand, now_s: float) -> tuple[list[Candidate], list[float]]:
        fitting: list[Candidate] = []
        used: list[float] = []
        for candidate in self._open(demand, now_s):
            after = candidate.utilisation(demand.needs)
            if after <= 1:
                fitting.append(candidate)
                used.append(after)
        return fitting, used


class Spread(BinPack):
    """`spread`: the instance whose scarcest resource is least used, if the demand fits."""

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take the emptiest that fits."""
        return self._least(*self._fitting(demand, now_s))
