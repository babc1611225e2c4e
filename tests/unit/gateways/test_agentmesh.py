"""Services of an agent that are proxies, gateways, native to a mesh, or have named ports."""

import json
from typing import Any

import pytest

from tests.unit.gateways.harness import GatewayHarness, Reply

PROXY = {
    "Name": "web-proxy",
    "Kind": "connect-proxy",
    "Port": 7,
    "Address": "10.0.0.1",
    "Proxy": {
        "destination_service_name": "web",
        "Config": {"Some_Key": [{"a_b": 1}]},
        "upstreams": [{"destination_name": "db", "local_bind_port": 9}],
        "Expose": {"paths": [{"listener_port": 1, "path": "/x"}]},
    },
    "Locality": {"Region": "r", "Zone": "z"},
    "Token": "is ignored",
}


def put(harness: GatewayHarness, body: dict[str, Any]) -> Reply:
    return harness.ask("PUT", "/v1/agent/service/register", json.dumps(body).encode())


def got(harness: GatewayHarness, path: str) -> Any:
    return json.loads(harness.ask("GET", f"/v1/{path}").body)


def test_a_proxy_is_shown_by_its_agent_and_in_the_catalog_whatever_its_spelling() -> None:
    harness = GatewayHarness()
    assert put(harness, PROXY).status == 200
    shown = got(harness, "agent/service/web-proxy")
    proxy = {
        "DestinationServiceName": "web",
        "Config": {"Some_Key": [{"a_b": 1}]},
        "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9}],
        "MeshGateway": {},
        "Expose": {"Paths": [{"ListenerPort": 1, "Path": "/x"}]},
    }
    assert shown["Proxy"] == proxy
    assert shown["Locality"] == {"Region": "r", "Zone": "z"}
    assert "Connect" not in shown
    [entry] = got(harness, "health/connect/web")
    assert entry["Service"]["ID"] == "web-proxy"
    assert entry["Service"]["Proxy"] == {"Mode": "", **proxy}
    assert entry["Service"]["Locality"] == {"Region": "r", "Zone": "z"}
    assert got(harness, "health/connect/other") == []


def test_a_native_service_takes_part_in_the_mesh_by_itself() -> None:
    harness = GatewayHarness()
    assert put(harness, {"Name": "web", "Port": 8, "Connect": {"Native": True}}).status == 200
    assert got(harness, "agent/service/web")["Connect"] == {"Native": True}
    [entry] = got(harness, "health/connect/web")
    assert entry["Service"]["Connect"] == {"Native": True}


def test_the_default_one_of_several_ports_is_the_port() -> None:
    harness = GatewayHarness()
    ports = [{"Name": "admin", "Port": 81}, {"Name": "http", "Port": 80, "Default": True}]
    body = {"Name": "web", "Address": "10.0.0.1", "Ports": ports}
    assert put(harness, body).status == 200
    shown = got(harness, "agent/services")["web"]
    assert (shown["Port"], [each["Name"] for each in shown["Ports"]]) == (80, ["admin", "http"])
    assert shown["TaggedAddresses"]["lan_ipv4"] == {"Address": "10.0.0.1", "Port": 80}
    [entry] = got(harness, "health/service/web")
    assert entry["Service"]["Ports"] == [{**ports[0], "Default": False}, ports[1]]


@pytest.mark.parametrize(
    "kind", ["mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"]
)
def test_gateways_are_registered_with_their_rules(kind: str) -> None:
    harness = GatewayHarness()
    body: dict[str, Any] = {"Name": "gw", "Kind": kind, "Port": 9}
    assert put(harness, body).status == 200
    assert got(harness, "agent/service/gw")["Proxy"] == {"MeshGateway": {}, "Expose": {}}
    text = put(harness, body | {"Proxy": {"DestinationServiceName": "x"}}).text
    assert text == (
        "Validation failed: 1 error occurred:\n"
        f"\t* The Proxy.DestinationServiceName configuration is invalid for a {kind}\n\n"
    )
    needs_port = kind in ("mesh-gateway", "terminating-gateway")
    assert put(harness, {"Name": "gw", "Kind": kind}).status == (400 if needs_port else 200)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"Proxy": {}}, "Proxy.DestinationServiceName must be non-empty"),
        ({"Port": 0}, "Port or SocketPath must be set for a connect-proxy"),
        ({"Connect": {"Native": True}}, "A Proxy cannot also be Connect Native"),
        ({"Ports": [{"Name": "a", "Port": 1, "Default": True}]}, "Cannot set both Port and Ports"),
    ],
)
def test_a_proxy_that_makes_no_sense_is_refused_as_in_consul(
    fields: dict[str, Any], why: str
) -> None:
    harness = GatewayHarness()
    reply = put(harness, PROXY | fields)
    assert reply.status == 400
    assert reply.text.startswith(f"Validation failed: 1 error occurred:\n\t* {why}")
    assert got(harness, "agent/services") == {}
