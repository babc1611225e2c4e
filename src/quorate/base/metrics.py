"""Metrics: what a node counts and measures, as plain numbers with a name, a kind and a help text.

The pure packages count in plain attributes, and measure with `Histogram`; a list of `Metric`s is
made only on request. A gateway converts the list to the requested format.

MET-1: the same names and labels are there on every node from its start, whatever has happened
    there. A rule in an alert file then never meets a series that does not exist yet.
MET-2: names follow https://prometheus.io/docs/practices/naming/: base units, unit last, counters
    end in `_total`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets of every duration: from a quick sync to a lost leader."""


class MetricKind(StrEnum):
    """The kinds of Prometheus, as far as they are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Histogram:
    """Durations in seconds, counted in the buckets of `SECONDS`.

    Attributes:
        counts: Per bucket, not added up; the last one is for what is longer than every bound.
        total_s: The sum of all durations.
        note: Takes a duration that `collect` will count: what is measured in every turn is counted
            in groups; in any thread. The caller must call `collect` regularly.

    Cost: 0.2 µs for an observation, a third for one that is noted; 17 integers.
    """

    __slots__ = ("_noted", "counts", "note", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total_s = 0.0
        self._noted: list[float] = []
        self.note = self._noted.append

    def observe(self, duration_s: float) -> None:
        """Count a duration; a bound belongs to the bucket below it."""
        self.counts[bisect_left(SECONDS, duration_s)] += 1
        self.total_s += duration_s

    def collect(self, count_min: int = 1) -> None:
        """Count what was noted, if it is that much. Cost: sorting it, and 3 µs."""
        if len(self._noted) < count_min:
            return
        noted, counts = self._noted[:], self.counts
        del self._noted[: len(noted)]  # another thread may have noted more meanwhile
        self.total_s += sum(noted)
        noted.sort()
        before = 0
        for place, bound in enumerate(SECONDS):
            end = bisect_right(noted, bound, before)
            counts[place] += end - before
            before = end
        counts[-1] += len(noted) - before

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self.counts)


Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, in the order in which they are shown."""


class Sample(msgspec.Struct, frozen=True):
    """One figure of a metric, distinguished from others by labels."""

    value: float | Histogram
    labels: Labels = ()


class Unit(StrEnum):
    """Of the values; it ends the name, before `_total`."""

    NONE = ""
    SECONDS = "seconds"
    BYTES = "bytes"


class Declaration(msgspec.Struct, frozen=True):
    """What a metric is, before it has a value. All are in `base.measured`.

    Attributes:
        name: Without the prefix of the product; see MET-2.
        kind: What may be done with it.
        text: One line for people.
        unit: Of its values.
        labels: Names of its labels, in the order in which they are shown.
    """

    name: str
    kind: MetricKind
    text: str
    unit: Unit = Unit.NONE
    labels: tuple[str, ...] = ()

    def of(self, value: float | Histogram) -> "Metric":
        """With its one figure."""
        return Metric(self, (Sample(value),))

    def by_label(self, values: Mapping[str, float]) -> "Metric":
        """With one figure per value of its one label, in the order of `values`."""
        return self.by_labels(((which,), value) for which, value in values.items())

    def by_labels(self, values: Iterable[tuple[tuple[str, ...], float | Histogram]]) -> "Metric":
        """With figures by the values of all its labels."""
        names = self.labels
        return Metric(
            self,
            tuple(Sample(value, tuple(zip(names, each, strict=True))) for each, value in values),
        )


def counter(name: str, text: str, *labels: str, unit: Unit = Unit.NONE) -> Declaration:
    """A figure that only rises while the process runs."""
    return Declaration(name, MetricKind.COUNTER, text, unit, labels)


def gauge(name: str, text: str, *labels: str, unit: Unit = Unit.NONE) -> Declaration:
    """A figure as it is now."""
    return Declaration(name, MetricKind.GAUGE, text, unit, labels)


def histogram(name: str, text: str, *labels: str) -> Declaration:
    """Durations and how often they were that long."""
    return Declaration(name, MetricKind.HISTOGRAM, text, Unit.SECONDS, labels)


class Metric(msgspec.Struct, frozen=True):
    """A declared metric with its figures: one, or several with labels.

    Attributes:
        declaration: What it is.
        samples: At least one; all with the declared labels.
    """

    declaration: Declaration
    samples: tuple[Sample, ...]

    @property
    def name(self) -> str:
        """Without the prefix of the product."""
        return self.declaration.name

    @property
    def kind(self) -> MetricKind:
        """What may be done with it."""
        return self.declaration.kind

    @property
    def text(self) -> str:
        """One line for people."""
        return self.declaration.text


def figures(metrics: Iterable[Metric]) -> dict[str, float]:
    """Counters and gauges by name and label values, joined by dots; histograms are left out."""
    return {
        ".".join((metric.name, *(value for _, value in sample.labels))): sample.value
        for metric in metrics
        for sample in metric.samples
        if not isinstance(sample.value, Histogram)
    }
