"""What is known of an instance that may be chosen: settings, own count of requests, last report.

`Target` is what the caller says of it and does not change. `Candidate` is what a strategy knows
of it while it is a member: one object from `add` to `remove`, so a grant that ends after the
removal (or after the name came back) changes nothing that is used.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

NO_LIMIT = 2**31
NO_NEEDS: Mapping[str, float] = MappingProxyType({})

ERROR_SHARE_WEIGHT = 0.1
"""Of one more result in the moving average of failures: ten results are most of it."""

SPEED_WEIGHT = 0.05
SPEED_MIN, SPEED_MAX = 0.25, 4.0
"""Bounds of a learned speed, and of each ratio that goes into it."""


class Target(msgspec.Struct, frozen=True):
    """An instance of a service, or a worker, as its registration describes it.

    Attributes:
        id: Unique among the members of a strategy.
        weight: Its share beside others, >= 0; 0 means that it is never chosen.
        slots: Requests that it carries out at once, >= 1.
        in_flight_max: More are not given to it; with 1 it never has a queue.
        capacity: By resource, in the unit of `Demand.needs`.
    """

    id: str
    weight: float = 1.0
    slots: int = 1
    in_flight_max: int = NO_LIMIT
    capacity: dict[str, float] = {}


class LoadReport(msgspec.Struct, frozen=True):
    """What an instance says of itself. A field that it does not know is left out.

    Attributes:
        cpu: Part of its processors in use that is not caused by what is balanced, 0 to 1.
        memory: Resident size by its limit, 0 to 1.
        in_flight: Requests that it has, waiting or running.
        latency_s: Of recent requests.
        requests_per_s: That it completes.
        errors_per_s: Of these.
        utilisation: 0 to 1 and above: its own measure of being busy; `cpu` if left out.
        custom: Further terms of the load sum by name, each about 0 to 1.
    """

    cpu: float = 0.0
    memory: float = 0.0
    in_flight: int = 0
    latency_s: float = 0.0
    requests_per_s: float = 0.0
    errors_per_s: float = 0.0
    utilisation: float | None = None
    custom: dict[str, float] = {}


class Demand(msgspec.Struct, frozen=True):
    """What a request asks of the choice.

    Attributes:
        key: Requests with equal keys go to one instance, by the strategies that look at it.
        function: What is run; costs are learned by it.
        cost_s: Seconds that it takes at speed 1, if the caller knows; 0: as learned.
        needs: Resources that it takes while it runs.
        excluded: Instances that are not chosen, such as those that failed it before.
    """

    key: bytes = b""
    function: str = ""
    cost_s: float = 0.0
    needs: dict[str, float] = {}
    excluded: frozenset[str] = frozenset()


ANY = Demand()


class Candidate:
    """One member of a strategy: its target and what was counted and reported of it.

    Attributes:
        target: As it was added.
        id: Of the target.
        weight: In force: the target's, times the factor of `set_factor`.
        in_flight: Requests given and not ended.
        granted_s: Sum of the costs of these, as they were granted.
        speed: Learned: expected by observed time.
        error_share: Moving average of failed results.
        report: The last one, or None.
        report_s: When it came.
        since_report: Requests given since, and not ended.
        position: In the strategy's list.
    """

    __slots__ = (
        "_used",
        "error_share",
        "granted_s",
        "id",
        "in_flight",
        "position",
        "report",
        "report_s",
        "reports",
        "since_report",
        "speed",
        "target",
        "weight",
    )

    def __init__(self, target: Target, position: int) -> None:
        self.target = target
        self.id = target.id
        self.position = position
        self.weight = target.weight
        self.in_flight = 0
        self.granted_s = 0.0
        self.speed = 1.0
        self.error_share = 0.0
        self.report: LoadReport | None = None
        self.report_s = -math.inf
        self.reports = 0
        self.since_report = 0
        self._used: dict[str, float] = {}

    def move_to(self, position: int) -> None:
        """Its place in the list changed, as another one left."""
        self.position = position

    def set_factor(self, factor: float) -> None:
        """Multiply the target's weight, as ejection and slow start want it."""
        self.weight = self.target.weight * factor

    def take(self, cost_s: float, needs: Mapping[str, float]) -> None:
        """Count a request that is given to it."""
        self.in_flight += 1
        self.since_report += 1
        self.granted_s += cost_s
        for name, amount in needs.items():
            self._used[name] = self._used.get(name, 0.0) + amount

    def observe_end(self, *, is_ok: bool) -> None:
        """Count a result among the errors or the successes."""
        self.error_share += ERROR_SHARE_WEIGHT * ((not is_ok) - self.error_share)

    def give_back(self, grant: "Grant") -> None:
        """Count the end of a request; idle means exactly nothing held, whatever was rounded."""
        self.in_flight -= 1
        if grant.reports == self.reports:
            self.since_report -= 1
        if not self.in_flight:
            self.granted_s = 0.0
            self._used.clear()
            return
        self.granted_s -= grant.cost_s
        for name, amount in grant.needs.items():
            self._used[name] -= amount

    def observe_speed(self, ratio: float) -> None:
        """Learn from one run: its expected by its observed time."""
        ratio = min(max(ratio, SPEED_MIN), SPEED_MAX)
        speed = self.speed + SPEED_WEIGHT * (ratio - self.speed)
        self.speed = min(max(speed, SPEED_MIN), SPEED_MAX)

    def on_report(self, report: LoadReport, now_s: float) -> None:
        """Keep a report; what was given before it is in it."""
        self.report = report
        self.report_s = now_s
        self.reports += 1
        self.since_report = 0

    def utilisation(self, needs: Mapping[str, float] = NO_NEEDS) -> float:
        """Part of its scarcest resource in use, with `needs` added; infinite if it lacks one."""
        most = 0.0
        for name, amount in needs.items():
            if amount > 0 and name not in self.target.capacity:
                return math.inf
        for name, size in self.target.capacity.items():
            wanted = self._used.get(name, 0.0) + needs.get(name, 0.0)
            if wanted > 0:
                most = max(most, wanted / size if size > 0 else math.inf)
        return most


class Grant:
    """One request that was given to a candidate. Kept by the caller until it ends.

    Attributes:
        candidate: Who has it.
        function: Of its demand.
        needs: Likewise.
        cost_s: That it counts for, as expected at the start.
        started_s: When.
        reports: How many reports the candidate had sent then.
    """

    __slots__ = ("candidate", "cost_s", "function", "needs", "reports", "started_s")

    def __init__(
        self, candidate: Candidate, demand: Demand, cost_s: float, started_s: float
    ) -> None:
        self.candidate = candidate
        self.function = demand.function
        self.needs = demand.needs
        self.cost_s = cost_s
        self.started_s = started_s
        self.reports = candidate.reports
