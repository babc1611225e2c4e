"""How long a function is expected to run: learned from its runs."""

from collections import OrderedDict

UNKNOWN_S = 0.5
"""Of a function that was not run yet."""

MEAN_RUNS = 100
WEIGHT = 0.01
"""The mean of the first runs, then a moving average in which one run has this weight."""

FUNCTIONS_MAX = 1000


class CostModel:
    """Expected seconds by function.

    Bounded: the function that was used least recently is forgotten first.

    Cost: O(1).
    """

    def __init__(self) -> None:
        self._costs: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def expected_s(self, function: str) -> float:
        """Seconds that its next run will take."""
        known = self._costs.get(function)
        return UNKNOWN_S if known is None else known[1]

    def observe(self, function: str, seconds: float) -> None:
        """Learn from one run."""
        runs, mean_s = self._costs.get(function, (0, 0.0))
        runs = min(runs + 1, MEAN_RUNS)
        weight = 1 / runs if runs < MEAN_RUNS else WEIGHT
        self._costs[function] = (runs, mean_s + weight * (seconds - mean_s))
        self._costs.move_to_end(function)
        if len(self._costs) > FUNCTIONS_MAX:
            self._costs.popitem(last=False)
