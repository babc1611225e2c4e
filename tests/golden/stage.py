"""Who plays a script: one replica with its gate, or one whole node. Its peers are in the script."""

import random
from collections import deque
from collections.abc import Mapping, Sequence

from quorate.base.batches import Configuration, is_configuration
from quorate.base.config import ClusterConfig, Limits, NodeSettings
from quorate.base.effects import (
    ChangeDone,
    Effect,
    Halt,
    Note,
    Persist,
    ReadReady,
    Refused,
    Send,
    SendWhenDurable,
)
from quorate.base.events import Connected, Disconnected, Event, Persisted, Received
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Message, ReadIndexRequest
from quorate.base.records import Bootstrapped, Record
from quorate.node.gate import Gate
from quorate.node.node import Node
from quorate.paxos.membership import Membership
from quorate.paxos.recall import Blank, Recall
from quorate.paxos.replica import Replica
from quorate.sim.tables import DictTables
from tests.golden.text import member, write

ME = NodeId("n1")
CLUSTER = "c"
TICK_S = 0.01
HANG_S = 20.0  # of the script's time: what is waited for comes within a few


class Lines:
    """What a stage did since it was last asked, as lines."""

    def __init__(self) -> None:
        self.prefix = ""
        self._lines: list[tuple[str, list[str], str]] = []

    def add(self, what: str, to: str = "") -> None:
        """One message to several, one after the other, is one line."""
        if to and self._lines:
            prefix, whom, before = self._lines[-1]
            if before == what and prefix == self.prefix and to not in whom:
                whom.append(to)
                return
        self._lines.append((self.prefix, [to] if to else [], what))

    def has(self, what: str) -> bool:
        return any(what in line for _, _, line in self._lines)

    def take(self) -> list[str]:
        """The lines, and forget them."""
        lines, self._lines = self._lines, []
        return [
            f"{prefix}to {' '.join(whom)}: {what}" if whom else prefix + what
            for prefix, whom, what in lines
        ]


class Stage:
    """What both have in common: time, a disk, and lines that say what was done.

    Args:
        size: Nodes n1 … n`size` vote from the beginning.
        disk: "fast": what is asked for is durable at the end of the turn; "slow": when the script
            says so.
        hide: Messages and notes that are not shown.
    """

    def __init__(self, size: int, disk: str, hide: str) -> None:
        self.size = size
        self.lines = Lines()
        self.now_s = 0.0
        self.is_disk_slow = disk == "slow"
        self.hidden = tuple(hide.split())
        self.kept: list[Record] = []  # on the disk
        self.asked: list[Record] = []  # not yet
        self.incarnation = 1
        self.first = Configuration(1, 0, tuple(map(member, range(1, size + 1))))

    def show(self, what: str, to: str = "") -> None:
        if not what.startswith(self.hidden):
            self.lines.add(what, to)

    def persist(self, record: Record) -> None:
        self.asked.append(record)
        self.show(f"persist {write(record)}")

    def take_from(self, number: int, message: Message) -> None:
        self.event(Received(member(number).id, message))

    def connect(self, number: int) -> None:
        self.event(Connected(member(number), CLUSTER))

    def disconnect(self, number: int) -> None:
        self.event(Disconnected(member(number).id))

    def wait(self, seconds: float) -> None:
        began_s, until_s = self.now_s, round(self.now_s + seconds, 2)
        while self.now_s < until_s:
            self._step(began_s)

    def wait_for(self, what: str) -> None:
        """Time passes until something is said or done whose line has that in it."""
        began_s = self.now_s
        while self.now_s < began_s + HANG_S and not self._step(began_s, what):
            pass

    def _step(self, began_s: float, what: str = "") -> bool:
        """One tick; was a line with `what` in it caused?"""
        self.lines.prefix = f"+{self.now_s + TICK_S - began_s:.2f}s "
        self.tick()
        self.lines.prefix = ""
        return self.lines.has(what)

    @property
    def ballot(self) -> Ballot:
        """Under which this node leads, or is led."""
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def event(self, event: Event) -> None:
        raise NotImplementedError

    def disk(self, count: int) -> None:
        """So many records more become durable."""
        raise NotImplementedError

    def begin(self) -> None:
        """The process starts, with what the disk holds."""
        raise NotImplementedError

    def restart(self) -> None:
        """The process was killed: what it wrote is kept by the system."""
        self.kept += self.asked
        self._begin_again()

    def power_cut(self) -> None:
        """What was not durable is lost, and with it all that only the tables held."""
        self.forget_tables()
        self._begin_again()

    def forget_tables(self) -> None:
        raise NotImplementedError

    def _begin_again(self) -> None:
        self.asked = []
        self.incarnation += 1
        self.begin()


class ReplicaStage(Stage):
    """Node n1's replica and gate. Effects are shown as they are asked for, messages as they leave.

    Args:
        size, disk, hide: See `Stage`.
        alpha, window, ahead: See `base.config`: `alpha_slots`, `window_slots`, `slots_ahead_max`.
        applied: The tables hold everything up to this slot.
        tail: So many batches are kept for others.
        fetch: So many bytes of batches are given at once.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        disk: str = "fast",
        hide: str = "Restarted",
        alpha: int = 8,
        window: int = 4,
        ahead: int = 1024,
        applied: int = 0,
        tail: int = 20_000,
        fetch: int = 1024,
    ) -> None:
        super().__init__(size, disk, hide)
        self.settings = NodeSettings(
            cluster=ClusterConfig(alpha_slots=alpha, window_slots=window),
            limits=Limits(slots_ahead_max=ahead, tail_slots_max=tail, fetch_bytes_max=fetch),
        )
        self.applied: Slot = Slot(applied)
        self.snapshot: Slot = Slot(applied)
        self.chain = [(Slot(0), self.first)]
        self.begin()

    @property
    def ballot(self) -> Ballot:
        return self.replica.ballot

    def begin(self) -> None:
        self.gate = Gate()
        membership = Membership(self.chain, self.settings.cluster.alpha_slots)
        recall = Recall(ME, self.incarnation, self.incarnation, Blank())
        random_ = random.Random(7)
        self.replica = Replica(
            ME, self.settings, membership, self.applied, random_, self.now_s, recall
        )
        for record in self.kept:
            self.replica.remember(record)
            self._release()
        self.replica.end_recovery(self.applied, self.snapshot)
        for number in range(2, self.size + 1):
            self.connect(number)

    def forget_tables(self) -> None:
        self.applied = self.snapshot
        self.chain = [one for one in self.chain if one[0] <= self.snapshot]

    def event(self, event: Event) -> None:
        leadership = self.replica.leadership
        if isinstance(event, Received) and isinstance(event.message, ReadIndexRequest):
            if leadership is not None:  # as `node.group` does
                leadership.request_read_index(event.sender, event.message.number)
        else:
            self._obey(self.replica.receive(event, self.now_s))
        self._end_turn()

    def tick(self) -> None:
        self.now_s = round(self.now_s + TICK_S, 2)
        self._obey(self.replica.tick(self.now_s))
        self._end_turn()

    def disk(self, count: int) -> None:
        done, self.asked = self.asked[:count], self.asked[count:]
        self.kept += done
        for to, message in self.gate.on_persisted(self.gate.durable + len(done)):
            self._say(to, message)
        self._obey(self.replica.end_turn(self.now_s))

    def propose(self, batch: bytes) -> None:
        leadership = self.replica.leadership
        if leadership is None or leadership.capacity() == 0:
            self.show("no room")
            return
        self._obey(leadership.propose(batch, self.now_s))
        self._end_turn()

    def save(self) -> None:
        """A snapshot of the tables is durable."""
        self.snapshot = self.applied
        self._obey(self.replica.durable.on_snapshot(self.snapshot))
        self._end_turn()

    def state(self) -> None:
        """Show what the roles hold."""
        acceptor, learner = self.replica.acceptor, self.replica.learner
        votes = ", ".join(
            f"{slot}: {write(vote.ballot)} {write(vote.batch)}"
            for slot, vote in sorted(acceptor.votes.items())
        )
        leader = self.replica.serving(self.now_s)[0] or "nobody"
        self.show(
            f"promised {write(acceptor.promised)}, votes [{votes}], "
            f"all chosen up to {learner.watermark}, {leader} serves"
        )

    def _end_turn(self) -> None:
        self._obey(self.replica.end_turn(self.now_s))
        while self.asked and not self.is_disk_slow:
            self.disk(len(self.asked))

    def _obey(self, effects: Sequence[Effect]) -> None:
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            if isinstance(effect, Persist):
                self.gate.ask()
                self.persist(effect.record)
            elif isinstance(effect, SendWhenDurable):
                if not self.gate.hold(effect.to, effect.message):
                    self._say(effect.to, effect.message)
            elif isinstance(effect, Send):
                self._say(effect.to, effect.message)
            else:
                self.show(shown(effect))
        self._release()

    def _say(self, to: NodeId, message: Message) -> None:
        if to == ME:
            self._obey(self.replica.receive(Received(ME, message), self.now_s))
        else:
            self.show(write(message), to)

    def _release(self) -> None:
        for slot, batch, configuration in self.replica.take_released():
            self.applied = slot
            if configuration is not None:
                self.chain.append((slot, configuration))
            is_void = configuration is None and is_configuration(batch)
            self.show(f"chosen {slot}: {write(batch)}{', void' if is_void else ''}")


class NodeStage(Stage):
    """Node n1, whole, in a cluster that exists. What is sent is shown as it leaves.

    Args:
        size, disk, hide: See `Stage`.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        disk: str = "fast",
        hide: str = "Restarted Overview configured persist truncate",
    ) -> None:
        super().__init__(size, disk, hide)
        self.kept = [Bootstrapped(CLUSTER, self.first, complete=True)]
        self.tables = DictTables()
        self.begin()

    @property
    def ballot(self) -> Ballot:
        replica = self.node.group.replica
        return NO_BALLOT if replica is None else replica.ballot

    def begin(self) -> None:
        self.mark = 0
        self.node = Node(
            member(1),
            self.incarnation,
            NodeSettings(),
            self.tables,
            self.kept,
            random.Random(5),
            self.now_s,
            wall_ms=lambda: 1_700_000_000_000,
        )
        self._obey(self.node.start(self.now_s))
        for number in range(2, self.size + 1):
            self.connect(number)

    def forget_tables(self) -> None:
        self.tables = DictTables()

    def event(self, event: Event) -> None:
        self._obey(self.node.receive(event, self.now_s))
        self._end_turn()

    def tick(self) -> None:
        self.now_s = round(self.now_s + TICK_S, 2)
        self._obey(self.node.tick(self.now_s))
        self._end_turn()

    def disk(self, count: int) -> None:
        done, self.asked = self.asked[:count], self.asked[count:]
        self.kept += done
        self.mark += len(done)
        self._obey(self.node.receive(Persisted(self.mark), self.now_s))
        self._obey(self.node.end_turn(self.now_s))

    def ask(self, ticket: str) -> None:
        """A client reads."""
        self.node.read(ticket, self.now_s + 5.0)
        self._end_turn()

    def change(self, verb: str, number: int) -> None:
        """A client asks for a change of members."""
        self.node.change(verb, member(number), f"{verb} n{number}", self.now_s + 9.0)
        self._end_turn()

    def _end_turn(self) -> None:
        self._obey(self.node.end_turn(self.now_s))
        while self.node.is_apply_pending or (self.asked and not self.is_disk_slow):
            self._obey(self.node.apply_pending(self.now_s))
            self._obey(self.node.end_turn(self.now_s))
            if self.asked and not self.is_disk_slow:
                self.disk(len(self.asked))

    def _obey(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Persist):
                self.persist(effect.record)
            elif isinstance(effect, Send):
                self.show(write(effect.message), effect.to)
            else:
                self.show(shown(effect))


def shown(effect: Effect) -> str:
    """An effect on the server, as a line."""
    if isinstance(effect, Note):
        return f"note {effect.what}: {fields(effect.fields)}".removesuffix(": ")
    if isinstance(effect, Halt):
        return f"halt {effect.code}: {effect.reason}"
    if isinstance(effect, ReadReady):
        return f"read {', '.join(map(str, effect.tickets))} at slot {effect.slot}"
    if isinstance(effect, Refused):
        return f"refuse {', '.join(map(str, effect.tickets))}: {effect.error.code}"
    if isinstance(effect, ChangeDone):
        return f"changed {effect.ticket}: {effect.error.code if effect.error else 'done'}"
    return f"{type(effect).__name__.lower()} {write(effect)}"


def fields(of: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={write(one)}" for name, one in of.items())
