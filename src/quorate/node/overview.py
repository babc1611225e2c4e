"""Overview: the progress and the last contact of every member, known on every member.

The leader knows both from the answers to its heartbeats. Once a second it reports them to the
others, so that an operator may query any node. It serves people and metrics: no decision depends on
it.
"""

from quorate.base.effects import Effect, Send
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import MemberProgress, Overview
from quorate.base.ports import Seen
from quorate.paxos.leadership import Leadership
from quorate.paxos.membership import Membership

REPORT_EVERY_S = 1.0
"""The leader reports to the others this often."""


class Overviews:
    """What one node knows of the progress of the members.

    Args:
        me: Our id.
    """

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._reported: tuple[MemberProgress, ...] = ()
        self._reported_s = 0.0
        self._due_s = float("-inf")

    def tick(
        self, leadership: Leadership, membership: Membership, watermark: Slot, now_s: float
    ) -> list[Effect]:
        """As leader, report the progress of all members to them."""
        if now_s < self._due_s:
            return []
        self._due_s = now_s + REPORT_EVERY_S
        seen = _measured(leadership, now_s)
        seen[self._me] = Seen(watermark, 0.0)
        overview = Overview(
            tuple(
                MemberProgress(node, each.watermark, int(each.last_contact_s * 1000))
                for node, each in sorted(seen.items())
            )
        )
        self.on_overview(overview, now_s)  # what is shown when this node no longer leads
        members = membership.newest.members
        return [Send(member.id, overview) for member in members if member.id != self._me]

    def on_overview(self, message: Overview, now_s: float) -> None:
        """The leader, perhaps this node, reported the progress of all members."""
        self._reported, self._reported_s = message.members, now_s

    def seen(
        self, leadership: Leadership | None, watermark: Slot, now_s: float
    ) -> dict[NodeId, Seen]:
        """What is known of every member, this node included."""
        if leadership is not None:
            seen = _measured(leadership, now_s)
        else:
            age_s = now_s - self._reported_s
            seen = {
                each.node: Seen(each.watermark, each.last_contact_ms / 1000 + age_s)
                for each in self._reported
            }
        seen[self._me] = Seen(watermark, 0.0)
        return seen


def _measured(leadership: Leadership, now_s: float) -> dict[NodeId, Seen]:
    """From the answers to our heartbeats; members that never answered are missing."""
    return {
        node: Seen(peer.match, now_s - peer.last_contact_s)
        for node, peer in leadership.peers.items()
        if peer.has_answered
    }
