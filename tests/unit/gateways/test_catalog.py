"""Servers and services in the catalog, and what each member says of itself."""

import json
from typing import Any

import msgspec
import pytest

from quorate.base.config import NodeSettings
from quorate.base.versions import BUILD_DATE, CONSUL_VERSION, NODE_ID_META, QUORATE_VERSION
from quorate.node.detector import registration
from tests.unit.gateways.harness import BOB, ME, GatewayHarness


def test_each_server_is_an_instance_of_the_service_consul() -> None:
    harness = GatewayHarness()
    harness.local.register(ME, BOB)
    assert json.loads(harness.ask("GET", "/v1/catalog/services").body) == {"consul": []}
    found = json.loads(harness.ask("GET", "/v1/catalog/service/consul").body)
    assert [(one["Node"], one["ServiceID"], one["ServicePort"]) for one in found] == [
        ("Ann", "consul", 8300),
        ("Bob", "consul", 8300),
    ]
    healthy = json.loads(harness.ask("GET", "/v1/health/service/consul?passing").body)
    assert [one["Service"]["Port"] for one in healthy] == [8300, 8300]
    node = json.loads(harness.ask("GET", "/v1/catalog/node/Bob").body)
    assert list(node["Services"]) == ["consul"]
    bob = "/v1/catalog/service/consul?node-meta=zone:Bob"
    assert [one["Node"] for one in json.loads(harness.ask("GET", bob).body)] == ["Bob"]
    assert json.loads(harness.ask("GET", "/v1/catalog/datacenters").body) == ["dc1"]


@pytest.mark.parametrize("path", ["catalog/service", "catalog/connect", "health/service",
                                  "health/connect", "health/ingress"])  # fmt: skip
def test_services_of_a_peer_are_none_for_no_cluster_is_peered(path: str) -> None:
    harness = GatewayHarness()
    harness.local.register(ME)
    service = {"Service": "web", "Port": 80, "Connect": {"Native": True}}
    body = json.dumps({"Node": "n", "Address": "10.0.0.9", "Service": service}).encode()
    assert harness.ask("PUT", "/v1/catalog/register", body).status == 200
    answer = harness.ask("GET", f"/v1/{path}/web?peer=other")
    assert (answer.status, answer.body) == (200, b"[]")
    assert int(answer.headers["X-Consul-Index"]) > 0
    local = harness.ask("GET", f"/v1/{path}/web?peer=")
    assert len(json.loads(local.body)) == ("ingress" not in path)


@pytest.mark.parametrize("path", ["catalog/service", "health/service"])
def test_services_of_a_peer_do_not_change_with_those_here(path: str) -> None:
    harness = GatewayHarness()
    harness.local.register(ME)
    target = f"/v1/{path}/web?peer=other"
    index = harness.ask("GET", target).headers["X-Consul-Index"]
    harness.post("GET", f"{target}&index={index}&wait=5s")
    harness.local.register(BOB)
    assert harness.replies() == []


@pytest.mark.parametrize("path", ["service", "connect", "ingress"])
def test_sameness_groups_are_refused(path: str) -> None:
    harness = GatewayHarness()
    harness.local.register(ME)
    answer = harness.ask("GET", f"/v1/health/{path}/consul?sg=group")
    text = b"sameness groups are not supported in consul CE"
    assert (answer.status, answer.body) == (500, text)


def test_the_service_of_the_servers_is_not_the_agents() -> None:
    harness = GatewayHarness()
    harness.local.register(ME)
    assert harness.ask("GET", "/v1/agent/services").body == b"{}"
    assert harness.ask("PUT", "/v1/agent/service/deregister/consul").status == 404
    body = json.dumps({"Name": "x", "ID": "consul"}).encode()
    assert harness.ask("PUT", "/v1/agent/service/register", body).status == 400
    assert json.loads(harness.ask("GET", "/v1/catalog/services").body) == {"consul": []}


def test_services_are_listed_with_the_tags_of_all_their_instances() -> None:
    harness = GatewayHarness()
    harness.local.register(ME)
    for body in [
        {"Name": "web", "ID": "w1", "Tags": ["b", "a"]},
        {"Name": "web", "ID": "w2", "Tags": ["c", "a"], "Kind": "anything"},
    ]:
        assert (
            harness.ask("PUT", "/v1/agent/service/register", json.dumps(body).encode()).status
            == 200
        )
    all_of_them = json.loads(harness.ask("GET", "/v1/catalog/services").body)
    assert all_of_them == {"consul": [], "web": ["a", "b", "c"]}
    by_filter = "/v1/catalog/services?filter=ServiceID%20==%20w2"
    assert json.loads(harness.ask("GET", by_filter).body) == {"web": ["a", "c"]}
    assert json.loads(harness.ask("GET", "/v1/catalog/services?node-meta=zone:Bob").body) == {}
    tagged = json.loads(harness.ask("GET", "/v1/catalog/service/web?tag=B&tag=a").body)
    assert [one["ServiceID"] for one in tagged] == ["w1"]
    kinds = json.loads(harness.ask("GET", "/v1/catalog/service/web").body)
    assert [one["ServiceKind"] for one in kinds] == ["", "anything"]
    assert json.loads(harness.ask("GET", "/v1/agent/services").body)["w2"]["Kind"] == "anything"


def test_versions_are_reported_per_member_as_each_wrote_them() -> None:
    harness = GatewayHarness()
    harness.local.voters = (ME, BOB)
    old = registration(BOB, NodeSettings())
    assert old.details is not None
    meta = {**old.details.meta, "quorate-version": "0.0.9", "consul-version": "1.21.4"}
    details = msgspec.structs.replace(old.details, meta=meta)
    harness.local.register(ME)
    harness.local.apply(msgspec.structs.replace(old, details=details))
    members = json.loads(harness.ask("GET", "/v1/agent/members").body)
    assert [member["Tags"]["build"] for member in members] == [
        f"{CONSUL_VERSION}:quorate-{QUORATE_VERSION}",
        "1.21.4:quorate-0.0.9",
    ]
    health = json.loads(harness.ask("GET", "/v1/operator/autopilot/health").body)
    assert [server["Version"] for server in health["Servers"]] == [CONSUL_VERSION, "1.21.4"]


def test_a_configured_id_is_shown_wherever_a_node_is_and_decides_nothing() -> None:
    harness = GatewayHarness(with_node=False)
    shown = "6b1c2f10-0000-4000-8000-00000000dead"
    settings = NodeSettings(meta={"rack": "r1", NODE_ID_META: shown})
    harness.local.apply(registration(ME, settings))
    about = json.loads(harness.ask("GET", "/v1/agent/self").body)
    assert about["Config"]["NodeID"] == about["DebugConfig"]["NodeID"] == shown
    assert about["Member"]["Tags"]["id"] == shown
    assert about["DebugConfig"]["NodeMeta"] == {"rack": "r1"}
    [node] = json.loads(harness.ask("GET", "/v1/catalog/nodes").body)
    assert (node["ID"], node["Meta"]["rack"]) == (shown, "r1")
    [service] = json.loads(harness.ask("GET", "/v1/health/service/consul").body)
    assert service["Node"]["ID"] == shown
    [server] = json.loads(harness.ask("GET", "/v1/operator/raft/configuration").body)["Servers"]
    assert server["ID"] == ME.id


@pytest.mark.parametrize("is_registered", [False, True])
def test_a_node_says_its_versions_and_settings(is_registered: bool) -> None:
    harness = GatewayHarness(with_node=False)
    if is_registered:
        harness.local.register(ME)
    about = json.loads(harness.ask("GET", "/v1/agent/self").body)
    config, debug, meta = about["Config"], about["DebugConfig"], about["Meta"]
    assert (config["Version"], debug["Version"]) == (CONSUL_VERSION, CONSUL_VERSION)
    assert config["Revision"] == f"quorate-{QUORATE_VERSION}"
    assert config["BuildDate"] == debug["BuildDate"] == BUILD_DATE
    assert meta["quorate-version"] == debug["Quorate"] == QUORATE_VERSION
    assert meta["consul-version"] == CONSUL_VERSION
    assert debug["SerfAdvertiseAddrLAN"] == f"tcp://{ME.address}"
    assert (debug["SessionTTLMin"], config["SessionTTLMin"]) == ("10s", 10_000_000_000)
    assert debug["NodeMeta"] == ({"zone": "Ann"} if is_registered else {})
    assert about["Stats"]["build"]["version"] == CONSUL_VERSION


# --- registering in the catalog ------------------------------------------------------------------


def put(harness: GatewayHarness, endpoint: str, body: object) -> tuple[int, str]:
    reply = harness.ask("PUT", f"/v1/catalog/{endpoint}", json.dumps(body).encode())
    return reply.status, reply.text


def shown(harness: GatewayHarness, path: str) -> Any:
    return json.loads(harness.ask("GET", path).body)


@pytest.mark.parametrize("skips", [False, True])
def test_a_registration_is_one_command_whether_the_node_is_known_or_not(*, skips: bool) -> None:
    harness = GatewayHarness()
    body = {
        "Node": "far",
        "Address": "10.9.9.9",
        "SkipNodeUpdate": skips,
        "Service": {"Service": "web"},
        "Checks": [{"CheckID": "a", "ServiceID": "web"}, {"CheckID": "b", "Status": "passing"}],
    }
    before = harness.local.lab.machine.index
    assert put(harness, "register", body) == (200, "true")
    assert put(harness, "register", {**body, "Address": "10.1.1.1"}) == (200, "true")
    assert len(harness.local.submitted) == 2
    (found,) = shown(harness, "/v1/health/service/web")
    assert found["Node"]["Address"] == ("10.9.9.9" if skips else "10.1.1.1")
    assert [check["Status"] for check in found["Checks"]] == ["critical", "passing"]
    assert found["Checks"][0]["CreateIndex"] == found["Node"]["CreateIndex"] == before + 1


def test_a_registration_that_is_refused_leaves_nothing() -> None:
    harness = GatewayHarness()
    body = {
        "Node": "far",
        "Address": "10.9.9.9",
        "Service": {"Service": "web"},
        "Check": {"Name": "x", "ServiceID": "other"},
    }
    text = "Unknown service ID 'other' for check ID 'x'"
    assert put(harness, "register", body) == (500, text)
    assert shown(harness, "/v1/catalog/node/far") is None


MESH = {
    "Service": "px",
    "Kind": "connect-proxy",
    "Ports": [{"Name": "a", "Port": 7, "Default": True}, {"Name": "b", "Port": 8}],
    "Proxy": {
        "DestinationServiceName": "web",
        "Config": {"z": [1, {"y": None}], "a": 1.5},
        "Upstreams": None,
    },
    "Locality": {"Region": "r"},
}


def test_a_proxy_is_shown_as_it_was_given() -> None:
    harness = GatewayHarness()
    assert put(harness, "register", {"Node": "n", "Address": "1.1.1.1", "Service": MESH})[0] == 200
    (found,) = shown(harness, "/v1/health/connect/WEB")
    service = found["Service"]
    assert service["Proxy"] == {
        "DestinationServiceName": "web",
        "Config": MESH["Proxy"]["Config"],  # type: ignore[index]
        "Mode": "",
        "MeshGateway": {},
        "Expose": {},
    }
    assert (service["Port"], service["Locality"]) == (7, {"Region": "r", "Zone": ""})
    assert [port["Default"] for port in service["Ports"]] == [True, False]
    assert [one["ServiceID"] for one in shown(harness, "/v1/catalog/connect/web")] == ["px"]
    assert shown(harness, "/v1/catalog/connect/px") == []
    index = harness.local.lab.machine.index
    put(harness, "register", {"Node": "n", "Address": "1.1.1.1", "Service": MESH})
    assert harness.local.lab.machine.index == index


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"Port": 1}, "Cannot set both Port and Ports"),
        ({"Ports": [{"Name": "a", "Port": 1}]}, "One of the Ports must be marked as Default"),
        ({"Ports": [{"Port": 1, "Default": True}]}, "Ports.Name cannot be empty"),
        ({"Ports": [{"Name": "a", "Default": True}]}, "Ports.Port must be greater than zero"),
        ({"Ports": [MESH["Ports"][0]] * 2}, "Only one port can be marked as default"),  # type: ignore[index]
        ({"Ports": [MESH["Ports"][0]] * 2}, 'Ports.Name "a" has to be unique'),  # type: ignore[index]
        ({"Ports": None}, "Port or SocketPath must be set for a connect-proxy"),
        ({"Proxy": {}}, "Proxy.DestinationServiceName must be non-empty"),
        ({"Proxy": {"DestinationServiceName": "*"}}, "must not be a wildcard"),
        ({"Connect": {"Native": True}}, "A Proxy cannot also be Connect Native"),
    ],
)
def test_a_proxy_that_makes_no_sense_is_refused(service: dict[str, Any], text: str) -> None:
    body = {"Node": "n", "Address": "1.1.1.1", "Service": {**MESH, **service}}
    status, reply = put(GatewayHarness(), "register", body)
    assert (status, text in reply) == (500, True), reply


@pytest.mark.parametrize(
    "body",
    [
        {"Service": {"Service": "s", "Proxy": {"Config": {"a": "\ud800"}}}},
        {"Service": {"Service": "s", "Proxy": {"Config": {"a": "x" * 70_000}}}},
        {"Service": {"Service": "s", "Proxy": {"Nonsense": 1}}},
        {"Service": {"Service": "s", "Ports": 7}},
        {"Service": {"Service": "s", "Namespace": "x"}},
        {"Check": {"CheckID": "c", "ExposedPort": 1 << 70}},
        {"Check": {"CheckID": "c", "Definition": {"Interval": "soon"}}},
        {"Check": {"CheckID": "c", "Definition": {"Interval": 1 << 70}}},
        {"Check": {"CheckID": "c", "Definition": {"Header": {"a": "b"}}}},
        {"Checks": 7},
        {"Partition": "p"},
    ],
)
def test_a_body_that_cannot_be_stored_is_refused(body: dict[str, Any]) -> None:
    harness = GatewayHarness()
    assert put(harness, "register", {"Node": "n", "Address": "1.1.1.1", **body})[0] == 400
    assert harness.local.submitted == []


def test_a_blocking_read_of_health_says_that_no_leader_is_known_as_in_consul() -> None:
    harness = GatewayHarness()
    harness.local.register(ME)
    for query, leader, backend in [
        ("", "true", "blocking-query"),
        ("?index=1", "false", "streaming"),
        ("?index=1&near=_agent", "true", "blocking-query"),
        ("?index=1&stale", "true", "blocking-query"),
    ]:
        headers = harness.ask("GET", f"/v1/health/service/consul{query}").headers
        found = headers["X-Consul-Knownleader"], headers["X-Consul-Query-Backend"]
        assert found == (leader, backend), query


@pytest.mark.parametrize("path", ["/v1/health/service/web", "/v1/catalog/service/web"])
def test_a_peer_that_is_unknown_has_no_instances(path: str) -> None:
    harness = GatewayHarness()
    put(harness, "register", {"Node": "n", "Address": "1.1.1.1", "Service": {"Service": "web"}})
    assert len(shown(harness, path)) == len(shown(harness, f"{path}?merge-central-config")) == 1
    assert shown(harness, f"{path}?peer=other") == []


def test_sameness_groups_are_refused_as_in_consul() -> None:
    reply = GatewayHarness().ask("GET", "/v1/health/service/web?sg=g")
    text = "sameness groups are not supported in consul CE"
    assert (reply.status, reply.text) == (500, text)


@pytest.mark.parametrize(
    ("operation", "status", "text"),
    [
        ({"Node": {"Verb": "set", "Node": {"Node": "n", "ID": "x"}}}, 400, "Bad node ID"),
        ({"Service": {"Verb": "set", "Service": {"ID": "x"}}}, 409, "Must provide service name"),
        ({"Service": {"Verb": "cas", "Service": MESH | {"Proxy": {}}}}, 400, "must be non-empty"),
        ({"Service": {"Verb": "get", "Node": "n", "Service": {"ID": "x"}}}, 409, "doesn't exist"),
        ({"Check": {"Verb": "set", "Check": {"Node": "Ann"}}}, 409, "Missing check ID"),
        ({"Check": {"Verb": "set", "Bogus": 1}}, 400, "unknown field"),
        ({"Check": {"Verb": "set", "Check": {"ModifyIndex": -1}}}, 400, "uint64"),
    ],
)
def test_an_operation_that_makes_no_sense_says_why(
    operation: dict[str, Any], status: int, text: str
) -> None:
    reply = GatewayHarness().ask("PUT", "/v1/txn", json.dumps([operation]).encode())
    assert (reply.status, text in reply.text) == (status, True), reply.text


def test_a_transaction_reads_the_catalog_without_a_command() -> None:
    harness = GatewayHarness()
    body = json.dumps([{"Node": {"Verb": "get", "Node": {"Node": "ann"}}}]).encode()
    found = json.loads(harness.ask("PUT", "/v1/txn", body).body)["Results"]
    assert [one["Node"]["Node"] for one in found] == ["Ann"]
    assert harness.local.submitted == []
