"""Peering: who is linked, which cluster each peer belongs to, and what may be heard from whom.

A Hello tells what a directory belongs to when a link is made. A node that comes to belong to a
cluster while links stand says so on each of them (`Identity`), and every end judges the link again.

IDN-1: of a peer of another cluster nothing is heard, and the link to it is closed, by both ends.
IDN-2: until both ends belong to the same cluster only what leads there passes: the messages of
    bootstrap and join.
IDN-3: an Identity leaves only when the directory has stored what it says.
IDN-4: a message of a group that this node does not host changes nothing, and ends the link: who
    sends one takes this node for something else than it is.
"""

from collections.abc import Mapping

import msgspec

from quorate.base.batches import Member
from quorate.base.effects import Close, Effect, SendWhenDurable
from quorate.base.events import Received
from quorate.base.ids import GROUP, NodeId
from quorate.base.messages import (
    Found,
    FoundAbandoned,
    FoundCancelled,
    FoundDone,
    FoundStored,
    Identity,
    Join,
    Meet,
    Message,
    Welcome,
)

REPEAT_S = 0.5
"""An Identity that was not answered is said again this often."""

HEARD_MAX = 1024
"""So many nodes are remembered as belonging to our cluster: more than a node has links."""

_BOTH_UNINITIALISED: frozenset[type[Message]] = frozenset(
    {Identity, Meet, Found, FoundStored, FoundDone, FoundCancelled, FoundAbandoned}
)
_FROM_A_CLUSTER: frozenset[type[Message]] = frozenset(
    {Identity, Welcome, FoundDone, FoundCancelled}
)
_FROM_AN_UNINITIALISED: frozenset[type[Message]] = frozenset({Identity, Meet, Join, FoundStored})


class Peer(msgspec.Struct):
    """The other end of a link: what it belongs to, and whether it knows what we belong to."""

    member: Member
    cluster_id: str
    is_told: bool


class Peering:
    """All links of one node, as the node sees them.

    Args:
        me: Its id.

    Attributes:
        cluster_id: What this node belongs to; "" if to none yet.
        heard: Who may say everything: this node, and nodes of its cluster, linked or not.
    """

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self.cluster_id = ""
        self.heard: dict[NodeId, None] = {me: None}
        self._peers: dict[NodeId, Peer] = {}
        self._due_s = float("-inf")

    # --- what others ask -----------------------------------------------------------------------

    @property
    def linked(self) -> Mapping[NodeId, Peer]:
        """Peers to whom a link stands, whatever they belong to."""
        return self._peers

    @property
    def own_cluster(self) -> set[NodeId]:
        """Linked peers of our own cluster."""
        return {node for node in self._peers if node in self.heard}

    @property
    def uninitialised(self) -> set[NodeId]:
        """Linked peers that belong to no cluster yet."""
        return {node for node, peer in self._peers.items() if not peer.cluster_id}

    @property
    def clusters(self) -> dict[str, list[Member]]:
        """The linked peers of each cluster that is not ours, by its id."""
        found: dict[str, list[Member]] = {}
        for peer in self._peers.values():
            if peer.cluster_id and peer.cluster_id != self.cluster_id:
                found.setdefault(peer.cluster_id, []).append(peer.member)
        return found

    def cluster_of(self, node: NodeId) -> str:
        """What a linked peer belongs to; "" if to none, or unknown."""
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
        """Whether a message of this kind may be heard from that node (IDN-1, IDN-2)."""
        if sender in self.heard:
            return True
        peer = self._peers.get(sender)
        if peer is None:
            return False
        if self.cluster_id:
            return not peer.cluster_id and kind in _FROM_AN_UNINITIALISED
        return kind in (_FROM_A_CLUSTER if peer.cluster_id else _BOTH_UNINITIALISED)

    # --- what happens --------------------------------------------------------------------------

    def on_connected(self, member: Member, cluster_id: str, told: str | None) -> list[Effect]:
        """A link stands; `told` is what our Hello said on it, None: what is so now."""
        is_told = told is None or told == self.cluster_id
        peer = self._peers[member.id] = Peer(member, cluster_id, is_told)
        self.heard.pop(member.id, None)
        return self._judged(peer)

    def on_disconnected(self, node: NodeId) -> None:
        """The link is gone. Who is of our cluster stays so: that does not change."""
        self._peers.pop(node, None)

    def on_identity(self, sender: NodeId, message: Identity) -> list[Effect]:
        """A peer says what it belongs to."""
        peer = self._peers.get(sender)
        if peer is None:
            return []
        effects: list[Effect] = []
        if message.is_answer:
            peer.is_told = True
        else:
            effects.append(SendWhenDurable(sender, Identity(self.cluster_id, is_answer=True)))
        if message.cluster_id and message.cluster_id != peer.cluster_id:
            peer.cluster_id = message.cluster_id
            effects += self._judged(peer)
        return effects

    def adopt(self, cluster_id: str) -> list[Effect]:
        """Our directory belongs to this cluster from now on: judge every link again."""
        if cluster_id == self.cluster_id:
            return []
        self.cluster_id = cluster_id
        self._due_s = float("-inf")
        effects: list[Effect] = []
        for peer in list(self._peers.values()):
            peer.is_told = False
            effects += self._judged(peer)
        return effects

    def tick(self, now_s: float) -> list[Effect]:
        """Say what we belong to, to those who have not confirmed that they know it."""
        if not self.cluster_id or now_s < self._due_s:
            return []
        self._due_s = now_s + REPEAT_S
        return [
            SendWhenDurable(node, Identity(self.cluster_id))
            for node, peer in self._peers.items()
            if not peer.is_told
        ]

    def _judged(self, peer: Peer) -> list[Effect]:
        """Judge a link anew; a Close if it may not stand (IDN-1)."""
        mine, theirs, member = self.cluster_id, peer.cluster_id, peer.member
        if not mine:
            return []
        self._due_s = float("-inf")
        if theirs == mine:
            self.heard[member.id] = None
            if len(self.heard) > HEARD_MAX:
                kept = self._peers.keys() | {self._me}
                del self.heard[next(node for node in self.heard if node not in kept)]
        elif theirs:
            self.on_disconnected(member.id)  # what still comes on that link is not heard
            return [
                Close(
                    member.id,
                    f"node {member.name!r} ({member.id}) at {member.address} belongs to cluster "
                    f"{theirs}, this node to {mine}: remove its address from the ones to join",
                )
            ]
        return []


def refused_group(event: Received) -> Effect:
    """The end of a link on which a message of a group came that is not here (IDN-4)."""
    return Close(
        event.sender,
        f"node {event.sender} sent a {type(event.message).__name__} of group {event.group}, and "
        f"this node hosts group {GROUP} only: run the same version of Quorate on all nodes",
    )
