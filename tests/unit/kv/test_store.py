"""Keys and values by the machine: what Consul's clients see of them."""

import pytest

from quorate.base.outcomes import Failure
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvRelease,
    KvSet,
)
from quorate.kv.tables import KvRow
from tests.unit.machine.lab import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def row(lab: Lab, key: bytes) -> KvRow | None:
    entry = lab.read.kv_get(key).value
    return None if entry is None else entry.row


def present(lab: Lab, key: bytes) -> KvRow:
    found = row(lab, key)
    assert found is not None
    return found


# --- writing ----------------------------------------------------------------------------------


def test_a_write_makes_a_key_and_an_overwrite_keeps_its_create_index(lab: Lab) -> None:
    assert lab.do(KvSet(b"k", b"1", 7)) is True
    first = present(lab, b"k")
    assert (first.value, first.flags, first.lock_index, first.session) == (b"1", 7, 0, "")
    assert first.create_index == first.modify_index == lab.machine.index
    lab.do(KvSet(b"k", b"2"))
    second = present(lab, b"k")
    assert second.create_index == first.create_index
    assert second.modify_index == first.modify_index + 1
    assert second.flags == 0


@pytest.mark.parametrize(
    "again", [KvSet(b"k", b"1", 7), KvCas(b"k", b"1", 7, 0), KvDelete(b"x"), KvDeleteTree(b"x")]
)
def test_what_changes_nothing_takes_no_index_and_wakes_nobody(lab: Lab, again: KvSet) -> None:
    lab.do(KvSet(b"k", b"1", 7))
    before, index = present(lab, b"k"), lab.machine.index
    (outcome,) = lab.outcomes(again)
    assert outcome.index == lab.machine.index == index
    assert present(lab, b"k") == before
    assert lab.changed_subjects == []


def test_each_command_of_a_batch_has_an_index_of_its_own(lab: Lab) -> None:
    outcomes = lab.outcomes(KvSet(b"a", b"1"), KvSet(b"b", b"1"), KvSet(b"a", b"2"))
    first = outcomes[0].index
    assert [outcome.index for outcome in outcomes] == [first, first + 1, first + 2]
    assert lab.do(KvCas(b"a", b"3", 0, first)) is False


def test_flags_are_unsigned_64_bit_numbers(lab: Lab) -> None:
    lab.do(KvSet(b"k", b"", 2**64 - 1))
    assert present(lab, b"k").flags == 2**64 - 1


def test_cas_needs_the_modify_index_and_zero_means_absent(lab: Lab) -> None:
    assert lab.do(KvCas(b"k", b"1", 0, 5)) is False
    assert row(lab, b"k") is None
    assert lab.do(KvCas(b"k", b"1", 0, 0)) is True
    index = present(lab, b"k").modify_index
    assert lab.do(KvCas(b"k", b"2", 0, 0)) is False
    assert lab.do(KvCas(b"k", b"2", 0, index + 1)) is False
    assert lab.do(KvCas(b"k", b"2", 0, index)) is True
    assert lab.do(KvCas(b"k", b"2", 0, lab.machine.index)) is True
    assert present(lab, b"k").modify_index == index + 1


# --- removing ---------------------------------------------------------------------------------


def test_a_removed_key_may_be_made_anew(lab: Lab) -> None:
    lab.do(KvSet(b"k", b"1"))
    created = present(lab, b"k").create_index
    assert lab.do(KvDelete(b"k")) is True
    assert row(lab, b"k") is None
    assert lab.do(KvCas(b"k", b"1", 0, created)) is False
    assert lab.do(KvCas(b"k", b"1", 0, 0)) is True
    assert present(lab, b"k").create_index > created


def test_delete_cas_is_true_for_what_is_absent(lab: Lab) -> None:
    lab.do(KvSet(b"k", b"1"))
    index = present(lab, b"k").modify_index
    assert lab.do(KvDeleteCas(b"k", 0)) is False
    assert lab.do(KvDeleteCas(b"k", index + 1)) is False
    assert lab.do(KvDeleteCas(b"k", index)) is True
    assert lab.do(KvDeleteCas(b"k", index)) is True


def test_a_tree_goes_under_one_index_and_nothing_else_does(lab: Lab) -> None:
    names = [b"d/a", b"d/b", b"dx", b"d", b"d/\xff"]
    lab.do(*(KvSet(name, b"1") for name in names))
    index = lab.machine.index
    assert lab.do(KvDeleteTree(b"d/")) is True
    assert lab.machine.index == index + 1
    assert [entry.key for entry in lab.read.kv_list(b"").value] == [b"d", b"dx"]
    assert lab.read.kv_list(b"d/").changed == index + 1


def test_the_empty_prefix_and_one_of_highest_bytes_remove_what_they_name(lab: Lab) -> None:
    lab.do(KvSet(b"\xff\xff", b""), KvSet(b"\xff\xff\x01", b""), KvSet(b"\xff", b""))
    lab.do(KvDeleteTree(b"\xff\xff"))
    assert [entry.key for entry in lab.read.kv_list(b"").value] == [b"\xff"]
    lab.do(KvDeleteTree(b""))
    assert lab.read.kv_list(b"").value == []


# --- locks ------------------------------------------------------------------------------------


def test_the_first_acquisition_counts_one_and_a_second_by_the_holder_none(lab: Lab) -> None:
    s = lab.session("s")
    assert lab.do(KvAcquire(b"k", b"1", 3, s)) is True
    held = present(lab, b"k")
    assert (held.session, held.lock_index, held.flags, held.value) == (s, 1, 3, b"1")
    assert lab.do(KvAcquire(b"k", b"2", 0, s)) is True
    assert present(lab, b"k").lock_index == 1
    index = lab.machine.index
    assert lab.do(KvAcquire(b"k", b"2", 0, s)) is True
    assert lab.machine.index == index


def test_another_session_does_not_get_a_held_key(lab: Lab) -> None:
    s, other = lab.session("s"), lab.session("other")
    lab.do(KvAcquire(b"k", b"1", 0, s))
    before = present(lab, b"k")
    assert lab.do(KvAcquire(b"k", b"2", 0, other)) is False
    assert lab.do(KvRelease(b"k", b"2", 0, other)) is False
    assert present(lab, b"k") == before


def test_release_keeps_the_lock_index_and_writes(lab: Lab) -> None:
    s = lab.session("s")
    lab.do(KvAcquire(b"k", b"1", 1, s))
    assert lab.do(KvRelease(b"k", b"2", 2, s)) is True
    freed = present(lab, b"k")
    assert (freed.session, freed.lock_index, freed.flags, freed.value) == ("", 1, 2, b"2")
    assert lab.do(KvAcquire(b"k", b"3", 0, s)) is True
    assert present(lab, b"k").lock_index == 2
    assert lab.do(KvRelease(b"x", b"", 0, s)) is False
    assert lab.do(KvRelease(b"k", b"", 0, "unknown")) is False


def test_a_plain_write_keeps_the_session_and_resets_the_lock_index(lab: Lab) -> None:
    s = lab.session("s")
    lab.do(KvAcquire(b"k", b"1", 0, s))
    lab.do(KvSet(b"k", b"1"))
    assert (present(lab, b"k").session, present(lab, b"k").lock_index) == (s, 0)
    lab.do(KvAcquire(b"k", b"2", 0, s))
    assert present(lab, b"k").lock_index == 0
    lab.do(KvRelease(b"k", b"3", 0, s))
    lab.do(KvAcquire(b"k", b"4", 0, s))
    assert present(lab, b"k").lock_index == 1


def test_sessions_that_do_not_live_lock_nothing(lab: Lab) -> None:
    assert lab.do(KvAcquire(b"k", b"", 0, "x")) == Failure("not_found", 'invalid session "x"')
    assert lab.do(KvAcquire(b"k", b"", 0, "")) == Failure("bad_request", "missing session")
    assert lab.do(KvRelease(b"k", b"", 0, "")) == Failure("bad_request", "missing session")
    assert row(lab, b"k") is None


def test_a_removed_key_is_held_by_nobody(lab: Lab) -> None:
    s, other = lab.session("s"), lab.session("other")
    lab.do(KvAcquire(b"k", b"1", 0, s), KvDelete(b"k"))
    assert lab.do(KvAcquire(b"k", b"2", 0, other)) is True
    assert present(lab, b"k").lock_index == 1
