"""Followers: what the leader of one ballot knows of the other members, by id.

Made with a ballot and gone with it. `progress` has what is known of one of them.
"""

from collections.abc import Set as AbstractSet

from quorate.base.config import NodeSettings
from quorate.base.ids import NodeId
from quorate.paxos.progress import Progress


class Followers:
    """The peers of one leadership.

    Args:
        me: Our id.
        settings: The election timeout, and how much may be on the way to one peer.
        linked: To whom a link stands; the replica keeps it.

    Attributes:
        peers: Those met in this ballot; to be read only.
    """

    def __init__(self, me: NodeId, settings: NodeSettings, linked: AbstractSet[NodeId]) -> None:
        self._me = me
        self._timeout_s = settings.timing.election_timeout_s
        self._bytes_max = settings.limits.peer_bytes_in_flight_max
        self._linked = linked
        self.peers: dict[NodeId, Progress] = {}

    def peer(self, node: NodeId, now_s: float) -> Progress:
        """What is known of that member; it counts as heard when it is met first."""
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Progress(now_s, self._bytes_max, node in self._linked)
        return peer

    def healthy(self, now_s: float) -> set[NodeId]:
        """Who was heard within the last election timeout, ourselves included."""
        limit_s = self._timeout_s
        heard = {
            node
            for node, peer in self.peers.items()
            if peer.has_answered and now_s - peer.heard_s < limit_s
        }
        return heard | {self._me}

    def on_link(self, node: NodeId, *, is_linked: bool) -> None:
        """A link was made or broke: what was on the way is lost."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.on_link(is_linked)
