"""The two indexes of a blocking query, subject by subject."""

from collections.abc import Callable
from typing import Any

import pytest

from quorate.base.command import Command
from quorate.base.results import Answer
from quorate.catalog.commands import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvCas, KvDelete, KvDeleteTree, KvRelease, KvSet
from quorate.machine.commands import TombstonesReap
from quorate.machine.snapshot import dump
from quorate.machine.watches import Watches
from quorate.sessions.commands import SessionDestroy, SessionRenew
from tests.unit.machine.lab import Lab, Lists, fired

Query = Callable[[Lists], Answer[Any]]
BOB = NodeRegister("bob", "Bob", "", "dc1", {}, {})


@pytest.fixture
def lab() -> Lab:
    return Lab()


def key(name: bytes) -> Query:
    return lambda reader: reader.kv_get(name)


def tree(prefix: bytes) -> Query:
    return lambda reader: reader.kv_list(prefix)


def service(name: str) -> Query:
    return lambda reader: reader.services_of_name(name)


def wakes(lab: Lab, query: Query, *commands: Command) -> bool:
    """Whether a reader blocked on its newest index is woken and answered by these commands.

    Both halves must agree: who is woken in vain looks again and sleeps on, but who is not woken
    sleeps through a change.
    """
    before = query(lab.read)
    held = before.header
    watches = Watches()
    watches.add(before.subjects, "reader")
    lab.do(*commands)
    is_woken = bool(fired(watches, lab.changed_subjects))
    after = query(lab.read)
    is_answered = after.changed > held
    assert is_woken or not is_answered, "it slept through a change"
    assert after.header >= after.changed
    assert after.header >= before.header
    return is_answered


# --- keys -------------------------------------------------------------------------------------


def test_an_existing_key_shows_its_modify_index(lab: Lab) -> None:
    lab.do(KvSet(b"k", b"1"))
    index = lab.machine.index
    lab.do(KvSet(b"other", b"1"))
    answer = lab.read.kv_get(b"k")
    assert (answer.changed, answer.header) == (index, index)


def test_an_absent_key_shows_the_table_and_waits_for_itself(lab: Lab) -> None:
    assert lab.read.kv_get(b"absent").header == 1
    lab.do(KvSet(b"other", b"1"))
    answer = lab.read.kv_get(b"absent")
    assert (answer.changed, answer.header) == (0, lab.machine.index)
    assert not wakes(lab, key(b"absent"), KvSet(b"other", b"2"))
    assert not wakes(lab, key(b"absent"), KvSet(b"absentee", b"2"))
    assert wakes(lab, key(b"absent"), KvSet(b"absent", b"2"))


def test_a_key_wakes_for_all_that_changes_it_and_nothing_else(lab: Lab) -> None:
    s = lab.session("s")
    lab.do(KvSet(b"k", b"1"))
    assert not wakes(lab, key(b"k"), KvSet(b"k", b"1"), KvCas(b"k", b"9", 0, 1))
    assert not wakes(lab, key(b"k"), KvRelease(b"k", b"9", 0, s), KvSet(b"k2", b""))
    assert wakes(lab, key(b"k"), KvSet(b"k", b"2"))
    assert wakes(lab, key(b"k"), KvAcquire(b"k", b"2", 0, s))
    assert wakes(lab, key(b"k"), KvRelease(b"k", b"2", 0, s))
    assert wakes(lab, key(b"k"), KvAcquire(b"k", b"2", 0, s))
    assert wakes(lab, key(b"k"), SessionDestroy(s))
    assert wakes(lab, key(b"k"), KvDelete(b"k"))
    assert wakes(lab, key(b"k"), KvSet(b"k", b"2"), KvDelete(b"k"), KvSet(b"k", b"2"))
    assert wakes(lab, key(b"k"), KvDeleteTree(b""))
    assert not wakes(lab, key(b"k"), KvDelete(b"k"))


def test_a_prefix_shows_the_newest_change_or_removal_below_it(lab: Lab) -> None:
    lab.do(KvSet(b"p/a", b""), KvSet(b"p/b", b""))
    index = lab.machine.index
    lab.do(KvSet(b"q", b""))
    assert lab.read.kv_list(b"p/").header == index
    assert lab.read.kv_keys(b"p/").header == index
    lab.do(KvDelete(b"p/a"))
    assert lab.read.kv_list(b"p/").header == lab.machine.index
    lab.do(KvDelete(b"p/b"), KvSet(b"q", b"2"))
    answer = lab.read.kv_list(b"p/")
    assert answer.value == []
    assert answer.changed == answer.header == lab.machine.index - 1
    assert lab.read.kv_list(b"none/").header == lab.machine.index


def test_a_prefix_wakes_for_what_is_below_it(lab: Lab) -> None:
    lab.do(KvSet(b"p/a", b""))
    assert not wakes(lab, tree(b"p/"), KvSet(b"p", b""), KvSet(b"px", b""))
    assert wakes(lab, tree(b"p/"), KvSet(b"p/b", b""))
    assert wakes(lab, tree(b"p/"), KvDelete(b"p/b"))
    assert wakes(lab, tree(b"p/"), KvDeleteTree(b"p/"))
    assert not wakes(lab, tree(b"p/"), KvSet(b"q", b""))
    assert wakes(lab, tree(b"p/"), KvSet(b"p/a", b""))


def test_the_root_wakes_for_every_key(lab: Lab) -> None:
    lab.do(KvSet(b"a", b""))
    assert lab.read.kv_list(b"").header == lab.machine.index
    assert wakes(lab, tree(b""), KvSet(b"b", b""))
    assert wakes(lab, tree(b""), KvDelete(b"a"))
    assert not wakes(lab, tree(b""), NodeHealth("ann", "critical"))


def test_names_are_cut_after_the_first_separator_behind_the_prefix(lab: Lab) -> None:
    lab.do(*(KvSet(name, b"") for name in (b"a", b"b/c", b"b/c/d", b"b/d", b"bb", b"/x")))
    assert lab.read.kv_keys(b"").value == [b"/x", b"a", b"b/c", b"b/c/d", b"b/d", b"bb"]
    assert lab.read.kv_keys(b"", b"/").value == [b"/", b"a", b"b/", b"bb"]
    assert lab.read.kv_keys(b"b", b"/").value == [b"b/", b"bb"]
    assert lab.read.kv_keys(b"b/", b"/").value == [b"b/c", b"b/c/", b"b/d"]
    assert lab.read.kv_keys(b"b/c", b"/").value == [b"b/c", b"b/c/"]
    assert lab.read.kv_keys(b"none", b"/").value == []


# --- sessions ---------------------------------------------------------------------------------


def test_sessions_show_the_table_and_wait_for_their_own(lab: Lab) -> None:
    def one(reader: Lists) -> Answer[Any]:
        return reader.session_get("s")

    def every(reader: Lists) -> Answer[Any]:
        return reader.session_list()

    def of_ann(reader: Lists) -> Answer[Any]:
        return reader.session_node("ann")

    assert every(lab.read).header == 1
    lab.session("s", ttl_ms=10_000)
    lab.session("other")
    assert one(lab.read).header == every(lab.read).header == lab.machine.index
    lab.log_time_ms += 9_000
    assert not wakes(lab, one, SessionRenew("s"))
    assert not wakes(lab, one, SessionDestroy("other"))
    lab.session("third")
    assert wakes(lab, every, SessionDestroy("third"))
    lab.do(BOB)
    lab.session("bobs", node="Bob")
    assert not wakes(lab, of_ann, SessionDestroy("bobs"))
    assert wakes(lab, of_ann, SessionDestroy("s"))
    assert not wakes(lab, one, SessionDestroy("s"))
    assert not wakes(lab, every, KvSet(b"k", b""))


def test_the_end_of_a_session_answers_who_waits_for_it(lab: Lab) -> None:
    def one(reader: Lists) -> Answer[Any]:
        return reader.session_get("s")

    lab.session("s", checks=("serfHealth",))
    assert wakes(lab, one, NodeHealth("ann", "critical"))


# --- catalog ----------------------------------------------------------------------------------


def test_nodes_wait_for_the_table_of_nodes(lab: Lab) -> None:
    def nodes(reader: Lists) -> Answer[Any]:
        return reader.nodes()

    assert not wakes(lab, nodes, ServiceRegister("ann", "web", "web", b""))
    assert not wakes(lab, nodes, NodeHealth("ann", "critical"))
    assert wakes(lab, nodes, BOB)
    assert wakes(lab, nodes, NodeDeregister("bob"))
    assert not wakes(lab, nodes, NodeDeregister("bob"))


def test_a_node_waits_for_itself_its_checks_and_its_services(lab: Lab) -> None:
    def bob(reader: Lists) -> Answer[Any]:
        return reader.node("bob")

    assert not wakes(lab, bob, NodeHealth("ann", "critical"))
    assert wakes(lab, bob, BOB)
    assert wakes(lab, bob, NodeHealth("bob", "critical"))
    assert wakes(lab, bob, ServiceRegister("bob", "web", "web", b""))
    assert wakes(lab, bob, ServiceDeregister("bob", "web"))
    assert wakes(lab, bob, NodeDeregister("bob"))


def test_a_service_waits_for_its_instances_and_the_nodes_that_host_them(lab: Lab) -> None:
    lab.do(
        BOB, ServiceRegister("ann", "web", "web", b""), ServiceRegister("ann", "o", "other", b"")
    )
    web = service("WEB")
    assert not wakes(lab, web, ServiceRegister("ann", "o", "other", b"2"))
    assert not wakes(lab, web, NodeHealth("bob", "critical"))
    assert not wakes(lab, web, ServiceRegister("ann", "web", "web", b""))
    assert wakes(lab, web, NodeHealth("ann", "critical"))
    assert wakes(lab, web, NodeRegister("ann", "Ann", "10.9.9.9", "dc1", {}, {}))
    assert wakes(lab, web, ServiceRegister("bob", "web", "web", b""))
    assert wakes(lab, web, NodeDeregister("bob"))
    assert wakes(lab, web, ServiceDeregister("ann", "web"))
    assert not wakes(lab, web, NodeHealth("ann", "passing"))
    assert wakes(lab, web, ServiceRegister("ann", "web", "web", b""))


def test_a_service_of_which_nothing_is_left_shows_the_table(lab: Lab) -> None:
    lab.do(ServiceRegister("ann", "web", "web", b""))
    lab.do(ServiceDeregister("ann", "web"))
    gone = lab.machine.index
    lab.do(ServiceRegister("ann", "o", "other", b""))
    answer = lab.read.services_of_name("web")
    assert (answer.changed, answer.header) == (gone, lab.machine.index)
    assert not wakes(lab, service("none"), ServiceRegister("ann", "p", "other", b""))


# --- forgotten removals -----------------------------------------------------------------------


def test_a_reader_older_than_the_forgotten_removals_is_answered_at_once(lab: Lab) -> None:
    lab.do(KvSet(b"k", b""), KvSet(b"stays", b""))
    old = lab.machine.index
    lab.do(KvDelete(b"k"))
    removed = lab.machine.index
    lab.session("s")
    lab.do(SessionDestroy("s"))
    lab.do(KvSet(b"stays", b"2"))
    lab.do(TombstonesReap(removed, 100))
    for query in (key(b"k"), key(b"never"), tree(b"none/")):
        answer = query(lab.read)
        assert answer.changed == removed > old
        assert answer.header >= answer.changed
    assert lab.read.kv_get(b"stays").changed == lab.machine.index
    assert lab.read.session_get("s").changed > removed


def test_reaping_takes_the_oldest_first_and_so_many_at_most(lab: Lab) -> None:
    lab.do(*(KvSet(b"%d" % n, b"") for n in range(5)))
    lab.do(*(KvDelete(b"%d" % n) for n in range(5)))
    last = lab.machine.index
    lab.do(TombstonesReap(last, 2))
    assert lab.read.kv_get(b"never").changed == last - 3
    assert lab.read.kv_get(b"4").changed == last
    lab.do(TombstonesReap(last - 2, 100))
    assert lab.read.kv_get(b"never").changed == last - 2
    lab.do(TombstonesReap(last, 100))
    left = dump(DOMAINS, lab.tables)
    assert "KV_TOMBSTONES" not in left
    assert "TOMBSTONES" not in left


def test_what_was_made_anew_and_removed_again_is_remembered_as_of_then(lab: Lab) -> None:
    lab.do(KvSet(b"k", b""), KvDelete(b"k"))
    first = lab.machine.index
    lab.do(KvSet(b"k", b""), KvDelete(b"k"))
    lab.do(TombstonesReap(first, 100))
    assert lab.read.kv_get(b"k").changed == first + 2


def test_sessions_services_and_nodes_leave_nothing_after_reaping(lab: Lab) -> None:
    empty = dump(DOMAINS, lab.tables)
    for _ in range(2):
        lab.do(BOB, ServiceRegister("bob", "web", "web", b""))
        lab.session("s", node="Bob")
        lab.do(KvAcquire(b"k", b"", 0, "s"))
        lab.do(NodeDeregister("bob"), KvDelete(b"k"))
    lab.do(TombstonesReap(lab.machine.index, 1_000))
    after = dump(DOMAINS, lab.tables)
    names = {name for name in after if name[:4] != "meta"}
    assert {name: after[name] for name in names} == {name: empty[name] for name in names}


def test_removals_are_proposed_for_reaping_when_they_are_old_enough(lab: Lab) -> None:
    lab.do(KvSet(b"k", b""), KvDelete(b"k"))
    removed = lab.machine.index
    lab.log_time_ms += 120_000
    lab.do(KvSet(b"a", b""))
    proposed = lab.machine.expirations(lab.log_time_ms + 15 * 60_000 - 1_000)
    assert proposed == []
    proposed = lab.machine.expirations(lab.log_time_ms + 15 * 60_000 + 5_000)
    assert proposed == [TombstonesReap(removed + 1, 1_000)]
    lab.do(*proposed)
    assert "KV_TOMBSTONES" not in dump(DOMAINS, lab.tables)
