"""Followers: what the leader of one ballot knows of the other members, by id.

Created for a ballot and dropped with it. `progress` has what is known of one of them.
"""

from collections.abc import Set as AbstractSet

from quorate.base.config import NodeSettings
from quorate.base.ids import NodeId
from quorate.paxos.progress import Progress


class Followers:
    """The peers of one leadership.

    Args:
        me: The id of this node.
        settings: The election timeout, and how much may be in flight to one peer.
        linked: The nodes with an established link; the replica updates it.

    Attributes:
        peers: Those that this ballot has dealt with; to be read only.
    """

    def __init__(self, me: NodeId, settings: NodeSettings, linked: AbstractSet[NodeId]) -> None:
        self._me = me
        self._timeout_s = settings.timing.election_timeout_s
        self._bytes_max = settings.limits.peer_bytes_in_flight_max
        self._linked = linked
        self.peers: dict[NodeId, Progress] = {}

    def peer(self, node: NodeId, now_s: float) -> Progress:
        """What is known of that member; created when first asked for, with contact as of now."""
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Progress(now_s, self._bytes_max, node in self._linked)
        return peer

    def healthy(self, now_s: float) -> set[NodeId]:
        """The nodes that answered within the last election timeout, and this one."""
        limit_s = self._timeout_s
        healthy = {
            node
            for node, peer in self.peers.items()
            if peer.has_answered and now_s - peer.last_contact_s < limit_s
        }
        return healthy | {self._me}

    def on_link(self, node: NodeId, *, is_linked: bool) -> None:
        """A link was established or lost: what was in flight on it is lost."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.on_link(is_linked)
