"""Outliers: instances that answer but fail, or are slow, lose weight first and are ejected then.

A health check sees whether an instance answers; whoever sends it requests sees more (gray failure).
Three signs are kept for each instance, as moving averages over its requests:

* the share of errors;
* errors in a row;
* slowdown: the latency of successes beside the fleet's for the same function. Averaged are
  logarithms: latencies have heavy tails, and one long request must not look like a slow instance.

They are compared with the median of all instances. With at least 20 requests, three times as bad
lowers the weight in force; ten times as bad, or more than half errors, ejects for 30 s. So do
5 errors in a row, at once. Each further ejection lasts twice as long, and each such time without
one halves that again. Never more than a third of the instances is ejected: the rest would get what
they cannot carry, and if all look bad the cause is elsewhere. Who may not be ejected keeps a tenth
of its weight.

Source: Huang and others, "Gray Failure" (HotOS 2017); Envoy, "Outlier detection".
"""

import math
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from quorate.balancing.costs import FUNCTIONS_MAX

EVIDENCE_WEIGHT = 0.05
"""Of one request in the averages: 20 requests are most of it."""

FLEET_WEIGHT = 0.01
FACTOR_MIN = 0.1


class OutlierSettings(msgspec.Struct, frozen=True):
    """When an instance is an outlier.

    Attributes:
        samples_min: Requests before its averages count.
        worse: Times the median from which weight is lost.
        far_worse: Times the median from which it is ejected.
        errors_noticed: Share of errors below which none is lost.
        errors_ejected: Share of errors above which it is ejected.
        errors_in_row: So many eject at once; 0: no number does.
        ejected_s: How long, the first time.
        ejected_s_max: At most, after doubling.
        ejected_part: Of all instances, at most.
    """

    samples_min: int = 20
    worse: float = 3.0
    far_worse: float = 10.0
    errors_noticed: float = 0.05
    errors_ejected: float = 0.5
    errors_in_row: int = 5
    ejected_s: float = 30.0
    ejected_s_max: float = 300.0
    ejected_part: float = 1 / 3


class Evidence:
    """What is known of one instance.

    Attributes:
        samples: Requests since it was added or came back.
        error_share: Moving average.
        errors_in_row: Since the last success.
        slowdown: Beside the fleet: 1 is as fast.
        ejected_until_s: Not chosen before; in the past: it is not ejected.
        ejections: How often the time doubled.
        factor: Of its weight, as assessed last.
    """

    __slots__ = (
        "_log_slowdown",
        "ejected_until_s",
        "ejections",
        "error_share",
        "errors_in_row",
        "factor",
        "samples",
    )

    def __init__(self) -> None:
        self.ejections = 0
        self.ejected_until_s = -math.inf
        self.factor = 1.0
        self._reset()

    def _reset(self) -> None:
        self.samples = 0
        self.error_share = 0.0
        self.errors_in_row = 0
        self._log_slowdown = 0.0

    @property
    def slowdown(self) -> float:
        """Beside the fleet: 1 is as fast, 2 takes twice as long."""
        return math.exp(self._log_slowdown)

    def observe(self, log_slowdown: float | None) -> None:
        """Count a success with its slowdown, or an error."""
        self.samples += 1
        weight = max(1 / self.samples, EVIDENCE_WEIGHT)
        self.error_share += weight * ((log_slowdown is None) - self.error_share)
        if log_slowdown is None:
            self.errors_in_row += 1
        else:
            self.errors_in_row = 0
            self._log_slowdown += weight * (log_slowdown - self._log_slowdown)

    def eject(self, settings: OutlierSettings, now_s: float) -> None:
        """Keep it out from now on; what is known of it does not count any more afterwards."""
        calm_s = max(now_s - self.ejected_until_s, 0.0)  # infinite the first time
        self.ejections = max(self.ejections - int(min(calm_s / settings.ejected_s, 64)), 0)
        length_s = min(settings.ejected_s * 2**self.ejections, settings.ejected_s_max)
        self.ejections = min(self.ejections + 1, 32)
        self.ejected_until_s = now_s + length_s
        self._reset()

    def become(self, factor: float) -> None:
        """Its weight in force was assessed."""
        self.factor = factor


class Outliers:
    """Evidence for each instance, and the factor of its weight that follows from it.

    Cost: O(1) per request; `assess` O(n log n), asked once a second or after `on_end` said so.

    Args:
        settings: When an instance is an outlier.
    """

    def __init__(self, settings: OutlierSettings | None = None) -> None:
        self._settings = settings or OutlierSettings()
        self._evidence: dict[str, Evidence] = {}
        self._fleet: OrderedDict[str, float] = OrderedDict()  # mean logarithm by function

    def add(self, target_id: str) -> None:
        """Begin with no evidence."""
        self._evidence.setdefault(target_id, Evidence())

    def remove(self, target_id: str) -> None:
        """Forget an instance."""
        self._evidence.pop(target_id, None)

    def evidence(self, target_id: str) -> Evidence | None:
        """What is known of an instance, to show it."""
        return self._evidence.get(target_id)

    @property
    def functions(self) -> list[str]:
        """Those whose latency is known, at most `FUNCTIONS_MAX`."""
        return list(self._fleet)

    def on_end(self, target_id: str, latency_s: float, *, is_ok: bool, function: str = "") -> bool:
        """Count a request; True if `assess` should be asked at once."""
        evidence = self._evidence.get(target_id)
        if evidence is None:
            return False
        evidence.observe(self._log_slowdown(function, latency_s) if is_ok else None)
        return 0 < self._settings.errors_in_row <= evidence.errors_in_row

    def _log_slowdown(self, function: str, latency_s: float) -> float:
        logarithm = math.log(max(latency_s, 1e-6))
        mean = self._fleet.get(function)
        if mean is None:
            self._fleet[function] = mean = logarithm
            if len(self._fleet) > FUNCTIONS_MAX:
                self._fleet.popitem(last=False)
        self._fleet[function] = mean + FLEET_WEIGHT * (logarithm - mean)
        self._fleet.move_to_end(function)
        return logarithm - mean

    def assess(self, now_s: float) -> list[tuple[str, float]]:
        """Instances whose factor changed: 0 is ejected, 1 is as registered."""
        settings = self._settings
        known = [
            each
            for each in self._evidence.values()
            if each.samples >= settings.samples_min and each.ejected_until_s <= now_s
        ]
        slow = _median([each.slowdown for each in known])
        failing = _median([each.error_share for each in known])
        allowed = int(len(self._evidence) * settings.ejected_part)
        allowed -= sum(each.ejected_until_s > now_s for each in self._evidence.values())
        changed: list[tuple[str, float]] = []
        for target_id, evidence in self._worst_first():
            before = evidence.factor
            if evidence.ejected_until_s > now_s:
                factor = 0.0
            else:
                factor = self._factor(evidence, slow, failing)
                if factor <= 0 and allowed > 0:
                    allowed -= 1
                    evidence.eject(settings, now_s)
                elif factor < FACTOR_MIN:
                    factor = FACTOR_MIN
            if factor != before:
                evidence.become(factor)
                changed.append((target_id, factor))
        return changed

    def _worst_first(self) -> Iterator[tuple[str, Evidence]]:
        yield from sorted(
            self._evidence.items(),
            key=lambda item: (-item[1].error_share, -item[1].slowdown, item[0]),
        )

    def _factor(self, evidence: Evidence, slow: float, failing: float) -> float:
        """Of its weight by the evidence; 0: to be ejected."""
        settings = self._settings
        if 0 < settings.errors_in_row <= evidence.errors_in_row:
            return 0.0
        if evidence.samples < settings.samples_min:
            return 1.0
        factor = 1.0
        errors = evidence.error_share
        if errors > settings.errors_ejected:
            return 0.0
        if errors >= settings.errors_noticed and errors >= settings.worse * failing:
            factor = 1 - errors / settings.errors_ejected
        ratio = evidence.slowdown / slow if slow > 0 else 1.0
        if ratio >= settings.far_worse:
            return 0.0
        if ratio >= settings.worse:
            factor = min(factor, 1 / ratio)
        return max(factor, FACTOR_MIN)


def _median(values: list[float]) -> float:
    """The middle one, the lower of two: half of the instances are at least as good."""
    return sorted(values)[(len(values) - 1) // 2] if values else 0.0
