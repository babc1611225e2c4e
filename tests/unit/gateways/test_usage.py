"""How much is registered, counted in slices."""

import json
from typing import Any

import pytest

from quorate.catalog.commands import CatalogPut
from quorate.catalog.fields import NodeFields, Service
from quorate.gateways.http import usage
from tests.unit.gateways.harness import GatewayHarness

NODE = NodeFields("", "10.0.0.1", "dc1", {}, {})


def counts(harness: GatewayHarness) -> Any:
    return json.loads(harness.ask("GET", "/v1/operator/usage").body)["Usage"]["dc1"]


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_nodes_services_and_instances_are_counted(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(usage, "ROWS", rows)
    harness = GatewayHarness()
    before = counts(harness)
    kinds = [
        Service("a", "web"),
        Service("b", "Web"),
        Service("c", "db"),
        Service("d", "proxy", kind="connect-proxy"),
        Service("e", "own", is_native=True),
    ]
    for place in range(3):
        for service in kinds:
            harness.local.apply(CatalogPut(f"n{place}", NODE, service))
    found = counts(harness)
    assert found["Nodes"] - before["Nodes"] == 3
    assert found["ServiceInstances"] - before["ServiceInstances"] == 15
    assert found["Services"] - before["Services"] == 4
    assert found["BillableServiceInstances"] == 12
    assert {name: count for name, count in found["ConnectServiceInstances"].items() if count} == {
        "connect-proxy": 3, "connect-native": 3,
    }  # fmt: skip


def test_the_keyring_says_that_there_is_none() -> None:
    harness = GatewayHarness()
    for method, body in (("GET", b""), ("POST", b'{"Key": "x"}'), ("DELETE", b'{"Key": "x"}')):
        reply = harness.ask(method, "/v1/operator/keyring", body)
        assert reply.status == 500
        assert "encryption not enabled" in reply.text
