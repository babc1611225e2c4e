"""A strategy with what a caller needs beside it: ejection, slow start, retry budget."""

import math
from collections.abc import Iterable

import msgspec

from quorate.balancing.outliers import Outliers, OutlierSettings
from quorate.balancing.retries import RetryBudget
from quorate.balancing.strategy import Strategy
from quorate.balancing.targets import ANY, Candidate, Demand, Grant, LoadReport, Target

ASSESS_S = 1.0
SLOW_START_MIN = 0.1


class SlowStart(msgspec.Struct, frozen=True):
    """Newcomers, and who comes back from ejection, get their share little by little.

    Attributes:
        window_s: Until it is whole; 0: at once.
        exponent: 1 is a straight line; more begins more slowly.
    """

    window_s: float = 0.0
    exponent: float = 1.0

    def factor(self, age_s: float) -> float:
        """Of the weight at that age, from 0.1 to 1."""
        if age_s >= self.window_s:
            return 1.0
        part: float = (max(age_s, 0.0) / self.window_s) ** self.exponent
        return max(part, SLOW_START_MIN)


class Balancer:
    """Chooses among the instances of one service, for one caller that sends all its requests here.

    Args:
        strategy: Without members; not used elsewhere.
        outliers: When an instance is one.
        slow_start: For newcomers. Who is there at the first `replace` is none.
        retries: Shared by callers if they are one client.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        outliers: OutlierSettings | None = None,
        slow_start: SlowStart | None = None,
        retries: RetryBudget | None = None,
    ) -> None:
        self._strategy = strategy
        self._outliers = Outliers(outliers)
        self._slow_start = slow_start or SlowStart()
        self._retries = retries or RetryBudget()
        self._targets: dict[str, Target] = {}
        self._starting: dict[str, float] = {}  # since when they are there, while that is new
        self._health: dict[str, float] = {}  # factors of outliers
        self._assess_s = -math.inf

    @property
    def strategy(self) -> Strategy:
        """The rule, with its members and counts."""
        return self._strategy

    @property
    def outliers(self) -> Outliers:
        """The evidence, to show it."""
        return self._outliers

    def replace(self, targets: Iterable[Target], now_s: float) -> None:
        """Make these the members. Who stays keeps counts and evidence.

        One whose weight, slots or capacity changed comes anew, with its evidence.

        Cost: O(n) to compare; changes at the cost of the strategy.
        """
        wanted = {each.id: each for each in targets}
        is_first = not self._targets
        for target_id, known in list(self._targets.items()):
            if wanted.get(target_id) != known:
                del self._targets[target_id]
                self._strategy.remove(target_id)
            if target_id not in wanted:
                self._outliers.remove(target_id)
                self._starting.pop(target_id, None)
                self._health.pop(target_id, None)
        for target_id, target in wanted.items():
            if target_id in self._targets:
                continue
            is_new = self._outliers.evidence(target_id) is None
            self._targets[target_id] = target
            self._strategy.add(target, now_s)
            self._outliers.add(target_id)
            if is_new and not is_first and self._slow_start.window_s > 0:
                self._starting[target_id] = now_s
            self._apply(target_id, now_s)

    def choose(self, demand: Demand = ANY, now_s: float = 0.0) -> Candidate | None:
        """Where a request goes; None: no instance may take it."""
        if now_s >= self._assess_s + ASSESS_S:
            self._assess(now_s)
        return self._strategy.choose(demand, now_s)

    def on_start(self, candidate: Candidate, demand: Demand, now_s: float) -> Grant:
        """Count a request that is sent."""
        if not demand.excluded:
            self._retries.on_request(now_s)
        return self._strategy.on_start(candidate, demand, now_s)

    def on_end(
        self, grant: Grant, now_s: float, *, is_ok: bool = True, service_s: float | None = None
    ) -> None:
        """Count its end: an error or a latency is evidence."""
        self._strategy.on_end(grant, now_s, is_ok=is_ok, service_s=service_s)
        latency_s = now_s - grant.started_s if service_s is None else service_s
        if self._outliers.on_end(
            grant.candidate.id, latency_s, is_ok=is_ok, function=grant.function
        ):
            self._assess(now_s)

    def on_abandoned(self, grant: Grant) -> None:
        """Count the end of a request whose result is not known: it is no evidence."""
        self._strategy.on_abandoned(grant)

    def on_load(self, target_id: str, report: LoadReport, now_s: float) -> None:
        """Keep a load report."""
        self._strategy.on_load(target_id, report, now_s)

    def may_retry(self, now_s: float) -> bool:
        """Spend a retry of the budget; False: answer the failure."""
        return self._retries.take(now_s)

    def _assess(self, now_s: float) -> None:
        self._assess_s = now_s
        for target_id, factor in self._outliers.assess(now_s):
            if self._health.get(target_id, 1.0) <= 0 < factor and self._slow_start.window_s > 0:
                self._starting[target_id] = now_s
            self._health[target_id] = factor
            self._apply(target_id, now_s)
        for target_id in list(self._starting):
            self._apply(target_id, now_s)

    def _apply(self, target_id: str, now_s: float) -> None:
        factor = self._health.get(target_id, 1.0)
        since_s = self._starting.get(target_id)
        if since_s is not None:
            if now_s - since_s >= self._slow_start.window_s:
                del self._starting[target_id]
            else:
                factor *= self._slow_start.factor(now_s - since_s)
        self._strategy.set_factor(target_id, factor)
