"""Links: reactions to new and broken links, and the admission of nodes to the cluster.

`identities` checks links; this module notifies the other parts of a node. A node that is in no
configuration requests a place from its peers (`Join`), and members forward that to the leader.
"""

from quorate.base.batches import Member
from quorate.base.effects import Effect, Send
from quorate.base.events import Connected, Disconnected
from quorate.base.ids import NodeId
from quorate.base.messages import ChangeAsk, Identity, Join, Message, Removed, Welcome
from quorate.node.bootstrapping import BootstrapProtocol
from quorate.node.dispatch import Handlers
from quorate.node.group import Group
from quorate.node.identities import PeerIdentities
from quorate.node.reconfiguration import JOIN, Reconfiguration

JOIN_EVERY_S = 0.5
"""A node that is in no configuration requests admission this often."""


class Links:
    """The links of one node, and admissions to its cluster.

    Args:
        me: This node.
        identities: Checks links.
        bootstrap: How this directory came to belong to a cluster.
        group: Is notified of links to members.
        reconfiguration: As leader: admits nodes that belong here.
    """

    def __init__(
        self,
        me: Member,
        identities: PeerIdentities,
        bootstrap: BootstrapProtocol,
        group: Group,
        reconfiguration: Reconfiguration,
    ) -> None:
        self._me = me
        self._identities = identities
        self._bootstrap = bootstrap
        self._group = group
        self._reconfiguration = reconfiguration
        self._join_due_s = float("-inf")

    @property
    def handlers(self) -> Handlers:
        """Which messages are taken here."""
        bootstrap = dict.fromkeys(self._bootstrap.messages, self._on_bootstrap)
        return {Join: self._on_join, Identity: self._on_identity, **bootstrap}

    def on_connected(self, event: Connected, now_s: float) -> list[Effect]:
        """A link was established."""
        effects = self._identities.on_connected(event.peer, event.cluster_id, event.announced)
        return effects + self._linked(event.peer, now_s)

    def on_disconnected(self, event: Disconnected, now_s: float) -> list[Effect]:
        """A link broke."""
        self._identities.on_disconnected(event.peer)
        self._bootstrap.on_disconnected(event.peer)
        replica = self._group.replica
        return [] if replica is None else replica.receive(event, now_s)

    def ask_to_join(self, now_s: float) -> list[Effect]:
        """Request a place in the configuration from linked peers."""
        replica, leader = self._group.replica, self._group.leader
        if now_s < self._join_due_s or replica is None:
            return []
        self._join_due_s = now_s + JOIN_EVERY_S
        whom = sorted(replica.linked) if leader is None else [leader]
        return [Send(peer, Join(self._me)) for peer in whom]

    def _linked(self, peer: Member, now_s: float) -> list[Effect]:
        """A link was established, or its peer announced its cluster."""
        effects = self._bootstrap.on_connected(peer)
        if peer.id in self._identities.own_cluster:
            effects += self._group.on_linked(peer, now_s)
        return effects

    def _on_join(self, sender: NodeId, message: Join, now_s: float) -> list[Effect]:
        """Welcome the sender; have the leader add it as learner if it belongs here (JOI-4)."""
        group, replica, bootstrapped = (
            self._group,
            self._group.replica,
            self._bootstrap.bootstrapped,
        )
        if replica is None or bootstrapped is None or not bootstrapped.complete:
            return []
        effects: list[Effect] = []
        newest = replica.membership.newest
        if message.member.id in newest.removed:
            return [Send(message.member.id, Removed(newest.number))]
        if sender == message.member.id:
            effects.append(
                Send(sender, Welcome(bootstrapped.cluster_id, bootstrapped.configuration))
            )
            if sender not in self._identities.trusted:
                return effects
        if group.intake is None:
            if group.leader is not None and sender == message.member.id:
                effects.append(Send(group.leader, message))
            return effects
        if replica.leadership is None or newest.member(message.member.id) == message.member:
            return effects
        ask = ChangeAsk(JOIN, "add", message.member)
        return effects + self._reconfiguration.on_ask(message.member.id, ask, replica, now_s)

    def _on_identity(self, sender: NodeId, message: Identity, now_s: float) -> list[Effect]:
        identities = self._identities
        before = identities.cluster_of(sender)
        effects = identities.on_identity(sender, message)
        peer = identities.linked.get(sender)
        if peer is None or peer.cluster_id == before:
            return effects
        return effects + self._linked(peer.member, now_s)

    def _on_bootstrap(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        return self._bootstrap.receive(sender, message)
