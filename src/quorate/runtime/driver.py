"""Driver: connects the pure node with disk, network and time. It knows nothing of the protocol.

Events are passed to the node at once, in the callback of the socket or the disk; there is no queue
and no task per request. What a turn asked for is executed at its end, once per iteration of the
loop:

1. `end_turn` lets the node make bundles, batches and read requests of all that was collected;
2. every `Send` goes to its socket, one write per peer;
3. every `Persist` goes to the log as one commit; while it is synced, the next one fills.

Effects are executed strictly in order. An error in the callback of a client is logged and affects
no other; an error of the node or of the disk ends the process: going on could break a promise.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate.base.batches import Configuration
from quorate.base.effects import (
    Applied,
    ChangeDone,
    Close,
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
from quorate.base.errors import invariant, violated
from quorate.base.events import ChunkStored, Event, Installed, Persisted
from quorate.base.ids import GROUP, GroupNumber, NodeId, Slot
from quorate.base.messages import Message
from quorate.base.metrics import Histogram
from quorate.base.ports import Clock
from quorate.runtime.answering import Answering
from quorate.runtime.faultlog import FaultLog
from quorate.runtime.recorder import Recorder

GATHERED_MIN = 256
"""The number of durations that are added to a histogram at once."""

INLINE_TURNS_MAX = 8
"""Syncs done inline whose results are processed in one iteration of the loop, before others run."""

TIMER_STEP_S = 0.0005
"""The loop rounds timers to whole milliseconds."""


class Brain(Protocol):
    """What a driver needs of a node; `node.Node` fills it."""

    def start(self, now_s: float) -> list[Effect]:
        """The first effects."""
        ...

    def receive(self, event: Event, now_s: float) -> list[Effect]:
        """Take an event."""
        ...

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed."""
        ...

    def end_turn(self, now_s: float) -> list[Effect]:
        """The turn ends."""
        ...

    def apply_pending(self, now_s: float) -> list[Effect]:
        """Apply what was put off."""
        ...

    @property
    def is_apply_pending(self) -> bool:
        """`apply_pending` has something to do."""
        ...

    def is_turn_due(self, now_s: float) -> bool:
        """Behind an event, or `apply_pending`, without effects: a turn should end all the same."""
        ...

    @property
    def turn_due_s(self) -> float:
        """When the next turn should end at the latest, though nothing happens."""
        ...


class Disk(Protocol):
    """Where records go; `runtime.wal.Wal` fills it."""

    def append(self, asked: Sequence[Persist]) -> bool:
        """Write one commit. True if it is durable already, else `Persisted` follows."""
        ...

    def truncate(self, slot: Slot) -> None:
        """Records of slots up to this one may go."""
        ...


class MessageSender(Protocol):
    """Where messages go; `runtime.transport.Transport` fills it."""

    def send(self, to: NodeId, message: Message, group: GroupNumber) -> None:
        """Collect a message for a peer; lost if no link is established."""
        ...

    def flush(self) -> None:
        """Write what was collected."""
        ...

    def configure(self, configuration: Configuration, cluster_id: str) -> None:
        """Keep links to these members."""
        ...

    def refuse(self, peer: NodeId, why: str) -> None:
        """End the link to a peer, and say why."""
        ...


class SnapshotSink(Protocol):
    """Where rows of a peer's snapshot go."""

    def install(self, effect: Install, done: Callable[[], None]) -> None:
        """Take a chunk; `done` is called in the loop when it is stored, the last one durably."""
        ...


class DriverCounters(msgspec.Struct):
    """Since this driver was made."""

    events: int = 0
    turns: int = 0
    records: int = 0
    commits: int = 0
    ticket_errors: int = 0
    ticks_late: int = 0
    lag_max_s: float = 0.0


class Driver:
    """The turns of one node.

    Args:
        node: The pure node.
        disk, links, copies: Execute its effects.
        tick_s: The period of ticks.
        clock: Monotonic seconds.
        log: The logger for notes and failures.
        noted: Histograms of others, updated together with those of turns.
        on_end: Called once, with the reason why the node cannot go on: a Halt, or an exception.

    Attributes:
        is_over: The node must not be called any more.
    """

    def __init__(
        self,
        node: Brain,
        *,
        disk: Disk,
        links: MessageSender,
        copies: SnapshotSink,
        tick_s: float,
        clock: Clock,
        log: FilteringBoundLogger,
        on_end: Callable[[Halt | BaseException], None],
        noted: Sequence[Histogram] = (),
    ) -> None:
        self._node = node
        self._disk = disk
        self._links = links
        self._copies = copies
        self._tick_s = tick_s
        self._clock = clock
        self._log = log
        self._faults = FaultLog(log, clock)
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._records: list[Persist] = []
        self._asked = 0
        self._is_turn_due = False
        self._is_in_turn = False
        self._tick_due_s = clock()
        self._ticker: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self.is_over = False
        self.counters = DriverCounters()
        self.turn_durations = Histogram()
        self.lags = Histogram()
        self.commit_durations = Histogram()
        self._noted = (self.turn_durations, self.commit_durations, *noted)
        self._answering = Answering(clock, self.turn_durations, self.report, self.fail)
        self.notes: dict[str, int] = {}
        self._names: dict[NodeId, str] = {}
        self.recorder = Recorder()
        self._actions: dict[type, Callable[[Any], None]] = {
            Persist: self._persist,
            Send: self._send,
            Applied: self._applied,
            Refused: self._refused,
            ReadReady: self._read_ready,
            Wake: self._woken,
            ChangeDone: self._change_done,
            Truncate: self._truncate,
            Install: self._install,
            Configured: self._configured,
            Close: self._close,
            Note: self._note,
            Halt: self._halt,
            SendWhenDurable: self._reply,
        }

    @property
    def actions(self) -> frozenset[type]:
        """The effects that this driver can execute."""
        return frozenset(self._actions)

    @property
    def is_answering(self) -> bool:
        """Whether callbacks are due that were not called yet."""
        return bool(self._answering)

    # --- start and stop --------------------------------------------------------------------------

    def start(self) -> None:
        """Execute the first effects of the node, and begin to tick."""
        now_s = self._clock()
        self._take("start", self._node.start, now_s)
        self._tick_due_s = now_s + self._tick_s
        self._ticker = self._loop.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """Take no more events, and end the ticks. Writes of the log that were begun go on."""
        self.is_over = True
        self._answering.forget()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    def fail(self, error: BaseException) -> None:
        """Something that the node depends on failed: it must not go on."""
        if not self.is_over:
            self.stop()
            self._on_end(error)

    # --- events ----------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """Let the node take an event, at once."""
        if self.is_over:
            return
        self.counters.events += 1
        now_s = self._clock()
        try:
            effects = self._node.receive(event, now_s)
            self.recorder.note(now_s, event, effects)
            if effects:
                self.perform(effects)
            elif not self._node.is_turn_due(now_s):
                return
        except BaseException as error:  # noqa: BLE001 - reported to the owner of the process
            self.recorder.note(now_s, event, ())
            self.fail(error)
        self.wake()

    def expedite(self) -> None:
        """Have the disk write what it was asked for, and send what that allows, at once.

        Called after the messages that arrived from a peer: it waits for the vote, while the end of
        the turn can wait.
        """
        if self._records:
            self._links.flush()
            self._hand_over()
            self._links.flush()

    def wake(self) -> None:
        """Have the turn ended in this iteration of the loop: something was collected."""
        if not self._is_turn_due and not self.is_over:
            self._is_turn_due = True
            if not self._is_in_turn:
                self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_in_turn = True
        began_s = flushed_s = self._clock()
        for _ in range(INLINE_TURNS_MAX):
            if self.is_over:
                break
            self._is_turn_due = False
            self.counters.turns += 1
            self._take("flush", self._node.end_turn, flushed_s)
            self._links.flush()
            if self._records:
                self._hand_over()
            if not self._is_turn_due:
                break
            flushed_s = self._clock()
        self._is_in_turn = False
        self.turn_durations.note(self._clock() - began_s)
        if self._is_turn_due:
            self._loop.call_soon(self._end_turn)
        elif self._node.is_apply_pending:
            self._loop.call_soon(self._apply_pending)  # after what was written is sent
        self._set_alarm(flushed_s)

    def _apply_pending(self) -> None:
        if not self.is_over:
            began_s = self._clock()
            had_effects = self._take("apply_pending", self._node.apply_pending, began_s)
            self.turn_durations.note(self._clock() - began_s)
            if had_effects or self._node.is_turn_due(began_s):
                self.wake()

    def _set_alarm(self, flushed_s: float) -> None:
        """Set a timer for the next turn; what was due at the last flush waits for an event."""
        due_s = self._node.turn_due_s
        if flushed_s < due_s < inf and self._alarm is None:
            delay_s = max(0.0, due_s - self._clock())
            self._alarm = self._loop.call_later(delay_s + TIMER_STEP_S, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now_s = self._clock()
        if self._node.turn_due_s <= now_s:
            self.wake()
        else:
            self._set_alarm(now_s)

    def _tick(self) -> None:
        if self.is_over:
            return
        now_s = self._clock()
        lag_s = max(0.0, now_s - self._tick_due_s)
        counters = self.counters
        self.lags.observe(lag_s)
        self.collect(GATHERED_MIN)
        counters.lag_max_s = max(counters.lag_max_s, lag_s)
        counters.ticks_late += lag_s > self._tick_s
        self._take("tick", self._node.tick, now_s)
        self.wake()
        if not self.is_over:
            self._tick_due_s = self._clock() + self._tick_s
            self._ticker = self._loop.call_later(self._tick_s, self._tick)

    def _take(self, what: str, step: Callable[[float], list[Effect]], now_s: float) -> bool:
        """Let the node take a step, and obey; one without effects (False) is not recorded."""
        try:
            effects = step(now_s)
            if not effects:
                return False
            self.recorder.note(now_s, what, effects)
            self.perform(effects)
        except BaseException as error:  # noqa: BLE001 - reported to the owner of the process
            self.recorder.note(now_s, what, ())
            self.fail(error)
        return True

    def perform(self, effects: Sequence[Effect]) -> None:
        """Execute effects, in order."""
        actions = self._actions
        for effect in effects:
            actions[type(effect)](effect)

    # --- the disk --------------------------------------------------------------------------------

    def _persist(self, effect: Persist) -> None:
        self._records.append(effect)

    def _hand_over(self) -> None:
        if not self._records or self.is_over:
            return
        records, self._records = self._records, []
        self._asked += len(records)
        self.counters.records += len(records)
        self.counters.commits += 1
        try:
            is_durable = self._disk.append(records)
        except BaseException as error:  # noqa: BLE001 - reported to the owner of the process
            self.fail(error)
            return
        if is_durable:
            self.deliver(Persisted(self._asked))

    def _truncate(self, effect: Truncate) -> None:
        invariant(effect.group == GROUP, "the log is truncated for the one group that there is")
        self._disk.truncate(effect.slot)

    def _install(self, effect: Install) -> None:
        invariant(effect.group == GROUP, "there are tables of one group")
        stored = Installed if effect.is_last else ChunkStored
        self._copies.install(effect, partial(self.deliver, stored(effect.transfer)))

    # --- peers -----------------------------------------------------------------------------------

    def _send(self, effect: Send) -> None:
        self._links.send(effect.to, effect.message, effect.group)

    def _configured(self, effect: Configured) -> None:
        self._names = {member.id: member.name for member in effect.configuration.members}
        self._links.configure(effect.configuration, effect.cluster_id)

    def _close(self, effect: Close) -> None:
        self._links.refuse(effect.peer, effect.why)

    def _reply(self, _: SendWhenDurable) -> None:
        violated("a node lets no SendWhenDurable out: its gate turns it into a Send")

    # --- clients ---------------------------------------------------------------------------------

    def _applied(self, effect: Applied) -> None:
        self.commit_durations.note(self._clock() - effect.made_s)
        self._answering.call_each(effect.tickets, effect.outcomes)

    def _read_ready(self, effect: ReadReady) -> None:
        self._answering.give(effect.tickets, effect.log_time_ms)

    def _refused(self, effect: Refused) -> None:
        self._answering.give(effect.tickets, effect.error)

    def _woken(self, effect: Wake) -> None:
        self._answering.call(effect.tickets)

    def _change_done(self, effect: ChangeDone) -> None:
        self._answering.call((effect.ticket,), effect.error)

    def collect(self, count_min: int = 1) -> None:
        """Count durations that were noted in turns, if they are that many."""
        for each in self._noted:
            each.collect(count_min)

    def report(self, error: BaseException, trace_id: str = "") -> str:
        """Count and log an internal error that ends nothing; returns its id in the log."""
        self.counters.ticket_errors += 1
        return self._faults.report(error, trace_id)

    # --- the log for people ----------------------------------------------------------------------

    def _note(self, effect: Note) -> None:
        self.notes[effect.what] = self.notes.get(effect.what, 0) + 1
        tell = self._log.warning if effect.is_warning else self._log.info
        tell(effect.what, **{key: self._named(v) for key, v in effect.fields.items()})

    def _named(self, value: object) -> object:
        """A field with the names of members in place of their ids, for people."""
        if isinstance(value, str):
            for node, name in self._names.items():
                value = value.replace(node, name)
        return value

    def _halt(self, effect: Halt) -> None:
        if not self.is_over:
            self.stop()
            self._on_end(effect)
        raise _OverError  # the effects behind it are not executed


class _OverError(Exception):
    """Ends the execution of a list of effects."""
