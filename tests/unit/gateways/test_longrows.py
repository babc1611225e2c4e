"""Long lists of sessions and of the catalog: made and sent in pieces, from one state."""

import json
import tracemalloc
from typing import Any

import pytest

from quorate.base.context import OWN
from quorate.catalog.commands import (
    NodeDeregister,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.fields import SERF_HEALTH, Service
from quorate.gateways.http import longlists
from quorate.gateways.http.longlists import ROWS_MAX
from quorate.httpserver.slices import TURN_S
from quorate.serving import evaluations
from quorate.sessions.commands import SessionCreate, SessionDestroy
from tests.unit.gateways.test_longlists import SlowHarness

MANY = 2 * ROWS_MAX + 9
DEFINITION = {
    "ID": "", "Service": "web", "Tags": ["one"], "Weights": {"Passing": 1, "Warning": 1},
    "EnableTagOverride": False, "Proxy": {}, "Connect": {},
}  # fmt: skip
SESSIONS = "/v1/session/list"
TARGETS = [
    (SESSIONS, MANY),
    ("/v1/session/node/ann", MANY - 1),
    ("/v1/catalog/nodes", MANY + 1),
    ("/v1/catalog/nodes?node-meta=zone:b", 1),
    ("/v1/catalog/service/web", MANY),
    ("/v1/catalog/service/web?tag=one", MANY),
    ("/v1/catalog/service/web?tag=two", 0),
    ("/v1/health/service/web", MANY),
    ("/v1/health/service/web?passing", MANY),
    ("/v1/catalog/services", 3),  # with those of the node itself and of names in another case
    ("/v1/catalog/services?node-meta=zone:b", 1),
    ("/v1/catalog/services?filter=ServiceID==web7", 1),
]
OBJECTS = ["/v1/catalog/node/Ann", "/v1/catalog/services"]


NOTHING = [
    "/v1/catalog/nodes?filter=ID==x",
    "/v1/catalog/service/web?filter=ServiceID==x",
    "/v1/catalog/node/Ann?filter=ID==x",
]
PLAIN = [*(target for target, _ in TARGETS), *OBJECTS, *NOTHING]
ALIKE = [*PLAIN, *(f"{target}{'&' if '?' in target else '?'}pretty" for target in PLAIN)]


def session(harness: SlowHarness, name: str, node: str = "Ann") -> None:
    harness.local.apply(SessionCreate(name, name, node, 0, "release", "", 0, (SERF_HEALTH,)))


@pytest.fixture(scope="module")
def filled() -> SlowHarness:
    made = SlowHarness()
    for number in range(MANY):
        meta = {"zone": "b" if number == 5 else "a"}
        made.local.apply(NodeRegister(f"id{number}", f"n{number:03d}", "10.0.0.1", "dc1", {}, meta))
        definition = json.dumps({**DEFINITION, "ID": f"web{number}"}).encode()
        made.local.apply(ServiceRegister(f"n{number:03d}", f"web{number}", "web", definition))
        session(made, f"s{number:03d}", "n000" if number == 7 else "Ann")
        own = json.dumps({**DEFINITION, "ID": f"own{number}", "Tags": [f"t{number}"]}).encode()
        name = "Own" if number % 2 else "own"
        made.local.apply(ServiceRegister("Ann", f"own{number}", name, own))
    return made


@pytest.fixture
def slow(filled: SlowHarness) -> SlowHarness:
    filled.finish()
    filled.connect()
    return filled


def finished(harness: SlowHarness) -> Any:
    harness.finish()
    (reply,) = harness.replies()
    assert reply.status == 200
    return reply


@pytest.mark.parametrize(("target", "count"), TARGETS)
def test_a_long_list_of_rows_is_made_over_several_turns(
    slow: SlowHarness, target: str, count: int
) -> None:
    slow.post("GET", target)
    assert slow.transport.written == []
    turns = len(slow.finish())
    (reply,) = slow.replies()
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert len(json.loads(reply.body)) == count
    assert turns > MANY / 32 / (TURN_S / 0.001 + 1)
    assert 1 < int(reply.headers["X-Consul-Index"]) <= slow.local.lab.machine.index


def unsliced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longlists, "ROWS_MAX", 10 * MANY)
    monkeypatch.setattr(longlists, "LIST_BYTES", 10_000 * MANY)


@pytest.mark.parametrize("asked", ALIKE)
def test_what_is_made_in_slices_is_byte_for_byte_what_one_turn_makes(
    slow: SlowHarness, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    slow.post("GET", asked)
    sliced = finished(slow)
    with monkeypatch.context() as patched:
        unsliced(patched)
        slow.post("GET", asked)
        whole = finished(slow)
    assert "Content-Length" in whole.headers
    assert "Transfer-Encoding" in sliced.headers
    assert sliced.body == whole.body


@pytest.mark.parametrize("target", OBJECTS)
def test_a_long_object_is_made_over_several_turns(slow: SlowHarness, target: str) -> None:
    slow.post("GET", target)
    assert slow.transport.written == []
    assert len(slow.finish()) > MANY / 32 / (TURN_S / 0.001 + 1)
    (reply,) = slow.replies()
    body = json.loads(reply.body)
    if "node" in target:
        assert (body["Node"]["Node"], len(body["Services"])) == ("Ann", MANY)
    else:
        assert body["web"] == ["one"]
        assert body["own"] == sorted(f"t{number}" for number in range(0, MANY, 2))
        assert body["Own"] == sorted(f"t{number}" for number in range(1, MANY, 2))


def test_the_services_of_a_node_that_goes_meanwhile(slow: SlowHarness) -> None:
    for number in range(MANY):
        if not number:
            slow.local.apply(NodeRegister("gone", "gone", "10.0.0.1", "dc1", {}, {}))
        definition = json.dumps({**DEFINITION, "ID": f"g{number}"}).encode()
        slow.local.apply(ServiceRegister("gone", f"g{number}", "gone", definition))
    slow.post("GET", "/v1/catalog/node/gone")
    slow.local.apply(NodeDeregister("gone"))
    assert finished(slow).body == b"null"


def test_few_rows_that_are_long_are_made_in_slices_too() -> None:
    harness = SlowHarness()
    for number in range(8):
        definition = {**DEFINITION, "ID": f"l{number}", "Meta": {"x": "y" * 100_000}}
        harness.local.apply(
            ServiceRegister("Ann", f"l{number}", "long", json.dumps(definition).encode())
        )
    for target in ("/v1/catalog/service/long", "/v1/health/service/long", *OBJECTS):
        harness.post("GET", target)
        sizes = harness.finish()
        harness.replies()
        assert max(sizes) < 350_000, target  # three pieces
        assert target == "/v1/catalog/services" or sum(sizes) > 800_000, target


def test_a_reader_waits_for_a_change_of_a_long_object(slow: SlowHarness) -> None:
    slow.post("GET", "/v1/catalog/node/Ann")
    index = int(finished(slow).headers["X-Consul-Index"])
    slow.post("GET", f"/v1/catalog/node/Ann?index={index}")
    slow.finish()
    assert slow.replies() == []
    definition = json.dumps({**DEFINITION, "ID": "new"}).encode()
    slow.local.apply(ServiceRegister("Ann", "new", "own", definition))
    reply = finished(slow)
    assert "new" in json.loads(reply.body)["Services"]
    assert int(reply.headers["X-Consul-Index"]) > index
    slow.local.apply(ServiceDeregister("Ann", "new"))


def test_a_long_list_shows_rows_as_a_short_one_does(slow: SlowHarness) -> None:
    slow.post("GET", SESSIONS)
    listed = json.loads(finished(slow).body)
    slow.post("GET", "/v1/session/info/s003")
    assert listed[3] == json.loads(finished(slow).body)[0]
    slow.post("GET", "/v1/catalog/nodes?filter=Node==n003")
    (one,) = json.loads(finished(slow).body)
    assert one["Node"] == "n003"


def test_a_long_list_of_rows_is_of_one_state(slow: SlowHarness) -> None:
    slow.post("GET", SESSIONS)
    slow.turns.one()
    slow.turns.one()
    session(slow, "s264x")
    names = [each["ID"] for each in json.loads(finished(slow).body)]
    slow.local.apply(SessionDestroy("s264x"))
    assert names == [f"s{number:03d}" for number in range(MANY)]


@pytest.mark.parametrize(
    "target", [SESSIONS, "/v1/session/node/ann", "/v1/catalog/nodes", "/v1/health/service/web"]
)
def test_a_reader_waits_for_a_change_of_a_long_list_of_rows(slow: SlowHarness, target: str) -> None:
    slow.post("GET", target)
    reply = finished(slow)
    index, count = int(reply.headers["X-Consul-Index"]), len(json.loads(reply.body))
    slow.post("GET", f"{target}?index={index}")
    slow.finish()
    assert slow.replies() == []
    if "session" in target:
        session(slow, "new")
        slow.local.apply(SessionDestroy("new"))
        session(slow, "newer")
    else:
        slow.local.apply(NodeRegister("new", "new", "10.0.0.9", "dc1", {}, {}))
        definition = json.dumps({**DEFINITION, "ID": "new"}).encode()
        slow.local.apply(ServiceRegister("new", "new", "web", definition))
    reply = finished(slow)
    assert len(json.loads(reply.body)) == count + 1
    assert int(reply.headers["X-Consul-Index"]) > index
    slow.post("GET", f"{target}?index={index}")
    assert len(json.loads(finished(slow).body)) == count + 1, "it has changed already"
    slow.local.apply(SessionDestroy("newer"))
    slow.local.apply(NodeDeregister("new"))


def test_a_reader_that_waits_does_not_keep_what_it_compares_with() -> None:
    harness = SlowHarness()
    for number in range(100):
        meta = {"zone": f"{number}" * 200}
        harness.local.apply(NodeRegister(f"id{number}", f"n{number}", "10.0.0.1", "dc1", {}, meta))
    index = harness.local.lab.machine.index
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(190):
        harness.post("GET", f"/v1/catalog/nodes?index={index}&filter=Node!=x{number}")
        harness.finish()
        harness.connect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(harness.local.watches) == 190
    assert taken < 190 * 12_000 + evaluations.BYTES_MAX * 8


TAGS = 30_000


def tagged(count: int, each: int) -> SlowHarness:
    """One service with `count` instances, each with so many tags that no other has."""
    made = SlowHarness()
    for number in range(count):
        tags = [f"tag{number}-{place}" for place in range(each)]
        own = json.dumps({**DEFINITION, "ID": f"i{number}", "Tags": tags}).encode()
        made.local.apply(ServiceRegister("Ann", f"i{number}", "one", own))
        made.local.apply(ServiceRegister("Ann", f"j{number}", "zoo", own))
    return made


@pytest.mark.parametrize("pretty", ["", "?pretty"])
def test_the_tags_of_one_service_are_reported_in_pieces(
    monkeypatch: pytest.MonkeyPatch, pretty: str
) -> None:
    harness = tagged(100, TAGS // 100)
    target = f"/v1/catalog/services{pretty}"
    harness.post("GET", target)
    sizes = harness.finish()
    (reply,) = harness.replies()
    assert len(json.loads(reply.body)["one"]) == TAGS
    assert max(sizes) < 64 * 1024
    unsliced(monkeypatch)
    harness.post("GET", target)
    harness.finish()
    (again,) = harness.replies()
    assert "Content-Length" in again.headers
    assert reply.body == again.body


def test_tags_that_nobody_may_hold_are_refused_or_cut_short() -> None:
    harness = tagged(100, TAGS // 100)
    holding = harness.connection._holding  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert holding is not None
    account = holding.account
    spare = harness.context.serving.accounts.caller_bytes_max
    assert account.take(spare - 1024 * 1024)
    harness.post("GET", "/v1/catalog/services")
    harness.finish()
    (reply,) = harness.replies()
    assert reply.status == 429


def test_the_many_services_of_an_agent_are_made_in_slices() -> None:
    harness = SlowHarness()
    for number in range(8 * MANY):
        meta = {"x": "y" * 100_000} if number % 100 == 0 else {}
        service = Service(f"s{number}", "own", meta=meta)
        harness.context.agent.register(OWN, service, (), lambda _: None)
    for query, count in (("", 8 * MANY), ("?filter=ID==s7", 1), ("?filter=ID==x", 0)):
        harness.post("GET", f"/v1/agent/services{query}")
        sizes = harness.finish()
        (reply,) = harness.replies()
        assert len(json.loads(reply.body)) == count
        assert max(sizes, default=0) < 350_000
