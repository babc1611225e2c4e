"""Configuration entries over HTTP: what is refused, and the one form in which they are kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.configentries.commands import EntrySet, IntentionSet
from quorate.gateways.http.configbodies import ENTRY_BYTES_MAX, entry_in
from quorate.gateways.http.configkinds import KINDS
from quorate.gateways.http.errors import HttpError, TextError
from tests.unit.gateways.harness import GatewayHarness, Reply


def put(harness: GatewayHarness, **fields: Any) -> Reply:
    return harness.ask("PUT", "/v1/config", json.dumps(fields).encode())


def entry(harness: GatewayHarness, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(harness.ask("GET", f"/v1/config/{kind}/{name}").body)
    return {key: value for key, value in found.items() if not key.endswith("Index")}


def test_names_in_any_spelling_are_kept_in_one() -> None:
    harness = GatewayHarness()
    spelled = {"kind": "service-resolver", "name": "web", "connect_timeout": "90s",
               "subsets": {"v2": {"filter": "x == 1", "only_passing": True}, "v1": {}},
               "FAILOVER": {"*": {"datacenters": ["dc2"]}}}  # fmt: skip
    assert put(harness, **spelled).body == b"true"
    assert entry(harness, "service-resolver", "web") == {
        "Kind": "service-resolver", "Name": "web", "ConnectTimeout": "1m30s",
        "Subsets": {"v1": {}, "v2": {"Filter": "x == 1", "OnlyPassing": True}},
        "Failover": {"*": {"Datacenters": ["dc2"]}},
    }  # fmt: skip
    read = json.loads(harness.ask("GET", "/v1/config/service-resolver/web").body)
    assert put(harness, **read).body == b"true"  # what was read can be written again
    again = json.loads(harness.ask("GET", "/v1/config/service-resolver/web").body)
    assert again == read


NONSENSE: list[tuple[dict[str, Any], int, str]] = [
    ({"Kind": "service-defaults"}, 500, "Name is required"),
    ({"Kind": 1, "Name": "x"}, 400, "Request decoding failed: json: cannot unmarshal number"),
    ({"Kind": "service-defaults", "Name": "x", "Expose": {"Chicks": True}}, 400,
     'invalid config key "Expose.Chicks"'),
    ({"Kind": "service-defaults", "Name": "x", "Expose": [{}, {}]}, 400, "'Expose' expected a map"),
    ({"Kind": "service-router", "Name": "x", "Routes": [{"Math": {}}]}, 400,
     'invalid config key "Routes[0].Math"'),
    ({"Kind": "service-router", "Name": "x", "Routes": 1}, 400, "'Routes' expected a list"),
    ({"Kind": "service-splitter", "Name": "x", "Splits": [{"Weight": "60"}]}, 400,
     "'Splits[0].Weight' expected type 'float'"),
    ({"Kind": "service-splitter", "Name": "x"}, 500, "no splits configured"),
    ({"Kind": "service-resolver", "Name": "x", "ConnectTimeout": "soon"}, 400,
     "invalid duration"),
    ({"Kind": "service-defaults", "Name": "x", "Namespace": "team"}, 400, "Enterprise"),
    ({"Kind": "service-intentions", "Name": "x"}, 500, "At least one source is required"),
    ({"Kind": "service-intentions", "Name": "x", "Sources": [{"Action": "deny"}]}, 500,
     "Sources[0].Name is required"),
    ({"Kind": "service-intentions", "Name": "x",
      "Sources": [{"Name": "a", "Action": "deny"}] * 2}, 500, "more than once"),
    ({"Kind": "proxy-defaults", "Name": "global", "Config": [1]}, 400, "expected a map"),
    ({"Kind": "proxy-defaults", "Name": "global", "Config": {"x": "y" * ENTRY_BYTES_MAX}}, 400,
     "longer than"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "text"), NONSENSE)
def test_what_makes_no_sense_is_refused_and_named(
    fields: dict[str, Any], status: int, text: str
) -> None:
    reply = put(GatewayHarness(), **fields)
    assert reply.status == status
    assert text in reply.text


def test_intentions_and_their_entry_are_one() -> None:
    harness = GatewayHarness()
    path = "/v1/connect/intentions"
    pair = f"{path}/exact?source=web&destination=db"
    assert harness.ask("PUT", pair, b'{"Action": "deny"}').body == b"true"
    (source,) = entry(harness, "service-intentions", "db")["Sources"]
    assert source == {"Name": "web", "Action": "deny", "Precedence": 9, "Type": "consul"}
    check = f"{path}/check?destination=db&source="
    assert json.loads(harness.ask("GET", f"{check}web").body) == {"Allowed": False}
    assert json.loads(harness.ask("GET", f"{check}api").body) == {"Allowed": True}
    harness.ask("DELETE", "/v1/config/service-intentions/db")
    assert harness.ask("GET", pair).status == 404
    assert harness.ask("GET", path).body == b"[]"


def test_a_blocked_list_of_intentions_is_answered_when_they_change() -> None:
    harness = GatewayHarness()
    path = "/v1/connect/intentions"
    index = harness.ask("GET", path).headers["X-Consul-Index"]
    harness.post("GET", f"{path}?index={index}&wait=1m")
    harness.local.apply(EntrySet("service-resolver", "web", b"{}"))
    assert harness.replies() == []
    source = b'{"Name": "a", "Action": "allow", "Precedence": 9}'
    harness.local.apply(IntentionSet("b", source))
    (reply,) = harness.replies()
    assert [each["SourceName"] for each in json.loads(reply.body)] == ["a"]


def test_a_chain_with_a_router_says_that_it_is_not_compiled() -> None:
    harness = GatewayHarness()
    put(harness, Kind="service-defaults", Name="web", Protocol="http")
    chain = json.loads(harness.ask("GET", "/v1/discovery-chain/web").body)["Chain"]
    assert chain["Protocol"] == "http"
    put(harness, Kind="service-router", Name="web")
    reply = harness.ask("GET", "/v1/discovery-chain/web")
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (501, "unsupported")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
FIELDS = sorted({name for shape in KINDS.values() for name in shape})


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_body_is_kept_or_refused(kind: str, fields: dict[str, Any]) -> None:
    body = json.dumps({"Kind": kind, "Name": "x", **fields}).encode()
    try:
        found = entry_in(body)
    except (HttpError, TextError):
        return
    kept = json.loads(found.content)
    again = {"Kind": kind, **kept} if kind == "mesh" else {"Kind": kind, "Name": found.name, **kept}
    assert entry_in(json.dumps(again).encode()).content == found.content
