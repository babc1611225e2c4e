"""Metrics: `/v1/agent/metrics`, as JSON or as Prometheus reads them.

Source: https://developer.hashicorp.com/consul/api-docs/agent.
"""

import re
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from quorate.gateways.http.context import Context
from quorate.gateways.http.params import Params
from quorate.gateways.http.request import Request

PREFIX = "quorate"
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
_OTHER = re.compile(r"[^a-zA-Z0-9_]")
_ACCEPTS = (b"application/openmetrics-text", b"text/plain;version=0.4.0", b"version=0.0.4")


class _Figures(Collector):
    def __init__(self, figures: dict[str, float]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        for name, value in sorted(self._figures.items()):
            plain = f"{PREFIX}_{_OTHER.sub('_', name)}"
            yield GaugeMetricFamily(plain, f"{name} of this node", value=value)


def metrics(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Counters and gauges of this node, as they are now."""
    figures = context.local.metrics()
    if _wants_prometheus(request, params):
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures(figures))
        context.answers.send(request, generate_latest(registry), kind=_PROMETHEUS)
        return
    stamp = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime())
    gauges = [
        {"Name": f"{PREFIX}.{name}", "Value": value, "Labels": dict[str, str]()}
        for name, value in sorted(figures.items())
    ]
    body = {"Timestamp": stamp, "Gauges": gauges, "Points": [], "Counters": [], "Samples": []}
    context.answers.value(request, body)


def _wants_prometheus(request: Request, params: Params) -> bool:
    if params.text("format") == "prometheus":
        return True
    accepts = request.header(b"accept") or b""
    plain = accepts.replace(b" ", b"").lower()
    return any(kind in plain for kind in _ACCEPTS)
