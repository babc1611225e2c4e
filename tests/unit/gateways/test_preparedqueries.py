"""Prepared queries over HTTP: definitions, executions, and what is refused."""

import json
from collections import Counter
from typing import Any

import pytest

from quorate.catalog.commands import CatalogPut, CheckUpdate
from quorate.catalog.fields import Check, NodeFields, Service
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.fields import QueryFields, ServiceQuery
from tests.unit.gateways.harness import ME, GatewayHarness, Reply


class Caller:
    """A client of a node."""

    def __init__(self) -> None:
        self.harness = GatewayHarness()
        self.harness.local.register(ME)

    def instance(
        self, node: str, service: str = "web", *, address: str = "10.0.0.1", status: str = "",
        said: Service | None = None, meta: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        fields = NodeFields("", address, "dc1", {}, meta or {})
        checks = (Check("c", "c", status, service_id=service),) if status else ()
        command = CatalogPut(node, fields, said or Service(service, service), checks)
        self.harness.local.apply(command)

    def create(self, **fields: Any) -> str:
        reply = self.post({"Service": {"Service": "web"}, **fields})
        assert reply.status == 200, reply.text
        made: str = json.loads(reply.body)["ID"]
        return made

    def post(self, fields: Any) -> Reply:
        return self.harness.ask("POST", "/v1/query", json.dumps(fields).encode())

    def get(self, path: str, *headers: str) -> Reply:
        return self.harness.ask("GET", path, b"", *headers)

    def execute(self, name: str, query: str = "", *headers: str) -> list[str]:
        reply = self.get(f"/v1/query/{name}/execute{query}", *headers)
        assert reply.status == 200, reply.text
        return [one["Node"]["Node"] for one in json.loads(reply.body)["Nodes"]]


@pytest.fixture
def caller() -> Caller:
    return Caller()


# --- definitions ------------------------------------------------------------------------------


def test_every_field_comes_back(caller: Caller) -> None:
    fields = {
        "Name": "n", "Session": "", "Token": "t",
        "Template": {"Type": "name_prefix_match", "Regexp": "^n(.*)$", "RemoveEmptyTags": True},
        "Service": {
            "Service": "web", "SamenessGroup": "", "OnlyPassing": True, "IgnoreCheckIDs": ["c"],
            "Failover": {"NearestN": 0, "Datacenters": None,
                         "Targets": [{"Peer": "p", "Datacenter": ""}]},
            "Near": "_agent", "Tags": ["a", "!b"], "NodeMeta": {"k": "v"},
            "ServiceMeta": {"l": "w"}, "Connect": True, "Peer": "",
        },
        "DNS": {"TTL": "10s"},
    }  # fmt: skip
    id_ = caller.create(**fields)
    (shown,) = json.loads(caller.get(f"/v1/query/{id_.upper()}").body)
    index = caller.harness.local.lab.machine.index
    assert shown == {"ID": id_, **fields, "CreateIndex": index, "ModifyIndex": index}
    assert json.loads(caller.get("/v1/query").body) == [shown]


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 500, "Invalid prepared query: Must be bound to a session"),
        ({"Name": "n"}, 500, "Invalid prepared query: Must provide a Service name to query"),
        ({"Name": "n" * 1025, "Service": {"Service": "w"}}, 500,
         "Invalid prepared query: Name is longer than 1024 bytes"),
        ({"Name": "n", "Token": "<hidden>", "Service": {"Service": "w"}}, 500,
         ("Invalid prepared query: Bad Token '<hidden>', it looks like a query definition with a "
         "redacted token was submitted")),
        ({"Name": "n", "Service": {"Service": "w", "Failover": {
            "NearestN": 1, "Targets": [{"Datacenter": "x"}]}}}, 500,
         "Invalid prepared query: Targets cannot be populated with NearestN or Datacenters"),
        ({"Name": "n", "Service": []}, 400,
         "Request decode failed: json: cannot unmarshal array into field Service"),
        ({"Name": "n", "Service": {"Service": 1}}, 400,
         "Request decode failed: json: cannot unmarshal number into field Service of type string"),
        ({"Name": "n", "Service": {"Failover": {"Targets": {}}}}, 400,
         "Request decode failed: json: field Targets must be a list of at most 1024 targets"),
        ({"Name": "n", "Service": {"Service": "w", "Tags": ["t"] * 1025}}, 400,
         "Request decode failed: json: field Tags has more than 1024 items"),
        ([], 400, "Request decode failed: json: cannot unmarshal array into a prepared query"),
        ({"Name": "n", "Service": {"Service": "w", "Tags": ["t" * 4000] * 17}}, 413,
         "Request body too large, max size: 65536 bytes."),
    ],
)  # fmt: skip
def test_what_is_no_definition_is_refused(
    caller: Caller, fields: Any, status: int, text: str
) -> None:
    reply = caller.post(fields)
    assert (reply.status, reply.text) == (status, text)
    assert json.loads(caller.get("/v1/query").body) == []
    id_ = caller.create(Name="kept")
    reply = caller.harness.ask("PUT", f"/v1/query/{id_}", json.dumps(fields).encode())
    assert (reply.status, reply.text) == (status, text)
    assert json.loads(caller.get(f"/v1/query/{id_}").body)[0]["Name"] == "kept"


def test_an_empty_body_is_refused(caller: Caller) -> None:
    reply = caller.harness.ask("POST", "/v1/query")
    assert (reply.status, reply.text) == (400, "Request decode failed: EOF")


@pytest.mark.parametrize(
    ("id_", "why"),
    [
        ("x", "UUID must be 36 characters"),
        ("g" * 36, "UUID must be hexadecimal"),
        ("-" * 36, 'UUID should have maximum of 4 "-"; got 36'),
        ("-" + "a" * 35, "UUID (without hyphens) must be even length"),
    ],
)
def test_what_is_no_id_is_refused(caller: Caller, id_: str, why: str) -> None:
    body = json.dumps({"Name": "n", "Service": {"Service": "w"}}).encode()
    for method in ("GET", "PUT", "DELETE"):
        reply = caller.harness.ask(method, f"/v1/query/{id_}", body if method == "PUT" else b"")
        prefix = "" if method == "GET" else "Prepared Query lookup failed: "
        text = f"{prefix}failed prepared query lookup: index error: {why}"
        assert (reply.status, reply.text) == (500, text)


def test_a_read_of_one_query_waits_for_a_change_of_that(caller: Caller) -> None:
    id_, harness = caller.create(Name="n"), caller.harness
    index = caller.get(f"/v1/query/{id_}").headers["X-Consul-Index"]
    harness.post("GET", f"/v1/query/{id_}?index={index}&wait=9m")
    other = QueryFields("m", ServiceQuery("web"))
    harness.local.apply(PreparedQueryCreate("other", other))
    assert harness.replies() == []
    harness.local.apply(PreparedQueryUpdate(id_, QueryFields("k", ServiceQuery("web"))))
    (reply,) = harness.replies()
    assert json.loads(reply.body)[0]["Name"] == "k"
    assert int(reply.headers["X-Consul-Index"]) == harness.local.lab.machine.index
    harness.post("GET", f"/v1/query/{id_}?index={reply.headers['X-Consul-Index']}&wait=9m")
    harness.local.apply(PreparedQueryDelete(id_))
    (reply,) = harness.replies()
    assert (reply.status, reply.text) == (404, "Query not found")


def test_a_list_waits_for_a_change_of_any(caller: Caller) -> None:
    caller.create(Name="n")
    harness = caller.harness
    index = caller.get("/v1/query").headers["X-Consul-Index"]
    harness.post("GET", f"/v1/query?index={index}&wait=9m")
    caller.instance("n1")
    assert harness.replies() == []
    harness.local.apply(PreparedQueryCreate("other", QueryFields("m", ServiceQuery("web"))))
    (reply,) = harness.replies()
    assert [one["Name"] for one in json.loads(reply.body)] == ["n", "m"]


# --- executing --------------------------------------------------------------------------------


def test_what_a_query_says_of_instances_is_honoured(caller: Caller) -> None:
    caller.instance("n1", status="passing", meta={"rack": "r1"})
    caller.instance("n2", status="warning", said=Service("web", "web", tags=("A",)))
    caller.instance("n3", status="critical", said=Service("web", "web", meta={"v": "2"}))
    caller.instance("n4", said=Service("web", "web", tags=("a", "B"), meta={"v": "1"}))

    def given(**service: Any) -> list[str]:
        id_ = caller.create(Name="q", Service={"Service": "web", **service})
        found = sorted(caller.execute("q"))
        assert sorted(caller.execute(id_)) == found
        assert caller.harness.ask("DELETE", f"/v1/query/{id_}").status == 200
        return found

    assert given() == ["n1", "n2", "n4"]
    assert given(OnlyPassing=True) == ["n1", "n4"]
    assert given(IgnoreCheckIDs=["c"]) == ["n1", "n2", "n3", "n4"]
    assert given(OnlyPassing=True, IgnoreCheckIDs=["c"]) == ["n1", "n2", "n3", "n4"]
    assert given(Tags=["a"]) == ["n2", "n4"]
    assert given(Tags=["a", "!b"]) == ["n2"]
    assert given(Tags=["!A"]) == ["n1"]
    assert given(Tags=["none"]) == []
    assert given(NodeMeta={"rack": "r1"}) == ["n1"]
    assert given(ServiceMeta={"v": "1"}) == ["n4"]
    assert given(ServiceMeta={"v": "2"}) == []
    assert given(Peer="other") == []


def test_a_check_of_the_node_counts_for_its_instances(caller: Caller) -> None:
    caller.instance("n1")
    command = CatalogPut("n1", None, None, (Check("disk", "disk", "passing"),))
    caller.harness.local.apply(command)
    caller.create(Name="q")
    assert caller.execute("q") == ["n1"]
    caller.harness.local.apply(CheckUpdate("n1", "disk", "critical", ""))
    assert caller.execute("q") == []


def test_the_order_is_random_and_the_limit_is_of_all(caller: Caller) -> None:
    nodes = [f"n{number}" for number in range(4)]
    for node in nodes:
        caller.instance(node)
    caller.create(Name="q")
    first = Counter(caller.execute("q")[0] for _ in range(200))
    assert set(first) == set(nodes)
    assert len({tuple(caller.execute("q")) for _ in range(200)}) > 12
    assert {node for _ in range(100) for node in caller.execute("q", "?limit=1")} == set(nodes)
    assert [len(caller.execute("q", f"?limit={limit}")) for limit in (0, -1, 3, 9)] == [4, 4, 3, 4]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=abc", 'Bad limit: strconv.Atoi: parsing "abc": invalid syntax'),
        ("limit=-", 'Bad limit: strconv.Atoi: parsing "-": invalid syntax'),
        ("limit=" + "9" * 30, f'Bad limit: strconv.Atoi: parsing "{"9" * 30}": value out of range'),
        ("connect=2", ('Error parsing \'connect\' value: strconv.ParseBool: parsing "2": invalid '
         "syntax")),
        ("dc=other", "No path to datacenter"),
    ],
)  # fmt: skip
def test_what_no_execution_can_do_is_refused(caller: Caller, query: str, text: str) -> None:
    caller.create(Name="q")
    reply = caller.get(f"/v1/query/q/execute?{query}")
    assert (reply.status, reply.text) == (500, text)


def test_near_puts_one_node_first(caller: Caller) -> None:
    for number in range(1, 12):
        caller.instance(f"n{number}", address=f"10.0.0.{number}")
    caller.instance(ME.name, address="127.0.0.1")
    caller.create(Name="q", Service={"Service": "web", "Near": "N7"})
    caller.create(Name="agent", Service={"Service": "web", "Near": "_agent"})
    caller.create(Name="ip", Service={"Service": "web", "Near": "_ip"})
    for _ in range(20):
        assert caller.execute("q")[0] == "n7"
        assert caller.execute("q", "?near=n3")[0] == "n3"
        assert caller.execute("q", "?near=n3&limit=1") == ["n3"]
        assert caller.execute("agent")[0] == caller.execute("q", "?near=_agent")[0] == ME.name
        assert caller.execute("ip", "", "X-Forwarded-For: 10.0.0.5, 10.0.0.6")[0] == "n5"
        assert caller.execute("ip", "", "X-Forwarded-For: nonsense")[0] == ME.name
    assert len(caller.execute("q", "?near=nowhere")) == 12


def test_near_and_limit_hold_for_more_instances_than_one_turn_makes(caller: Caller) -> None:
    names = [f"n{number:03}" for number in range(300)]
    for name in names:
        caller.instance(name, status="critical" if name == "n000" else "")
    caller.create(Name="q", Service={"Service": "web", "Near": "n299"})
    assert sorted(executed(caller, "q")) == names[1:]
    assert executed(caller, "q")[0] == "n299"
    assert len(executed(caller, "q", "?limit=200")) == 200
    assert executed(caller, "q", "?limit=1") == ["n299"]


def executed(caller: Caller, name: str, query: str = "") -> list[str]:
    """The same for a response that is sent in slices."""
    reply = caller.harness.ask_anew("GET", f"/v1/query/{name}/execute{query}")
    body = json.loads(reply.body)
    assert "Transfer-Encoding" in reply.headers
    assert (body["Service"], body["DNS"], body["Index"]) == ("web", {"TTL": ""}, 1)
    return [one["Node"]["Node"] for one in body["Nodes"]]


def test_instances_of_the_mesh(caller: Caller) -> None:
    caller.instance("n1")
    caller.instance("n2", said=Service("web", "web", is_native=True))
    caller.create(Name="q")
    caller.create(Name="mesh", Service={"Service": "web", "Connect": True})
    assert sorted(caller.execute("q")) == ["n1", "n2"]
    assert caller.execute("mesh") == caller.execute("q", "?connect=true") == ["n2"]
    assert len(caller.execute("q", "?connect=false")) == 2


def test_fail_over_finds_no_other_datacenter_and_counts_peers(caller: Caller) -> None:
    def result(failover: Any) -> tuple[Any, ...]:
        id_ = caller.create(Name="q", Service={"Service": "none", "Failover": failover})
        body = json.loads(caller.get("/v1/query/q/execute").body)
        assert caller.harness.ask("DELETE", f"/v1/query/{id_}").status == 200
        return tuple(body[name] for name in ("Nodes", "Failovers", "Datacenter", "PeerName"))

    assert result({"NearestN": 3, "Datacenters": ["dc1", "dc9"]}) == ([], 0, "dc1", "")
    assert result({"Targets": [{"Datacenter": "dc9"}]}) == ([], 0, "dc1", "")
    assert result({"Targets": [{"Peer": "a"}, {"Peer": "b"}]}) == ([], 2, "", "b")


def test_a_stale_execution_says_so(caller: Caller) -> None:
    caller.create(Name="q")
    for query, level in (("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")):
        reply = caller.get(f"/v1/query/q/execute{query}")
        assert json.loads(reply.body)["ConsistencyLevel"] == level
        assert reply.headers["X-Consul-Effective-Consistency"] == level
    assert caller.get("/v1/query/q/execute?cached").headers["X-Cache"] == "HIT"


def test_an_execution_does_not_wait(caller: Caller) -> None:
    caller.create(Name="q")
    assert caller.get("/v1/query/q/execute?index=999999&wait=9m").status == 200
    assert caller.get("/v1/query/q/explain?index=999999&wait=9m").status == 200


def test_a_template_is_executed_by_name_only(caller: Caller) -> None:
    caller.instance("n1", "db-eu")
    template = {"Type": "name_prefix_match", "Regexp": "^find-(.*)$"}
    id_ = caller.create(
        Name="find-",
        Template=template,
        Service={"Service": "${match(1)}", "Near": "${agent.segment}"},
    )
    assert caller.execute("find-db-eu") == ["n1"]
    assert caller.execute("FIND-db-eu") == []  # the expression has its case
    text = "prepared query templates can only be resolved up by name, not by ID"
    for verb in ("execute", "explain"):
        reply = caller.get(f"/v1/query/{id_}/{verb}")
        assert (reply.status, reply.text) == (500, text)
    assert caller.get(f"/v1/query/{id_}").status == 200


def test_a_rendering_that_would_be_too_long_is_refused(caller: Caller) -> None:
    template = {"Type": "name_prefix_match"}
    caller.create(Name="", Template=template, Service={"Service": "${name.full}" * 300})
    reply = caller.get(f"/v1/query/{'x' * 1000}/execute")
    assert (reply.status, reply.text) == (500, "the rendered query is longer than 65536")


def test_a_query_whose_name_ends_like_a_verb_is_found_by_its_id(caller: Caller) -> None:
    id_ = caller.create(Name="a/execute")
    assert caller.get(f"/v1/query/{id_}/execute").status == 200
    assert caller.get("/v1/query/a/execute/execute").status == 200
    assert caller.get("/v1/query/a/execute").status == 404


def test_an_execution_that_is_repeated_follows_every_change(caller: Caller) -> None:
    caller.instance("n1")
    caller.instance("n2")
    id_ = caller.create(Name="q")

    def seen() -> list[str]:
        found = sorted(caller.execute("q"))
        assert sorted(caller.execute("q")) == found == sorted(caller.execute("q", "?limit=9"))
        assert len(caller.execute("q", "?limit=1")) == min(1, len(found))
        return found

    assert seen() == ["n1", "n2"]
    assert len(caller.harness.context.kept) == 3
    caller.instance("other", "db")
    assert seen() == ["n1", "n2"]
    caller.instance("n1", status="critical")
    assert seen() == ["n2"]
    caller.harness.local.apply(CheckUpdate("n1", "c", "passing", ""))
    assert seen() == ["n1", "n2"]
    caller.harness.local.apply(PreparedQueryUpdate(id_, QueryFields("q", ServiceQuery("db"))))
    assert seen() == ["other"]
    caller.instance("n3", said=Service("web", "web", is_native=True))
    mesh = QueryFields("q", ServiceQuery("web", is_connect=True))
    caller.harness.local.apply(PreparedQueryUpdate(id_, mesh))
    assert seen() == ["n3"]
    caller.instance("n4", said=Service("web", "web", is_native=True))
    assert seen() == ["n3", "n4"]
    caller.harness.local.apply(PreparedQueryDelete(id_))
    for _ in range(2):
        assert caller.get("/v1/query/q/execute").status == 404
    caller.create(Name="Q", DNS={"TTL": "3s"})
    assert seen() == ["n1", "n2", "n3", "n4"]
    body = json.loads(caller.get("/v1/query/q/execute").body)
    assert (body["DNS"], body["Service"]) == ({"TTL": "3s"}, "web")


def test_a_repeated_execution_is_shuffled_and_byte_for_byte_a_first_one_otherwise(
    caller: Caller,
) -> None:
    for number in range(4):
        caller.instance(f"n{number}", status="passing")
    caller.create(Name="q", Service={"Service": "web", "Near": "n2"})

    first = caller.get("/v1/query/q/execute")
    again = [caller.get("/v1/query/q/execute") for _ in range(60)]
    whole = json.loads(first.body)
    assert {key: value for key, value in whole.items() if key != "Nodes"} == {
        key: value for key, value in json.loads(again[0].body).items() if key != "Nodes"
    }
    assert all(len(reply.body) == len(first.body) for reply in again)
    assert list(whole) == list(json.loads(again[0].body))
    orders = {tuple(one["Node"]["Node"] for one in json.loads(r.body)["Nodes"]) for r in again}
    assert len(orders) > 3
    assert {order[0] for order in orders} == {"n2"}
    for reply in again:
        nodes = sorted(json.loads(reply.body)["Nodes"], key=lambda one: str(one["Node"]["Node"]))
        assert nodes == sorted(whole["Nodes"], key=lambda one: str(one["Node"]["Node"]))
    names = ("X-Consul-Index", "X-Consul-Effective-Consistency", "Content-Type")
    assert [first.headers[name] for name in names] == [again[0].headers[name] for name in names]


def test_an_execution_that_is_long_or_indented_is_made_anew(caller: Caller) -> None:
    for number in range(200):
        caller.instance(f"n{number}")
    caller.create(Name="q")
    for _ in range(3):
        assert len(executed(caller, "q")) == 200
    caller.harness.connect()
    assert caller.get("/v1/query/q/explain?pretty").body.startswith(b"{\n")
