"""One node: how its parts hang together."""

from quorate.base.batches import NOOP, Kind, decode_batch
from quorate.base.commands import KvSet
from quorate.base.config import ClusterConfig
from quorate.base.events import Installed
from quorate.base.ids import Slot
from quorate.base.messages import Fetched, ReadAsk, SnapshotAsk, SnapshotChunk
from quorate.base.records import Vote
from quorate.machine.machine import Machine
from quorate.node.catchup import Source
from quorate.sim.tables import DictTables
from tests.unit.node.lone import CLUSTER, Lone, founders, member

TWO, THREE = member(2).id, member(3).id


def snapshot_of(slot: int) -> DictTables:
    """Tables that applied noops up to a slot."""
    tables = DictTables()
    machine = Machine(tables, ClusterConfig())
    machine.found(CLUSTER, founders(3))
    for number in range(1, slot + 1):
        machine.apply(Slot(number), NOOP, None, None)
    return tables


def chunk_of(tables: DictTables, slot: int, ask: SnapshotAsk) -> SnapshotChunk:
    lone = Lone()
    (send,) = Source(tables, lone.node.settings.limits).on_ask(TWO, ask, Slot(slot), 0.0)
    chunk = send.message  # type: ignore[union-attr]
    assert isinstance(chunk, SnapshotChunk)
    return chunk


def installing(slot: int, told: int) -> tuple[Lone, SnapshotAsk, DictTables]:
    """A node whose last chunk of a snapshot came; its body still writes."""
    lone = Lone()
    lone.heartbeat(2, watermark=told)
    lone.hear(2, Fetched(Slot(1), (), Slot(told), Slot(told + 1)))
    lone.wait(0.05)
    (ask,) = lone.said(SnapshotAsk)
    tables = snapshot_of(slot)
    lone.hear(2, chunk_of(tables, slot, ask))
    assert [one.is_last for one in lone.installs()] == [True]
    return lone, ask, tables


def finish(lone: Lone, ask: SnapshotAsk, tables: DictTables) -> None:
    lone.tables.power_cut(tables.save())
    lone.event(Installed(ask.transfer))


def test_nothing_is_applied_between_the_last_chunk_and_the_switch() -> None:
    """What was chosen meanwhile is applied after it: the tables never go back."""
    lone, ask, tables = installing(slot=2, told=3)
    lone.hear(3, Fetched(Slot(1), (NOOP, NOOP, NOOP), Slot(3), Slot(1)))
    assert lone.node.machine.applied == 0
    finish(lone, ask, tables)
    assert lone.node.machine.applied == 3
    lone.hear(3, Fetched(Slot(4), (NOOP,), Slot(4), Slot(1)))
    assert lone.node.machine.applied == 4


def test_a_snapshot_not_above_what_was_released_is_refused() -> None:
    lone = Lone()
    lone.heartbeat(2, watermark=3)
    lone.hear(2, Fetched(Slot(1), (), Slot(3), Slot(4)))
    lone.wait(0.05)
    (ask,) = lone.said(SnapshotAsk)
    lone.tables.is_full = True
    lone.hear(3, Fetched(Slot(1), (NOOP, NOOP), Slot(3), Slot(1)))
    assert (lone.node.machine.applied, lone.node.replica.watermark) == (0, 2)  # type: ignore[union-attr]
    lone.hear(2, chunk_of(snapshot_of(2), 2, ask))
    assert lone.installs() == []


def test_logged_time_does_not_leap_when_a_leader_begins_to_serve() -> None:
    """Monotonic clocks count from the machine's start: days, perhaps."""
    lone = Lone(0, now_s=1e6, is_alone=True, disk=False)
    lone.node.change("add", member(2), "add", lone.now_s + 60)
    lone.node.read("read", lone.now_s + 60)
    lone.disk = True
    lone.wait(2.0)
    assert lone.changed() == {"add": None}
    stamps = [
        decode_batch(record.batch).stamp_ms
        for record in lone.records
        if isinstance(record, Vote) and record.batch[0] != Kind.NOOP
    ]
    assert stamps
    assert max(stamps) < 3000
    assert lone.node.machine.stamp_ms < 3000


def test_a_chosen_write_is_answered_only_when_it_is_applied_here() -> None:
    lone = Lone(0, is_alone=True)
    lone.wait(2.0)
    lone.tables.is_full = True
    lone.submit(KvSet(b"key", b"value"), "write", hold_s=60)
    lone.wait(1.0)
    replica = lone.node.replica
    assert replica is not None
    assert replica.watermark > lone.node.machine.applied
    assert lone.answered() == []
    lone.tables.is_full = False
    lone.wait(0.1)
    assert lone.answered() == ["write"]


def test_questions_of_a_new_life_have_new_numbers() -> None:
    numbers: list[int] = []
    for incarnation in (1, 2):
        lone = Lone(incarnation=incarnation)
        lone.node.read("read", 60.0)
        lone.heartbeat(2)
        numbers += [ask.number for ask in lone.said(ReadAsk)]
    assert len(numbers) == 2
    assert numbers[1] > numbers[0] + 1000
