"""One node: how its parts hang together."""

import pytest

from quorate.base.batches import NOOP, Batch, BatchKind, Bundle, decode_batch, encode_batch
from quorate.base.config import ClusterConfig
from quorate.base.effects import Note
from quorate.base.errors import UnavailableError
from quorate.base.events import Installed, SpaceChanged
from quorate.base.ids import Ballot, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetch,
    Fetched,
    Forward,
    Heartbeat,
    HeartbeatAnswer,
    Prepare,
    Promise,
    ReadIndexAnswer,
    ReadIndexRequest,
    SnapshotAsk,
    SnapshotChunk,
    TransferNow,
    Welcome,
)
from quorate.base.records import Vote
from quorate.domains import DOMAINS
from quorate.kv.commands import KvSet
from quorate.machine.machine import Machine
from quorate.node.catchup import Source
from quorate.node.reads import FULL_HOLD_S
from quorate.node.space import LASTING_S
from quorate.paxos.leadership import Leadership
from quorate.sim.tables import DictTables
from tests.unit.node.lone import CLUSTER, Lone, initial_members, lead, member

TWO, THREE = member(2).id, member(3).id


def snapshot_of(slot: int) -> DictTables:
    """Tables that applied noops up to a slot."""
    tables = DictTables()
    machine = Machine(tables, ClusterConfig(), DOMAINS)
    machine.bootstrap(CLUSTER, initial_members(3))
    for number in range(1, slot + 1):
        machine.apply(Slot(number), NOOP, None, None)
    return tables


def chunk_of(tables: DictTables, slot: int, ask: SnapshotAsk) -> SnapshotChunk:
    lone = Lone()
    (send,) = Source(tables, lone.node.settings.limits).on_ask(TWO, ask, Slot(slot), 0.0)
    chunk = send.message  # type: ignore[union-attr]
    assert isinstance(chunk, SnapshotChunk)
    return chunk


def installing(slot: int, reported: int) -> tuple[Lone, SnapshotAsk, DictTables]:
    """A node whose last chunk of a snapshot came; its body still writes."""
    lone = Lone()
    lone.heartbeat(2, watermark=reported)
    lone.receive(2, Fetched(Slot(1), (), Slot(reported), Slot(reported + 1)))
    lone.wait(0.05)
    (ask,) = lone.said(SnapshotAsk)
    tables = snapshot_of(slot)
    lone.receive(2, chunk_of(tables, slot, ask))
    assert [one.is_last for one in lone.installs()] == [True]
    return lone, ask, tables


def asked_before(lone: Lone, number: int, slot: int) -> None:
    """A question to this peer is open."""
    assert lone.node.group.replica is not None
    lone.node.group.replica.learning.fetcher.ask(Slot(slot), Slot(slot), [member(number).id], 0.0)


def finish(lone: Lone, ask: SnapshotAsk, tables: DictTables) -> None:
    lone.tables.power_cut(tables.save())
    lone.event(Installed(ask.transfer))


def test_nothing_is_applied_between_the_last_chunk_and_the_switch() -> None:
    """What was chosen meanwhile is applied after it: the tables never go back."""
    lone, ask, tables = installing(slot=2, reported=3)
    asked_before(lone, 3, slot=1)
    lone.receive(3, Fetched(Slot(1), (NOOP, NOOP, NOOP), Slot(3), Slot(1)))
    assert lone.node.group.machine.applied == 0
    finish(lone, ask, tables)
    assert lone.node.group.machine.applied == 3
    asked_before(lone, 3, slot=4)
    lone.receive(3, Fetched(Slot(4), (NOOP,), Slot(4), Slot(1)))
    assert lone.node.group.machine.applied == 4


def test_a_snapshot_not_above_what_was_released_is_refused() -> None:
    lone = Lone()
    lone.heartbeat(2, watermark=3)
    lone.receive(2, Fetched(Slot(1), (), Slot(3), Slot(4)))
    lone.wait(0.05)
    (ask,) = lone.said(SnapshotAsk)
    lone.tables.is_full = True
    asked_before(lone, 3, slot=1)
    lone.receive(3, Fetched(Slot(1), (NOOP, NOOP), Slot(3), Slot(1)))
    assert (lone.node.group.machine.applied, lone.node.group.replica.watermark) == (0, 2)  # type: ignore[union-attr]
    lone.receive(2, chunk_of(snapshot_of(2), 2, ask))
    assert lone.installs() == []


def test_a_repeated_question_is_not_answered_while_the_disk_still_writes_the_promise() -> None:
    """The second answer has no record of its own, but rests on that of the first."""
    lone = Lone(disk=False)
    question = Prepare(Ballot(5, TWO), Slot(1))
    lone.receive(2, question)
    lone.receive(2, question)
    assert lone.said(Promise) == []
    lone.disk = True
    lone.sync()
    assert len(lone.said(Promise, to=2)) == 2


def test_logged_time_does_not_leap_when_a_leader_begins_to_serve() -> None:
    """Monotonic clocks count from the machine's start: days, perhaps."""
    lone = Lone(0, now_s=1e6, is_alone=True, disk=False)
    lone.node.change("add", member(2), "add", lone.now_s + 60)
    lone.node.read("read", lone.now_s + 60)
    lone.disk = True
    lone.wait(2.0)
    assert lone.changed() == {"add": None}
    log_times = [
        decode_batch(record.batch).log_time_ms
        for record in lone.records
        if isinstance(record, Vote) and record.batch[0] != BatchKind.NOOP
    ]
    assert log_times
    assert max(log_times) < 3000
    assert lone.node.group.machine.log_time_ms < 3000


def test_a_chosen_write_is_answered_only_when_it_is_applied_here() -> None:
    lone = Lone(0, is_alone=True)
    lone.wait(2.0)
    lone.tables.is_full = True
    lone.submit(KvSet(b"key", b"value"), "write", hold_s=60)
    lone.wait(1.0)
    replica = lone.node.group.replica
    assert replica is not None
    assert replica.watermark > lone.node.group.machine.applied
    assert lone.answered() == []
    lone.tables.is_full = False
    lone.wait(0.1)
    assert lone.answered() == ["write"]


def test_a_full_leader_proposes_and_stores_nothing_new_and_goes_on_when_there_is_space() -> None:
    lone = Lone(0, is_alone=True)
    lone.connect(2, lone.node.cluster_id)
    lone.wait(2.0)
    lone.event(SpaceChanged(is_full=True))
    lone.records.clear()
    lone.receive(2, Forward(Bundle(TWO, 1, 1, 0, b"\x90")))
    lone.wait(0.5)
    assert lone.records == []
    lone.event(SpaceChanged(is_full=False))
    lone.wait(0.1)
    assert [type(record) for record in lone.records] == [Vote]


def test_a_full_node_stores_no_batch_that_it_fetched() -> None:
    lone = Lone()
    lone.heartbeat(2, watermark=2)
    lone.event(SpaceChanged(is_full=True))
    lone.records.clear()
    lone.receive(2, Fetched(Slot(1), (NOOP, NOOP), Slot(2), Slot(1)))
    assert lone.records == []
    lone.event(SpaceChanged(is_full=False))
    lone.heartbeat(2, watermark=2)
    lone.wait(0.3)
    assert lone.said(Fetch)
    lone.receive(2, Fetched(Slot(1), (NOOP, NOOP), Slot(2), Slot(1)))
    assert lone.node.group.machine.applied == 2


def test_a_full_node_votes_for_a_noop_and_for_nothing_else() -> None:
    """Else a leader elected while all disks are full could never serve a read."""
    lone = Lone()
    ballot = lone.heartbeat(2)
    lone.event(SpaceChanged(is_full=True))
    lone.receive(2, Accept(ballot, Slot(1), Slot(0), NOOP))
    assert lone.said(Accepted, to=2) == [Accepted(ballot, Slot(1))]
    batch = encode_batch(Batch(ballot, 0, 0, (Bundle(TWO, 1, 1, 0, b"\x90"),)))
    lone.receive(2, Accept(ballot, Slot(2), Slot(1), batch))
    assert lone.said(Accepted, to=2) == []


def test_a_full_node_does_not_take_over() -> None:
    lone = Lone()
    ballot = lone.heartbeat(2)
    lone.event(SpaceChanged(is_full=True))
    lone.receive(2, TransferNow(ballot))
    assert lone.said(Prepare) == []
    lone.event(SpaceChanged(is_full=False))
    lone.receive(2, TransferNow(ballot))
    assert lone.said(Prepare)


def test_a_full_leader_tries_again_to_hand_over() -> None:
    lone = Lone()
    leadership = lead(lone)
    lone.event(SpaceChanged(is_full=True))
    lone.wait(0.2)
    assert leadership.transfer.to == TWO
    failures, tries, was_trying = 0, 1, True
    for _ in range(900):
        lone.wait(0.1)
        failures += [note.what for note in lone.all(Note)].count("transfer failed")
        tries += leadership.transfer.to is not None and not was_trying
        was_trying = leadership.transfer.to is not None
        for beat in lone.said(Heartbeat, to=2):
            answer = HeartbeatAnswer(leadership.ballot, Slot(0), beat.round, Slot(0), 0)
            lone.receive(2, answer)
    assert failures == 1
    assert 4 <= tries <= 8


def followed(lone: Lone, leadership: Leadership, duration_s: float) -> list[str]:
    """Time passes while n2 answers heartbeats; returns what was logged."""
    notes: list[str] = []
    for _ in range(round(duration_s * 10)):
        lone.wait(0.1)
        notes += [note.what for note in lone.all(Note)]
        for beat in lone.said(Heartbeat, to=2):
            answer = HeartbeatAnswer(leadership.ballot, Slot(0), beat.round, Slot(0), 0)
            lone.receive(2, answer)
    return notes


def test_a_leader_whose_tables_alone_find_no_space_says_so_and_hands_over() -> None:
    """As with a limit of the size of a file: the log goes on, and the disk has room."""
    lone = Lone()
    leadership = lead(lone)
    lone.tables.is_full = True
    lone.submit(KvSet(b"key", b"value"), "write", hold_s=60)
    lone.wait(0.01)
    lone.receive(2, Accepted(leadership.ballot, Slot(2)))
    assert lone.node.group.applying.is_stalled
    notes = followed(lone, leadership, LASTING_S - 0.2)
    assert ("disk full" in notes, leadership.transfer.to) == (False, None)  # they may yet grow
    notes = followed(lone, leadership, 0.5)
    assert (notes.count("disk full"), leadership.transfer.to) == (1, TWO)
    with pytest.raises(UnavailableError) as refused:
        lone.submit(KvSet(b"key", b"value"), "refused")
    assert refused.value.code == "read_only"
    lone.tables.is_full = False
    assert "disk has space" in followed(lone, leadership, 0.2)
    lone.submit(KvSet(b"key", b"value"), "taken")


def test_tables_that_find_no_space_count_as_full_until_there_is_some() -> None:
    """Whatever the log says meanwhile of itself."""
    lone = Lone(0, is_alone=True)
    lone.wait(2.0)
    lone.tables.is_full = True
    lone.submit(KvSet(b"key", b"value"), "write", hold_s=60)
    lone.wait(LASTING_S + 0.1)
    space = lone.node.group.space
    assert (space.is_full, space.is_log_full) == (True, False)
    lone.event(SpaceChanged(is_full=True))
    lone.event(SpaceChanged(is_full=False))
    assert space.is_full
    lone.tables.is_full = False
    lone.wait(0.1)
    assert not space.is_full
    assert lone.answered() == ["write"]


def test_a_batch_of_a_kind_unknown_here_halts_the_node_instead_of_being_skipped() -> None:
    lone = Lone()
    lone.heartbeat(2, watermark=1)
    lone.receive(2, Fetched(Slot(1), (b"\x77newer",), Slot(1), Slot(1)))
    assert [halt.code for halt in lone.halts()] == ["version"]
    assert lone.node.group.machine.applied == 0


def test_a_damaged_row_met_by_apply_halts_the_node_once() -> None:
    lone = Lone(0, is_alone=True)
    lone.wait(2.0)
    for number in (1, 2):
        for row in [row for row in lone.tables.save() if row.endswith(b"key")]:
            lone.tables.damage(row)
        lone.submit(KvSet(b"key", b"value"), number)
        lone.wait(0.1)
    assert lone.answered() == [1]
    assert [halt.code for halt in lone.halts()] == ["corrupt"]


def test_a_disk_full_at_the_bootstrap_is_waited_for() -> None:
    lone = Lone(0)
    lone.tables.is_full = True
    lone.connect(2, CLUSTER)
    lone.wait(0.5)
    lone.receive(2, Welcome(CLUSTER, initial_members(3)))
    assert lone.node.group.replica is None
    lone.tables.is_full = False
    lone.wait(0.1)
    assert lone.node.group.replica is not None
    assert lone.configured()


def test_requests_of_a_new_incarnation_have_new_numbers() -> None:
    numbers: list[int] = []
    for incarnation in (1, 2):
        lone = Lone(incarnation=incarnation)
        lone.node.read("read", 60.0)
        lone.heartbeat(2)
        numbers += [ask.number for ask in lone.said(ReadIndexRequest)]
    assert len(numbers) == 2
    assert numbers[1] > numbers[0] + 1000


def test_a_reader_at_a_full_follower_learns_soon_that_its_disk_is_full() -> None:
    lone = Lone()
    lone.heartbeat(2)
    lone.event(SpaceChanged(is_full=True))
    lone.node.read("read", lone.now_s + 60)
    lone.wait(0.01)
    (ask,) = lone.said(ReadIndexRequest, to=2)
    lone.receive(2, ReadIndexAnswer(ask.number, Slot(1), 0))
    lone.wait(FULL_HOLD_S + 0.1)
    assert lone.refused() == {"read": "read_only"}


def test_a_reader_learns_it_also_if_only_the_tables_found_no_space() -> None:
    lone = Lone(0, is_alone=True)
    lone.wait(2.0)
    lone.tables.is_full = True
    lone.submit(KvSet(b"key", b"value"), "write", hold_s=60)
    lone.wait(0.1)
    lone.node.read("read", lone.now_s + 60)
    lone.wait(FULL_HOLD_S + 0.1)
    assert lone.refused() == {"read": "read_only"}
