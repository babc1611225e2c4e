"""Endpoints: what recorded conversations do not show, or not without a cluster."""

import gzip
import json

import pytest

from quorate.base.errors import (
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    QuorateError,
    RequestError,
    StorageError,
    UnavailableError,
)
from quorate.catalog.commands import NodeRegister
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.errors import STATUS_OF, http_error
from quorate.gateways.http.responses import go_json
from quorate.gateways.http.routes import ROUTES
from quorate.kv.commands import KvSet
from quorate.sessions.commands import SessionRenew
from tests.unit.gateways.harness import BOB, ME, GatewayHarness


def kinds(root: type[QuorateError]) -> list[type[QuorateError]]:
    return [kind for sub in root.__subclasses__() for kind in (sub, *kinds(sub))]


# --- errors -----------------------------------------------------------------------------------


def test_every_code_has_a_status() -> None:
    codes = {code for kind in kinds(QuorateError) for code in kind.codes}
    assert codes == set(STATUS_OF)


@pytest.mark.parametrize(
    ("error", "status", "text", "definite"),
    [
        (UnavailableError("no_quorum", "x"), 500, "No cluster leader", "true"),
        (UnavailableError("not_leader", "x"), 500, "No cluster leader", "true"),
        (UnavailableError("overloaded", "full", 2.4), 429, "full", "true"),
        (UnavailableError("stopping", "bye"), 503, "bye", "true"),
        (UnavailableError("unreachable", "far"), 503, "far", "true"),
        (UnavailableError("read_only", "disk"), 503, "disk", "true"),
        (OutcomeUnknownError("outcome_unknown", "who knows"), 500, "who knows", "false"),
        (RequestError("too_large", "big"), 413, "big", "true"),
    ],
)
def test_a_failed_write_says_how_and_whether_it_may_still_happen(
    error: QuorateError, status: int, text: str, definite: str
) -> None:
    harness = GatewayHarness()
    harness.local.refusal = error
    reply = harness.ask("PUT", "/v1/kv/a", b"1")
    assert (reply.status, reply.text) == (status, text)
    assert reply.headers["X-Quorate-Error"] == error.code
    assert reply.headers["X-Quorate-Definite"] == definite
    assert ("Retry-After" in reply.headers) == (status in (429, 503))


@pytest.mark.parametrize(("method", "target"), [("PUT", "/v1/kv/a"), ("GET", "/v1/kv/a?index=9")])
@pytest.mark.parametrize("code", ["no_quorum", "not_leader"])
def test_who_has_no_leader_says_why_behind_the_words_that_clients_look_for(
    method: str, target: str, code: str
) -> None:
    harness = GatewayHarness()
    harness.local.refusal = UnavailableError(code, "x")
    harness.local.reason = "waiting for 2 of 3 nodes to bootstrap"
    reply = harness.ask(method, target, b"1")
    assert reply.text == "No cluster leader: waiting for 2 of 3 nodes to bootstrap"
    assert reply.headers["X-Quorate-Error"] == code


def test_only_an_error_about_the_leader_says_why_there_is_none() -> None:
    harness = GatewayHarness()
    harness.local.refusal = UnavailableError("stopping", "this node is stopping")
    harness.local.reason = "no leader since 3 s"
    assert harness.ask("PUT", "/v1/kv/a", b"1").text == "this node is stopping"


def test_a_full_queue_says_when_to_come_back() -> None:
    lines = http_error(UnavailableError("overloaded", "full", 2.4)).lines()
    assert b"Retry-After: 2\r\n" in lines


@pytest.mark.parametrize(
    ("method", "target", "code", "definite"),
    [
        ("GET", "/v1/kv/a", "local", "true"),
        ("GET", "/v1/kv/a?stale", "local", "true"),
        ("PUT", "/v1/session/renew/s", "outcome_unknown", "false"),
    ],
)
def test_an_internal_error_has_an_id_and_is_definite_only_for_reads(
    monkeypatch: pytest.MonkeyPatch, method: str, target: str, code: str, definite: str
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a secret")

    harness = GatewayHarness()
    monkeypatch.setattr(harness.local.lab.tables, "get", broken)
    reply = harness.ask(method, target)
    assert reply.status == 500
    assert "fault1" in reply.text
    assert "secret" not in reply.text
    assert reply.headers["X-Quorate-Error"] == code
    assert reply.headers["X-Quorate-Definite"] == definite
    assert [type(fault) for fault in harness.local.faults] == [ValueError]


def test_an_internal_error_after_apply_is_not_called_definite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a secret")

    harness = GatewayHarness()
    monkeypatch.setattr(harness.context.responses, "value", broken)
    reply = harness.ask("PUT", "/v1/kv/a?flags=1", b"1")
    assert len(harness.local.submitted) == 1
    assert (reply.status, reply.headers["X-Quorate-Definite"]) == (500, "false")


def test_damage_seen_after_apply_is_not_called_definite_and_ends_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise StorageError("corrupt", "a row does not match its checksum")

    harness = GatewayHarness()
    monkeypatch.setattr(harness.context.responses, "value", broken)
    with pytest.raises(StorageError):
        harness.post("PUT", "/v1/kv/a?flags=1", b"1")
    [reply] = harness.replies()
    assert (reply.status, reply.headers["X-Quorate-Definite"]) == (500, "false")


# --- keys -------------------------------------------------------------------------------------


def test_every_write_tells_its_index() -> None:
    harness = GatewayHarness()
    first = int(harness.ask("PUT", "/v1/kv/a", b"1").headers["X-Quorate-Index"])
    assert int(harness.ask("PUT", "/v1/kv/a", b"2").headers["X-Quorate-Index"]) == first + 1
    assert int(harness.ask("PUT", "/v1/kv/a", b"2").headers["X-Quorate-Index"]) == first + 1
    lost = harness.ask("PUT", "/v1/kv/a?cas=1", b"3")
    assert (lost.body, lost.headers["X-Quorate-Index"]) == (b"false", str(first + 1))


def test_a_key_may_be_any_bytes_that_a_path_can_carry() -> None:
    harness = GatewayHarness()
    for target, key in {
        "/v1/kv/%ff%fe": b"\xff\xfe",
        "/v1/kv/%2Fa": b"/a",
        "/v1/kv/a%2F..%2Fb": b"b",
        "/v1/kv/a%20": b"a ",
        "/v1/kv/a+b": b"a+b",
        "/v1/kv/a%3Fb": b"a?b",
    }.items():
        assert harness.ask("PUT", target, b"v").body == b"true"
        last = harness.local.submitted[-1]
        assert isinstance(last, KvSet)
        assert last.key == key


def test_what_no_printer_prints_is_refused_unless_asked_to() -> None:
    assert GatewayHarness().ask("PUT", "/v1/kv/a%00b", b"v").status == 400
    assert (
        GatewayHarness(HttpConfig(takes_unprintable=True)).ask("PUT", "/v1/kv/a%00b", b"v").status
        == 200
    )


def test_long_answers_are_packed_for_those_who_take_that() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"x" * 2000)
    plain = harness.ask("GET", "/v1/kv/a")
    packed = harness.ask("GET", "/v1/kv/a", b"", "Accept-Encoding: gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)


@pytest.mark.parametrize(
    ("value", "is_packed"),
    [
        ("gzip", True), ("GZip", True), ("x-gzip", True), ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.001", True), ("*", True), ("*;q=0.1", True), ("gzip ; q=0.5", True),
        ("br, gzip", True), ("gzip, identity", True), ("gzip;q=1;x=y", True),
        ("gzip;q=0", False), ("gzip;q=0.000", False), ("identity, gzip;q=0.0", False),
        ("identity", False), ("deflate", False), ("", False), ("*;q=0", False),
        ("gzip;q=0, *", False), ("identity;q=0.9, gzip;q=0.5", False), ("gzip;q=2", False),
        ("gzip;q=-1", False), ("gzip;q=nan", False), ("gzip;q=", False), ("not-gzip", False),
        ("gzipped", False), ("deflate;x=gzip", False), ("gzip," + "x" * 1000, False),
    ],
)  # fmt: skip
def test_the_accepted_encodings_are_weighed(value: str, is_packed: bool) -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"x" * 5000)
    reply = harness.ask("GET", "/v1/kv/a?raw", b"", f"Accept-Encoding: {value}")
    assert (reply.headers.get("Content-Encoding") == "gzip") is is_packed
    assert reply.headers["Vary"] == "Accept-Encoding"


def test_json_has_no_characters_that_mean_something_in_html() -> None:
    text = go_json(["<a>&\u2028\u2029ç"]).decode()
    assert text == '["\\u003ca\\u003e\\u0026\\u2028\\u2029ç"]'


def test_pretty_indents_and_ends_the_line() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/kv/a", b"1")
    assert harness.ask("GET", "/v1/kv/?keys&pretty").text == '[\n    "a"\n]\n'
    assert (
        GatewayHarness(HttpConfig(is_pretty=True)).ask("GET", "/v1/status/peers").text.count("\n")
        == 2
    )


# --- sessions ---------------------------------------------------------------------------------


def session(harness: GatewayHarness, **fields: object) -> str:
    reply = harness.ask("PUT", "/v1/session/create", json.dumps(fields).encode())
    assert reply.status == 200, reply.text
    made: str = json.loads(reply.body)["ID"]
    return made


def test_a_young_session_is_renewed_without_a_word_in_the_log() -> None:
    harness = GatewayHarness()
    made = session(harness, TTL="20s", NodeChecks=[])
    before = len(harness.local.submitted)
    assert harness.ask("PUT", f"/v1/session/renew/{made}").status == 200
    assert len(harness.local.submitted) == before
    assert harness.local.reads == 1


def test_a_session_past_half_its_time_is_renewed_in_the_log_before_others() -> None:
    harness = GatewayHarness()
    made = session(harness, TTL="20s", NodeChecks=[])
    harness.local.lab.log_time_ms += 10_000
    harness.local.apply(KvSet(b"clock", b"moves"))
    assert harness.ask("PUT", f"/v1/session/renew/{made}").status == 200
    assert harness.local.submitted[-1] == SessionRenew(made)
    assert harness.local.urgent[-1]


def test_a_renewal_needs_a_confirmed_read_index() -> None:
    harness = GatewayHarness()
    made = session(harness, TTL="20s", NodeChecks=[])
    harness.local.refusal = UnavailableError("no_quorum", "x")
    assert harness.ask("PUT", f"/v1/session/renew/{made}").text == "No cluster leader"


def test_a_small_number_as_lock_delay_is_seconds() -> None:
    harness = GatewayHarness()
    for given, shown in ((15, 15_000_000_000), (2_000_000_000, 2_000_000_000), (0, 0)):
        made = session(harness, LockDelay=given, NodeChecks=[])
        (found,) = json.loads(harness.ask("GET", f"/v1/session/info/{made}").body)
        assert found["LockDelay"] == shown


# --- transactions -----------------------------------------------------------------------------


def test_a_failed_transaction_says_so_in_its_headers_too() -> None:
    harness = GatewayHarness()
    body = json.dumps([{"KV": {"Verb": "get", "Key": "none"}}]).encode()
    reply = harness.ask("PUT", "/v1/txn", body)
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (409, "precondition")


# --- services ---------------------------------------------------------------------------------


def test_a_service_is_registered_found_and_removed() -> None:
    harness = GatewayHarness()
    body = json.dumps({"Name": "web", "Port": 80, "Tags": ["Blue"], "Address": "10.1.1.1"})
    assert harness.ask("PUT", "/v1/agent/service/register", body.encode()).body == b""
    (found,) = json.loads(harness.ask("GET", "/v1/health/service/web?passing&tag=blue").body)
    assert found["Service"]["TaggedAddresses"]["lan_ipv4"] == {"Address": "10.1.1.1", "Port": 80}
    assert found["Checks"][0]["CheckID"] == "serfHealth"
    assert json.loads(harness.ask("GET", "/v1/health/service/web?tag=red").body) == []
    own = json.loads(harness.ask("GET", "/v1/agent/services?filter=Service==web").body)
    assert own["web"]["Tags"] == ["Blue"]
    node = json.loads(harness.ask("GET", "/v1/catalog/node/ann").body)
    assert list(node["Services"]) == ["web"]
    assert harness.ask("PUT", "/v1/agent/service/deregister/web").status == 200
    assert harness.ask("PUT", "/v1/agent/service/deregister/web").status == 404


def test_a_bare_service_is_shown_with_exactly_these_fields() -> None:
    harness = GatewayHarness()
    harness.ask("PUT", "/v1/agent/service/register", b'{"Name":"bare"}')
    assert json.loads(harness.ask("GET", "/v1/agent/services").body) == {
        "bare": {
            "ID": "bare",
            "Service": "bare",
            "Tags": [],
            "Meta": {},
            "Port": 0,
            "Address": "",
            "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            "Datacenter": "dc1",
        }
    }


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 400, "Missing service name"),
        ({"Name": "a", "Address": "0.0.0.0"}, 400, "Invalid service address"),
        ({"Name": "a", "Script": "x"}, 400, 'Request decode failed: json: unknown field "Script"'),
        ({"Name": "a", "Proxy": {"x": 1}}, 400, 'Request decode failed: json: unknown field "x"'),
        ({"Name": "a", "Connect": {"SidecarService": {}}}, 501, "Connect.SidecarService"),
        ({"Name": "a", "Connect": {"SidecarService": {"Port": 1}}}, 501, "Connect.SidecarService"),
        ({"Name": "a", "Port": "x"}, 400, "Request decode failed: json: cannot unmarshal string"),
        ({"Name": "a", "Meta": {"consul-x": "y"}}, 400, "Invalid Service Meta: Couldn't load"),
        ({"Name": "a", "Weights": {"Passing": 0}}, 400, "Invalid Weights"),
    ],
)
def test_a_service_that_makes_no_sense_is_refused(
    fields: dict[str, object], status: int, text: str
) -> None:
    reply = GatewayHarness().ask("PUT", "/v1/agent/service/register", json.dumps(fields).encode())
    assert reply.status == status
    assert reply.text.startswith(text)


def test_a_filter_keeps_what_fits_and_what_it_cannot_read_is_refused() -> None:
    harness = GatewayHarness()
    harness.local.apply(NodeRegister("b", "Bob", "10.0.0.2", "dc1", {}, {"zone": "a"}))

    def names(text: str) -> list[str]:
        found = json.loads(harness.ask("GET", f"/v1/catalog/nodes?filter={text}").body)
        return [node["Node"] for node in found]

    assert names("Node==Bob") == ["Bob"]
    assert names("Meta.zone%20!=%20%22a%22") == ["Ann"]
    assert names("Meta.zone%20==%20a%20or%20Node%20matches%20%22^A%22") == ["Ann", "Bob"]
    assert names("") == ["Ann", "Bob"]
    for text in ("Foo==x", "Node==a%20and%20ID=b", "Node", "%20"):
        reply = harness.ask("GET", f"/v1/catalog/nodes?filter={text}")
        assert reply.status == 500
        assert reply.text.startswith("Failed to create boolean expression evaluator: ")


ANN_APPEARS = NodeRegister("ann", "Ann", "10.0.0.1", "dc1", {}, {})


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/agent/service/register", b'{"Name":"web"}'), ("/v1/session/create", b"")],
)
def test_who_asks_before_the_node_is_in_its_catalog_waits_for_it(path: str, body: bytes) -> None:
    harness = GatewayHarness(with_node=False)
    harness.post("PUT", path, body)
    assert harness.replies() == []
    harness.local.apply(ANN_APPEARS)
    (reply,) = harness.replies()
    assert reply.status == 200
    assert all(timer.is_cancelled for timer in harness.timers)


def test_a_node_that_never_appears_is_not_waited_for_for_ever() -> None:
    harness = GatewayHarness(with_node=False)
    harness.post("PUT", "/v1/session/create")
    harness.local.now_s += 3
    harness.timers[0].step()
    (reply,) = harness.replies()
    assert (reply.status, reply.text) == (500, "apply failed: Missing node registration")
    assert len(harness.local.watches) == 0


def test_who_leaves_is_not_registered_later() -> None:
    harness = GatewayHarness(with_node=False)
    harness.post("PUT", "/v1/session/create")
    harness.connection.connection_lost(None)
    harness.local.apply(ANN_APPEARS)
    assert len(harness.local.submitted) == 1


def test_another_node_is_not_waited_for() -> None:
    harness = GatewayHarness()
    reply = harness.ask("PUT", "/v1/session/create", b'{"Node":"Bob"}')
    assert reply.text == "apply failed: Missing node registration"


# --- checks of the agent ------------------------------------------------------------------------


def registered(harness: GatewayHarness, path: str, **body: object) -> str:
    reply = harness.ask("PUT", f"/v1/agent/{path}", json.dumps(body).encode())
    return reply.text if reply.status != 200 else ""


def test_heartbeats_decide_about_an_instance() -> None:
    harness = GatewayHarness()
    assert registered(harness, "service/register", Name="web", Check={"TTL": "10s"}) == ""

    def passing() -> int:
        return len(json.loads(harness.ask("GET", "/v1/health/service/web?passing").body))

    found: list[int] = [passing()]
    for verb in ("pass", "warn", "pass", "fail", "pass"):
        assert harness.ask("PUT", f"/v1/agent/check/{verb}/service:web?note=n").status == 200
        found.append(passing())
    assert found == [0, 1, 0, 1, 0, 1]
    own = json.loads(harness.ask("GET", "/v1/agent/checks").body)["service:web"]
    assert (own["Status"], own["Output"], own["Type"]) == ("passing", "n", "ttl")
    assert (own["Interval"], own["ServiceName"]) == ("", "web")
    update = b'{"Status": "critical", "Output": "down"}'
    assert harness.ask("PUT", "/v1/agent/check/update/service:web", update).status == 200
    assert passing() == 0
    assert harness.ask("PUT", "/v1/agent/check/deregister/service:web").status == 200
    assert passing() == 1


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("check/register", {"TTL": "1s"}, "Missing check name"),
        ("check/register", {"Name": "a", "TTL": "1s", "Status": "x"}, "Bad check status"),
        ("check/register", {"Name": "a"}, "Invalid check: TTL must be > 0 for TTL checks"),
        ("check/register", {"Name": "a", "TTL": "1s", "ServiceID": "x"}, 'ServiceID "x" does not'),
        ("check/register", {"Name": "a", "TTL": "soon"}, "Request decode failed: "),
        ("check/register", {"Name": "a", "Script": "x"}, "Request decode failed: json: unknown"),
        (
            "check/register",
            {"Name": "a", "HTTP": "http://x/", "Interval": "9s"},
            "checks of type http are",
        ),
        (
            "service/register",
            {"Name": "a", "Checks": [{"Notes": ""}]},
            "Invalid check: TTL must be",
        ),
        (
            "service/register",
            {"Name": "a", "Checks": {"x": "y"}},
            "Request decode failed: json: cannot",
        ),
        ("service/register", {"Name": "a", "Check": {"TTL": "1s", "Status": "x"}}, "Status for"),
        ("check/update/none", {"Status": "x"}, "Invalid check status: 'x'"),
        ("check/update/none", {"Status": "passing"}, 'Unknown check ID "none"'),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(
    path: str, body: dict[str, object], text: str
) -> None:
    assert registered(GatewayHarness(), path, **body).startswith(text)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pass/", b""), ("warn/", b""), ("fail/", b""), ("deregister/", b""), ("pass/%20", b""),
        ("update/", b'{"Status": "passing"}'),
    ],
)  # fmt: skip
def test_a_check_without_an_id_is_unknown(path: str, body: bytes) -> None:
    reply = GatewayHarness().ask("PUT", f"/v1/agent/check/{path}", body)
    name = " " if path.endswith("%20") else ""
    assert (reply.status, reply.text) == (
        404,
        f'Unknown check ID "{name}". Ensure that the check ID is passed, not the check name.',
    )


def test_names_of_checks_that_come_with_a_service() -> None:
    harness = GatewayHarness()
    several = [{"TTL": "1m"}, {"Name": "mine", "CheckID": "own", "TTL": 60_000_000_000}]
    registered(harness, "service/register", Name="web", Checks=several)
    registered(harness, "check/register", Name="of the node", TTL="1m")
    found = json.loads(harness.ask("GET", "/v1/agent/checks").body)
    assert {name: each["Name"] for name, each in found.items()} == {
        "of the node": "of the node",
        "own": "mine",
        "service:web:1": "Service 'web' check",
    }
    assert found["of the node"]["Interval"] == "0s"


# --- operators --------------------------------------------------------------------------------


def two_members(harness: GatewayHarness) -> None:
    harness.local.voters = (ME, BOB)
    harness.local.healthy = frozenset({ME.id, BOB.id})


def test_a_member_is_removed_by_id_or_address() -> None:
    harness = GatewayHarness()
    two_members(harness)
    for parameter in ("id=bob", "address=10.0.0.2:8300"):
        assert harness.ask("DELETE", f"/v1/operator/raft/peer?{parameter}").status == 200
    assert harness.local.changes == [("remove", BOB), ("remove", BOB)]


def test_force_leave_removes_a_member_that_failed_and_leaves_others() -> None:
    harness = GatewayHarness()
    two_members(harness)
    assert harness.ask("PUT", "/v1/agent/force-leave/Bob").status == 200
    assert harness.local.changes == []  # it is alive
    harness.local.healthy = frozenset({ME.id})
    assert harness.ask("PUT", f"/v1/agent/force-leave/{BOB.name}?prune").status == 200
    assert harness.local.changes == [("remove", BOB)]
    reply = harness.ask("PUT", "/v1/agent/force-leave/nobody")
    assert (reply.status, reply.text) == (500, "agent: No node found with name 'nobody'")


def test_the_versions_and_the_machine_of_an_agent() -> None:
    harness = GatewayHarness()
    found = json.loads(harness.ask("GET", "/v1/agent/version").body)
    assert set(found) == {"SHA", "BuildDate", "HumanVersion", "FIPS"}
    host = json.loads(harness.ask("GET", "/v1/agent/host").body)
    assert (host["Memory"]["total"] > 0, host["Disk"]["total"] > 0) == (True, True)
    assert (len(host["CPU"]) > 0, host["Errors"]) == (True, None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("not_found", "no such"), 500),
        (ConflictError("precondition", "last voter"), 500),
        (UnavailableError("no_quorum", "x"), 500),
        (UnavailableError("stopping", "x"), 503),
    ],
)
def test_a_refused_change_says_why(error: QuorateError, status: int) -> None:
    harness = GatewayHarness()
    two_members(harness)
    harness.local.refusal = error
    reply = harness.ask("DELETE", "/v1/operator/raft/peer?id=bob")
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (status, error.code)


def test_leadership_goes_to_whom_is_named_or_to_one_that_is_well() -> None:
    harness = GatewayHarness()
    assert harness.ask("POST", "/v1/operator/raft/transfer-leader").text == "cannot find peer"
    two_members(harness)
    for query in ("", "?id=bob"):
        reply = harness.ask("POST", f"/v1/operator/raft/transfer-leader{query}")
        assert json.loads(reply.body) == {"Success": True}
    assert harness.local.changes == [("transfer", BOB), ("transfer", BOB)]


def test_a_silent_member_is_failed_and_the_cluster_unwell() -> None:
    harness = GatewayHarness()
    two_members(harness)
    assert harness.ask("GET", "/v1/operator/autopilot/health").status == 200
    harness.local.healthy = frozenset({ME.id})
    reply = harness.ask("GET", "/v1/operator/autopilot/health")
    assert reply.status == 429
    assert [one["SerfStatus"] for one in json.loads(reply.body)["Servers"]] == ["alive", "failed"]
    members = json.loads(harness.ask("GET", "/v1/agent/members").body)
    assert [(one["Name"], one["Status"]) for one in members] == [("Ann", 1), ("Bob", 4)]


def test_the_cluster_is_listed_as_this_node_knows_it_also_without_a_leader() -> None:
    harness = GatewayHarness()
    two_members(harness)
    harness.local.leader = None
    harness.local.healthy = frozenset({ME.id})
    body = json.loads(harness.ask("GET", "/v1/operator/cluster").body)
    assert (body["Node"], body["Leader"]) == (ME.name, "")
    assert [(one["Name"], one["Alive"], one["LastHeard"]) for one in body["Members"]] == [
        ("Ann", True, None), ("Bob", False, None),
    ]  # fmt: skip
    assert {one["Role"] for one in body["Members"]} == {"follower"}


def test_the_agent_tells_of_itself_under_exactly_these_names() -> None:
    harness = GatewayHarness()
    body = json.loads(harness.ask("GET", "/v1/agent/self").body)
    assert list(body) == ["Config", "DebugConfig", "Coord", "Member", "Stats", "Meta", "xDS"]
    assert body["Stats"]["consul"]["leader_addr"] == ME.address
    assert int(body["Stats"]["quorate"]["digest"], 16) == harness.local.status().digest


# --- routes -----------------------------------------------------------------------------------


def test_every_route_says_what_it_takes() -> None:
    harness = GatewayHarness()
    for route in ROUTES:
        path = route.pattern.partition(":")[0] + ("x" if ":" in route.pattern else "")
        assert harness.ask("OPTIONS", path).headers["Allow"].encode() == route.allow
        assert harness.ask("PATCH", path).status == 405


def test_what_is_blocked_is_blocked_in_any_spelling() -> None:
    harness = GatewayHarness(HttpConfig(blocked_paths=("/v1/kv/secret",)))
    for target in ("/v1/kv/secret/a", "/v1/kv/secre%74/a", "/v1/kv/x%2F..%2Fsecret"):
        assert harness.ask("GET", target).status == 403
    assert harness.ask("GET", "/v1/kv/other").status == 404


def test_a_target_may_name_the_host() -> None:
    assert GatewayHarness().ask("GET", "http://somewhere:8500/v1/status/leader").status == 200
