"""Renewals of one subject, and phi: how unlikely it is that the next one is only late.

phi(t) = -log10 P(no renewal yet, t after the last one). With the normal distribution of the last
intervals: 1 is an error in 10 cases, 3 in 1,000, 8 in 10^8, if intervals go on as they were. They
do not when a host stops for a while, so `pause_s` is added to the mean: it is the parameter that
counts, and the threshold hardly matters beside it.

Source: Hayashibara and others, "The phi Accrual Failure Detector" (SRDS 2004); the pause and the
    logistic approximation of the normal distribution: Akka's phi-accrual detector.
"""

import math
from collections import deque

import msgspec

_LN_10 = math.log(10)
_EXPONENT_MAX = 700.0  # of e, as a float


class AccrualSettings(msgspec.Struct, frozen=True):
    """How intervals are judged.

    Attributes:
        interval_s: Expected at the start, when nothing was observed yet.
        pause_s: Added to the mean: a stop of the subject that is no failure.
        deviation_s_min: The least standard deviation: very even renewals are not taken literally.
        window: Intervals that are remembered.
    """

    interval_s: float = 1.0
    pause_s: float = 1.0
    deviation_s_min: float = 0.1
    window: int = 100


class Renewals:
    """The last intervals of one subject. O(1) per renewal and per phi.

    Times are the judge's: `judging` says which those are.

    Args:
        settings: How intervals are judged.
        now_s: When it was registered, which is as good as a renewal.
    """

    __slots__ = ("_intervals", "_settings", "_square_sum", "_sum", "last_s")

    def __init__(self, settings: AccrualSettings, now_s: float) -> None:
        self._settings = settings
        self._intervals: deque[float] = deque()
        self.last_s = now_s
        self.restart(now_s)

    def restart(self, now_s: float) -> None:
        """Forget the intervals: it was away, and that is not how often it renews."""
        self.last_s = now_s
        self._intervals.clear()
        self._sum = self._square_sum = 0.0
        quarter_s = self._settings.interval_s / 4  # two that say mean and deviation
        for interval_s in (
            self._settings.interval_s - quarter_s,
            self._settings.interval_s + quarter_s,
        ):
            self._remember(interval_s)

    def renew(self, now_s: float) -> None:
        """Count a renewal; one that came out of order counts for nothing."""
        interval_s = now_s - self.last_s
        if interval_s > 0:
            self.last_s = now_s
            self._remember(interval_s)

    def _remember(self, interval_s: float) -> None:
        self._intervals.append(interval_s)
        self._sum += interval_s
        self._square_sum += interval_s * interval_s
        if len(self._intervals) > self._settings.window:
            oldest_s = self._intervals.popleft()
            self._sum -= oldest_s
            self._square_sum -= oldest_s * oldest_s

    @property
    def mean_s(self) -> float:
        """Of the intervals."""
        return self._sum / len(self._intervals)

    @property
    def deviation_s(self) -> float:
        """Their standard deviation, at least the minimum."""
        mean_s = self.mean_s
        variance = max(self._square_sum / len(self._intervals) - mean_s * mean_s, 0.0)
        return max(math.sqrt(variance), self._settings.deviation_s_min)

    def phi(self, now_s: float) -> float:
        """How unlikely it is that the next renewal is only late: 0 and up."""
        late_s = now_s - self.last_s - self.mean_s - self._settings.pause_s
        y = late_s / self.deviation_s
        exponent = y * (1.5976 + 0.070566 * y * y)  # of P(no renewal yet) = 1 / (1 + e^exponent)
        if exponent > _EXPONENT_MAX:
            return exponent / _LN_10
        return math.log1p(math.exp(max(exponent, -_EXPONENT_MAX))) / _LN_10
