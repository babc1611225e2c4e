"""Routes: which part of a node takes which message; what is not listed is for the replica."""

from collections.abc import Callable
from typing import Protocol

from quorate.base.batches import Bundle, Member
from quorate.base.effects import Effect, Send, Truncate
from quorate.base.events import Connected, Disconnected
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import (
    ChangeAnswer,
    ChangeAsk,
    ConfigurationDurable,
    Farewell,
    Forward,
    ForwardGap,
    Found,
    FoundAbandoned,
    FoundCancelled,
    FoundDone,
    FoundStored,
    Heartbeat,
    HeartbeatAnswer,
    Identity,
    Join,
    Meet,
    Message,
    Overview,
    ReadAsk,
    ReadPoint,
    SnapshotAsk,
    SnapshotChunk,
    Welcome,
)
from quorate.machine.machine import BundleResult, Machine
from quorate.node.agreement import Agreement
from quorate.node.catchup import Asker, Source
from quorate.node.changes import Changes
from quorate.node.founding import Founding
from quorate.node.intake import Intake
from quorate.node.origin import Origin
from quorate.node.overview import Overviews
from quorate.node.peering import Peering
from quorate.node.reads import Reads
from quorate.node.status import is_removed
from quorate.paxos.replica import Replica

JOIN_EVERY_S = 0.5
"""A node that no configuration names asks to be let in this often."""


class Parts(Protocol):
    """The parts of a node that take messages."""

    me: Member
    machine: Machine
    founding: Founding
    peering: Peering
    replica: Replica | None
    origin: Origin
    intake: Intake | None
    reads: Reads
    source: Source
    asker: Asker
    changes: Changes
    agreement: Agreement
    overviews: Overviews
    leader: NodeId | None

    def send_again(self, now_s: float) -> list[Effect]:
        """Every bundle on the way goes to the leader again, in order."""
        ...


class Routes:
    """The table of a node's messages."""

    def __init__(self, node: Parts) -> None:
        self._node = node
        self._join_due_s = float("-inf")
        self._takers: dict[type, Callable[..., list[Effect]]] = {
            Forward: self._on_forward,
            ForwardGap: self._on_forward_gap,
            ReadAsk: self._on_read_ask,
            ReadPoint: self._on_read_point,
            SnapshotAsk: self._on_snapshot_ask,
            SnapshotChunk: self._on_snapshot_chunk,
            ChangeAsk: self._on_change_ask,
            ChangeAnswer: self._on_change_answer,
            ConfigurationDurable: self._on_in_force,
            Heartbeat: self._on_heartbeat,
            HeartbeatAnswer: self._on_heartbeat_answer,
            Overview: self._on_overview,
            Join: self._on_join,
            Meet: self._on_founding,
            Found: self._on_founding,
            FoundStored: self._on_founding,
            FoundDone: self._on_founding,
            FoundCancelled: self._on_founding,
            FoundAbandoned: self._on_founding,
            Identity: self._on_identity,
            Welcome: self._on_founding,
        }

    def take(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        """Give a message to its part, if it may be heard from this sender (ID1, ID2)."""
        peering = self._node.peering
        if sender not in peering.heard and not peering.admits(sender, type(message)):
            return []
        taker = self._takers.get(type(message))
        if taker is not None:
            return taker(sender, message, now_s)
        return self._to_replica(sender, message, now_s)

    def on_connected(self, event: Connected, now_s: float) -> list[Effect]:
        """A link stands."""
        effects = self._node.peering.on_connected(event.peer, event.cluster_id, event.told)
        return effects + self._linked(event.peer, now_s)

    def on_disconnected(self, event: Disconnected, now_s: float) -> list[Effect]:
        """A link is gone."""
        node = self._node
        node.peering.on_disconnected(event.peer)
        node.founding.on_disconnected(event.peer)
        return [] if node.replica is None else node.replica.receive(event, now_s)

    def on_snapshot(self, slot: Slot) -> list[Effect]:
        """The tables as of `slot` are durable: the log up to there may go."""
        replica = self._node.replica
        return [Truncate(slot), *([] if replica is None else replica.durable.on_snapshot(slot))]

    def _linked(self, peer: Member, now_s: float) -> list[Effect]:
        """A link stands, or its other end said what it belongs to."""
        node = self._node
        effects = node.founding.on_connected(peer)
        if node.replica is not None and peer.id in node.peering.own_cluster:
            effects += node.replica.receive(Connected(peer, ""), now_s)
            if peer.id == node.leader:
                effects += node.send_again(now_s)
        return effects

    def forward(self, bundle: Bundle, leader: NodeId | None) -> list[Effect]:
        """Bring a bundle of this node to the leader, which may be this node."""
        node = self._node
        if node.intake is not None:
            node.intake.offer(bundle)
            return []
        return [] if leader is None else [Send(leader, Forward(bundle))]

    def own_applied(self, result: BundleResult, slot: Slot) -> list[Effect]:
        """A bundle of this node was applied here; one of an earlier life has no clients."""
        origin = self._node.origin
        if result.incarnation != origin.incarnation:
            return []
        applied = origin.on_applied(result.sequence, result.outcomes, slot, result.position)
        return [] if applied is None else [applied]

    def ask_changes(self, now_s: float) -> list[Effect]:
        """Bring wishes to the leader. A removed node hears none: it asks all it is linked to."""
        node, replica = self._node, self._node.replica
        whom = [] if node.leader is None else [node.leader]
        if replica is not None and not whom and is_removed(replica):
            whom = sorted(replica.linked)
        return node.changes.flush(whom, now_s)

    def join(self, now_s: float) -> list[Effect]:
        """Ask those we are linked to for a place in the configuration."""
        node = self._node
        if now_s < self._join_due_s or node.replica is None:
            return []
        self._join_due_s = now_s + JOIN_EVERY_S
        whom = sorted(node.replica.linked) if node.leader is None else [node.leader]
        return [Send(peer, Join(node.me)) for peer in whom]

    def _to_replica(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        replica = self._node.replica
        return [] if replica is None else replica.hear(sender, message, now_s)

    def _on_forward(self, sender: NodeId, message: Forward, now_s: float) -> list[Effect]:
        if self._node.intake is None:
            return []  # not serving: the origin sends again to whoever is
        gap = self._node.intake.offer(message.bundle)
        return [] if gap is None else [Send(sender, gap)]

    def _on_forward_gap(self, sender: NodeId, message: ForwardGap, now_s: float) -> list[Effect]:
        node = self._node
        if sender != node.leader:
            return []
        effects: list[Effect] = []
        for bundle in node.origin.from_sequence(message.incarnation, message.sequence, now_s):
            effects += self.forward(bundle, node.leader)
        return effects

    def _on_read_ask(self, sender: NodeId, message: ReadAsk, now_s: float) -> list[Effect]:
        replica = self._node.replica
        if replica is not None and replica.leadership is not None:
            replica.leadership.ask_read(sender, message.number)
        return []

    def _on_read_point(self, sender: NodeId, message: ReadPoint, now_s: float) -> list[Effect]:
        node = self._node
        ready = node.reads.on_point(
            message.number, message.slot, message.stamp_ms, node.machine.applied
        )
        return [] if ready is None else [ready]

    def _on_snapshot_ask(self, sender: NodeId, message: SnapshotAsk, now_s: float) -> list[Effect]:
        node = self._node
        is_new = message.number == 0
        if node.asker.is_installing or (is_new and node.machine.is_applying):
            return []  # asked again, of these tables or elsewhere
        return node.source.on_ask(sender, message, node.machine.applied, now_s)

    def _on_snapshot_chunk(
        self, sender: NodeId, message: SnapshotChunk, now_s: float
    ) -> list[Effect]:
        node, replica = self._node, self._node.replica
        if replica is None:
            return []
        effects = node.asker.on_chunk(sender, message, replica.watermark, now_s)
        replica.is_installing = node.asker.is_installing
        if replica.is_installing:
            node.source.close()  # the tables it shows are about to go
        return effects

    def _on_change_ask(self, sender: NodeId, message: ChangeAsk, now_s: float) -> list[Effect]:
        node = self._node
        if node.replica is None:
            return []
        return node.changes.on_ask(sender, message, node.replica, now_s)

    def _on_change_answer(
        self, sender: NodeId, message: ChangeAnswer, now_s: float
    ) -> list[Effect]:
        return list(self._node.changes.on_answer(message))

    def _on_heartbeat(self, sender: NodeId, message: Heartbeat, now_s: float) -> list[Effect]:
        effects = self._to_replica(sender, message, now_s)
        halt = self._node.agreement.check(message.digest_slot, message.digest)
        return effects if halt is None else [*effects, halt]

    def _on_heartbeat_answer(
        self, sender: NodeId, message: HeartbeatAnswer, now_s: float
    ) -> list[Effect]:
        effects = self._to_replica(sender, message, now_s)
        replica = self._node.replica
        if replica is None or replica.leadership is None:
            return effects
        effects += self._node.changes.answers(replica)
        halt = self._node.agreement.hear(
            sender, message.digest_slot, message.digest, replica.membership.newest
        )
        return effects if halt is None else [*effects, halt]

    def _on_in_force(
        self, sender: NodeId, message: ConfigurationDurable, now_s: float
    ) -> list[Effect]:
        effects, replica = self._to_replica(sender, message, now_s), self._node.replica
        return effects if replica is None else effects + self._node.changes.answers(replica)

    def _on_overview(self, sender: NodeId, message: Overview, now_s: float) -> list[Effect]:
        if sender == self._node.leader:
            self._node.overviews.on_overview(message, now_s)
        return []

    def _on_join(self, sender: NodeId, message: Join, now_s: float) -> list[Effect]:
        """Welcome whoever asks; have the leader let it in as learner when it belongs here (B4)."""
        node = self._node
        founded = node.founding.founded
        if node.replica is None or founded is None or not founded.complete:
            return []
        effects: list[Effect] = []
        newest = node.replica.membership.newest
        if message.member.id in newest.removed:
            return [Send(message.member.id, Farewell(newest.number))]
        if sender == message.member.id:
            effects.append(Send(sender, Welcome(founded.cluster_id, founded.configuration)))
            if sender not in node.peering.heard:
                return effects
        if node.intake is None:
            if node.leader is not None and sender == message.member.id:
                effects.append(Send(node.leader, message))
            return effects
        leadership = node.replica.leadership
        if leadership is None or newest.member(message.member.id) == message.member:
            return effects
        ask = ChangeAsk(0, "add", message.member)
        return effects + node.changes.on_ask(sender, ask, node.replica, now_s)

    def _on_identity(self, sender: NodeId, message: Identity, now_s: float) -> list[Effect]:
        peering = self._node.peering
        before = peering.cluster_of(sender)
        effects = peering.on_identity(sender, message)
        peer = peering.linked.get(sender)
        if peer is None or peer.cluster_id == before:
            return effects
        return effects + self._linked(peer.member, now_s)

    def _on_founding(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        return self._node.founding.receive(sender, message)
