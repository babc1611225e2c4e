"""What headers say of a request, and that it reaches whatever decides on it."""

from math import inf

import pytest

from quorate.base.context import PLAIN, Consistency, RequestContext
from quorate.gateways.http.route import Route
from quorate.gateways.http.routes import ROUTES
from quorate.httpserver.request import Request
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import BOB, ME, GatewayHarness

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"

REQUESTS = [
    ("PUT", "/v1/kv/a"),
    ("PUT", "/v1/kv/a?cas=0"),
    ("DELETE", "/v1/kv/a"),
    ("GET", "/v1/kv/a"),
    ("GET", "/v1/kv/a?recurse"),
    ("GET", "/v1/catalog/nodes"),
    ("GET", "/v1/kv/a?index=1000"),
    ("PUT", "/v1/session/create"),
    ("GET", "/v1/health/state/any"),
    ("PUT", "/v1/session/renew/5"),
    ("PUT", "/v1/session/destroy/5"),
    ("DELETE", "/v1/operator/raft/peer?id=bob"),
    ("PUT", "/v1/operator/raft/peer?id=bob"),
    ("POST", "/v1/operator/raft/transfer-leader?id=bob"),
    ("GET", "/v1/config/mesh/mesh"),
    ("DELETE", "/v1/config/mesh/mesh"),
    ("GET", "/v1/connect/intentions/exact?source=a&destination=b"),
    ("DELETE", "/v1/connect/intentions/exact?source=a&destination=b"),
    ("GET", "/v1/connect/intentions/match?by=source&name=a"),
    ("GET", "/v1/connect/intentions/check?source=a&destination=b"),
    ("GET", "/v1/query/22e603f0-8e53-de8a-276d-c639ee23457f"),
    ("GET", "/v1/query/any/execute"),
    ("DELETE", "/v1/query/22e603f0-8e53-de8a-276d-c639ee23457f"),
]


def contexts(method: str, target: str, *headers: str) -> list[RequestContext]:
    """What the node was handed, for one request."""
    harness = GatewayHarness()
    harness.local.voters = (ME, BOB)
    harness.post(method, target, b"{}", *headers)
    assert harness.local.contexts
    return harness.local.contexts


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_a_deadline_of_the_client_goes_with_every_question(method: str, target: str) -> None:
    found = contexts(method, target, "X-Quorate-Deadline: 2500s")
    for each in found:
        assert (
            0 <= GatewayHarness().local.now_s + 2500 - each.deadline_s < 1000
        )  # since the request came


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_a_trace_goes_with_every_question(method: str, target: str) -> None:
    found = contexts(method, target, f"Traceparent: {PARENT}")
    assert {each.trace_id for each in found} == {TRACE}


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_without_such_headers_the_node_decides(method: str, target: str) -> None:
    for each in contexts(method, target):
        assert (each.principal, each.deadline_s, each.trace_id) == (PLAIN.principal, inf, "")
        assert each.principal.name == "anonymous"


EVERY_ENDPOINT = [(method, route) for route in ROUTES for method in route.handlers]
ASKS_NOTHING = {
    "/", "/metrics", "/v1/agent/checks", "/v1/agent/health/service/id/:id",
    "/v1/agent/health/service/name/:name", "/v1/agent/service/:id",
    "/v1/agent/host", "/v1/agent/leave", "/v1/agent/members", "/v1/agent/version",
    "/v1/agent/metrics", "/v1/agent/monitor", "/v1/agent/reload", "/v1/agent/self",
    "/v1/agent/services",
    "/v1/catalog/datacenters", "/v1/operator/keyring", "/v1/operator/autopilot/health",
    "/v1/operator/cluster",
    "/v1/status/leader", "/v1/status/peers",
}  # fmt: skip
"""They show what the node knows without asking, or are about the process."""

SAYS_TOO_LITTLE = {
    "/v1/agent/check/deregister/:id", "/v1/agent/check/fail/:id", "/v1/agent/check/pass/:id",
    "/v1/agent/check/register", "/v1/agent/check/update/:id", "/v1/agent/check/warn/:id",
    "/v1/agent/force-leave/:node",
    "/v1/agent/service/deregister/:id", "/v1/agent/service/register",
    "/v1/agent/maintenance", "/v1/agent/service/maintenance/:id",
    "/v1/catalog/register", "/v1/catalog/deregister", "/v1/config", "/v1/config/:kind",
    "/v1/connect/intentions/check", "/v1/connect/intentions/exact",
    "/v1/connect/intentions/match",
    "/v1/operator/raft/peer", "/v1/operator/raft/transfer-leader",
    "POST /v1/query", "/v1/query/:id", "/v1/txn",
}  # fmt: skip
"""Refused as the request below is; `REQUESTS` has others for most of them."""


@pytest.mark.parametrize(("method", "route"), EVERY_ENDPOINT, ids=lambda each: str(each)[:40])
def test_no_endpoint_asks_the_node_without_the_context_of_its_request(
    method: str, route: Route
) -> None:
    harness = GatewayHarness()
    harness.post(method, route.pattern.replace("/:", "/"), b"{}", f"Traceparent: {PARENT}")

    assert {each.trace_id for each in harness.local.contexts} <= {TRACE}
    names = {route.pattern, f"{method} {route.pattern}"}
    assert bool(harness.local.contexts) is names.isdisjoint(ASKS_NOTHING | SAYS_TOO_LITTLE)


def test_what_makes_a_handler_fail_is_reported_with_its_trace() -> None:
    def broken(*_: object) -> None:
        raise ValueError

    harness = GatewayHarness(routes=(*ROUTES, Route("/v1/broken", {"GET": broken})))
    assert harness.ask("GET", "/v1/broken", b"", f"traceparent: {PARENT}").status == 500
    assert [each.trace_id for each in harness.local.contexts] == [TRACE]


@pytest.mark.parametrize(
    ("query", "consistency"),
    [
        ("", Consistency.DEFAULT),
        ("?consistent", Consistency.CONSISTENT),
        ("?stale", Consistency.STALE),
    ],
)
def test_the_quick_path_has_a_context_too(query: str, consistency: Consistency) -> None:
    harness = GatewayHarness()
    harness.local.apply(KvSet(b"a", b"1"))
    seen: list[RequestContext] = []
    handle = harness.handle

    def seeing(request: Request) -> None:
        handle(request)
        seen.append(request.context)

    harness.handle = seeing
    assert harness.ask("GET", f"/v1/kv/a{query}").status == 200
    assert [each.consistency for each in seen] == [consistency]


@pytest.mark.parametrize("value", ["", "3", "-1s", "0", "soon", "\xff"])
def test_what_is_no_deadline_is_refused_by_name(value: str) -> None:
    reply = GatewayHarness().ask("GET", "/v1/kv/a", b"", f"X-Quorate-Deadline: {value}")
    assert reply.status == 400
    assert "X-Quorate-Deadline" in reply.text


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7",
    ],
)
def test_a_malformed_trace_is_ignored(value: str) -> None:
    (found,) = contexts("GET", "/v1/kv/a", f"traceparent: {value}")
    assert found.trace_id == ""
