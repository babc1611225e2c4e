"""Turns of one node: votes first, then what they let be known; and what waits for a moment."""

from math import inf

from quorate.base.batches import NOOP, Batch, Bundle, decode_batch, encode_batch
from quorate.base.command import encode_command, join_commands
from quorate.base.config import Limits, NodeSettings
from quorate.base.effects import Persist, Wake
from quorate.base.events import Installed, Received
from quorate.base.ids import Ballot, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetched,
    Forward,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    PreVote,
    PreVoteAnswer,
    Promise,
    SnapshotAsk,
    SnapshotChunk,
)
from quorate.base.subjects import exactly
from quorate.kv.commands import KvDeleteTree, KvSet
from quorate.kv.queries import kv_get
from quorate.kv.subjects import of_key
from quorate.machine.queries import Reader
from quorate.machine.watches import TICKETS_MAX
from quorate.node.batchdelay import LONGEST_S
from quorate.paxos.leadership import Leadership
from tests.unit.node.lone import Lone, lead, member
from tests.unit.node.test_node import chunk_of, snapshot_of

TWO, THREE = member(2).id, member(3).id
BALLOT = Ballot(2, TWO)
BODY = b"\x90"  # no commands
WRITE = KvSet(b"key", b"value")


def receive(lone: Lone, message: Message) -> None:
    """Without the end of the turn, and without what follows it."""
    lone.obey(lone.node.receive(Received(TWO, message), lone.now_s))


def vote_all(lone: Lone, leadership: Leadership, number: int = 2) -> None:
    """A peer votes for all that is on the way, until nothing is."""
    while leadership.pipeline is not None and leadership.pipeline.in_flight:
        lone.receive(number, Accepted(leadership.ballot, min(leadership.pipeline.in_flight)))


def caught_up(settings: NodeSettings | None = None) -> tuple[Lone, Leadership]:
    """A leader that owes nothing, not even its registration."""
    lone = Lone(settings=settings)
    leadership = lead(lone)
    lone.wait(0.15)
    vote_all(lone, leadership)
    lone.now_s += lone.node.settings.timing.tell_s
    lone.flush()
    lone.said(Accept)
    assert lone.node.turn_due_s == inf
    return lone, leadership


def batch_of(*bundles: Bundle, log_time_ms: int = 0) -> bytes:
    return encode_batch(Batch(BALLOT, log_time_ms, 0, bundles))


def asking(lone: Lone, reported: int) -> SnapshotAsk:
    """A node that asked for the first chunk of a snapshot."""
    lone.heartbeat(2, watermark=reported)
    lone.receive(2, Fetched(Slot(1), (), Slot(reported), Slot(reported + 1)))
    lone.wait(0.05)
    (ask,) = lone.said(SnapshotAsk)
    return ask


def test_a_vote_leaves_before_what_its_accept_let_be_known_is_applied() -> None:
    lone = Lone()
    receive(lone, Accept(BALLOT, Slot(1), Slot(0), NOOP))
    effects = lone.node.receive(Received(TWO, Accept(BALLOT, Slot(2), Slot(1), NOOP)), lone.now_s)
    assert [type(effect) for effect in effects] == [Persist]
    assert lone.node.is_apply_pending
    assert lone.node.group.machine.applied == 0
    lone.obey(effects)
    lone.flush()
    assert not lone.node.is_apply_pending
    assert lone.node.group.machine.applied == 1


def test_a_tick_answers_what_is_chosen_before_it_gives_up_what_is_late() -> None:
    lone = Lone()
    lone.heartbeat(2)
    lone.submit(WRITE, "write", hold_s=1.0)
    lone.flush()
    (first,) = lone.said(Forward, to=2)
    receive(lone, Accept(BALLOT, Slot(1), Slot(0), batch_of(first.bundle)))
    receive(lone, Accept(BALLOT, Slot(2), Slot(1), NOOP))
    assert lone.node.is_apply_pending
    lone.now_s += 1.0
    lone.obey(lone.node.tick(lone.now_s))
    assert lone.answered() == ["write"]
    assert lone.refused() == {}


def test_the_last_chunk_of_a_snapshot_finds_everything_released_applied() -> None:
    """Else it would be applied again, to tables that have passed it."""
    lone = Lone()
    ask = asking(lone, reported=3)
    receive(lone, Accept(BALLOT, Slot(1), Slot(0), NOOP))
    receive(lone, Accept(BALLOT, Slot(2), Slot(1), NOOP))
    assert lone.node.is_apply_pending
    tables = snapshot_of(3)
    receive(lone, chunk_of(tables, 3, ask))
    assert [one.is_last for one in lone.installs()] == [True]
    lone.tables.power_cut(tables.save())
    lone.event(Installed(ask.transfer))
    assert lone.node.group.machine.applied == 3


def test_what_found_no_space_is_not_applied_to_the_tables_of_a_snapshot() -> None:
    lone = Lone()
    ask = asking(lone, reported=3)
    lone.tables.is_full = True
    lone.receive(3, Fetched(Slot(1), (NOOP, NOOP), Slot(3), Slot(1)))
    assert lone.node.group.machine.applied == 0
    lone.tables.is_full = False
    lone.tables.power_cut(lone.tables.save())
    tables = snapshot_of(3)
    lone.tables.is_full = True
    lone.receive(2, chunk_of(tables, 3, ask))
    lone.tables.is_full = False
    lone.tables.power_cut(tables.save())
    lone.event(Installed(ask.transfer))
    assert lone.node.group.machine.applied == 3


def test_a_new_leader_goes_on_from_all_that_was_released() -> None:
    """It neither proposes again what it just got chosen, nor sets logged time back."""
    lone = Lone()
    lone.heartbeat(2)
    lone.submit(WRITE, "write", hold_s=60)
    lone.flush()
    (first,) = lone.said(Forward, to=2)
    lone.receive(2, Accept(BALLOT, Slot(1), Slot(0), batch_of(first.bundle, log_time_ms=70_000)))
    polls: list[PreVote] = []
    while not polls:
        lone.wait(0.01)
        polls = lone.said(PreVote, to=3)
    lone.receive(3, PreVoteAnswer(polls[0].number, True, BALLOT, Slot(0)))
    replica = lone.node.group.replica
    assert replica is not None
    leadership = replica.leadership
    assert leadership is not None
    lone.disk = False
    lone.receive(3, Promise(leadership.ballot, Slot(1), Slot(0), 0, 1, ()))
    lone.receive(3, Accepted(leadership.ballot, Slot(1)))
    lone.receive(3, Accepted(leadership.ballot, Slot(2)))
    lone.said(Accept)
    lone.disk = True
    lone.sync()
    assert leadership.is_serving
    assert lone.answered() == ["write"]
    (batch,) = [decode_batch(message.batch) for message in lone.said(Accept, to=3)]
    assert [bundle.sequence for bundle in batch.bundles] == [2], "its registration, and no more"
    assert batch.log_time_ms >= 70_000


def test_a_node_that_waits_for_its_batch_learns_of_it_at_once() -> None:
    lone, leadership = caught_up()
    lone.receive(3, Forward(Bundle(THREE, 1, 1, 0, BODY)))
    (accept,) = lone.said(Accept, to=3)
    lone.receive(2, Accepted(leadership.ballot, accept.slot))
    assert [beat.watermark for beat in lone.said(Heartbeat, to=3)] == [accept.slot]
    assert lone.node.turn_due_s == inf


def test_the_others_learn_soon_of_a_batch_that_only_the_leader_waits_for() -> None:
    lone, leadership = caught_up()
    lone.submit(WRITE, "write")
    lone.flush()
    (accept,) = lone.said(Accept, to=3)
    lone.receive(2, Accepted(leadership.ballot, accept.slot))
    assert lone.answered() == ["write"]
    assert lone.said(Heartbeat) == []
    assert lone.node.turn_due_s == lone.now_s + lone.node.settings.timing.tell_s
    lone.now_s = lone.node.turn_due_s
    lone.flush()
    assert [beat.watermark for beat in lone.said(Heartbeat, to=3)] == [accept.slot]
    assert lone.node.turn_due_s == inf


def gathering() -> tuple[Lone, Leadership]:
    """A leader that had ten commands under way at once, and holds the next one."""
    lone, leadership = caught_up(NodeSettings(limits=Limits(gather_commands_min=2)))
    for number in range(10):
        lone.submit(WRITE, number)
    lone.flush()
    vote_all(lone, leadership)
    lone.now_s += lone.node.settings.timing.tell_s
    lone.flush()
    assert lone.node.turn_due_s == inf
    assert lone.answered() == list(range(10))
    lone.said(Accept)
    lone.submit(WRITE, "held", hold_s=5.0)
    lone.flush()
    assert lone.said(Accept) == []
    return lone, leadership


def test_what_is_held_for_others_leaves_when_it_is_due() -> None:
    lone, _ = gathering()
    assert lone.now_s < lone.node.turn_due_s <= lone.now_s + LONGEST_S
    lone.now_s = lone.node.turn_due_s
    lone.flush()
    assert len(lone.said(Accept, to=3)) == 1
    assert lone.node.turn_due_s == inf


def test_what_is_held_for_others_leaves_with_a_batch_that_leaves_anyway() -> None:
    lone, _ = gathering()
    lone.receive(3, Forward(Bundle(THREE, 1, 1, 0, BODY)))
    (accept,) = lone.said(Accept, to=3)
    assert {bundle.origin for bundle in decode_batch(accept.batch).bundles} == {
        THREE,
        member(1).id,
    }


# --- bounded turns ------------------------------------------------------------------------------

NARROW = NodeSettings(limits=Limits(turn_units=40))


def large_batch(commands: int = 100) -> bytes:
    """As another node would have had it chosen: many keys, one bundle."""
    body = join_commands([encode_command(KvSet(b"%d" % one, b"v")) for one in range(commands)])
    return batch_of(Bundle(TWO, 1, 1, commands, body))


def behind(settings: NodeSettings = NARROW) -> Lone:
    """A node that knows of a large batch that it is chosen, and has applied some of it."""
    lone = Lone(settings=settings)
    receive(lone, Accept(BALLOT, Slot(1), Slot(0), large_batch()))
    receive(lone, Accept(BALLOT, Slot(2), Slot(1), NOOP))
    lone.obey(lone.node.apply_pending(lone.now_s))
    assert lone.node.group.machine.applied == 0
    assert lone.node.group.machine.is_applying
    assert lone.node.is_apply_pending
    return lone


def one_turn(lone: Lone) -> None:
    lone.obey(lone.node.apply_pending(lone.now_s))
    lone.obey(lone.node.end_turn(lone.now_s))


def test_a_large_batch_is_applied_over_several_turns_and_holds_back_the_slots_behind_it() -> None:
    lone = behind()
    receive(lone, Accept(BALLOT, Slot(3), Slot(2), NOOP))
    turns = 0
    while lone.node.group.machine.applied == 0:
        assert lone.node.is_apply_pending
        one_turn(lone)
        turns += 1
    assert turns > 10
    lone.flush()
    assert lone.node.group.machine.applied == 2


def test_the_turn_in_which_a_large_batch_ends_does_not_begin_the_next_one() -> None:
    """Else a row of them would let nobody hold a view of the tables."""
    lone = behind(NodeSettings(limits=Limits(turn_units=100)))
    removal = join_commands([encode_command(KvDeleteTree(b""))])
    receive(lone, Accept(BALLOT, Slot(3), Slot(2), batch_of(Bundle(TWO, 1, 2, 1, removal))))
    again = batch_of(Bundle(TWO, 1, 3, 100, join_commands([encode_command(WRITE)] * 100)))
    receive(lone, Accept(BALLOT, Slot(4), Slot(3), again))
    receive(lone, Accept(BALLOT, Slot(5), Slot(4), NOOP))
    while lone.node.group.machine.applied < 3:
        one_turn(lone)
    assert not lone.node.group.machine.is_applying
    lone.tables.hold().close()
    lone.flush()
    assert lone.node.group.machine.applied == 4


def test_votes_and_heartbeats_go_on_while_a_large_batch_is_applied() -> None:
    lone = behind()
    effects = lone.node.receive(Received(TWO, Accept(BALLOT, Slot(3), Slot(2), NOOP)), lone.now_s)
    assert [type(effect) for effect in effects] == [Persist]
    lone.said(HeartbeatAnswer)
    receive(lone, Heartbeat(BALLOT, Slot(2), 7, True))
    (answer,) = lone.said(HeartbeatAnswer, to=2)
    assert answer.round == 7
    assert lone.node.group.machine.applied == 0


def test_however_many_events_one_turn_has_it_applies_one_share() -> None:
    lone = behind()
    for number in range(50):
        receive(lone, Heartbeat(BALLOT, Slot(2), number, True))
        lone.obey(lone.node.tick(lone.now_s))
    assert lone.node.group.machine.applied == 0


def test_reads_of_what_is_applied_go_on_while_a_large_batch_is_applied() -> None:
    lone = behind()
    assert kv_get(Reader(lone.tables), b"1").value is None
    lone.flush()
    assert kv_get(Reader(lone.tables), b"1").value is not None


def test_many_slots_are_applied_over_several_turns() -> None:
    lone = Lone(settings=NARROW)
    lone.heartbeat(2, watermark=100)
    receive(lone, Fetched(Slot(1), (NOOP,) * 100, Slot(100), Slot(1)))
    turns = 0
    while lone.node.is_apply_pending:
        before = lone.node.group.machine.applied
        one_turn(lone)
        assert lone.node.group.machine.applied - before <= 2
        turns += 1
    assert lone.node.group.machine.applied == 100
    assert turns >= 45


def test_a_snapshot_takes_the_place_of_a_batch_that_is_half_applied() -> None:
    lone = Lone(settings=NARROW)
    ask = asking(lone, reported=3)
    receive(lone, Accept(BALLOT, Slot(1), Slot(0), large_batch()))
    receive(lone, Accept(BALLOT, Slot(2), Slot(1), NOOP))
    lone.obey(lone.node.apply_pending(lone.now_s))
    assert lone.node.group.machine.is_applying
    tables = snapshot_of(3)
    receive(lone, chunk_of(tables, 3, ask))
    assert [one.is_last for one in lone.installs()] == [True]
    assert not lone.node.group.machine.is_applying
    lone.tables.power_cut(tables.save())
    lone.event(Installed(ask.transfer))
    assert lone.node.group.machine.applied == 3
    assert not lone.node.is_apply_pending


def test_no_view_is_given_to_a_peer_while_a_batch_is_half_applied() -> None:
    lone = behind()
    receive(lone, SnapshotAsk(1, 0))
    assert lone.said(SnapshotChunk) == []
    lone.flush()
    receive(lone, SnapshotAsk(1, 0))
    assert len(lone.said(SnapshotChunk, to=2)) == 1


def test_a_full_disk_in_the_middle_of_a_large_batch_leaves_it_for_later() -> None:
    lone = behind()
    lone.tables.is_full = True
    for _ in range(100):
        one_turn(lone)
    assert lone.node.group.machine.applied == 0
    assert not lone.node.is_apply_pending, "nobody asks again and again"
    lone.tables.is_full = False
    lone.flush()
    lone.wait(0.5)
    assert lone.node.group.machine.applied == 1


def test_watchers_are_woken_over_several_turns() -> None:
    lone, leadership = caught_up()
    for number in range(500):
        lone.node.watch((exactly(of_key(b"key")),), number)
    lone.submit(WRITE, "write")
    lone.obey(lone.node.end_turn(lone.now_s))
    lone.sync()
    (accept,) = lone.said(Accept, to=3)
    receive(lone, Accepted(leadership.ballot, accept.slot))
    lone.obey(lone.node.end_turn(lone.now_s))
    while lone.node.is_apply_pending:
        one_turn(lone)
    wakes = [one.tickets for one in lone.all(Wake)]
    assert max(len(tickets) for tickets in wakes) == TICKETS_MAX
    assert [ticket for tickets in wakes for ticket in tickets] == list(range(500))
