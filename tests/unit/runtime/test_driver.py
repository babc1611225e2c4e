import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from pathlib import Path
from typing import Any, get_args

import pytest
import structlog

from quorate.base.batches import Configuration, Member
from quorate.base.effects import (
    Applied,
    ChangeDone,
    Configured,
    Effect,
    Halt,
    Install,
    Note,
    Persist,
    ReadReady,
    Refused,
    Send,
    SendWhenDurable,
    Truncate,
    Wake,
)
from quorate.base.errors import InvariantError, StorageError, UnavailableError
from quorate.base.events import Event, Installed, Persisted, Received, SpaceChanged
from quorate.base.ids import GROUP, Ballot, GroupNumber, NodeId, Slot
from quorate.base.messages import Accept, BootstrapDone, Message
from quorate.base.outcomes import Outcome
from quorate.base.records import Promised
from quorate.runtime.answering import CALLS_PER_LOOK
from quorate.runtime.driver import INLINE_TURNS_MAX, Driver
from quorate.runtime.recorder import Recorder

BOB = NodeId("bob")
WORD = BootstrapDone("cluster")
RECORD = Promised(Ballot(1, BOB))
FULL, FREE = SpaceChanged(is_full=True), SpaceChanged(is_full=False)


class FakeNode:
    """Answers each event with what the test laid down for it."""

    def __init__(self, tape: list[Any]) -> None:
        self.tape = tape
        self.responses: dict[Event, list[Effect]] = {}
        self.first: list[Effect] = []
        self.at_flush: list[list[Effect]] = []
        self.breaks_on: Event | None = None
        self.turn_due_s = inf
        self.is_apply_pending = self.calls_for_turn = False

    def start(self, now_s: float) -> list[Effect]:
        return self.first

    def receive(self, event: Event, now_s: float) -> list[Effect]:
        self.tape.append(event)
        if event == self.breaks_on:
            raise InvariantError("a bug")
        return self.responses.get(event, [])

    def tick(self, now_s: float) -> list[Effect]:
        return []

    def apply_pending(self, now_s: float) -> list[Effect]:
        self.tape.append("apply_pending")
        self.is_apply_pending = False
        return []

    def is_turn_due(self, now_s: float) -> bool:
        return self.calls_for_turn

    def end_turn(self, now_s: float) -> list[Effect]:
        return self.at_flush.pop(0) if self.at_flush else []


class FakeDisk:
    """Durable at once, or when the test says so."""

    def __init__(self, tape: list[Any]) -> None:
        self.tape = tape
        self.is_inline = False
        self.has_failed = False
        self.asked: list[Persist] = []

    def append(self, asked: Sequence[Persist]) -> bool:
        self.asked += asked
        self.tape.append(f"append {len(asked)}")
        if self.has_failed:
            raise StorageError("corrupt", "the sync failed")
        return self.is_inline

    def truncate(self, slot: Slot) -> None:
        self.tape.append(f"truncate {slot}")


class FakeLinks:
    def __init__(self, tape: list[Any]) -> None:
        self.tape = tape
        self.on_flush: Callable[[], None] = lambda: None

    def send(self, to: NodeId, message: Message, group: GroupNumber) -> None:
        self.tape.append(f"send {to}" if group == GROUP else f"send {to} of group {group}")

    def flush(self) -> None:
        self.tape.append("written")
        self.on_flush()

    def configure(self, configuration: Configuration, cluster_id: str) -> None:
        self.tape.append(f"configure {configuration.number}")

    def refuse(self, peer: NodeId, why: str) -> None:
        self.tape.append(f"refuse {peer}: {why}")


class FakeCopies:
    def __init__(self) -> None:
        self.done: Callable[[], None] = lambda: None

    def install(self, effect: Install, done: Callable[[], None]) -> None:
        self.done = done


class World:
    """A driver among fakes, and what happened, in order."""

    def __init__(self) -> None:
        self.tape: list[Any] = []
        self.now_s = 1.0
        self.node = FakeNode(self.tape)
        self.disk = FakeDisk(self.tape)
        self.links = FakeLinks(self.tape)
        self.copies = FakeCopies()
        self.ends: list[Halt | BaseException] = []
        self.logged: list[dict[str, Any]] = []
        self.driver = Driver(
            self.node,
            disk=self.disk,
            links=self.links,
            copies=self.copies,
            tick_s=3600.0,
            clock=lambda: self.now_s,
            log=structlog.wrap_logger(structlog.ReturnLogger(), processors=[self._log]),
            on_end=self.ends.append,
        )

    def _log(self, _: Any, __: str, event: Any) -> str:
        self.logged.append(dict(event))
        return ""

    async def drain(self) -> None:
        """Let every turn that is due end."""
        for _ in range(4 * INLINE_TURNS_MAX):
            await asyncio.sleep(0)

    def obey(self, *effects: Effect) -> None:
        self.node.responses[FULL] = list(effects)
        self.driver.deliver(FULL)


def played(play: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """Run a play on a fresh world."""

    async def whole() -> World:
        world = World()
        await play(world)
        world.driver.stop()
        return world

    return asyncio.run(whole())


def test_many_who_wait_for_one_read_index_get_their_answers_over_several_turns() -> None:
    got: list[tuple[int, object]] = []
    counts: list[int] = []

    async def play(world: World) -> None:
        def ticket(number: int) -> Callable[[object], None]:
            def answer(value: object) -> None:
                world.now_s += 0.001
                got.append((number, value))

            return answer

        late = UnavailableError("no_quorum", "No cluster leader")
        reads = [ticket(number) for number in range(50)]
        world.obey(ReadReady(reads, Slot(1), 77))
        counts.append(len(got))
        world.obey(Refused([ticket(50)], late), ReadReady([ticket(51)], Slot(1), 78))
        while world.driver.is_answering:
            before = len(got)
            await asyncio.sleep(0)
            counts.append(len(got) - before)
        assert got == [*((number, 77) for number in range(50)), (50, late), (51, 78)]

    played(play)
    assert max(counts) <= CALLS_PER_LOOK
    assert len(counts) >= 7


def test_what_breaks_in_a_later_turn_ends_the_node_too() -> None:
    async def play(world: World) -> None:
        def broken(_: object) -> None:
            world.now_s += 0.001
            if world.now_s > 1.02:
                raise StorageError("corrupt", "a damaged row")

        world.obey(ReadReady([broken] * 50, Slot(1), 5))
        await world.drain()
        assert [type(end) for end in world.ends] == [StorageError]
        assert not world.driver.is_answering

    played(play)


def test_each_effect_of_the_contract_has_an_action() -> None:
    async def play(world: World) -> None:
        assert world.driver.actions == frozenset(get_args(Effect))

    played(play)


def test_sends_leave_before_the_disk_is_asked_and_once_per_turn() -> None:
    async def play(world: World) -> None:
        world.obey(Persist(RECORD), Send(BOB, WORD))
        world.obey(Persist(RECORD), Send(BOB, WORD))
        await world.drain()

    tape = played(play).tape
    assert tape == [FULL, "send bob", FULL, "send bob", "written", "append 2"]


def test_records_and_messages_keep_the_group_that_they_are_of() -> None:
    async def play(world: World) -> None:
        seven = GroupNumber(7)
        world.obey(Persist(RECORD), Persist(RECORD, seven), Send(BOB, WORD, seven))
        await world.drain()
        assert [each.group for each in world.disk.asked] == [0, 7]
        assert f"send {BOB} of group 7" in world.tape

    played(play)


@pytest.mark.parametrize(
    "effect",
    [
        Truncate(Slot(3), GroupNumber(7)),
        Install(1, Slot(3), b"", 0, is_first=True, is_last=True, group=GroupNumber(7)),
    ],
)
def test_nothing_is_truncated_or_replaced_for_a_group_that_is_not_here(effect: Effect) -> None:
    async def play(world: World) -> None:
        world.obey(effect)
        assert isinstance(world.ends[0], InvariantError)

    world = played(play)
    assert not any(str(each).startswith("truncate") for each in world.tape)


def test_a_vote_leaves_before_the_turn_ends_and_what_it_lets_be_known_is_applied_after() -> None:
    async def play(world: World) -> None:
        world.disk.is_inline = True
        world.node.responses[Persisted(1)] = [Send(BOB, WORD)]
        world.node.is_apply_pending = True
        world.obey(Persist(RECORD))
        world.driver.expedite()
        assert world.tape[-2:] == ["send bob", "written"]
        await world.drain()

    tape = played(play).tape
    assert tape.count("append 1") == 1
    assert tape.index("apply_pending") > tape.index("send bob")


def test_what_waits_for_no_disk_leaves_before_one_that_is_urgent() -> None:
    async def play(world: World) -> None:
        world.obey(Send(BOB, WORD), Persist(RECORD))
        world.driver.expedite()
        assert world.tape[1:4] == ["send bob", "written", "append 1"]

    played(play)


def test_a_turn_ends_behind_what_was_applied_late() -> None:
    async def play(world: World) -> None:
        world.node.is_apply_pending = world.node.calls_for_turn = True
        world.obey(Note("chosen", {}))
        await world.drain()
        assert world.tape.count("apply_pending") == 1
        assert world.driver.counters.turns == 2

    played(play)


def test_no_turn_ends_behind_an_event_that_calls_for_none() -> None:
    async def play(world: World) -> None:
        await world.drain()
        before = world.driver.counters.turns
        world.driver.deliver(Persisted(1))
        await world.drain()
        assert world.driver.counters.turns == before
        world.node.calls_for_turn = True
        world.driver.deliver(Persisted(1))
        await world.drain()
        assert world.driver.counters.turns == before + 1

    played(play)


def test_no_turn_ends_behind_what_was_applied_late_and_lets_nothing_go_on() -> None:
    async def play(world: World) -> None:
        world.node.is_apply_pending = True
        world.obey(Note("chosen", {}))
        await world.drain()
        assert world.tape.count("apply_pending") == 1
        assert world.driver.counters.turns == 1

    played(play)


def test_nothing_to_remember_is_no_reason_to_flush() -> None:
    async def play(world: World) -> None:
        world.obey(Send(BOB, WORD))
        world.driver.expedite()
        assert "written" not in world.tape

    played(play)


def test_a_mark_counts_every_record_asked_for() -> None:
    async def play(world: World) -> None:
        world.disk.is_inline = True
        world.obey(Persist(RECORD), Persist(RECORD))
        await world.drain()
        world.obey(Persist(RECORD))
        await world.drain()

    marks = [event.mark for event in played(play).tape if isinstance(event, Persisted)]
    assert marks == [2, 3]


def test_what_an_inline_sync_lets_out_leaves_in_the_same_pass_of_the_loop() -> None:
    async def play(world: World) -> None:
        world.disk.is_inline = True
        world.node.responses[Persisted(1)] = [Send(BOB, WORD)]
        world.obey(Persist(RECORD))
        await asyncio.sleep(0)

    tape = played(play).tape
    assert tape[1:] == ["written", "append 1", Persisted(1), "send bob", "written"]


def test_inline_syncs_without_end_do_not_keep_the_loop_for_themselves() -> None:
    async def play(world: World) -> None:
        world.disk.is_inline = True
        world.node.at_flush = [[Persist(RECORD)] for _ in range(3 * INLINE_TURNS_MAX)]
        world.node.calls_for_turn = True
        world.driver.wake()
        await asyncio.sleep(0)
        assert world.driver.counters.commits == INLINE_TURNS_MAX
        await world.drain()
        assert world.driver.counters.commits == 3 * INLINE_TURNS_MAX

    played(play)


def test_what_the_node_keeps_for_a_moment_gets_a_turn_though_nothing_happens() -> None:
    async def play(world: World) -> None:
        world.node.turn_due_s = 1.01
        world.obey(Note("kept", {}))
        await world.drain()
        turns = world.driver.counters.turns
        world.node.turn_due_s = 1.0  # the clock says 1
        for _ in range(1000):
            await asyncio.sleep(0.01 if world.driver.counters.turns == turns else 0.0)
        assert world.driver.counters.turns > turns

    played(play)


def test_what_waits_for_something_to_happen_wakes_nobody() -> None:
    async def play(world: World) -> None:
        world.node.turn_due_s = 0.5  # the clock says 1
        world.obey(Note("kept", {}))
        await world.drain()
        turns = world.driver.counters.turns
        await asyncio.sleep(0.01)
        assert world.driver.counters.turns == turns

    played(play)


def test_what_becomes_due_while_a_turn_ends_gets_one_more_turn() -> None:
    async def play(world: World) -> None:
        world.node.turn_due_s = 1.001
        world.links.on_flush = lambda: setattr(world, "now_s", 1.002)
        world.obey(Note("kept", {}))
        await world.drain()
        for _ in range(100):
            await asyncio.sleep(0.01 if world.driver.counters.turns == 1 else 0.0)
        assert world.driver.counters.turns == 2

    played(play)


def test_tickets_get_their_answers_in_order() -> None:
    got: list[Any] = []
    late = UnavailableError("no_quorum", "No cluster leader")

    async def play(world: World) -> None:
        world.obey(
            Applied([got.append, got.append], [Outcome(1, "a"), Outcome(2, "b")], Slot(1), 0),
            ReadReady([got.append], Slot(1), 77),
            Refused([got.append], late),
            Wake([lambda: got.append("woken")]),
            ChangeDone(got.append, None),
        )

    played(play)
    assert got == [Outcome(1, "a"), Outcome(2, "b"), 77, late, "woken", None]


def test_a_broken_callback_hurts_nobody_else() -> None:
    got: list[Any] = []

    def broken(_: object) -> None:
        raise ValueError("a client's bug")

    async def play(world: World) -> None:
        outcome = Outcome(1, None)
        world.obey(
            Applied([broken, got.append], [outcome, outcome], Slot(1), 0),
            ReadReady([broken, got.append], Slot(1), 5),
        )
        assert not world.driver.is_over
        assert world.driver.counters.ticket_errors == 2

    played(play)
    assert got == [Outcome(1, None), 5]


def test_a_damaged_row_met_in_a_callback_ends_the_node() -> None:
    def reading(_: object) -> None:
        raise StorageError("corrupt", "table KV, key 6b: the row does not match its checksum")

    async def play(world: World) -> None:
        world.obey(ReadReady([reading], Slot(1), 5))

    ends = played(play).ends
    assert [type(end) for end in ends] == [StorageError]


def test_a_bug_in_the_node_ends_it_once_and_nothing_more_is_taken() -> None:
    async def play(world: World) -> None:
        world.node.breaks_on = FREE
        world.driver.deliver(FREE)
        world.driver.deliver(FULL)
        world.driver.fail(OSError("later"))
        await world.drain()

    world = played(play)
    assert world.tape == [FREE]
    assert [type(end) for end in world.ends] == [InvariantError]


def test_a_halt_ends_the_node_and_what_stands_behind_it_is_not_done() -> None:
    halt = Halt("corrupt", "the digests differ")

    async def play(world: World) -> None:
        world.obey(Send(BOB, WORD), halt, Send(NodeId("ann"), WORD))
        await world.drain()

    world = played(play)
    assert world.tape == [FULL, "send bob"]
    assert world.ends == [halt]


def test_a_reply_that_slipped_through_the_gate_is_a_bug() -> None:
    async def play(world: World) -> None:
        world.obey(SendWhenDurable(BOB, WORD))

    assert [type(end) for end in played(play).ends] == [InvariantError]


def test_a_failing_disk_ends_the_node() -> None:
    async def play(world: World) -> None:
        world.disk.has_failed = True
        world.obey(Persist(RECORD))
        await world.drain()

    assert [type(end) for end in played(play).ends] == [StorageError]


def test_the_last_install_is_closed_by_an_event() -> None:
    async def play(world: World) -> None:
        world.obey(Install(9, Slot(4), b"", 0, is_first=True, is_last=True))
        world.copies.done()

    assert Installed(9) in played(play).tape


def test_members_truncations_and_notes_reach_their_places() -> None:
    configuration = Configuration(3, 2, (Member(BOB, "bob", "a:1"),))

    async def play(world: World) -> None:
        world.node.first = [Configured(configuration, "c"), Truncate(Slot(8)), Note("leading", {})]
        world.driver.start()
        assert world.driver.notes == {"leading": 1}

    assert played(play).tape[:2] == ["configure 3", "truncate 8"]


def test_the_log_has_names_of_members_where_a_note_has_ids() -> None:
    configuration = Configuration(3, 2, (Member(BOB, "Robert", "a:1"),))
    note = Note("stepped down", {"why": f"{BOB} promised a higher ballot", "leader": BOB, "n": 3})

    async def play(world: World) -> None:
        world.node.first = [Configured(configuration, "c"), note]
        world.driver.start()

    (line,) = [each for each in played(play).logged if each["event"] == "stepped down"]
    assert (line["why"], line["leader"]) == ("Robert promised a higher ballot", "Robert")
    assert line["n"] == 3


def test_turns_commits_and_late_ticks_are_measured() -> None:
    async def play(world: World) -> None:
        world.node.first = [Applied([], [], Slot(1), 0, made_s=world.now_s - 0.25)]
        world.driver.start()
        world.driver.wake()
        await world.drain()

    driver = played(play).driver
    driver.collect()
    assert driver.commit_durations.total_s == 0.25
    assert driver.turn_durations.count >= 1


@pytest.mark.parametrize("events_max", [1, 5])
def test_the_recorder_keeps_the_newest_and_no_big_bodies(events_max: int, tmp_path: Path) -> None:
    recorder = Recorder(events_max)
    accept = Accept(Ballot(1, BOB), Slot(3), Slot(2), b"x" * 100_000)
    for _ in range(7):
        recorder.note(1.0, Received(BOB, accept), [Persist(RECORD)])
    recorder.note(2.0, Received(BOB, WORD), [])

    path = recorder.save(tmp_path, "why not")

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"died": "why not"}
    assert len(lines) == 1 + events_max
    assert path.stat().st_size < 2000
    assert lines[-1]["now_s"] == 2.0
