"""Metrics: `/v1/agent/metrics` as JSON, and as Prometheus reads them, there and at `/metrics`.

Source: https://developer.hashicorp.com/consul/api-docs/agent, and
https://prometheus.io/docs/instrumenting/exposition_formats/ for the text format.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from quorate.base.metrics import SECONDS, Histogram, Metric, MetricKind, Sample
from quorate.gateways.http.context import Context
from quorate.gateways.http.params import Params
from quorate.httpserver.request import Request

PREFIX = "quorate"
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
_ACCEPTS = (b"application/openmetrics-text", b"text/plain;version=0.4.0", b"version=0.0.4")
_TOTAL = "_total"
_STARTED_S = time.monotonic()


def metrics(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The metrics of this node, in the format that the client accepts."""
    if _wants_prometheus(request, params):
        prometheus(context, request, params, name)
    else:
        context.responses.value(request, _as_json(context.metrics()))


def prometheus(context: Context, request: Request, _: Params, __: bytes) -> None:
    """The same in Prometheus's text format, whatever the client accepts."""
    context.responses.send(request, exposition(context.metrics()), kind=_PROMETHEUS)


def exposition(metrics: Sequence[Metric]) -> bytes:
    """These metrics and those of the process in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(metrics))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Family]:
        for metric in self._metrics:
            yield _family(metric)


def _family(metric: Metric) -> Family:
    name = f"{PREFIX}_{metric.name}"
    labels = [label for label, _ in metric.samples[0].labels]
    if metric.kind is MetricKind.HISTOGRAM:
        family = HistogramMetricFamily(name, metric.text, labels=labels)
        for sample, durations in _histograms(metric):
            family.add_metric(_values(sample), list(_buckets(durations)), durations.total_s)
        return family
    kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    plain = kind(name, metric.text, labels=labels)
    for sample in metric.samples:
        if not isinstance(sample.value, Histogram):
            plain.add_metric(_values(sample), sample.value)
    return plain


def _values(sample: Sample) -> list[str]:
    return [value for _, value in sample.labels]


def _histograms(metric: Metric) -> Iterator[tuple[Sample, Histogram]]:
    for sample in metric.samples:
        if isinstance(sample.value, Histogram):
            yield sample, sample.value


def _buckets(durations: Histogram) -> Iterator[tuple[str, float]]:
    """Bounds and how many durations were at most that long."""
    count = 0
    for bound, more in zip((*map(repr, SECONDS), "+Inf"), durations.counts, strict=True):
        count += more
        yield bound, count


# --- JSON -------------------------------------------------------------------------------------


def _as_json(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Consul's format, but counted since the start, not per interval of ten seconds.

    What would require every single value (`Min`, `Max`, `Stddev`) is left out.
    """
    body: dict[str, Any] = {
        "Timestamp": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime()),
        "Gauges": [],
        "Points": [],
        "Counters": [],
        "Samples": [],
    }
    for metric in metrics:
        name = f"{PREFIX}.{metric.name.removesuffix(_TOTAL)}"
        for sample in metric.samples:
            labels, value = dict(sample.labels), sample.value
            if isinstance(value, Histogram):
                body["Samples"].append(_summary(name, value.count, value.total_s, labels))
            elif metric.kind is MetricKind.COUNTER:
                body["Counters"].append(_summary(name, value, value, labels))
            else:
                # JSON has no infinity, and clients take a number only, so no bool either
                value = +value if value < float("inf") else -1
                body["Gauges"].append({"Name": name, "Value": value, "Labels": labels})
    return body


def _summary(name: str, count: float, total: float, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "Name": name,
        "Count": count,
        "Rate": total / (time.monotonic() - _STARTED_S),
        "Sum": total,
        "Mean": total / count if count else 0,
        "Labels": labels,
    }


def _wants_prometheus(request: Request, params: Params) -> bool:
    if params.text("format") == "prometheus":
        return True
    accepts = request.header(b"accept") or b""
    plain = accepts.replace(b" ", b"").lower()
    return any(kind in plain for kind in _ACCEPTS)
