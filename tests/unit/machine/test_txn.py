"""Transactions: all or nothing, one index, Consul's words for what fails."""

from collections.abc import Generator

import pytest

from quorate.base.txn import TxnItem, TxnOp, TxnOpFailure, TxnResult
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvSet
from quorate.kv.verbs import quoted
from quorate.machine.commands import Txn
from quorate.machine.snapshot import dump
from quorate.machine.txn import is_read_only
from quorate.sessions.commands import SessionDestroy
from tests.unit.machine.lab import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def txn(lab: Lab, *ops: TxnOp) -> TxnResult:
    done = lab.do(Txn(ops))
    assert isinstance(done, TxnResult)
    return done


def fault(lab: Lab, op: TxnOp) -> str:
    (only,) = txn(lab, op).faults
    return only.what


def test_all_rows_of_one_transaction_have_one_index(lab: Lab) -> None:
    index = lab.machine.index
    done = txn(lab, TxnOp("set", b"a", b"1", 3), TxnOp("set", b"b", b"2"), TxnOp("get", b"a"))
    assert lab.machine.index == index + 1
    assert done == TxnResult(
        items=(
            TxnItem(b"a", None, 3, 0, "", index + 1, index + 1),
            TxnItem(b"b", None, 0, 0, "", index + 1, index + 1),
            TxnItem(b"a", b"1", 3, 0, "", index + 1, index + 1),
        )
    )


def test_later_operations_see_earlier_ones(lab: Lab) -> None:
    done = txn(
        lab,
        TxnOp("set", b"a", b"1"),
        TxnOp("get", b"a"),
        TxnOp("delete", b"a"),
        TxnOp("check-not-exists", b"a"),
        TxnOp("get-or-empty", b"a"),
    )
    assert done.faults == ()
    assert [item.value for item in done.items] == [None, b"1", None]
    assert done.items[2] == TxnItem(b"a", None, is_bare=True)


def test_a_failed_one_leaves_no_trace(lab: Lab) -> None:
    s = lab.session("s")
    lab.do(KvSet(b"a", b"old"), KvSet(b"t/x", b""), KvAcquire(b"held", b"", 0, s))
    before, index = dump(DOMAINS, lab.tables), lab.machine.index
    done = txn(
        lab,
        TxnOp("set", b"a", b"new"),
        TxnOp("set", b"n", b"new"),
        TxnOp("delete-tree", b"t/"),
        TxnOp("lock", b"l", b"", session=s),
        TxnOp("unlock", b"held", b"", session=s),
        TxnOp("delete", b"held"),
        TxnOp("get", b"absent"),
    )
    assert done == TxnResult(faults=(TxnOpFailure(6, 'key "absent" doesn\'t exist'),))
    after = dump(DOMAINS, lab.tables)
    assert {name: rows for name, rows in after.items() if name[:4] != "meta"} == {
        name: rows for name, rows in before.items() if name[:4] != "meta"
    }
    assert lab.machine.index == index
    assert lab.changed_subjects == []
    lab.do(KvSet(b"next", b""))
    assert lab.machine.index == index + 1


def test_after_a_failed_one_the_digest_is_as_if_it_had_not_been() -> None:
    failing, empty = Lab(), Lab()
    failing.do(Txn((TxnOp("set", b"a", b"1"), TxnOp("get", b"absent"))))
    empty.do(Txn((TxnOp("get", b"absent"),)))
    assert failing.machine.digest == empty.machine.digest


def test_every_failing_operation_is_listed_in_order(lab: Lab) -> None:
    done = txn(
        lab,
        TxnOp("get", b"x"),
        TxnOp("set", b"ok", b"1"),
        TxnOp("check-index", b"y", index=5),
        TxnOp("check-session", b"z", session="s"),
    )
    assert done.faults == (
        TxnOpFailure(0, 'key "x" doesn\'t exist'),
        TxnOpFailure(2, 'failed to check index, key "y" doesn\'t exist'),
        TxnOpFailure(3, 'failed to check session, key "z" doesn\'t exist'),
    )


def test_each_way_to_fail_has_consuls_words(lab: Lab) -> None:
    s, other = lab.session("s", lock_delay_ms=5_000), lab.session("other")
    lab.do(KvSet(b"k", b""), KvAcquire(b"h", b"", 0, s))
    index = lab.read.kv_get(b"k").header
    expected = {
        TxnOp("cas", b"k", b"", index=1): 'failed to set key "k", index is stale',
        TxnOp("cas", b"n", b"", index=1): 'failed to set key "n", index is stale',
        TxnOp("delete-cas", b"k", index=1): 'failed to delete key "k", index is stale',
        TxnOp("lock", b"h", session=other): 'failed to lock key "h", lock is already held',
        TxnOp("lock", b"k", session="x"): 'invalid session "x"',
        TxnOp("lock", b"k"): "missing session",
        TxnOp("unlock", b"k"): "missing session",
        TxnOp("unlock", b"h", session=other): (
            'failed to unlock key "h", lock isn\'t held, or is held by another session'
        ),
        TxnOp("check-index", b"k", index=index + 1): (
            f'failed index check for key "k", current modify index {index} != {index + 1}'
        ),
        TxnOp("check-session", b"h", session="b"): (
            'failed session check for key "h", current session "s" != "b"'
        ),
        TxnOp("check-session", b"k", session="b"): (
            'failed session check for key "k", current session "" != "b"'
        ),
        TxnOp("check-not-exists", b"k"): 'key "k" exists',
        TxnOp("frobnicate", b"k"): "unknown KV operation: frobnicate",
        TxnOp("SET", b"k"): "unknown KV operation: SET",
        TxnOp("", b"k"): "unknown KV operation: ",
        TxnOp("set", b""): "Must provide key",
        TxnOp("get-tree", b""): "Must provide key",
    }
    for op, what in expected.items():
        assert fault(lab, op) == what
    lab.do(SessionDestroy(s))
    delayed = fault(lab, TxnOp("lock", b"h", session=other))
    assert delayed == 'failed to lock key "h" due to lock delay'


def test_what_passes_gives_the_row_and_checks_of_absence_give_none(lab: Lab) -> None:
    s = lab.session("s")
    done = txn(
        lab,
        TxnOp("lock", b"k", b"v", session=s),
        TxnOp("check-session", b"k", session=s),
        TxnOp("unlock", b"k", b"w", session=s),
        TxnOp("check-index", b"k", index=lab.machine.index + 1),
        TxnOp("delete-cas", b"absent", index=9),
        TxnOp("check-not-exists", b"absent"),
        TxnOp("get-tree", b"k"),
        TxnOp("get-tree", b"none/"),
    )
    assert done.faults == ()
    assert [item.session for item in done.items] == [s, s, "", "", ""]
    assert [item.lock_index for item in done.items] == [1, 1, 1, 1, 1]
    assert done.items[-1].value == b"w"


def test_setting_the_stored_value_again_keeps_its_index(lab: Lab) -> None:
    lab.do(KvSet(b"k", b"1"))
    index = lab.machine.index
    done = txn(lab, TxnOp("set", b"k", b"1"))
    assert done.items[0].modify_index == index
    assert lab.machine.index == index


def finished(work: Generator[None, None, TxnResult]) -> TxnResult:
    while True:
        try:
            next(work)
        except StopIteration as end:
            done: TxnResult = end.value
            return done


def test_reads_alone_need_no_log(lab: Lab) -> None:
    lab.do(KvSet(b"k", b"1"))
    ops = (TxnOp("get", b"k"), TxnOp("check-not-exists", b"x"), TxnOp("get-or-empty", b"x"))
    assert is_read_only(DOMAINS, ops)
    assert not is_read_only(DOMAINS, (*ops, TxnOp("delete", b"k")))
    assert not is_read_only(DOMAINS, (TxnOp("frobnicate", b"k"),))
    done = finished(lab.read.txn_read(ops))
    assert [item.value for item in done.items] == [b"1", None]
    faults = finished(lab.read.txn_read((TxnOp("set", b"k"), TxnOp("get", b"x")))).faults
    assert faults == (
        TxnOpFailure(0, "unknown KV operation: set"),
        TxnOpFailure(1, 'key "x" doesn\'t exist'),
    )


def test_keys_are_quoted_so_that_anything_can_be_shown() -> None:
    assert quoted(b"a/b c") == '"a/b c"'
    assert quoted(b'"\\\n\x01') == '"\\"\\\\\\n\\x01"'
    assert quoted("ç日".encode()) == '"ç日"'
    assert quoted(b"\xff\x80") == '"\\xff\\x80"'
