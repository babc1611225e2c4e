"""Links: what follows when a link stands or breaks, and who is let into the cluster.

`peering` judges links; here the other parts of a node hear of them. A node that no configuration
names asks those it is linked to for a place in it (`Join`), and members bring that to the leader.
"""

from quorate.base.batches import Member
from quorate.base.effects import Effect, Send
from quorate.base.events import Connected, Disconnected
from quorate.base.ids import NodeId
from quorate.base.messages import ChangeAsk, Identity, Join, Message, Removed, Welcome
from quorate.node.changes import JOIN, Changes
from quorate.node.dispatch import Handlers
from quorate.node.founding import Founding
from quorate.node.group import Group
from quorate.node.peering import Peering

JOIN_EVERY_S = 0.5
"""A node that no configuration names asks to be let in this often."""


class Links:
    """The links of one node, and the ways into its cluster.

    Args:
        me: This node.
        peering: It judges links.
        founding: How this directory came to belong to a cluster.
        group: It hears of links to members.
        changes: As leader: they let in whoever belongs here.
    """

    def __init__(
        self, me: Member, peering: Peering, founding: Founding, group: Group, changes: Changes
    ) -> None:
        self._me = me
        self._peering = peering
        self._founding = founding
        self._group = group
        self._changes = changes
        self._join_due_s = float("-inf")

    @property
    def handlers(self) -> Handlers:
        """Which messages are taken here."""
        founding = dict.fromkeys(self._founding.messages, self._on_founding)
        return {Join: self._on_join, Identity: self._on_identity, **founding}

    def on_connected(self, event: Connected, now_s: float) -> list[Effect]:
        """A link stands."""
        effects = self._peering.on_connected(event.peer, event.cluster_id, event.told)
        return effects + self._linked(event.peer, now_s)

    def on_disconnected(self, event: Disconnected, now_s: float) -> list[Effect]:
        """A link is gone."""
        self._peering.on_disconnected(event.peer)
        self._founding.on_disconnected(event.peer)
        replica = self._group.replica
        return [] if replica is None else replica.receive(event, now_s)

    def ask_to_join(self, now_s: float) -> list[Effect]:
        """Ask those we are linked to for a place in the configuration."""
        replica, leader = self._group.replica, self._group.leader
        if now_s < self._join_due_s or replica is None:
            return []
        self._join_due_s = now_s + JOIN_EVERY_S
        whom = sorted(replica.linked) if leader is None else [leader]
        return [Send(peer, Join(self._me)) for peer in whom]

    def _linked(self, peer: Member, now_s: float) -> list[Effect]:
        """A link stands, or its other end said what it belongs to."""
        effects = self._founding.on_connected(peer)
        if peer.id in self._peering.own_cluster:
            effects += self._group.on_linked(peer, now_s)
        return effects

    def _on_join(self, sender: NodeId, message: Join, now_s: float) -> list[Effect]:
        """Welcome whoever asks; have the leader add it as learner if it belongs here (JOI-4)."""
        group, replica, founded = self._group, self._group.replica, self._founding.founded
        if replica is None or founded is None or not founded.complete:
            return []
        effects: list[Effect] = []
        newest = replica.membership.newest
        if message.member.id in newest.removed:
            return [Send(message.member.id, Removed(newest.number))]
        if sender == message.member.id:
            effects.append(Send(sender, Welcome(founded.cluster_id, founded.configuration)))
            if sender not in self._peering.heard:
                return effects
        if group.intake is None:
            if group.leader is not None and sender == message.member.id:
                effects.append(Send(group.leader, message))
            return effects
        if replica.leadership is None or newest.member(message.member.id) == message.member:
            return effects
        ask = ChangeAsk(JOIN, "add", message.member)
        return effects + self._changes.on_ask(message.member.id, ask, replica, now_s)

    def _on_identity(self, sender: NodeId, message: Identity, now_s: float) -> list[Effect]:
        peering = self._peering
        before = peering.cluster_of(sender)
        effects = peering.on_identity(sender, message)
        peer = peering.linked.get(sender)
        if peer is None or peer.cluster_id == before:
            return effects
        return effects + self._linked(peer.member, now_s)

    def _on_founding(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        return self._founding.receive(sender, message)
