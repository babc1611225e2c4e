"""Identities of peers: the links, the cluster of each peer, and which messages it may send.

A Hello states the cluster of a directory when a link is established. A node that becomes part of a
cluster later announces it on each link (`Identity`), and both ends check the link again.

IDN-1: messages of a peer of another cluster are ignored, and both ends close the link to it.
IDN-2: until both ends belong to the same cluster only the messages of bootstrap and join pass.
IDN-3: an Identity is sent only when the directory has stored its content.
IDN-4: a message of a group that this node does not host changes nothing, and ends the link: the
    sender has a wrong view of this node.
"""

from collections.abc import Mapping

import msgspec

from quorate.base.batches import Member
from quorate.base.effects import Close, Effect, SendWhenDurable
from quorate.base.events import Received
from quorate.base.ids import GROUP, NodeId
from quorate.base.messages import (
    BootstrapAbandoned,
    BootstrapCancelled,
    BootstrapDone,
    BootstrapOffer,
    BootstrapStored,
    DiscoveryReport,
    Identity,
    Join,
    Message,
    Welcome,
)

REPEAT_S = 0.5
"""An unanswered Identity is repeated this often."""

TRUSTED_MAX = 1024
"""The number of nodes remembered as members of this cluster: more than a node has links."""

_BOTH_UNINITIALISED: frozenset[type[Message]] = frozenset(
    {
        Identity,
        DiscoveryReport,
        BootstrapOffer,
        BootstrapStored,
        BootstrapDone,
        BootstrapCancelled,
        BootstrapAbandoned,
    }
)
_FROM_A_CLUSTER: frozenset[type[Message]] = frozenset(
    {Identity, Welcome, BootstrapDone, BootstrapCancelled}
)
_FROM_AN_UNINITIALISED: frozenset[type[Message]] = frozenset(
    {Identity, DiscoveryReport, Join, BootstrapStored}
)


class Peer(msgspec.Struct):
    """The other end of a link: its cluster, and whether it knows ours."""

    member: Member
    cluster_id: str
    is_informed: bool


class PeerIdentities:
    """All links of one node, as the node sees them.

    Args:
        me: Its id.

    Attributes:
        cluster_id: The cluster of this node; "" if none yet.
        trusted: Nodes that may send all messages: this one, those of its cluster, linked or not.
    """

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self.cluster_id = ""
        self.trusted: dict[NodeId, None] = {me: None}
        self._peers: dict[NodeId, Peer] = {}
        self._due_s = float("-inf")

    # --- queries -------------------------------------------------------------------------------

    @property
    def linked(self) -> Mapping[NodeId, Peer]:
        """Linked peers, of any cluster or none."""
        return self._peers

    @property
    def own_cluster(self) -> set[NodeId]:
        """Linked peers of this cluster."""
        return {node for node in self._peers if node in self.trusted}

    @property
    def uninitialised(self) -> set[NodeId]:
        """Linked peers that belong to no cluster yet."""
        return {node for node, peer in self._peers.items() if not peer.cluster_id}

    @property
    def clusters(self) -> dict[str, list[Member]]:
        """The linked peers of each other cluster, by its id."""
        found: dict[str, list[Member]] = {}
        for peer in self._peers.values():
            if peer.cluster_id and peer.cluster_id != self.cluster_id:
                found.setdefault(peer.cluster_id, []).append(peer.member)
        return found

    def cluster_of(self, node: NodeId) -> str:
        """The cluster of a linked peer; "" if none, or unknown."""
        peer = self._peers.get(node)
        return peer.cluster_id if peer is not None else ""

    def name_of(self, node: NodeId) -> str:
        """The name of a linked peer, for people; its id if it is not linked."""
        peer = self._peers.get(node)
        return peer.member.name if peer is not None else node

    @property
    def names(self) -> str:
        """The names of all linked peers, for people."""
        return ", ".join(sorted(peer.member.name for peer in self._peers.values()))

    def admits(self, sender: NodeId, kind: type[Message]) -> bool:
        """Whether that node may send a message of this kind (IDN-1, IDN-2)."""
        if sender in self.trusted:
            return True
        peer = self._peers.get(sender)
        if peer is None:
            return False
        if self.cluster_id:
            return not peer.cluster_id and kind in _FROM_AN_UNINITIALISED
        return kind in (_FROM_A_CLUSTER if peer.cluster_id else _BOTH_UNINITIALISED)

    # --- what happens --------------------------------------------------------------------------

    def on_connected(self, member: Member, cluster_id: str, announced: str | None) -> list[Effect]:
        """A link was established; `announced`: the cluster in our Hello, None: the current one."""
        is_informed = announced is None or announced == self.cluster_id
        peer = self._peers[member.id] = Peer(member, cluster_id, is_informed)
        self.trusted.pop(member.id, None)
        return self._judged(peer)

    def on_disconnected(self, node: NodeId) -> None:
        """The link broke. A peer of this cluster stays trusted: its cluster does not change."""
        self._peers.pop(node, None)

    def on_identity(self, sender: NodeId, message: Identity) -> list[Effect]:
        """A peer announces its cluster."""
        peer = self._peers.get(sender)
        if peer is None:
            return []
        effects: list[Effect] = []
        if message.is_answer:
            peer.is_informed = True
        else:
            effects.append(SendWhenDurable(sender, Identity(self.cluster_id, is_answer=True)))
        if message.cluster_id and message.cluster_id != peer.cluster_id:
            peer.cluster_id = message.cluster_id
            effects += self._judged(peer)
        return effects

    def adopt(self, cluster_id: str) -> list[Effect]:
        """Our directory belongs to this cluster from now on: check every link again."""
        if cluster_id == self.cluster_id:
            return []
        self.cluster_id = cluster_id
        self._due_s = float("-inf")
        effects: list[Effect] = []
        for peer in list(self._peers.values()):
            peer.is_informed = False
            effects += self._judged(peer)
        return effects

    def tick(self, now_s: float) -> list[Effect]:
        """Announce our cluster to peers that have not confirmed it."""
        if not self.cluster_id or now_s < self._due_s:
            return []
        self._due_s = now_s + REPEAT_S
        return [
            SendWhenDurable(node, Identity(self.cluster_id))
            for node, peer in self._peers.items()
            if not peer.is_informed
        ]

    def _judged(self, peer: Peer) -> list[Effect]:
        """Check a link; a Close if it may not stay (IDN-1)."""
        mine, theirs, member = self.cluster_id, peer.cluster_id, peer.member
        if not mine:
            return []
        self._due_s = float("-inf")
        if theirs == mine:
            self.trusted[member.id] = None
            if len(self.trusted) > TRUSTED_MAX:
                kept = self._peers.keys() | {self._me}
                del self.trusted[next(node for node in self.trusted if node not in kept)]
        elif theirs:
            self.on_disconnected(member.id)  # later messages on that link are ignored
            return [
                Close(
                    member.id,
                    f"node {member.name!r} ({member.id}) at {member.address} belongs to cluster "
                    f"{theirs}, this node to {mine}: remove its address from the ones to join",
                )
            ]
        return []


def refused_group(event: Received) -> Effect:
    """Close a link that carried a message of an unknown group (IDN-4)."""
    return Close(
        event.sender,
        f"node {event.sender} sent a {type(event.message).__name__} of group {event.group}, and "
        f"this node hosts group {GROUP} only: run the same version of Quorate on all nodes",
    )
