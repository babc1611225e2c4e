"""One service of an agent, its health, and maintenance."""

import json

import pytest

from quorate.base.context import PLAIN
from quorate.catalog.fields import Service
from tests.unit.gateways.harness import GatewayHarness


def put(harness: GatewayHarness, path: str, **body: object) -> int:
    return harness.ask("PUT", f"/v1/agent/{path}", json.dumps(body).encode()).status


@pytest.fixture
def harness() -> GatewayHarness:
    made = GatewayHarness()
    assert put(made, "service/register", Name="web", Check={"TTL": "1h"}) == 200
    return made


@pytest.mark.parametrize(
    ("verb", "status"), [("pass", (200, "passing")), ("warn", (429, "warning")),
                         ("fail", (503, "critical"))],
)  # fmt: skip
def test_the_health_of_a_service_is_a_status(
    harness: GatewayHarness, verb: str, status: tuple[int, str]
) -> None:
    assert put(harness, f"check/{verb}/service:web") == 200
    for path in ("id/web", "name/web"):
        reply = harness.ask("GET", f"/v1/agent/health/service/{path}")
        assert (reply.status, reply.headers["X-Consul-Reason"]) == status
        text = harness.ask("GET", f"/v1/agent/health/service/{path}?format=text")
        assert (text.status, text.text) == status
    [seen] = json.loads(harness.ask("GET", "/v1/agent/health/service/name/web").body)
    assert (seen["AggregatedStatus"], seen["Service"]["ID"]) == (status[1], "web")


def test_the_health_of_an_unknown_service_is_404(harness: GatewayHarness) -> None:
    reply = harness.ask("GET", "/v1/agent/health/service/id/x?format=text")
    assert (reply.status, reply.text) == (404, "ServiceId x not found")
    reply = harness.ask("GET", "/v1/agent/health/service/name/x")
    assert (reply.status, json.loads(reply.body)) == (404, [])
    assert harness.ask("GET", "/v1/agent/health/service/id/").status == 500


@pytest.mark.parametrize("path", ["maintenance", "service/maintenance/web"])
def test_maintenance_takes_out_of_service_and_puts_back(harness: GatewayHarness, path: str) -> None:
    def passing() -> int:
        return len(json.loads(harness.ask("GET", "/v1/health/service/web?passing").body))

    assert put(harness, "check/pass/service:web") == 200
    for _ in range(2):  # the second time changes nothing
        assert put(harness, f"{path}?enable=true&reason=because") == 200
    assert passing() == 0
    reply = harness.ask("GET", "/v1/agent/health/service/id/web")
    assert (reply.status, reply.headers["X-Consul-Reason"]) == (503, "maintenance")
    checks = json.loads(harness.ask("GET", "/v1/agent/checks").body).values()
    assert [each["Notes"] for each in checks if each["Type"] == "maintenance"] == ["because"]
    for _ in range(2):
        assert put(harness, f"{path}?enable=false") == 200
    assert passing() == 1


def test_maintenance_says_what_is_wrong(harness: GatewayHarness) -> None:
    for path, status in (
        ("maintenance", 400), ("maintenance?enable=x", 400),
        ("service/maintenance/?enable=true", 400), ("service/maintenance/x?enable=true", 404),
    ):  # fmt: skip
        assert put(harness, path) == status


def test_a_service_has_a_hash_that_changes_with_its_definition(harness: GatewayHarness) -> None:
    first = harness.ask("GET", "/v1/agent/service/web")
    digest = json.loads(first.body)["ContentHash"]
    assert first.headers["X-Consul-Contenthash"] == digest
    assert put(harness, "check/pass/service:web") == 200
    assert json.loads(harness.ask("GET", "/v1/agent/service/web").body)["ContentHash"] == digest
    assert put(harness, "service/register", Name="web", Port=81) == 200
    again = harness.ask("GET", f"/v1/agent/service/web?hash={digest}")  # it waits for nothing
    assert json.loads(again.body)["ContentHash"] != digest
    reply = harness.ask("GET", "/v1/agent/service/x")
    assert (reply.status, reply.text) == (404, "unknown service ID: x")


def test_a_read_with_the_known_hash_waits_for_another_definition(harness: GatewayHarness) -> None:
    digest = json.loads(harness.ask("GET", "/v1/agent/service/web").body)["ContentHash"]
    harness.post("GET", f"/v1/agent/service/web?hash={digest}")
    agent = harness.context.agent
    agent.register(PLAIN, Service("api", "api"), (), lambda _: None)
    assert harness.replies() == []  # another one changed
    agent.register(PLAIN, Service("web", "web", port=82), (), lambda _: None)
    [reply] = harness.replies()
    assert json.loads(reply.body)["Port"] == 82
    harness.post("GET", f"/v1/agent/service/web?hash={json.loads(reply.body)['ContentHash']}")
    assert agent.deregister(PLAIN, "web", lambda _: None)
    assert [each.status for each in harness.replies()] == [404]
