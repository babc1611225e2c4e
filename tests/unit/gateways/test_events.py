"""User events over HTTP."""

import json
from typing import Any

import pytest

from quorate.events.commands import EventFire
from quorate.gateways.http.events import index_of
from tests.unit.gateways.harness import GatewayHarness


def listed(harness: GatewayHarness, query: str = "") -> list[Any]:
    found: list[Any] = json.loads(harness.ask("GET", f"/v1/event/list{query}").body)
    return found


def test_an_event_is_listed_with_the_index_of_its_id() -> None:
    harness = GatewayHarness()
    assert harness.ask("GET", "/v1/event/list").headers["X-Consul-Index"] == "1"
    fired = json.loads(harness.ask("PUT", "/v1/event/fire/deploy", b"x").body)
    assert listed(harness) == [{**fired, "LTime": 1}]
    index = harness.ask("GET", "/v1/event/list").headers["X-Consul-Index"]
    assert int(index) == index_of(fired["ID"])
    assert listed(harness, "?name=other") == []


def test_a_list_waits_for_another_index_not_for_a_higher_one() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/event/fire/a")
    index = harness.ask("GET", "/v1/event/list").headers["X-Consul-Index"]
    assert len(listed(harness, "?index=18446744073709551615&wait=5s")) == 1
    harness.post("GET", f"/v1/event/list?index={index}&wait=5s")
    assert harness.replies() == []
    harness.local.apply(_event("b"))
    (reply,) = harness.replies()
    assert [one["Name"] for one in json.loads(reply.body)] == ["a", "b"]


def _event(name: str) -> EventFire:
    return EventFire("00000000-0000-4000-8000-000000000001", name)


def test_a_node_lists_what_the_filters_let_through() -> None:
    harness = GatewayHarness()
    for query in ("node=^A", "node=^B", "service=web", "node=^x"):
        assert harness.ask("PUT", f"/v1/event/fire/{query[-1]}?{query}").status == 200
    assert [one["NodeFilter"] for one in listed(harness)] == ["^A"]


@pytest.mark.parametrize(
    ("target", "body", "status", "text"),
    [
        ("/v1/event/fire/", b"", 400, b"Missing name"),
        ("/v1/event/fire/e", b"x" * 301, 413, b"Event payload too large, received 301 bytes"),
        ("/v1/event/fire/e?node=%5B", b"", 500, b"Invalid node filter: error parsing regexp: "),
        ("/v1/event/fire/e?service=(", b"", 500, b"Invalid service filter: error parsing regexp"),
        ("/v1/event/fire/e?tag=x", b"", 500, b"Cannot provide tag filter without service filter"),
        ("/v1/event/fire/e?dc=x", b"", 500, b"No path to datacenter"),
    ],
)
def test_bad_events_are_refused(target: str, body: bytes, status: int, text: bytes) -> None:
    harness = GatewayHarness()
    reply = harness.ask("PUT", target, body)
    assert (reply.status, reply.body[: len(text)]) == (status, text)
    assert listed(harness) == []
