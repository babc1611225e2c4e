"""One replica whose peers are played by the test; its disk is as fast as the test says."""

import random
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from quorate.base.batches import Configuration
from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Halt, Note, Persist, Send, SendWhenDurable
from quorate.base.events import Connected, Disconnected, Received
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetched,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    Prepare,
    PreVote,
    PreVoteAnswer,
    Promise,
)
from quorate.base.records import Record
from quorate.node.gate import Gate
from quorate.paxos.leadership import Leadership
from quorate.paxos.membership import Membership
from quorate.paxos.replica import Replica
from tests.unit.paxos.harness import member

M = TypeVar("M")

ME = NodeId("n1")
OTHERS = [NodeId(f"n{number}") for number in range(2, 10)]


class Lone:
    """Node n1 of a cluster n1 … n`size`, all links standing."""

    def __init__(
        self,
        size: int = 3,
        *,
        applied: int = 0,
        settings: NodeSettings | None = None,
        records: Sequence[Record] = (),
        disk: bool = True,
        chain: Sequence[tuple[Slot, Configuration]] = (),
    ) -> None:
        self.settings = settings or NodeSettings()
        self.now_s = 0.0
        self.disk = disk
        self.gate = Gate()
        self.said: list[tuple[NodeId, Message]] = []
        self.records: list[Record] = []
        self.notes: list[Note] = []
        self.halts: list[Halt] = []
        self.released: list[tuple[int, bytes]] = []
        first = Configuration(1, 0, tuple(member(n) for n in range(1, size + 1)))
        alpha = self.settings.cluster.alpha_slots
        membership = Membership([(Slot(0), first), *chain], alpha)
        self.replica = Replica(
            ME, self.settings, membership, Slot(applied), random.Random(7), self.now_s
        )
        for record in records:
            self.replica.remember(record)
        self.replica.end_recovery(Slot(applied), Slot(0))
        for number in range(2, size + 1):
            self.connect(number)

    @property
    def leadership(self) -> Leadership:
        assert self.replica.leadership is not None
        return self.replica.leadership

    @property
    def ballot(self) -> Ballot:
        return self.leadership.ballot

    # --- what happens --------------------------------------------------------------------

    def connect(self, number: int) -> None:
        self.obey(self.replica.receive(Connected(member(number), "c"), self.now_s))

    def disconnect(self, number: int) -> None:
        self.obey(self.replica.receive(Disconnected(member(number).id), self.now_s))

    def take_from(self, number: int, message: Message) -> None:
        sender = member(number).id
        self.obey(self.replica.receive(Received(sender, message), self.now_s))
        self.end_turn()

    def end_turn(self) -> None:
        self.obey(self.replica.end_turn(self.now_s))

    def wait(self, seconds: float) -> None:
        """Time passes in ticks of 10 ms."""
        for _ in range(round(seconds * 100)):
            self.now_s += 0.01
            self.obey(self.replica.tick(self.now_s))
            self.end_turn()

    def sync(self) -> None:
        """The disk catches up."""
        while self.gate.durable < self.gate.asked:
            for to, message in self.gate.on_persisted(self.gate.asked):
                self._say(to, message)
        self.end_turn()

    # --- effects -------------------------------------------------------------------------

    def obey(self, effects: Sequence[Effect]) -> None:
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            if isinstance(effect, Persist):
                self.records.append(effect.record)
                self.gate.asked += 1
                if self.disk:
                    self.gate.on_persisted(self.gate.asked)
            elif isinstance(effect, SendWhenDurable) and not self.gate.is_open:
                self.gate.hold(effect.to, effect.message)
            elif isinstance(effect, SendWhenDurable | Send):
                self._say(effect.to, effect.message)
            elif isinstance(effect, Note):
                self.notes.append(effect)
            elif isinstance(effect, Halt):
                self.halts.append(effect)
        self.released += [(slot, batch) for slot, batch, _ in self.replica.take_released()]

    def _say(self, to: NodeId, message: Message) -> None:
        if to == ME:
            self.obey(self.replica.receive(Received(ME, message), self.now_s))
        else:
            self.said.append((to, message))

    def take(self, kind: type[M], to: int | None = None) -> list[M]:
        """What was said of a kind (to one peer) since the last call; the rest is forgotten."""
        said, self.said = self.said, []
        whom = None if to is None else member(to).id
        return [m for node, m in said if isinstance(m, kind) and whom in (None, node)]

    # --- steps that many tests need -------------------------------------------------------

    def campaign(self, *granters: int) -> Ballot:
        """Become a candidate by the grants of these peers."""
        self.said.clear()
        while not any(isinstance(message, PreVote) for _, message in self.said):
            self.wait(0.01)
        number = self.take(PreVote)[0].number
        for granter in granters:
            grant = PreVoteAnswer(number, True, self.replica.acceptor.promised, Slot(0))
            self.obey(self.replica.receive(Received(member(granter).id, grant), self.now_s))
        return self.ballot

    def promise(
        self, number: int, watermark: int = 0, held: tuple[object, ...] = (), **more: object
    ) -> None:
        """A peer promises our ballot."""
        first = self.leadership.phase1.slot_first
        answer = Promise(self.ballot, first, Slot(watermark), 0, 1, held)  # type: ignore[arg-type]
        self.take_from(number, answer)

    def accept(self, number: int, *slots: int) -> None:
        """A peer votes for what we proposed."""
        for slot in slots:
            self.take_from(number, Accepted(self.ballot, Slot(slot)))

    def answer(self, number: int, counter: int, watermark: int = 0) -> None:
        """A peer answers a heartbeat of ours."""
        self.take_from(number, HeartbeatAnswer(self.ballot, Slot(watermark), counter, Slot(0), 0))

    def fetched(self, number: int, first: int, *batches: bytes, watermark: int = 0) -> None:
        """A peer tells that it knows more, is asked for it, and gives these batches."""
        last = Slot(max(watermark, first + len(batches) - 1))
        self.take_from(number, PreVote(0, 0, last))
        self.take_from(number, Fetched(Slot(first), batches, last, Slot(1)))

    def lead(self, *peers: int) -> Ballot:
        """Get elected, promised and served by these peers."""
        peers = peers or (2, 3)
        self.campaign(*peers)
        for peer in peers:
            self.promise(peer)
        barrier = self.leadership.pipeline
        assert barrier is not None
        for peer in peers:
            self.accept(peer, *list(barrier.in_flight))
        assert self.replica.is_serving
        return self.ballot

    def heartbeats(self) -> list[Heartbeat]:
        return self.take(Heartbeat)

    def proposed(self) -> list[Accept]:
        """One Accept per slot, since the last call."""
        return list({m.slot: m for m in self.take(Accept)}.values())

    def prepared(self) -> list[NodeId]:
        said, self.said = self.said, []
        return [node for node, message in said if isinstance(message, Prepare)]
