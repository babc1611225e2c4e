"""Traffic: how many requests there were on which route, how they ended, and how long they took.

Blocking queries that waited for a change are counted but not timed: their duration says when
something changed, not how fast the node is.
"""

from bisect import bisect_left
from collections.abc import Iterable
from time import monotonic

from quorate.base import measured
from quorate.base.metrics import SECONDS, Histogram, Metric

OTHER = "other"
"""Label of requests without a route: clients choose paths and methods, so these are no labels."""

_CLASSES = 6  # 1xx to 5xx, by their digit
_SHOWN = range(2, _CLASSES)
_DIGIT = len("HTTP/1.1 ")
_ZERO = ord("0")


class RouteTraffic:
    """One method of one route.

    Attributes:
        route, method: Its labels.
        area: The first part of the path behind the version: `kv`, `session`, `agent` ...
        counts: Requests by the first byte of their status.
        durations: From the complete request to its answer; shared by all routes of the area.
    """

    __slots__ = ("area", "counts", "durations", "method", "route")

    def __init__(self, route: str, method: str, area: str, durations: Histogram) -> None:
        self.route = route
        self.method = method
        self.area = area
        self.counts = [0] * (_ZERO + _CLASSES)
        self.durations = durations

    def count(self, head: bytes, began_s: float | None) -> None:
        """Count an answer.

        Args:
            head: Its first bytes, the status line.
            began_s: When the request was complete, by `time.monotonic`; None: it is not timed.
        """
        self.counts[head[_DIGIT]] += 1
        if began_s is not None:  # `Histogram.observe` inlined: this runs once per request
            durations = self.durations
            duration_s = monotonic() - began_s
            durations.counts[bisect_left(SECONDS, duration_s)] += 1
            durations.total_s += duration_s


class Traffic:
    """All routes of a server.

    Args:
        routes: Pattern and method of each; all of them, so that every metric exists from the start.
    """

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        self._durations: dict[str, Histogram] = {}
        self._routes = {(route, method): self._made(route, method) for route, method in routes}
        self.other = self._made(OTHER, OTHER)
        self._routes[OTHER, OTHER] = self.other

    def _made(self, route: str, method: str) -> RouteTraffic:
        parts = route.split("/")
        area = parts[2] if len(parts) > 2 else OTHER
        durations = self._durations.setdefault(area, Histogram())
        return RouteTraffic(route, method, area, durations)

    def of(self, route: str, method: str) -> RouteTraffic:
        """The counters of a route; `other` for a method that the route does not have."""
        return self._routes.get((route, method), self.other)

    def metrics(self) -> list[Metric]:
        """Requests by route, method and class of status; durations by area."""
        durations = (((area,), each) for area, each in self._durations.items())
        return [
            measured.HTTP_REQUESTS_TOTAL.by_labels(self._counts()),
            measured.HTTP_REQUEST_SECONDS.by_labels(durations),
        ]

    def _counts(self) -> Iterable[tuple[tuple[str, ...], float]]:
        for each in self._routes.values():
            for digit in _SHOWN:
                yield (each.route, each.method, f"{digit}xx"), each.counts[_ZERO + digit]
