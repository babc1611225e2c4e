"""Reads that wait: read points, wakes, the end of patience."""

from quorate.base.errors import UnavailableError
from quorate.catalog.commands import NodeRegister
from quorate.gateways.http.config import HttpConfig
from quorate.kv.commands import KvSet
from tests.unit.gateways.desk import Desk

NO_QUORUM = UnavailableError("no_quorum", "no answer from a quorum")


def index_of(desk: Desk, target: str) -> int:
    return int(desk.ask("GET", target).headers["X-Consul-Index"])


def put(desk: Desk, key: bytes, value: bytes) -> None:
    desk.local.apply(KvSet(key, value))


def waiting(target: str, config: HttpConfig | None = None) -> Desk:
    """A desk at which somebody waits for a change of `a`."""
    desk = Desk(config)
    put(desk, b"a", b"1")
    index = index_of(desk, "/v1/kv/a")
    desk.post("GET", f"{target}index={index}")
    assert desk.replies() == []
    return desk


def test_a_read_without_an_index_is_answered_at_once() -> None:
    desk = Desk()
    put(desk, b"a", b"1")
    for index in ("", "0"):
        assert desk.ask("GET", f"/v1/kv/a?index={index}&wait=10m").status == 200
    assert desk.timers == []


def test_a_read_of_something_newer_is_answered_at_once() -> None:
    desk = Desk()
    put(desk, b"a", b"1")
    assert desk.ask("GET", f"/v1/kv/a?index={index_of(desk, '/v1/kv/a') - 1}").status == 200


def test_a_waiting_read_is_answered_by_the_change() -> None:
    desk = waiting("/v1/kv/a?")
    put(desk, b"b", b"2")
    assert desk.replies() == []
    put(desk, b"a", b"2")
    (reply,) = desk.replies()
    assert b'"Value":"Mg=="' in reply.body
    assert desk.timers[0].is_cancelled
    assert len(desk.local.watches) == 0


def test_a_wake_needs_no_new_read_point() -> None:
    desk = waiting("/v1/kv/a?")
    before = desk.local.reads
    put(desk, b"a", b"2")
    assert desk.local.reads == before
    assert len(desk.replies()) == 1


def test_before_it_says_unchanged_the_node_takes_a_fresh_read_point() -> None:
    desk = waiting("/v1/kv/a?wait=10s&")
    before = desk.local.reads
    desk.timers[0].step()
    assert desk.local.reads == before + 1
    (reply,) = desk.replies()
    assert reply.status == 200
    assert b'"Value":"MQ=="' in reply.body


def test_a_cut_off_node_does_not_certify_silence() -> None:
    desk = waiting("/v1/kv/a?")
    desk.local.refusal = NO_QUORUM
    desk.timers[0].step()
    (reply,) = desk.replies()
    assert (reply.status, reply.text) == (500, "No cluster leader")
    assert reply.headers["X-Quorate-Definite"] == "true"
    assert len(desk.local.watches) == 0


def test_a_default_read_needs_a_read_point_before_it_may_wait() -> None:
    desk = Desk()
    desk.local.refusal = NO_QUORUM
    assert desk.ask("GET", "/v1/kv/a?index=1000").status == 500


def test_a_stale_read_waits_without_any_read_point() -> None:
    desk = Desk()
    desk.local.refusal = NO_QUORUM
    desk.local.leader, desk.local.heard_s = None, 2.5
    desk.post("GET", "/v1/kv/a?stale&index=1000")
    assert desk.replies() == []
    desk.timers[0].step()
    (reply,) = desk.replies()
    assert reply.status == 404
    assert reply.headers["X-Consul-Knownleader"] == "false"
    assert reply.headers["X-Consul-Lastcontact"] == "2500"
    assert desk.local.reads == 0


def test_a_change_while_the_last_read_point_is_taken_is_not_lost() -> None:
    desk = waiting("/v1/kv/a?")
    desk.local.is_held = True
    desk.timers[0].step()
    put(desk, b"a", b"2")
    desk.local.release()
    (reply,) = desk.replies()
    assert b'"Value":"Mg=="' in reply.body


def test_who_left_is_not_waited_for() -> None:
    desk = waiting("/v1/kv/a?")
    desk.connection.connection_lost(None)
    assert desk.timers[0].is_cancelled
    assert len(desk.local.watches) == 0


def test_who_left_before_the_read_point_came_is_not_waited_for() -> None:
    desk = Desk()
    desk.local.is_held = True
    desk.post("GET", "/v1/kv/a?index=1000")
    desk.connection.connection_lost(None)
    desk.local.release()
    assert desk.timers == []
    assert len(desk.local.watches) == 0


def test_patience_is_what_was_asked_for_and_a_little_more() -> None:
    for wait, least_s in (("10s", 10), ("0", 300), ("-5s", 300), ("90m", 600), ("1ms", 0.001)):
        desk = waiting(f"/v1/kv/a?wait={wait}&")
        assert least_s <= desk.timers[0].delay_s <= least_s * (1 + 1 / 16)


def test_the_index_told_is_never_below_the_one_sent() -> None:
    desk = Desk()
    put(desk, b"a", b"1")
    put(desk, b"b", b"1")
    newest = index_of(desk, "/v1/kv/b")
    desk.post("GET", f"/v1/kv/a?index={newest}")
    desk.timers[0].step()
    assert int(desk.replies()[0].headers["X-Consul-Index"]) == newest


def test_an_index_from_the_future_waits_and_is_not_confirmed() -> None:
    desk = Desk()
    put(desk, b"a", b"1")
    desk.post("GET", "/v1/kv/a?index=1000")
    desk.timers[0].step()
    assert int(desk.replies()[0].headers["X-Consul-Index"]) < 1000


def test_a_table_that_moved_but_shows_the_same_keeps_a_reader_asleep() -> None:
    desk = Desk()
    target = "/v1/catalog/nodes?node-meta=rack:1&"
    desk.post("GET", f"{target}index={index_of(desk, target)}")
    desk.local.apply(NodeRegister("b", "Bob", "10.0.0.2", "dc1", {}, {}))
    assert desk.replies() == []
    desk.local.apply(NodeRegister("c", "Cid", "10.0.0.3", "dc1", {}, {"rack": "1"}))
    (reply,) = desk.replies()
    assert b'"Node":"Cid"' in reply.body


def test_a_bound_on_age_is_kept_by_what_this_node_has_confirmed() -> None:
    desk = Desk()
    put(desk, b"a", b"1")
    assert desk.ask("GET", "/v1/kv/a?max_stale=10s").status == 200
    assert desk.local.reads == 1
    desk.local.now_s += 9
    assert desk.ask("GET", "/v1/kv/a?max_stale=10s").status == 200
    assert desk.local.reads == 1
    desk.local.now_s += 2
    assert desk.ask("GET", "/v1/kv/a?max_stale=10s").status == 200
    assert desk.local.reads == 2


def test_a_cached_read_tells_its_age_and_asks_nobody() -> None:
    desk = Desk()
    desk.local.heard_s = 3.2
    reply = desk.ask("GET", "/v1/health/service/web?cached")
    assert reply.headers["X-Cache"] == "HIT"
    assert reply.headers["Age"] == "3"
    assert desk.local.reads == 0
    fresh = desk.ask("GET", "/v1/health/service/web?cached", b"", "Cache-Control: must-revalidate")
    assert fresh.headers["X-Cache"] == "MISS"
    assert desk.local.reads == 1
