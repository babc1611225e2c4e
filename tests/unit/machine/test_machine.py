"""Slots in order, one transaction each, and the same result wherever it is applied."""

import contextlib
from pathlib import Path

import pytest

from quorate.base.batches import (
    NOOP,
    Batch,
    Bundle,
    Configuration,
    Member,
    encode_batch,
)
from quorate.base.command import encode_command, join_commands
from quorate.base.config import ClusterConfig
from quorate.base.errors import InvariantError, StorageError
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.outcomes import Failure
from quorate.base.txn import TxnOp
from quorate.catalog.commands import NodeHealth, ServiceRegister
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvDelete, KvDeleteTree, KvSet
from quorate.machine.commands import Txn
from quorate.machine.machine import Machine
from quorate.machine.snapshot import dump
from quorate.runtime.tables import LmdbTables
from quorate.sessions.commands import SessionDestroy
from quorate.sim.tables import DictTables, DictTransaction
from tests.unit.machine.lab import ANN, INITIAL, Lab

BOB, EVE = NodeId("bob"), NodeId("eve")
ALPHA = ClusterConfig().alpha_slots


def bundle(origin: NodeId, sequence: int, *keys: bytes) -> Bundle:
    body = join_commands([encode_command(KvSet(key, b"%d" % sequence)) for key in keys])
    return Bundle(origin, 1, sequence, len(keys), body)


def batch(*bundles: Bundle, log_time_ms: int = 0) -> bytes:
    return encode_batch(Batch(Ballot(1, ANN), log_time_ms, log_time_ms, bundles))


def busy(lab: Lab) -> None:
    """A bit of everything."""
    s = lab.session("s", behavior="delete", lock_delay_ms=500, checks=("serfHealth",))
    lab.do(KvAcquire(b"a", b"1", 0, s), KvSet(b"t/1", b""), KvSet(b"t/2", b""))
    lab.do(Txn((TxnOp("set", b"x", b"1"), TxnOp("get", b"absent"))))
    lab.do(Txn((TxnOp("set", b"x", b"1"), TxnOp("delete-tree", b"t/"))))
    lab.do(ServiceRegister("ann", "web", "web", b"{}"), KvDelete(b"x"))
    lab.log_time_ms += 1_000
    lab.do(NodeHealth("ann", "critical"), SessionDestroy(s), KvDeleteTree(b""))


# --- order and time ---------------------------------------------------------------------------


def test_slots_are_applied_in_order() -> None:
    machine = Lab().machine
    with pytest.raises(InvariantError):
        machine.apply(Slot(machine.applied + 2), NOOP, None, ANN)
    with pytest.raises(InvariantError):
        machine.apply(machine.applied, NOOP, None, ANN)


def test_a_noop_takes_its_slot_and_no_index() -> None:
    lab = Lab()
    index, applied = lab.machine.index, lab.machine.applied
    application = lab.machine.apply(Slot(applied + 1), NOOP, None, ANN)
    assert (lab.machine.applied, lab.machine.index) == (applied + 1, index)
    assert (application.changed_subjects, application.bundles) == ([], [])


def test_each_command_of_a_batch_takes_an_index_of_its_own_unless_it_changed_nothing() -> None:
    lab = Lab()
    before = lab.machine.index
    absent, present = KvDelete(b"absent"), KvDelete(b"a")
    outcomes = lab.outcomes(KvSet(b"a", b"1"), absent, KvSet(b"b", b"2"), present)
    assert [outcome.index - before for outcome in outcomes] == [1, 1, 2, 3]
    assert lab.machine.index == before + 3


def test_a_late_old_batch_does_not_turn_time_back() -> None:
    machine = Lab().machine
    for log_time_ms in (9_000, 5_000):
        machine.apply(Slot(machine.applied + 1), batch(log_time_ms=log_time_ms), None, ANN)
    assert (machine.log_time_ms, machine.wall_ms) == (9_000, 9_000)


def test_results_say_where_each_bundle_stood_in_its_batch() -> None:
    machine = Lab().machine
    sequence = machine.last_sequence(ANN)[1]
    data = batch(
        bundle(EVE, 1, b"e"),
        bundle(ANN, sequence + 1, b"a", b"b"),
        bundle(ANN, sequence + 2, b"c"),
    )
    application = machine.apply(Slot(machine.applied + 1), data, None, ANN)
    assert [result.position for result in application.bundles] == [0, 1, 3]
    assert [result.is_applied for result in application.bundles] == [False, True, True]
    assert [len(result.outcomes) for result in application.bundles] == [0, 2, 1]


def test_outcomes_are_made_for_the_own_origin_alone() -> None:
    lab = Lab()
    lab.machine.apply(Slot(lab.machine.applied + 1), NOOP, None, ANN)
    sequence = lab.machine.last_sequence(ANN)[1]
    data = batch(bundle(ANN, sequence + 1, b"a"))
    application = lab.machine.apply(Slot(lab.machine.applied + 1), data, None, BOB)
    assert application.bundles[0].is_applied
    assert application.bundles[0].outcomes == []
    assert lab.read.kv_get(b"a").value is not None


# --- what cannot be read ----------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"rubbish", join_commands([b"\x91\x63"]), b"\xdc\0\0"])
def test_a_bundle_that_cannot_be_decoded_counts_and_does_nothing(body: bytes) -> None:
    lab = Lab()
    before, sequence = lab.machine.index, lab.machine.last_sequence(ANN)[1]
    data = batch(Bundle(ANN, 1, sequence + 1, 1, body), bundle(ANN, sequence + 2, b"next"))
    application = lab.machine.apply(Slot(lab.machine.applied + 1), data, None, ANN)
    broken, following = application.bundles
    assert broken.is_applied
    assert isinstance(broken.outcomes[0].value, Failure)
    assert following.is_applied
    assert lab.machine.index == before + 1
    assert lab.machine.counters.bundles_unreadable == 1


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01rubbish"])
def test_a_batch_that_cannot_be_decoded_takes_its_slot(data: bytes) -> None:
    machine = Lab().machine
    applied = machine.applied
    assert machine.apply(Slot(applied + 1), data, None, ANN).bundles == []
    assert machine.applied == applied + 1


def test_a_batch_of_a_newer_kind_is_not_taken_for_nothing() -> None:
    machine = Lab().machine
    applied = machine.applied
    with pytest.raises(StorageError, match="start the newest version") as caught:
        machine.apply(Slot(applied + 1), b"\x77", None, ANN)
    assert caught.value.code == "version"
    assert machine.applied == applied


class Ending(DictTables):
    """Tables of a process that may end between two transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions_left = 1_000_000

    def begin(self) -> DictTransaction:
        if self.transactions_left == 0:
            raise EndedError
        self.transactions_left -= 1
        return super().begin()


class EndedError(Exception):
    """The process ended."""


def test_a_process_that_ends_after_any_transaction_applied_whole_slots_only() -> None:
    """Data of a slot that does not count as applied would be applied twice."""
    tables = Ending()
    lab = Lab(tables)
    before = lab.machine.applied
    tables.transactions_left = 1
    with contextlib.suppress(EndedError):
        lab.do(KvSet(b"k", b"v"))
    tables.kill()
    tables.transactions_left = 1_000_000
    again = Machine(tables, ClusterConfig(), DOMAINS)
    assert again.applied == before + 1
    assert again.last_sequence(ANN) == (1, before + 1)


# --- alike everywhere -------------------------------------------------------------------------


def test_both_bodies_hold_the_same_bytes_and_the_same_digest(tmp_path: Path) -> None:
    lmdb = LmdbTables(tmp_path, step_bytes=1024 * 1024)
    first, second = Lab(DictTables()), Lab(lmdb)
    busy(first)
    busy(second)
    assert list(first.tables.range(b"")) == list(second.tables.range(b""))
    assert first.machine.digest == second.machine.digest
    lmdb.close()


def test_who_took_a_bundle_makes_no_difference_to_the_tables() -> None:
    lab = Lab()
    lab.add_shadow()
    busy(lab)
    lab.do(KvSet(b"a", b""), KvSet(b"b", b""), KvDelete(b"a"), KvSet(b"c", b""))


def test_the_digest_tells_replicas_that_differ_in_a_row_apart() -> None:
    first, second = Lab(), Lab()
    first.do(KvSet(b"k", b"1"))
    second.do(KvSet(b"k", b"2"))
    assert first.machine.digest != second.machine.digest


def test_a_restart_finds_everything_as_it_was() -> None:
    lab = Lab()
    busy(lab)
    again = Machine(lab.tables, ClusterConfig(), DOMAINS)
    for name in ("applied", "index", "log_time_ms", "wall_ms", "digest", "cluster_id"):
        assert getattr(again, name) == getattr(lab.machine, name)
    assert again.configurations == lab.machine.configurations
    assert again.last_sequence(ANN) == lab.machine.last_sequence(ANN)


def test_rows_copied_in_key_order_make_the_same_machine() -> None:
    lab, copy = Lab(), DictTables()
    busy(lab)
    follower = Machine(copy, ClusterConfig(), DOMAINS)
    copy.begin_install()
    copy.install_rows(list(lab.tables.hold().range(b"")))
    copy.finish_install()
    follower.reload()
    assert dump(DOMAINS, copy) == dump(DOMAINS, lab.tables)
    data = batch(bundle(ANN, lab.machine.last_sequence(ANN)[1] + 1, b"more"))
    for machine in (lab.machine, follower):
        machine.apply(Slot(machine.applied + 1), data, None, ANN)
    assert follower.digest == lab.machine.digest


# --- a full disk ------------------------------------------------------------------------------


def test_a_batch_that_finds_no_space_changes_nothing_and_can_be_applied_later() -> None:
    tables = DictTables()
    lab = Lab(tables)
    before, rows = lab.machine.digest, dump(DOMAINS, tables)
    s = lab.machine.last_sequence(ANN)
    tables.is_full = True
    with pytest.raises(StorageError, match="full"):
        lab.do(KvSet(b"k", b"v"))
    assert lab.machine.digest == before
    assert lab.machine.last_sequence(ANN) == s
    assert dump(DOMAINS, tables) == rows
    tables.is_full = False
    assert lab.do(KvSet(b"k", b"v")) is True


def test_a_batch_larger_than_the_file_makes_it_grow(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=1024 * 1024)
    lab = Lab(tables)
    lab.do(*(KvSet(b"%d" % n, b"v" * 500_000) for n in range(8)))
    assert len(lab.read.kv_list(b"").value) == 8
    tables.close()


# --- configurations ---------------------------------------------------------------------------


def member(node: NodeId) -> Member:
    return Member(node, node, f"{node}:1")


def pass_noops(machine: Machine, count: int) -> None:
    for _ in range(count):
        machine.apply(Slot(machine.applied + 1), NOOP, None, ANN)


def configure(machine: Machine, *members: NodeId) -> Slot:
    newest = machine.configurations[-1][1]
    configuration = Configuration(
        newest.number + 1, newest.number, tuple(member(node) for node in members)
    )
    slot = Slot(machine.applied + 1)
    data = encode_batch(Batch(Ballot(1, ANN), 0, 0, configuration=configuration))
    machine.apply(slot, data, configuration, ANN)
    return slot


def test_configurations_are_kept_while_they_govern_or_will() -> None:
    machine = Lab(with_node=False).machine
    slot = configure(machine, ANN, BOB)
    assert [at for at, _ in machine.configurations] == [0, slot]
    pass_noops(machine, ALPHA - 2)
    assert [at for at, _ in machine.configurations] == [0, slot]
    pass_noops(machine, 1)
    assert [at for at, _ in machine.configurations] == [slot]
    assert INITIAL not in [configuration for _, configuration in machine.configurations]


def test_a_member_to_come_may_write_already_and_a_leaving_one_until_it_has_left() -> None:
    lab = Lab()
    machine = lab.machine

    def write(node: NodeId, sequence: int) -> bool:
        data = batch(bundle(node, sequence, b"%s%d" % (node.encode(), sequence)))
        application = machine.apply(Slot(machine.applied + 1), data, None, ANN)
        return application.bundles[0].is_applied

    assert not write(BOB, 1)
    configure(machine, ANN, BOB)
    assert write(BOB, 1)
    pass_noops(machine, ALPHA)
    configure(machine, ANN)
    assert write(BOB, 2)
    pass_noops(machine, ALPHA - 2)
    assert machine.last_sequence(BOB) == (0, 0)
    assert not write(BOB, 3)
    assert not write(BOB, 1)
    assert machine.counters.bundles_of_nonmembers == 3
    origins = dump(DOMAINS, lab.tables)["meta ORIGINS"]
    assert list(origins) == [ANN.encode()]


def test_only_empty_tables_can_be_bootstrapped() -> None:
    with pytest.raises(InvariantError):
        Lab().machine.bootstrap("again", INITIAL)
