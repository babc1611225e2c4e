"""Reads that wait: read indexes, wakes, timeouts."""

from quorate.base.errors import UnavailableError
from quorate.catalog.commands import NodeRegister
from quorate.gateways.http.config import HttpConfig
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import GatewayHarness

NO_QUORUM = UnavailableError("no_quorum", "no answer from a quorum")


def index_of(harness: GatewayHarness, target: str) -> int:
    return int(harness.ask("GET", target).headers["X-Consul-Index"])


def put(harness: GatewayHarness, key: bytes, value: bytes) -> None:
    harness.local.apply(KvSet(key, value))


def waiting(target: str, config: HttpConfig | None = None) -> GatewayHarness:
    """A gateway at which a reader waits for a change of `a`."""
    harness = GatewayHarness(config)
    put(harness, b"a", b"1")
    index = index_of(harness, "/v1/kv/a")
    harness.post("GET", f"{target}index={index}")
    assert harness.replies() == []
    return harness


def test_a_read_without_an_index_is_answered_at_once() -> None:
    harness = GatewayHarness()
    put(harness, b"a", b"1")
    for index in ("", "0"):
        assert harness.ask("GET", f"/v1/kv/a?index={index}&wait=10m").status == 200
    assert harness.timers == []


def test_a_read_of_something_newer_is_answered_at_once() -> None:
    harness = GatewayHarness()
    put(harness, b"a", b"1")
    assert harness.ask("GET", f"/v1/kv/a?index={index_of(harness, '/v1/kv/a') - 1}").status == 200


def test_a_waiting_read_is_answered_by_the_change() -> None:
    harness = waiting("/v1/kv/a?")
    put(harness, b"b", b"2")
    assert harness.replies() == []
    put(harness, b"a", b"2")
    (reply,) = harness.replies()
    assert b'"Value":"Mg=="' in reply.body
    assert harness.timers[0].is_cancelled
    assert len(harness.local.watches) == 0


def test_a_wake_needs_no_new_read_index() -> None:
    harness = waiting("/v1/kv/a?")
    before = harness.local.reads
    put(harness, b"a", b"2")
    assert harness.local.reads == before
    assert len(harness.replies()) == 1


def test_before_it_says_unchanged_the_node_takes_a_fresh_read_index() -> None:
    harness = waiting("/v1/kv/a?wait=10s&")
    before = harness.local.reads
    harness.timers[0].step()
    assert harness.local.reads == before + 1
    (reply,) = harness.replies()
    assert reply.status == 200
    assert b'"Value":"MQ=="' in reply.body


def test_a_cut_off_node_does_not_certify_silence() -> None:
    harness = waiting("/v1/kv/a?")
    harness.local.refusal = NO_QUORUM
    harness.timers[0].step()
    (reply,) = harness.replies()
    assert (reply.status, reply.text) == (500, "No cluster leader")
    assert reply.headers["X-Quorate-Definite"] == "true"
    assert len(harness.local.watches) == 0


def test_a_default_read_needs_a_read_index_before_it_may_wait() -> None:
    harness = GatewayHarness()
    harness.local.refusal = NO_QUORUM
    assert harness.ask("GET", "/v1/kv/a?index=1000").status == 500


def test_a_stale_read_waits_without_any_read_index() -> None:
    harness = GatewayHarness()
    harness.local.refusal = NO_QUORUM
    harness.local.leader, harness.local.last_contact_s = None, 2.5
    harness.post("GET", "/v1/kv/a?stale&index=1000")
    assert harness.replies() == []
    harness.timers[0].step()
    (reply,) = harness.replies()
    assert reply.status == 404
    assert reply.headers["X-Consul-Knownleader"] == "false"
    assert reply.headers["X-Consul-Lastcontact"] == "2500"
    assert harness.local.reads == 0


def test_a_change_while_the_last_read_index_is_taken_is_not_lost() -> None:
    harness = waiting("/v1/kv/a?")
    harness.local.is_held = True
    harness.timers[0].step()
    put(harness, b"a", b"2")
    harness.local.release()
    (reply,) = harness.replies()
    assert b'"Value":"Mg=="' in reply.body


def test_who_left_is_not_waited_for() -> None:
    harness = waiting("/v1/kv/a?")
    harness.connection.connection_lost(None)
    assert harness.timers[0].is_cancelled
    assert len(harness.local.watches) == 0


def test_who_left_before_the_read_index_came_is_not_waited_for() -> None:
    harness = GatewayHarness()
    harness.local.is_held = True
    harness.post("GET", "/v1/kv/a?index=1000")
    harness.connection.connection_lost(None)
    harness.local.release()
    assert harness.timers == []
    assert len(harness.local.watches) == 0


def test_the_timeout_is_what_was_asked_for_and_a_little_more() -> None:
    for wait, least_s in (("10s", 10), ("0", 300), ("-5s", 300), ("90m", 600), ("1ms", 0.001)):
        harness = waiting(f"/v1/kv/a?wait={wait}&")
        assert least_s <= harness.timers[0].delay_s <= least_s * (1 + 1 / 16)


def test_the_reported_index_is_never_below_the_one_sent() -> None:
    harness = GatewayHarness()
    put(harness, b"a", b"1")
    put(harness, b"b", b"1")
    newest = index_of(harness, "/v1/kv/b")
    harness.post("GET", f"/v1/kv/a?index={newest}")
    harness.timers[0].step()
    assert int(harness.replies()[0].headers["X-Consul-Index"]) == newest


def test_an_index_from_the_future_waits_and_is_not_confirmed() -> None:
    harness = GatewayHarness()
    put(harness, b"a", b"1")
    harness.post("GET", "/v1/kv/a?index=1000")
    harness.timers[0].step()
    assert int(harness.replies()[0].headers["X-Consul-Index"]) < 1000


def test_a_table_that_moved_but_shows_the_same_keeps_a_reader_asleep() -> None:
    harness = GatewayHarness()
    target = "/v1/catalog/nodes?node-meta=rack:1&"
    harness.post("GET", f"{target}index={index_of(harness, target)}")
    harness.local.apply(NodeRegister("b", "Bob", "10.0.0.2", "dc1", {}, {}))
    assert harness.replies() == []
    harness.local.apply(NodeRegister("c", "Cid", "10.0.0.3", "dc1", {}, {"rack": "1"}))
    (reply,) = harness.replies()
    assert b'"Node":"Cid"' in reply.body


def test_a_bound_on_age_is_kept_by_what_this_node_has_confirmed() -> None:
    harness = GatewayHarness()
    put(harness, b"a", b"1")
    assert harness.ask("GET", "/v1/kv/a?max_stale=10s").status == 200
    assert harness.local.reads == 1
    harness.local.now_s += 9
    assert harness.ask("GET", "/v1/kv/a?max_stale=10s").status == 200
    assert harness.local.reads == 1
    harness.local.now_s += 2
    assert harness.ask("GET", "/v1/kv/a?max_stale=10s").status == 200
    assert harness.local.reads == 2


def test_a_cached_read_tells_its_age_and_asks_nobody() -> None:
    harness = GatewayHarness()
    harness.local.last_contact_s = 3.2
    reply = harness.ask("GET", "/v1/health/service/web?cached")
    assert reply.headers["X-Cache"] == "HIT"
    assert reply.headers["Age"] == "3"
    assert harness.local.reads == 0
    fresh = harness.ask(
        "GET", "/v1/health/service/web?cached", b"", "Cache-Control: must-revalidate"
    )
    assert fresh.headers["X-Cache"] == "MISS"
    assert harness.local.reads == 1
