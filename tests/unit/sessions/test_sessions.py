"""Sessions: how they begin, live and end, and what their end does to keys."""

import pytest

from quorate.base.outcomes import Failure
from quorate.catalog.commands import NodeDeregister, NodeHealth, NodeRegister
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvRelease, KvSet
from quorate.machine.commands import Sweep
from quorate.machine.snapshot import dump
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sessions.tables import needs_renewal
from tests.unit.machine.lab import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def alive(lab: Lab) -> list[str]:
    return [row.id for row in lab.read.session_list().value]


def holder(lab: Lab, key: bytes) -> str | None:
    entry = lab.read.kv_get(key).value
    return None if entry is None else entry.row.session


# --- beginning --------------------------------------------------------------------------------


def test_a_session_needs_a_node_and_checks_that_pass(lab: Lab) -> None:
    def create(node: str, *checks: str) -> object:
        return lab.do(SessionCreate("s", "", node, 0, "release", "", 0, checks))

    def precondition(text: str) -> Failure:
        return Failure("precondition", text)

    assert create("nobody") == precondition("Missing node registration")
    assert create("Ann", "c") == precondition("Missing check 'c' registration")
    lab.do(NodeHealth("ann", "critical"))
    critical = "Check 'serfHealth' is in critical state"
    assert create("Ann", "serfHealth") == precondition(critical)
    assert lab.machine.index == lab.read.checks_of_node("ann").changed
    assert create("ANN") == "s"


def test_an_id_is_used_once(lab: Lab) -> None:
    lab.session("s")
    made = lab.do(SessionCreate("s", "", "Ann", 0, "release", "", 0, ()))
    assert isinstance(made, Failure)


def test_a_session_comes_back_as_it_was_given(lab: Lab) -> None:
    lab.session("s", ttl_ms=10_000, lock_delay_ms=61_000, checks=("serfHealth",))
    row = lab.read.session_get("s").value
    assert row is not None
    assert (row.ttl, row.lock_delay_ms, row.node_checks) == ("10000ms", 61_000, ("serfHealth",))
    assert row.create_index == row.modify_index == lab.machine.index


def test_lists_are_sorted_by_id(lab: Lab) -> None:
    for name in ("b", "c", "a"):
        lab.session(name)
    assert alive(lab) == ["a", "b", "c"]
    assert [row.id for row in lab.read.session_node("aNN").value] == ["a", "b", "c"]
    assert lab.read.session_node("other").value == []


# --- ending -----------------------------------------------------------------------------------


def test_every_key_of_an_ended_session_is_freed_under_one_index(lab: Lab) -> None:
    s = lab.session("s")
    lab.do(*(KvAcquire(b"k%d" % n, b"v", 4, s) for n in range(3)), KvSet(b"other", b""))
    index = lab.machine.index
    assert lab.do(SessionDestroy(s)) is True
    assert lab.machine.index == index + 1
    for n in range(3):
        entry = lab.read.kv_get(b"k%d" % n).value
        assert entry is not None
        row = entry.row
        assert (row.session, row.lock_index, row.flags, row.value) == ("", 1, 4, b"v")
        assert row.modify_index == index + 1
    assert alive(lab) == []


def test_with_behavior_delete_its_keys_go_and_no_others(lab: Lab) -> None:
    s = lab.session("s", behavior="delete")
    lab.do(KvAcquire(b"a", b"", 0, s), KvSet(b"b", b""), KvAcquire(b"c", b"", 0, s))
    lab.do(KvRelease(b"c", b"", 0, s), SessionDestroy(s))
    assert [entry.key for entry in lab.read.kv_list(b"").value] == [b"b", b"c"]


def test_destroying_an_unknown_session_is_true_and_changes_nothing(lab: Lab) -> None:
    index = lab.machine.index
    assert lab.do(SessionDestroy("nobody")) is True
    assert lab.machine.index == index


def test_a_critical_node_ends_the_sessions_bound_to_its_health(lab: Lab) -> None:
    bound, free = lab.session("bound", checks=("serfHealth",)), lab.session("free")
    lab.do(KvAcquire(b"k", b"", 0, bound), KvAcquire(b"f", b"", 0, free))
    index = lab.machine.index
    assert lab.do(NodeHealth("ann", "critical")) is True
    assert lab.machine.index == index + 1
    assert alive(lab) == [free]
    assert holder(lab, b"k") == ""
    assert holder(lab, b"f") == free
    assert lab.do(NodeHealth("ann", "passing")) is True
    assert alive(lab) == [free]


def test_a_deregistered_node_takes_all_its_sessions_along(lab: Lab) -> None:
    lab.do(NodeRegister("bob", "Bob", "10.0.0.2", "dc1", {}, {}))
    bobs, anns = lab.session("bobs", node="Bob"), lab.session("anns")
    lab.do(KvAcquire(b"k", b"", 0, bobs))
    lab.do(NodeDeregister("bob"))
    assert alive(lab) == [anns]
    assert holder(lab, b"k") == ""
    assert lab.do(KvAcquire(b"k", b"", 0, anns)) is True


# --- lock-delay -------------------------------------------------------------------------------


@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_after_the_holders_end_a_key_is_closed_for_the_lock_delay(lab: Lab, behavior: str) -> None:
    s = lab.session("s", lock_delay_ms=2_000, behavior=behavior)
    other = lab.session("other")
    lab.do(KvAcquire(b"k", b"", 0, s))
    lab.do(SessionDestroy(s))
    lab.log_time_ms += 1_999
    assert lab.do(KvAcquire(b"k", b"", 0, other)) is False
    assert lab.do(KvSet(b"k", b"others may write")) is True
    lab.log_time_ms += 1
    assert lab.do(KvAcquire(b"k", b"", 0, other)) is True


def test_a_lock_delay_counts_for_a_minute_at_most(lab: Lab) -> None:
    s, other = lab.session("s", lock_delay_ms=3_600_000), lab.session("other")
    lab.do(KvAcquire(b"k", b"", 0, s), SessionDestroy(s))
    lab.log_time_ms += 60_000
    assert lab.do(KvAcquire(b"k", b"", 0, other)) is True


def test_an_explicit_release_sets_no_lock_delay(lab: Lab) -> None:
    s, other = lab.session("s", lock_delay_ms=15_000), lab.session("other")
    lab.do(KvAcquire(b"k", b"", 0, s), KvRelease(b"k", b"", 0, s))
    assert lab.do(KvAcquire(b"k", b"", 0, other)) is True


def test_lock_delays_that_are_over_are_swept(lab: Lab) -> None:
    s = lab.session("s", lock_delay_ms=2_000)
    lab.do(KvAcquire(b"k", b"", 0, s), SessionDestroy(s))
    assert lab.machine.expirations(lab.log_time_ms + 1_000) == []
    lab.log_time_ms += 10_000
    assert lab.machine.expirations(lab.log_time_ms) == [Sweep(1_000)]
    assert lab.do(Sweep(1_000)) == 1
    assert "KV_DELAY" not in dump(DOMAINS, lab.tables)


# --- time -------------------------------------------------------------------------------------


def test_a_renewal_takes_no_index_wakes_nobody_and_moves_the_deadline(lab: Lab) -> None:
    s = lab.session("s", ttl_ms=10_000)
    index, began_ms = lab.machine.index, lab.log_time_ms
    lab.log_time_ms += 6_000
    assert lab.do(SessionRenew(s)) is True
    assert lab.machine.index == index
    assert lab.changed_subjects == []
    row = lab.read.session_get(s).value
    assert row is not None
    assert row.renewed_ms == began_ms + 6_000
    assert lab.machine.expirations(began_ms + 25_999) == []
    assert lab.machine.expirations(began_ms + 26_000) == [SessionExpire(s, began_ms + 6_000)]


def test_renewing_an_unknown_session_is_false(lab: Lab) -> None:
    assert lab.do(SessionRenew("nobody")) is False


def test_a_row_younger_than_half_its_ttl_needs_no_logged_renewal(lab: Lab) -> None:
    lab.session("s", ttl_ms=10_000)
    lab.session("without")
    row, without = (lab.read.session_get(name).value for name in ("s", "without"))
    assert row is not None
    assert without is not None
    assert not needs_renewal(row, row.renewed_ms + 4_999)
    assert needs_renewal(row, row.renewed_ms + 5_000)
    assert not needs_renewal(without, 10**12)


def test_an_expiry_that_saw_an_older_renewal_is_void(lab: Lab) -> None:
    s = lab.session("s", ttl_ms=10_000)
    seen_ms = lab.log_time_ms
    lab.log_time_ms += 20_000
    lab.do(SessionRenew(s))
    assert lab.do(SessionExpire(s, seen_ms)) is False
    assert alive(lab) == [s]
    older_ms, seen_ms = seen_ms, lab.log_time_ms
    lab.log_time_ms += 20_000
    assert lab.do(SessionExpire(s, older_ms)) is False
    assert lab.do(SessionExpire(s, seen_ms)) is True
    assert alive(lab) == []
    assert lab.do(SessionExpire(s, seen_ms)) is False


def test_an_expiry_before_its_time_is_void(lab: Lab) -> None:
    s, seen_ms = lab.session("s", ttl_ms=10_000), lab.log_time_ms
    lab.log_time_ms += 19_999
    assert lab.do(SessionExpire(s, seen_ms)) is False
    lab.log_time_ms += 1
    assert lab.do(SessionExpire(s, seen_ms)) is True


def test_a_session_without_ttl_never_expires(lab: Lab) -> None:
    s, seen_ms = lab.session("s"), lab.log_time_ms
    lab.log_time_ms += 10**9
    assert lab.do(SessionExpire(s, seen_ms)) is False


def test_logged_time_never_falls(lab: Lab) -> None:
    lab.log_time_ms = 50_000
    s = lab.session("s", ttl_ms=10_000)
    lab.log_time_ms = 20_000
    lab.do(SessionRenew(s))
    row = lab.read.session_get(s).value
    assert row is not None
    assert row.renewed_ms == lab.machine.log_time_ms == 50_000


def test_an_expiry_is_proposed_again_only_after_a_while(lab: Lab) -> None:
    s, due_ms = lab.session("s", ttl_ms=10_000), lab.log_time_ms + 20_000
    lab.session("forever")
    expiry = SessionExpire(s, lab.log_time_ms)
    assert lab.machine.expirations(due_ms - 1) == []
    assert lab.machine.expirations(due_ms) == [expiry]
    assert lab.machine.expirations(due_ms + 1_999) == []
    assert lab.machine.expirations(due_ms + 2_000) == [expiry]
    lab.log_time_ms = due_ms + 2_000
    lab.do(expiry)
    assert lab.machine.expirations(due_ms + 10_000) == []


def test_deadlines_are_known_after_a_restart(lab: Lab) -> None:
    s, began_ms = lab.session("s", ttl_ms=10_000), lab.log_time_ms
    again = Lab(lab.tables)
    assert again.machine.expirations(began_ms + 20_000) == [SessionExpire(s, began_ms)]


def test_a_node_that_never_leads_forgets_deadlines_that_are_past(lab: Lab) -> None:
    s = lab.session("s", ttl_ms=10_000)
    for _ in range(3_000):
        lab.log_time_ms += 5_000
        lab.do(SessionRenew(s))
    (expiry,) = lab.machine.expirations(lab.log_time_ms + 20_000)
    assert expiry == SessionExpire(s, lab.log_time_ms)
