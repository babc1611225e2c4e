"""Trees that are removed at once and deleted by and by."""

from itertools import pairwise

import pytest

from quorate.base.config import ClusterConfig
from quorate.base.txn import TxnOp
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvCas, KvDeleteTree, KvSet
from quorate.kv.queries import kv_list
from quorate.kv.subjects import of_tree
from quorate.kv.trees import NOTED_MAX
from quorate.machine.commands import Sweep, Txn
from quorate.machine.queries import Reader
from quorate.machine.snapshot import dump
from quorate.machine.state import STATE_KEY, State, decode_state
from quorate.sessions.commands import SessionDestroy
from tests.unit.machine.lab import Lab


@pytest.fixture
def lab() -> Lab:
    """Trees of more than two keys are only noted."""
    made = Lab(settings=ClusterConfig(removals_max=2))
    made.add_shadow()
    for number in range(10):
        made.do(KvSet(b"a/%d" % number, b"v"))
    made.do(KvSet(b"b", b"v"))
    return made


def state(lab: Lab) -> State:
    return decode_state(lab.tables.get(STATE_KEY) or b"")


def stored(lab: Lab) -> set[bytes]:
    return set(dump(DOMAINS, lab.tables).get("KV", {}))


def shown(lab: Lab) -> list[bytes]:
    return [entry.key for entry in lab.read.kv_list(b"").value]


def test_a_large_tree_is_gone_at_once_under_one_index_though_its_rows_are_there(lab: Lab) -> None:
    before = lab.machine.index
    assert lab.do(KvDeleteTree(b"a/")) is True
    assert lab.machine.index == before + 1
    assert len(stored(lab)) == 11
    assert shown(lab) == [b"b"]
    assert lab.read.kv_get(b"a/3").value is None
    assert lab.read.kv_get(b"a/3").changed >= before + 1
    assert lab.read.kv_at_once(b"a/3") is None
    assert lab.read.kv_keys(b"").value == [b"b"]
    assert lab.changed_subjects[0] == of_tree(b"a/")


def test_a_removed_tree_is_swept_in_pieces_and_nobody_sees_it(lab: Lab) -> None:
    lab.do(KvDeleteTree(b"a/"))
    lab.do(KvSet(b"a/4", b"new"))
    index, keys = lab.machine.index, shown(lab)
    sizes = [len(stored(lab))]
    while state(lab).removals:
        lab.do(Sweep(3))
        sizes.append(len(stored(lab)))
        assert shown(lab) == keys
        assert lab.changed_subjects == []
    assert lab.machine.index == index
    assert all(earlier - later <= 3 for earlier, later in pairwise(sizes))
    assert stored(lab) == {b"a/4", b"b"}


def test_a_leader_has_a_removed_tree_swept(lab: Lab) -> None:
    lab.do(KvDeleteTree(b"a/"))
    for _ in range(10):
        lab.log_time_ms += 10_000
        for command in lab.machine.expirations(lab.log_time_ms):
            lab.do(command)
    assert stored(lab) == {b"b"}
    assert state(lab).removals == ()


def test_a_key_written_after_the_removal_is_a_new_one(lab: Lab) -> None:
    lab.do(KvDeleteTree(b"a/"))
    assert lab.do(KvCas(b"a/1", b"new", 0, 0)) is True
    entry = lab.read.kv_get(b"a/1").value
    assert entry is not None
    assert entry.row.create_index == entry.row.modify_index == lab.machine.index
    assert shown(lab) == [b"a/1", b"b"]


def test_a_tree_whose_keys_are_all_gone_is_not_removed_again(lab: Lab) -> None:
    lab.do(KvDeleteTree(b"a/"))
    index = lab.machine.index
    assert lab.do(KvDeleteTree(b"a/")) is True
    assert lab.machine.index == index
    assert lab.changed_subjects == []


def test_a_wider_removal_takes_the_place_of_narrower_ones(lab: Lab) -> None:
    lab.do(KvDeleteTree(b"a/"))
    for number in range(5):
        lab.do(KvSet(b"a/%d" % number, b"new"))
    lab.do(KvDeleteTree(b""))
    assert [one.prefix for one in state(lab).removals] == [b""]
    assert shown(lab) == []


def test_what_a_transaction_wrote_before_its_removal_goes_and_what_follows_stays(lab: Lab) -> None:
    ops = (
        TxnOp("set", b"a/early", b"1"),
        TxnOp("delete-tree", b"a/"),
        TxnOp("set", b"a/late", b"2"),
        TxnOp("get-tree", b"a/"),
    )
    done = lab.do(Txn(ops))
    assert [item.key for item in done.items] == [b"a/early", b"a/late", b"a/late"]
    assert shown(lab) == [b"a/late", b"b"]
    for _ in range(10):
        lab.do(Sweep(3))
    assert stored(lab) == {b"a/late", b"b"}


def test_a_transaction_that_fails_removes_no_tree(lab: Lab) -> None:
    before = shown(lab)
    done = lab.do(Txn((TxnOp("delete-tree", b"a/"), TxnOp("get", b"never there"))))
    assert [fault.op_index for fault in done.faults] == [1]
    assert shown(lab) == before
    assert state(lab).removals == ()
    assert state(lab).floor == 0


def test_nobody_holds_a_key_that_went_with_its_tree(lab: Lab) -> None:
    first = lab.session("first", lock_delay_ms=15_000, behavior="delete")
    second = lab.session("second")
    lab.do(KvAcquire(b"a/1", b"", 0, first))
    lab.do(KvAcquire(b"a/2", b"", 0, first))
    lab.do(KvDeleteTree(b"a/"))
    assert lab.do(KvAcquire(b"a/1", b"", 0, second)) is True
    lab.do(SessionDestroy(first))
    entry = lab.read.kv_get(b"a/1").value
    assert entry is not None
    assert entry.row.session == second
    assert "KV_DELAY" not in dump(DOMAINS, lab.tables)
    assert set(dump(DOMAINS, lab.tables)["KV_LOCKS"]) == {b"second\0a/1"}


def test_with_many_noted_removals_a_further_tree_goes_row_by_row(lab: Lab) -> None:
    for tree in range(NOTED_MAX + 1):
        for number in range(4):
            lab.do(KvSet(b"t%02d/%d" % (tree, number), b"v"))
    for tree in range(NOTED_MAX + 1):
        lab.do(KvDeleteTree(b"t%02d/" % tree))
    assert len(state(lab).removals) == NOTED_MAX
    assert shown(lab) == [b"a/%d" % number for number in range(10)] + [b"b"]
    last = b"t%02d/" % NOTED_MAX
    assert not [key for key in stored(lab) if key.startswith(last)]


def test_a_small_tree_leaves_a_tombstone_for_each_key(lab: Lab) -> None:
    lab.do(KvSet(b"c/1", b""), KvSet(b"c/2", b""))
    floor = state(lab).floor
    lab.do(KvDeleteTree(b"c/"))
    assert state(lab).removals == ()
    assert state(lab).floor == floor
    assert {b"c/1", b"c/2"} <= set(dump(DOMAINS, lab.tables)["KV_TOMBSTONES"])


def test_a_held_view_shows_the_tree_as_it_was(lab: Lab) -> None:
    view = lab.tables.hold()
    lab.do(KvDeleteTree(b"a/"))
    lab.do(Sweep(100))
    assert len(kv_list(Reader(view), b"a/").value) == 10
    view.close()
