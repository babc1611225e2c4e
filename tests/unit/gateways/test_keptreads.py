"""Reads that clients repeat: made once, and never other than one that is made anew."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.base.errors import UnavailableError
from quorate.catalog.commands import CatalogPut, CheckOutput
from quorate.catalog.fields import Check, NodeFields, Service
from quorate.catalog.simulation import SIMULATION
from quorate.gateways.http import keptreads, rowreads
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.longlists import rows_in_turn
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import ME, GatewayHarness, Reply

WEB = "/v1/health/service/web?passing"
TARGETS = (
    WEB,
    "/v1/health/service/web",
    "/v1/health/service/db?tag=x",
    "/v1/health/service/web?filter=Service.Tags+is+empty",
    "/v1/health/service/web?node-meta=by:a",
    "/v1/health/service/web?stale",
    "/v1/health/node/x0",
    "/v1/health/checks/web",
    "/v1/health/checks/web?node-meta=by:a",
    "/v1/health/state/passing",
    "/v1/catalog/service/web",
    "/v1/catalog/service/web?consistent&pretty",
)
NODE = NodeFields("", "10.0.0.1", "dc1", {}, {})


def with_instances(count: int, output: str = "") -> GatewayHarness:
    harness = GatewayHarness()
    for number in range(count):
        checks = (Check("c", "c", "passing", service_id=f"w{number}", output=output),)
        harness.local.apply(CatalogPut(f"n{number}", NODE, Service(f"w{number}", "web"), checks))
    return harness


def anew(harness: GatewayHarness, target: str) -> Reply:
    """The response to a query that is not kept, for its header has terms of its own."""
    return harness.ask("GET", target, b"", "X-Quorate-Deadline: 1h")


def shown(reply: Reply) -> tuple[int, bytes, Any]:
    return reply.status, reply.body, {**reply.headers, "Date": ""}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made, in order."""
    made: list[str] = []

    def evaluated(*given: Any) -> Any:
        made.append("evaluated")
        return rows_in_turn(*given)

    monkeypatch.setattr(rowreads, "rows_in_turn", evaluated)
    return made


@given(st.integers(0, 1 << 32))
def test_a_kept_response_is_that_of_a_read_made_anew(seed: int) -> None:
    chance = Random(seed)
    harness = GatewayHarness()
    acts = list(SIMULATION.acts.values())
    for step in range(40):
        act = acts[chance.randrange(len(acts))]
        harness.local.apply(act(chance, "ab"[step % 2]))
        if chance.random() < 0.5:
            harness.local.apply(KvSet(b"k", b"%d" % step))
        for target in chance.sample(TARGETS, 4):
            assert shown(harness.ask("GET", target)) == shown(anew(harness, target)), target
    assert len(harness.context.kept) > 0


def test_a_repeated_read_is_evaluated_when_what_it_shows_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = with_instances(3)
    harness.ask("GET", WEB)
    made = counted(monkeypatch)
    for _ in range(5):
        assert len(json.loads(harness.ask("GET", WEB).body)) == 3
    assert made == ["evaluated"]
    harness.local.apply(KvSet(b"k", b"v"))
    harness.local.apply(CatalogPut("other", NODE, Service("d", "db")))
    harness.ask("GET", WEB)
    assert made == ["evaluated"]
    harness.local.apply(CatalogPut("n3", NODE, Service("w3", "web")))
    assert len(json.loads(harness.ask("GET", WEB).body)) == 4
    assert made == ["evaluated"] * 2


def test_an_output_under_no_index_is_shown_at_once() -> None:
    harness = with_instances(1, "before")
    for output in ("before", "after", "later"):
        harness.local.apply(CheckOutput("n0", "c", output))
        for _ in range(2):
            (one,) = json.loads(harness.ask("GET", WEB).body)
            assert one["Checks"][0]["Output"] == output


def test_each_default_read_obtains_a_read_index() -> None:
    harness = with_instances(1)
    harness.ask("GET", WEB)
    before = harness.local.reads
    for _ in range(3):
        harness.ask("GET", WEB)
    assert harness.local.reads == before + 3
    harness.local.refusal = UnavailableError("no_quorum", "no quorum", 1.0)
    assert harness.ask("GET", WEB).status == 500
    stale = WEB + "&stale"
    assert harness.ask("GET", stale).status == harness.ask("GET", stale).status == 200
    assert harness.local.reads == before + 4


def test_a_node_that_was_removed_answers_no_kept_read_either() -> None:
    harness = with_instances(1)
    for _ in range(2):
        assert harness.ask("GET", WEB + "&stale").status == 200
    harness.local.removal = UnavailableError("removed", "removed", 1.0)
    assert harness.ask("GET", WEB + "&stale").status == 503


@pytest.mark.parametrize(
    ("method", "header"),
    [
        ("GET", "X-Consul-Namespace: team"),
        ("GET", "X-Consul-Partition: team"),
        ("GET", "Cache-Control: max-age=x"),
        ("GET", "X-Quorate-Deadline: soon"),
        ("POST", "Accept: */*"),
    ],
)
def test_what_a_header_or_method_refuses_is_refused_of_a_kept_read_too(
    method: str, header: str
) -> None:
    harness = with_instances(1)
    target = WEB + "&cached"
    first = harness.ask(method, target, b"", header)
    assert first.status >= 400
    for _ in range(2):
        assert harness.ask("GET", target).status == 200
    again = harness.ask(method, target, b"", header)
    assert (again.status, again.body) == (first.status, first.body)


def test_another_configuration_applies_to_kept_reads() -> None:
    harness = with_instances(1)
    for _ in range(2):
        harness.ask("GET", WEB)
    harness.application.reconfigure(HttpConfig(blocked_paths=("/v1/health/",)))
    assert harness.ask("GET", WEB).status == 403
    harness.application.reconfigure(HttpConfig(response_headers=(("X-Site", "a"),)))
    assert harness.ask("GET", WEB).headers["X-Site"] == "a"
    assert harness.ask("GET", WEB).headers["X-Site"] == "a"


def test_a_long_list_is_not_kept_but_sent() -> None:
    harness = with_instances(200)
    for _ in range(3):
        assert len(json.loads(harness.ask("GET", WEB).body)) == 200
    short = with_instances(2, "x" * rowreads.BODY_BYTES_MAX)
    for _ in range(3):
        assert len(json.loads(short.ask("GET", WEB).body)) == 2


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = with_instances(1)
    for number in range(3 * keptreads.ENTRIES_MAX):
        harness.ask("GET", f"/v1/health/service/web?tag=t{number}")
    assert 0 < len(harness.context.kept) <= keptreads.ENTRIES_MAX
    harness.context.kept.clear()
    monkeypatch.setattr(keptreads, "BYTES_MAX", 10 * keptreads.ENTRY_BYTES)
    for number in range(100):
        harness.ask("GET", f"/v1/health/service/web?tag=t{number}")
        assert len(harness.context.kept) <= 10
    long = "/v1/health/service/web?tag=" + "t" * keptreads.TARGET_BYTES_MAX
    harness.context.kept.clear()
    assert harness.ask("GET", long).status == 200
    assert harness.ask("GET", WEB + "&near=_agent").status == 200
    assert len(harness.context.kept) == 0


def test_a_blocking_query_is_not_kept() -> None:
    harness = with_instances(1)
    index = harness.ask("GET", WEB).headers["X-Consul-Index"]
    harness.context.kept.clear()
    harness.post("GET", f"{WEB}&index={index}&wait=1m")
    assert harness.replies() == []
    assert len(harness.context.kept) == 0


def test_its_responses_are_in_order_on_one_connection() -> None:
    harness = with_instances(1)
    harness.local.register(ME)
    harness.ask("GET", WEB)
    harness.local.is_held = True
    harness.post("GET", "/v1/catalog/nodes")
    harness.post("GET", WEB)
    harness.local.release()
    first, second = harness.replies()
    assert "Checks" not in json.loads(first.body)[0]
    assert "Checks" in json.loads(second.body)[0]
