import pytest
from msgspec.structs import replace

from quorate.base.config import NodeSettings
from quorate.base.context import PLAIN
from quorate.base.errors import NotFoundError, QuorateError, RequestError, UnavailableError
from quorate.catalog.commands import (
    CatalogRegister,
    CheckDeregister,
    NodeDeregister,
    ServiceDeregister,
)
from quorate.catalog.fields import Check
from quorate.catalog.tables import check_of, instance_of
from quorate.localstate.agent import ANSWER_S, FULL_S, RETRY_S_MAX
from quorate.localstate.entries import decode_entry
from quorate.localstate.pending import check_key, service_key
from quorate.localstate.state import LocalState, StateSettings
from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.node.detector import registration
from tests.unit.gateways.harness import ME
from tests.unit.localstate.stage import NODE, Stage, service, ttl

Done = list[QuorateError | None]


def status(stage: Stage, check: str) -> str | None:
    row = check_of(stage.reader().rows, NODE, check)
    return None if row is None else row.status


def is_there(stage: Stage, name: str) -> bool:
    return instance_of(stage.reader().rows, NODE, name) is not None


def registered(stage: Stage, name: str, *checks: str) -> None:
    done: Done = []
    stage.agent.register(PLAIN, service(name), [ttl(check, name) for check in checks], done.append)
    assert done == [None]


# --- the way of a registration ------------------------------------------------------------------


def test_a_registration_is_in_the_catalog_when_it_is_answered() -> None:
    stage = Stage()
    registered(stage, "web", "c1", "c2")
    assert is_there(stage, "web")
    assert [status(stage, "c1"), status(stage, "c2")] == [CRITICAL, CRITICAL]
    assert len(stage.local.submitted) == 1  # one command for all
    assert set(stage.disk) == {service_key("web"), check_key("c1"), check_key("c2")}


def test_a_heartbeat_changes_the_catalog_and_one_that_says_the_same_does_not() -> None:
    stage = Stage()
    registered(stage, "web", "c")
    done: Done = []
    stage.agent.heartbeat(PLAIN, "c", PASSING, "fine", done.append)
    assert (done, status(stage, "c")) == ([None], PASSING)
    count = len(stage.local.submitted)
    stage.agent.heartbeat(PLAIN, "c", PASSING, "fine", done.append)
    assert (len(stage.local.submitted), done) == (count, [None, None])


def test_a_check_without_heartbeats_expires_and_the_next_one_revives_it() -> None:
    stage = Stage()
    registered(stage, "web", "c")
    for _ in range(5):
        stage.agent.heartbeat(PLAIN, "c", PASSING, "", lambda _: None)
        stage.advance(9)
        assert status(stage, "c") == PASSING
    stage.advance(2)
    assert status(stage, "c") == CRITICAL
    stage.agent.heartbeat(PLAIN, "c", WARNING, "", lambda _: None)
    assert status(stage, "c") == WARNING


def test_an_answer_waits_for_the_disk() -> None:
    stage = Stage()
    stage.is_disk_slow = True
    done: Done = []
    stage.agent.register(PLAIN, service("web"), (), done.append)
    assert (done, is_there(stage, "web")) == ([], True)
    stage.synced.pop()()
    assert done == [None]


def test_without_a_quorum_it_is_answered_all_the_same_and_sent_later() -> None:
    stage = Stage()
    stage.local.is_held = True
    done: Done = []
    stage.agent.register(PLAIN, service("web"), [ttl("c", "web")], done.append)
    stage.advance(ANSWER_S - 0.1)
    assert done == []
    stage.advance(0.2)
    assert done == [None]
    stage.local.refusal = UnavailableError("no_quorum", "No cluster leader")
    stage.local.release()
    assert not is_there(stage, "web")
    stage.local.refusal = None
    stage.advance(RETRY_S_MAX)
    assert (is_there(stage, "web"), status(stage, "c")) == (True, CRITICAL)
    assert stage.warnings


def test_what_the_node_refuses_for_good_is_the_answer() -> None:
    stage = Stage()
    stage.local.refusal = RequestError("too_large", "the command is too large")
    done: Done = []
    stage.agent.register(PLAIN, service("web"), (), done.append)
    assert done == [stage.local.refusal]


def test_a_registration_waits_for_the_row_of_its_node() -> None:
    stage = Stage(with_node=False)
    done: Done = []
    stage.agent.register(PLAIN, service("web"), (), done.append)
    assert done == []
    stage.local.apply(registration(ME, NodeSettings()))
    assert (done, is_there(stage, "web")) == ([None], True)


def test_what_changes_while_a_command_is_under_way_is_applied_by_the_next_one() -> None:
    stage = Stage()
    registered(stage, "web", "c")
    stage.local.is_held = True
    for word in (PASSING, WARNING, CRITICAL, WARNING):
        stage.agent.heartbeat(PLAIN, "c", word, "", lambda _: None)
    count = len(stage.local.submitted)
    stage.local.release()
    assert status(stage, "c") == WARNING
    assert len(stage.local.submitted) <= count + 1


def test_removing_a_service_removes_its_checks_its_sidecar_and_their_files() -> None:
    stage = Stage()
    done: Done = []
    proxy = service("web-sidecar-proxy")
    stage.agent.register(PLAIN, service("web"), [ttl("c", "web")], done.append,
        sidecar=(proxy, (ttl("p", proxy.id),)),
    )  # fmt: skip
    assert is_there(stage, proxy.id)
    assert stage.agent.deregister(PLAIN, "web", done.append)
    assert not stage.agent.deregister(PLAIN, "web", done.append)
    assert done == [None, None]
    assert [is_there(stage, name) for name in ("web", proxy.id)] == [False, False]
    assert (status(stage, "c"), status(stage, "p"), stage.disk) == (None, None, {})


@pytest.mark.parametrize(("limit", "most"), [("SERVICES_MAX", 1), ("CHECKS_MAX", 1)])
def test_a_service_whose_sidecar_is_over_a_limit_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(f"quorate.localstate.state.{limit}", most)
    stage = Stage()
    proxy = service("web-sidecar-proxy")
    sidecar = (proxy, (ttl("p", proxy.id),))
    with pytest.raises(RequestError, match="which is its limit"):
        stage.agent.register(
            PLAIN, service("web"), [ttl("c", "web")], lambda _: None, sidecar=sidecar
        )
    stage.advance(3 * FULL_S)
    assert (stage.agent.state.services, stage.agent.state.checks, stage.disk) == ({}, {}, {})
    assert not is_there(stage, "web")


def test_registering_again_keeps_the_status_and_can_replace_the_checks() -> None:
    stage = Stage()
    registered(stage, "web", "c", "old")
    stage.agent.heartbeat(PLAIN, "c", PASSING, "fine", lambda _: None)
    stage.agent.register(PLAIN, service("web", port=2), [ttl("c", "web", 60)], lambda _: None)
    assert (status(stage, "c"), status(stage, "old")) == (PASSING, CRITICAL)
    stage.agent.register(
        PLAIN, service("web"), [ttl("c", "web", 60)], lambda _: None, replaces=True
    )
    assert (status(stage, "c"), status(stage, "old")) == (PASSING, None)
    stage.agent.register(PLAIN, service("web"), (), lambda _: None, replaces=True)
    assert status(stage, "c") == PASSING  # a body without checks replaces none


def test_checks_of_the_node_and_wrong_ids() -> None:
    stage = Stage()
    done: Done = []
    stage.agent.add_check(PLAIN, ttl("n"), done.append)
    assert (done, status(stage, "n")) == ([None], CRITICAL)
    with pytest.raises(NotFoundError, match="does not exist"):
        stage.agent.add_check(PLAIN, ttl("x", "unknown"), done.append)
    with pytest.raises(NotFoundError, match="Unknown check ID"):
        stage.agent.heartbeat(PLAIN, "unknown", PASSING, "", done.append)
    assert stage.agent.remove_check(PLAIN, "n", done.append)
    assert not stage.agent.remove_check(PLAIN, "n", done.append)
    assert status(stage, "n") is None


def test_a_service_that_stays_critical_is_removed() -> None:
    stage = Stage()
    minute = 60_000_000_000
    stage.agent.register(
        PLAIN, service("web"), [ttl("c", "web", deregister_after_ns=minute)], lambda _: None
    )
    stage.advance(50)
    stage.agent.heartbeat(PLAIN, "c", PASSING, "", lambda _: None)
    stage.advance(60)
    assert is_there(stage, "web")  # it was passing in between
    stage.advance(15)
    assert not is_there(stage, "web")


def test_an_output_alone_reaches_the_catalog_late() -> None:
    stage = Stage()
    registered(stage, "web", "c")
    stage.agent.heartbeat(PLAIN, "c", PASSING, "one", lambda _: None)
    for _ in range(60):
        stage.agent.heartbeat(PLAIN, "c", PASSING, "two", lambda _: None)
        stage.advance(2)
    before = check_of(stage.reader().rows, NODE, "c")
    assert before is not None
    assert before.output == "one"
    index = stage.reader().index
    for _ in range(120):
        stage.agent.heartbeat(PLAIN, "c", PASSING, "two", lambda _: None)
        stage.advance(2)
    assert check_of(stage.reader().rows, NODE, "c") == replace(before, output="two")
    assert stage.reader().index == index  # nobody wakes


def test_an_output_alone_wakes_watchers_where_a_setting_wants_it() -> None:
    stage = Stage()
    stage.agent.state.reconfigure(StateSettings(output_interval_s=10, wakes_on_output=True))
    registered(stage, "web", "c")
    stage.agent.heartbeat(PLAIN, "c", PASSING, "one", lambda _: None)
    index = stage.reader().index
    stage.agent.heartbeat(PLAIN, "c", PASSING, "two", lambda _: None)
    stage.advance(9.5)
    assert stage.reader().index == index + 1


def test_without_an_interval_an_output_reaches_the_catalog_at_once() -> None:
    stage = Stage()
    stage.agent.state.reconfigure(StateSettings(output_interval_s=0))
    registered(stage, "web", "c")
    stage.agent.heartbeat(PLAIN, "c", PASSING, "one", lambda _: None)
    stage.agent.heartbeat(PLAIN, "c", PASSING, "two", lambda _: None)
    stage.advance(0)
    row = check_of(stage.reader().rows, NODE, "c")
    assert row is not None
    assert row.output == "two"


def test_an_output_whose_row_vanishes_on_the_way_brings_the_row_back() -> None:
    stage = Stage()
    stage.agent.state.reconfigure(StateSettings(output_interval_s=0))
    registered(stage, "web", "c")
    stage.agent.heartbeat(PLAIN, "c", PASSING, "one", lambda _: None)
    stage.agent.heartbeat(PLAIN, "c", PASSING, "two", lambda _: None)
    stage.local.is_held = True
    stage.advance(0)
    stage.local.apply(CheckDeregister(NODE, "c"))
    stage.local.release()
    row = check_of(stage.reader().rows, NODE, "c")
    assert row is not None
    assert (row.status, row.output) == (PASSING, "two")


# --- anti-entropy -------------------------------------------------------------------------------


def test_a_full_comparison_mends_whatever_is_different() -> None:
    stage = Stage()
    stage.agent.start()
    registered(stage, "web", "c")
    registered(stage, "api", "a")
    local = stage.local
    local.apply(ServiceDeregister(NODE, "web"))
    local.apply(CheckDeregister(NODE, "a"))
    foreign = Check("x", "x", PASSING)
    local.apply(CatalogRegister(NODE, service=service("foreign"), checks=(foreign,)))
    local.apply(CatalogRegister(NODE, service=service("consul", port=8300)))
    stage.advance(2 * FULL_S + 1)
    assert [is_there(stage, name) for name in ("web", "foreign")] == [True, False]
    assert (status(stage, "c"), status(stage, "a"), status(stage, "x")) == (
        CRITICAL,
        CRITICAL,
        None,
    )
    assert is_there(stage, "consul")  # that of the servers is left alone
    assert status(stage, "serfHealth") == PASSING
    count = len(local.submitted)
    stage.advance(2 * FULL_S + 1)
    assert len(local.submitted) == count  # what is equal needs no command


def test_a_node_that_vanished_gets_everything_back() -> None:
    stage = Stage()
    stage.agent.start()
    registered(stage, "web", "c")
    stage.local.apply(NodeDeregister(NODE))
    stage.local.apply(registration(ME, NodeSettings()))
    stage.advance(2 * FULL_S + 1)
    assert (is_there(stage, "web"), status(stage, "c")) == (True, CRITICAL)


def test_tags_of_the_catalog_win_where_the_service_says_so() -> None:
    stage = Stage()
    stage.agent.start()
    for name, is_open in (("open", True), ("closed", False)):
        mine = service(name, tags=("own",), enable_tag_override=is_open)
        stage.agent.register(PLAIN, mine, (), lambda _: None)
        theirs = service(name, tags=("theirs",), enable_tag_override=is_open)
        stage.local.apply(CatalogRegister(NODE, service=theirs))
    stage.advance(2 * FULL_S + 1)
    rows = {name: instance_of(stage.reader().rows, NODE, name) for name in ("open", "closed")}
    assert {name: row.service.tags for name, row in rows.items() if row is not None} == {
        "open": ("theirs",),
        "closed": ("own",),
    }
    assert stage.agent.state.services["open"].service.tags == ("theirs",)


def test_many_services_are_compared_in_pieces() -> None:
    stage = Stage()
    for number in range(300):
        registered(stage, f"s{number}", f"c{number}")
    for number in range(0, 300, 7):
        stage.local.apply(ServiceDeregister(NODE, f"s{number}"))
    stage.agent.start()
    assert not is_there(stage, "s0") or not is_there(stage, "s294")  # not all in one turn
    stage.advance(1)
    assert all(is_there(stage, f"s{number}") for number in range(300))
    assert all(status(stage, f"c{number}") == CRITICAL for number in range(300))


# --- restarts -------------------------------------------------------------------------------------


def test_a_restart_brings_services_and_checks_back() -> None:
    before = Stage()
    registered(before, "web", "c")
    before.agent.add_check(PLAIN, ttl("n"), lambda _: None)
    before.agent.heartbeat(PLAIN, "c", PASSING, "fine", lambda _: None)
    after = Stage(disk=before.disk)
    for kind in ("service", "check"):
        for key, data in list(after.disk.items()):
            if key[0] == kind:
                after.take(data)
    after.agent.restored()
    after.agent.start()
    after.advance(1)
    assert (is_there(after, "web"), status(after, "c"), status(after, "n")) == (
        True,
        PASSING,
        CRITICAL,
    )
    after.advance(11)
    assert status(after, "c") == CRITICAL  # its TTL runs again


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"type":"check"}', b"x" * 300_000])
def test_a_damaged_file_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_entry(data)


# --- limits ---------------------------------------------------------------------------------------


def test_an_agent_has_so_many_services_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.localstate.state.SERVICES_MAX", 2)
    stage = Stage()
    registered(stage, "a")
    registered(stage, "b")
    with pytest.raises(RequestError, match="its limit"):
        registered(stage, "c")
    registered(stage, "b")
    assert list(stage.agent.state.services) == ["a", "b"]


def test_a_heartbeat_adds_nothing_to_the_queue() -> None:
    stage = Stage()
    registered(stage, "web", "c")
    state: LocalState = stage.agent.state
    length = len(state._queue)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    for _ in range(1000):
        stage.agent.heartbeat(PLAIN, "c", CRITICAL, "", lambda _: None)
        stage.advance(0.01)
    assert len(state._queue) == length  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
