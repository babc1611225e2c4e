"""The checkers are fed lies, and must find each one."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from quorate.base.batches import NOOP, Batch, Bundle, Configuration, Member, encode_batch
from quorate.base.command import Command, encode_command, join_commands
from quorate.base.config import ClusterConfig
from quorate.base.ids import NO_BALLOT, Ballot, Index, NodeId, Slot
from quorate.base.messages import Accepted, Prepare
from quorate.base.outcomes import Outcome
from quorate.base.records import Bootstrapped, Promised, Vote
from quorate.catalog.commands import CatalogRegister, CheckUpdate, NodeDeregister
from quorate.catalog.fields import NodeFields, Service
from quorate.domains import DOMAINS
from quorate.kv.commands import KvAcquire, KvDelete, KvSet
from quorate.kv.model import Row, keys_of
from quorate.machine.commands import RestoreBegin, RestoreCommit, RestoreRows
from quorate.machine.state import State
from quorate.sessions.commands import SessionCreate, SessionExpire
from quorate.sessions.model import is_alive_at
from quorate.sessions.tables import SessionRow
from quorate.sim.history import LATE_CHECKS, HistoryChecker
from quorate.sim.model import ReferenceModel
from quorate.sim.operations import Operation, OperationKind
from quorate.sim.oracle import Oracle
from quorate.sim.world import ViolationError

A, B, C = (Member(NodeId(name), name, f"{name}:1") for name in "abc")
TRIO = Configuration(1, 0, (A, B, C))
BALLOT = Ballot(1, A.id)
DEFAULTS = ClusterConfig()


def batch(sequence: int, commands: Iterable[Command], log_time_ms: int = 0) -> bytes:
    encoded = [encode_command(command) for command in commands]
    bundle = Bundle(A.id, 1, sequence, len(encoded), join_commands(encoded))
    return encode_batch(Batch(BALLOT, log_time_ms, 0, (bundle,)))


class CheckedLog:
    """A history checker and its log."""

    def __init__(self, settings: ClusterConfig = DEFAULTS) -> None:
        self.model = ReferenceModel(TRIO, settings, DOMAINS)
        self.checker = HistoryChecker()
        self.checker.model = self.model
        self.numbers = 0

    def choose(self, *commands: Command, log_time_ms: int = 0) -> int:
        slot = Slot(self.model.slot + 1)
        self.model.step(slot, batch(slot, commands, log_time_ms))
        return slot

    def ask(
        self, kind: OperationKind, command: Command | None = None, key: bytes = b"k"
    ) -> Operation:
        self.numbers += 1
        operation = Operation(self.numbers, "client", "a", kind, 0.0, command, key)
        self.checker.begin(operation)
        return operation

    def write(self, command: Command) -> tuple[Operation, int]:
        operation = self.ask(OperationKind.WRITE, command)
        slot = self.choose(command)
        outcome = self.model.outcomes[slot][0]
        assert outcome is not None
        self.checker.answer(operation, 0.0, slot, 0, outcome)
        return operation, slot


@pytest.fixture
def checked() -> CheckedLog:
    return CheckedLog()


def test_an_honest_history_is_accepted(checked: CheckedLog) -> None:
    _, slot = checked.write(KvSet(b"k", b"one"))
    read = checked.ask(OperationKind.READ)

    checked.checker.read(read, 0.0, slot, ((b"k", Row(1, 1, 0, 0, "", b"one")),))

    checked.checker.finish()


def test_a_stale_read_is_found(checked: CheckedLog) -> None:
    checked.write(KvSet(b"k", b"one"))
    checked.write(KvSet(b"k", b"two"))
    read = checked.ask(OperationKind.READ)

    with pytest.raises(ViolationError, match="is stale"):
        checked.checker.read(read, 0.0, 1, ((b"k", Row(1, 1, 0, 0, "", b"one")),))


def test_a_read_of_what_was_not_there_is_found(checked: CheckedLog) -> None:
    checked.write(KvSet(b"k", b"one"))
    read = checked.ask(OperationKind.READ)

    with pytest.raises(ViolationError, match="the model says"):
        checked.checker.read(read, 0.0, 1, ())


def test_a_lost_update_is_found(checked: CheckedLog) -> None:
    write = checked.ask(OperationKind.WRITE, KvSet(b"k", b"one"))
    slot = checked.choose(KvDelete(b"k"))

    with pytest.raises(ViolationError, match="is not the command at"):
        checked.checker.answer(write, 0.0, slot, 0, Outcome(1, True))


def test_an_answer_before_its_slot_is_durable_is_found(checked: CheckedLog) -> None:
    write = checked.ask(OperationKind.WRITE, KvSet(b"k", b"one"))

    with pytest.raises(ViolationError, match="before slot 1 was durable"):
        checked.checker.answer(write, 0.0, 1, 0, Outcome(1, True))


def test_a_wrong_index_is_found(checked: CheckedLog) -> None:
    write = checked.ask(OperationKind.WRITE, KvSet(b"k", b"one"))
    slot = checked.choose(KvSet(b"k", b"one"))

    with pytest.raises(ViolationError, match="the model says"):
        checked.checker.answer(write, 0.0, slot, 0, Outcome(2, True))


def test_a_write_placed_before_what_was_known_when_it_began_is_found(checked: CheckedLog) -> None:
    early = checked.choose(KvSet(b"k", b"one"))
    checked.write(KvSet(b"k", b"two"))
    write = checked.ask(OperationKind.WRITE, KvSet(b"k", b"one"))

    with pytest.raises(ViolationError, match="known before it"):
        checked.checker.answer(write, 0.0, early, 0, Outcome(1, True))


def test_a_double_apply_is_found(checked: CheckedLog) -> None:
    checked.choose(KvSet(b"k", b"one"))

    with pytest.raises(ViolationError, match="took effect twice"):
        checked.choose(KvSet(b"k", b"one"))


def test_a_repeated_bundle_counts_once(checked: CheckedLog) -> None:
    data = batch(1, [KvSet(b"k", b"one")])
    checked.model.step(Slot(1), data)
    checked.model.step(Slot(2), data)

    assert checked.model.outcomes[2] == [None]


def test_a_refused_write_that_happened_is_found(checked: CheckedLog) -> None:
    write = checked.ask(OperationKind.WRITE, KvSet(b"k", b"one"))
    checked.checker.refuse(write, 0.0, "no", is_definite=True)
    checked.choose(KvSet(b"k", b"one"))

    with pytest.raises(ViolationError, match="refused and took effect"):
        checked.checker.finish()


def test_a_watch_woken_for_another_key_is_found(checked: CheckedLog) -> None:
    watch = checked.ask(OperationKind.WATCH, key=b"k")
    watch.since = checked.model.slot
    slot = checked.choose(KvSet(b"other", b"one"))

    with pytest.raises(ViolationError, match="for nothing"):
        checked.checker.woken(watch, slot, is_jump=False)


def test_a_watch_woken_before_its_change_is_found(checked: CheckedLog) -> None:
    watch = checked.ask(OperationKind.WATCH, key=b"k")
    watch.since = checked.model.slot
    early = checked.choose(KvSet(b"other", b"one"))
    checked.choose(KvSet(b"k", b"two"))

    with pytest.raises(ViolationError, match="for nothing"):
        checked.checker.woken(watch, early, is_jump=False)


def test_a_watch_that_sleeps_through_its_change_is_found(checked: CheckedLog) -> None:
    watch = checked.ask(OperationKind.WATCH, key=b"k")
    watch.since = checked.model.slot
    slot = checked.choose(KvSet(b"k", b"one"))

    with pytest.raises(ViolationError, match="is not woken"):
        checked.checker.waits(watch, slot)


def test_no_session_expires_before_its_logged_time(checked: CheckedLog) -> None:
    register = CatalogRegister("n", NodeFields("id", "host", "dc1", {}, {}), is_member=True)
    create = SessionCreate("s", "", "n", 0, "release", "10s", 10_000, ())
    checked.choose(register, create, log_time_ms=1_000)

    checked.choose(SessionExpire("s", 1_000), log_time_ms=20_999)
    assert is_alive_at(checked.model, "s", 2)
    checked.choose(SessionExpire("s", 1_000), log_time_ms=21_000)
    assert not is_alive_at(checked.model, "s", 3)


# --- what is waited for -------------------------------------------------------------------------


def watch(checked: CheckedLog, index: int, *, key: bytes = b"k", **fields: Any) -> Operation:
    """A blocking read that brings this index and waits for a second from time 0 on."""
    operation = checked.ask(OperationKind.WATCH, key=key)
    operation = msgspec.structs.replace(operation, index=index, wait_s=1.0, **fields)
    operation.reported_index = index  # it says "unchanged"
    checked.checker.operations[-1] = operation
    return operation


def row(index: int, value: bytes) -> tuple[tuple[bytes, Row], ...]:
    return ((b"k", Row(1, index, 0, 0, "", value)),)


def test_a_blocking_read_that_missed_a_change_is_found(checked: CheckedLog) -> None:
    checked.choose(KvSet(b"k", b"one"))
    asked = watch(checked, 1)
    slot = checked.choose(KvSet(b"k", b"two"))

    with pytest.raises(ViolationError, match="missed a change"):
        checked.checker.read(asked, 2.0, slot, row(2, b"two"))


def test_a_blocking_read_that_waits_though_it_could_be_answered_is_found(
    checked: CheckedLog,
) -> None:
    checked.choose(KvSet(b"k", b"one"))
    asked = watch(checked, 1)
    slot = checked.choose(KvSet(b"k", b"two"))
    asked.watches(1, slot)

    with pytest.raises(ViolationError, match="is not woken"):
        checked.checker.waits(asked, slot)


def test_a_blocking_read_that_tells_of_its_change_is_accepted(checked: CheckedLog) -> None:
    checked.choose(KvSet(b"k", b"one"))
    asked = watch(checked, 1)
    slot = checked.choose(KvSet(b"k", b"two"))
    asked.reported_index = 2
    checked.checker.read(asked, 2.0, slot, row(2, b"two"))


def test_a_change_of_another_key_is_none_for_a_key_and_one_for_a_list(checked: CheckedLog) -> None:
    checked.choose(KvSet(b"k", b"one"))
    key, keys = watch(checked, 1), watch(checked, 1, is_list=True)
    slot = checked.choose(KvSet(b"k2", b"two"))
    seen = row(1, b"one")
    checked.checker.read(key, 2.0, slot, seen)

    with pytest.raises(ViolationError, match="missed a change"):
        checked.checker.read(keys, 2.0, slot, (*seen, (b"k2", Row(2, 2, 0, 0, "", b"two"))))


def test_what_a_blocking_read_of_services_missed_is_found(checked: CheckedLog) -> None:
    checked.choose(CatalogRegister("x0", NodeFields("", "10.0.0.1", "dc1", {}, {}), is_member=True))
    asked = watch(checked, checked.model.index, key=b"web", query="instances")
    slot = checked.choose(CatalogRegister("x0", service=Service("s0", "web")))
    seen = checked.model.queries["instances"].expect(checked.model, slot, b"web")

    with pytest.raises(ViolationError, match="missed a change"):
        checked.checker.read(asked, 2.0, slot, seen)


def test_unchanged_by_a_host_that_does_not_know_is_found(checked: CheckedLog) -> None:
    checked.write(KvSet(b"k", b"one"))
    asked = watch(checked, 1)
    checked.write(KvSet(b"k", b"two"))  # known at time 0, before its wait was over

    with pytest.raises(ViolationError, match="reports no change"):
        checked.checker.read(asked, 2.0, 1, row(1, b"one"))


def test_unchanged_before_the_wait_is_over_is_as_good_as_its_read_index(
    checked: CheckedLog,
) -> None:
    checked.write(KvSet(b"k", b"one"))
    asked = watch(checked, 1)
    checked.write(KvSet(b"k", b"two"))
    checked.checker.read(asked, 0.5, 1, row(1, b"one"))


def test_an_index_that_goes_back_is_found(checked: CheckedLog) -> None:
    checked.write(KvSet(b"k", b"one"))
    _, slot = checked.write(KvSet(b"k", b"two"))
    seen = row(2, b"two")
    first = checked.ask(OperationKind.READ)
    first.reported_index = 2
    checked.checker.read(first, 0.0, slot, seen)
    later = checked.ask(OperationKind.READ)
    later.reported_index = 1

    with pytest.raises(ViolationError, match="reports index 1, others received 2"):
        checked.checker.read(later, 0.0, slot, seen)


def test_a_stale_read_that_is_older_than_it_may_be_is_found(checked: CheckedLog) -> None:
    checked.checker.note("a", 100.0)
    checked.write(KvSet(b"k", b"one"))
    checked.write(KvSet(b"k", b"two"))
    checked.checker.note("a", 101.0)
    seen = row(1, b"one")
    young = msgspec.structs.replace(checked.ask(OperationKind.STALE), age_s_max=1.5)
    checked.checker.read(young, 0.0, 1, seen, 102.0)  # at 100.5 nobody need have known
    old = msgspec.structs.replace(checked.ask(OperationKind.STALE), age_s_max=0.5)

    with pytest.raises(ViolationError, match="is older than"):
        checked.checker.read(old, 0.0, 1, seen, 102.0)


def test_who_is_not_answered_by_its_deadline_is_found(checked: CheckedLog) -> None:
    read = checked.ask(OperationKind.READ)
    for _ in range(LATE_CHECKS):
        checked.checker.is_late(read)

    with pytest.raises(ViolationError, match="after its deadline"):
        checked.checker.is_late(read)


def test_a_renewal_that_is_too_cheap_is_found(checked: CheckedLog) -> None:
    create = SessionCreate("s", "", "n", 0, "release", "10s", 10_000, ())
    register = CatalogRegister("n", NodeFields("id", "host", "dc1", {}, {}), is_member=True)
    slot = checked.choose(register, create, log_time_ms=1_000)
    found = SessionRow("s", "", "n", 0, "release", "10s", 10_000, (), (), 2, 2, 1_000)
    for log_time_ms in (5_999, 6_000):
        renewal = checked.ask(OperationKind.RENEW, key=b"")
        renewal = msgspec.structs.replace(renewal, session="s", log_time_ms=log_time_ms)
        if log_time_ms < 6_000:
            checked.checker.renewed(renewal, 0.0, slot, found)
            continue
        with pytest.raises(ViolationError, match="too old to be acknowledged"):
            checked.checker.renewed(renewal, 0.0, slot, found)


# --- services, checks, restores ---------------------------------------------------------------


def ask_for(checked: CheckedLog, query: str, key: bytes = b"") -> Operation:
    operation = checked.ask(OperationKind.READ, key=key)
    operation.query = query
    return operation


def stocked(checked: CheckedLog) -> int:
    """A node with a service and a session bound to its check, a lock, and a plain key."""
    return checked.choose(
        CatalogRegister("X0", NodeFields("", "10.0.0.1", "dc1", {}, {}), is_member=True),
        CatalogRegister("x0", service=Service("s0", "web")),
        SessionCreate("s", "", "x0", 500, "release", "", 0, ("serfHealth",)),
        KvAcquire(b"l", b"held", 0, "s"),
        KvSet(b"k", b"one"),
    )


def test_what_a_domain_s_query_saw_is_compared_with_its_model(checked: CheckedLog) -> None:
    slot = stocked(checked)
    seen = checked.model.queries["hosted"].expect(checked.model, slot, b"x0")
    assert [(row.said.name, row.node, row.said.id) for row in seen[:1]] == [("web", "X0", "s0")]
    checked.checker.read(ask_for(checked, "hosted", b"x0"), 0.0, slot, seen)

    with pytest.raises(ViolationError, match="the model says"):
        checked.checker.read(ask_for(checked, "hosted", b"x0"), 0.0, slot, ())


def test_a_service_that_outlives_its_node_is_found(checked: CheckedLog) -> None:
    slot = stocked(checked)
    seen = checked.model.queries["instances"].expect(checked.model, slot, b"WEB")
    gone = checked.choose(NodeDeregister("x0"))

    with pytest.raises(ViolationError, match="the model says"):
        checked.checker.read(ask_for(checked, "instances", b"web"), 0.0, gone, seen)


def test_a_session_ends_with_its_check_and_frees_its_lock(checked: CheckedLog) -> None:
    stocked(checked)
    slot = checked.choose(CheckUpdate("x0", "serfHealth", "critical", ""))
    assert not is_alive_at(checked.model, "s", slot)
    row = keys_of(checked.model).at(b"l", slot)
    assert row is not None
    assert (row.session, row.lock_index) == ("", 1)


def restored(checked: CheckedLog, slot: int, rows: int = 3) -> Outcome:
    """Restore the state after `slot`."""
    checked.checker.begin_restore("r", slot)
    checked.choose(RestoreBegin("r"), RestoreRows("r", ((b"", b""),) * 3))
    outcome = checked.model.outcomes[checked.choose(RestoreCommit("r", rows, 4))][0]
    assert outcome is not None
    return outcome


def test_a_restore_brings_back_the_state_of_its_snapshot(checked: CheckedLog) -> None:
    slot = stocked(checked)
    checked.choose(NodeDeregister("x0"), KvDelete(b"k"), KvSet(b"n", b"new"))
    before = checked.model.index

    assert restored(checked, slot) == Outcome(before + 1, True)
    now = checked.model.slot
    assert is_alive_at(checked.model, "s", now)
    assert [key for key, _ in keys_of(checked.model).listed(b"", now)] == [b"k", b"l"]
    for query in ("nodes", "hosted", "sessions"):
        expect = checked.model.queries[query].expect
        assert expect(checked.model, now, b"x0") == expect(checked.model, slot, b"x0")


def test_a_restore_with_rows_missing_changes_nothing(checked: CheckedLog) -> None:
    slot = stocked(checked)
    checked.choose(KvDelete(b"k"))
    before = checked.model.index

    assert restored(checked, slot, rows=4) == Outcome(before, False)
    assert keys_of(checked.model).at(b"k", checked.model.slot) is None


def test_a_read_that_still_sees_what_a_restore_replaced_is_found(checked: CheckedLog) -> None:
    slot = stocked(checked)
    checked.choose(KvSet(b"k", b"two"))
    two = keys_of(checked.model).at(b"k", checked.model.slot)
    restored(checked, slot)

    with pytest.raises(ViolationError, match="the model says"):
        checked.checker.read(
            checked.ask(OperationKind.READ), 0.0, checked.model.slot, ((b"k", two),)
        )


def test_a_watch_that_sleeps_through_a_restore_is_found(checked: CheckedLog) -> None:
    slot = stocked(checked)
    watch = checked.ask(OperationKind.WATCH, key=b"never was")
    watch.since = slot
    restored(checked, slot)
    checked.checker.woken(watch, checked.model.slot, is_jump=False)

    with pytest.raises(ViolationError, match="is not woken"):
        checked.checker.waits(watch, checked.model.slot)


# --- the oracle -------------------------------------------------------------------------------


def oracle() -> Oracle:
    made = Oracle(ClusterConfig(), lambda _slot, _data: None)
    for member in TRIO.voters:
        made.durable(member.id, [Bootstrapped("cluster", TRIO, complete=True)])
    return made


def vote(slot: int, data: bytes = NOOP, ballot: Ballot = BALLOT) -> Vote:
    return Vote(ballot, Slot(slot), Slot(0), data)


def test_a_batch_is_chosen_when_a_quorum_of_disks_holds_it() -> None:
    made = oracle()
    made.durable(A.id, [vote(1)])
    assert made.prefix == 0

    made.durable(B.id, [vote(1)])

    assert made.prefix == 1


def two_batches_of_one_ballot(made: Oracle) -> None:
    made.durable(A.id, [vote(1)])
    made.durable(B.id, [vote(1, batch(1, [KvDelete(b"k")]))])


def another_choice(made: Oracle) -> None:
    other = batch(1, [KvDelete(b"k")])
    for member in (A, B):
        made.durable(member.id, [vote(1)])
    for member in (B, C):
        made.durable(member.id, [vote(1, other, Ballot(2, B.id))])


def a_word_before_the_disk(made: Oracle) -> None:
    made.sends(A.id, Slot(0), Accepted(BALLOT, Slot(1)))


def a_question_before_the_disk(made: Oracle) -> None:
    made.sends(A.id, Slot(0), Prepare(BALLOT, Slot(1)))


def a_forgotten_promise(made: Oracle) -> None:
    made.durable(A.id, [Promised(BALLOT)])
    made.recovered(A.id, [Bootstrapped("cluster", TRIO, complete=True)], Slot(0))


def a_forgotten_vote(made: Oracle) -> None:
    made.durable(A.id, [vote(1)])
    bootstrapped = Bootstrapped("cluster", TRIO, complete=True)
    made.recovered(A.id, [bootstrapped, Promised(BALLOT)], Slot(0))


def a_promise_that_falls(made: Oracle) -> None:
    made.promises(A.id, BALLOT)
    made.promises(A.id, NO_BALLOT)


def an_unchosen_slot_applied(made: Oracle) -> None:
    made.durable(A.id, [vote(1)])
    made.applied(A.id, State(applied=Slot(1)))


def a_slot_left_out(made: Oracle) -> None:
    for slot in (1, 2):
        for member in (A, B):
            made.durable(member.id, [vote(slot)])
    made.applied(A.id, State(applied=Slot(2)))


def different_tables(made: Oracle) -> None:
    for member in (A, B):
        made.durable(member.id, [vote(1)])
    made.applied(A.id, State(applied=Slot(1), digest=1))
    made.applied(B.id, State(applied=Slot(1), digest=2))


def an_index_for_a_noop(made: Oracle) -> None:
    for member in (A, B):
        made.durable(member.id, [vote(1)])
    made.applied(A.id, State(applied=Slot(1), index=Index(1)))


def a_second_cluster(made: Oracle) -> None:
    made.durable(C.id, [Bootstrapped("other", TRIO, complete=True)])


@pytest.mark.parametrize(
    "lie",
    [
        two_batches_of_one_ballot,
        another_choice,
        a_word_before_the_disk,
        a_question_before_the_disk,
        a_forgotten_promise,
        a_forgotten_vote,
        a_promise_that_falls,
        an_unchosen_slot_applied,
        a_slot_left_out,
        different_tables,
        an_index_for_a_noop,
        a_second_cluster,
    ],
    ids=lambda lie: lie.__name__,
)
def test_the_oracle_finds(lie: Callable[[Oracle], None]) -> None:
    with pytest.raises(ViolationError):
        lie(oracle())
