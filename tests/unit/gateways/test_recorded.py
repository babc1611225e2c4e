"""The recorded conversations that need no time, on a harness: the same data, without a process."""

from typing import Any

import pytest

from quorate.gateways.http.config import HttpConfig
from quorate.kv.commands import KvDelete, KvSet
from tests.compat.consul.cases import cases
from tests.compat.consul.player import Ask, Player, body_of, path_of, seen
from tests.unit.gateways.harness import ME, GatewayHarness

FACTS = {
    "node": ME.name,
    "node_id": ME.id,
    "dc": "dc1",
    "server": ME.address,
    "host": "10.0.0.1",
    "http_port": 8500,
}
NEEDS_PROCESS = {"async", "await", "pending", "sleep", "retry", "dns"}

NEEDS_AN_AGENT = {
    "agent-check-intervals",
    "agent-check-not-ttl",
    "agent-leave",
    "agent-monitor-bad-level",
    "agent-reload",
    "agent-service-check-errors",
    "catalog-anti-entropy",
    "catalog-services-fresh",
    "health-maintenance-status",
    "http-empty-reply",
}


def is_timeless(case: dict[str, Any]) -> bool:
    steps = case["steps"]
    paths = [step["request"]["path"] for step in steps if "request" in step]
    methods = {step["request"]["method"] for step in steps if "request" in step}
    if case["name"] in NEEDS_AN_AGENT:
        return False
    if case.get("config") or "HEAD" in methods:  # no parser can tell that HEAD has no body
        return False
    if any("/snapshot" in path or "wait=" in path for path in paths):
        return False
    return not any(NEEDS_PROCESS & set(step) for step in steps)


def asking(harness: GatewayHarness) -> Ask:
    def ask(request: dict[str, Any]) -> dict[str, Any]:
        headers = [f"{name}: {value}" for name, value in request.get("headers", {}).items()]
        body = body_of(request) or b""
        harness.connect()
        reply = harness.ask(request["method"], path_of(request), body, *headers)
        return seen(reply.status, reply.headers.items(), reply.body, 0.0)

    return ask


@pytest.mark.parametrize("case", [param for param in cases() if is_timeless(param.values[0])])
def test_a_recorded_conversation_goes_the_same_way(case: dict[str, Any]) -> None:
    harness = GatewayHarness(HttpConfig(is_pretty=True))
    harness.local.register(ME)
    if not case.get("fresh"):  # then something was done before
        for number in range(10):
            harness.local.apply(KvSet(b"before", b"%d" % number))
        harness.local.apply(KvDelete(b"before"))
    Player(asking(harness), FACTS).play(case)
