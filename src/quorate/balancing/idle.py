"""`join_idle`: instances without requests say so; requests go to them first."""

from collections import OrderedDict

from quorate.balancing.strategy import counted
from quorate.balancing.targets import ANY, Candidate, Demand
from quorate.balancing.turns import WeightedChoice
from quorate.base.ports import Rng

BUSY = 0.70
"""From this load on, who gets what no idle instance takes is chosen by two draws, not by weight."""


class JoinIdle(WeightedChoice):
    """`join_idle`: the instance that is idle longest; else by weight, or under load by two draws.

    An instance is idle when its last request ends, or when it reports that it has none.

    Cost: O(log n) while the idle ones are open.
    Source: Lu and others, "Join-Idle-Queue" (Performance 2011).

    Args:
        rng: For the draws.
        busy: Requests by slots from which two draws decide; infinite: never.
    """

    def __init__(self, rng: Rng, busy: float = BUSY) -> None:
        super().__init__(rng)
        self._busy = busy
        self._idle: OrderedDict[str, Candidate] = OrderedDict()
        self._in_flight = 0
        self._slots = 0

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Take an idle one, or draw."""
        for candidate in self._idle.values():
            if self.is_open(candidate, demand, now_s):
                return candidate
        if self._in_flight < self._busy * self._slots:
            return super().choose(demand, now_s)
        two = self._sampled(2, demand, now_s)
        return self._least(two, [(counted(each) + 1) / each.weight for each in two])

    def _added(self, candidate: Candidate, now_s: float) -> None:
        super()._added(candidate, now_s)
        self._slots += candidate.target.slots
        self._idle[candidate.id] = candidate

    def _removed(self, candidate: Candidate) -> None:
        super()._removed(candidate)
        self._slots -= candidate.target.slots
        self._in_flight -= candidate.in_flight
        self._idle.pop(candidate.id, None)

    def _started(self, candidate: Candidate, now_s: float) -> None:
        self._in_flight += 1
        self._idle.pop(candidate.id, None)

    def _released(self, candidate: Candidate) -> None:
        self._in_flight -= 1
        if not candidate.in_flight:
            self._idle[candidate.id] = candidate

    def _on_report(self, candidate: Candidate, now_s: float) -> None:
        if candidate.report is not None and candidate.report.in_flight:
            self._idle.pop(candidate.id, None)
        elif not candidate.in_flight:
            self._idle[candidate.id] = candidate
