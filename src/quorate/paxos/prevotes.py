"""Pre-votes: the messages before a campaign, and their answers. `election` keeps the timers."""

from quorate.base.effects import Effect, Send
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import PreVote, PreVoteAnswer, Removed
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.election import Election
from quorate.paxos.learner import Learner
from quorate.paxos.membership import Membership
from quorate.paxos.quorum import is_phase1_quorum


class PreVotes:
    """Both sides of a pre-vote.

    Args:
        me: The id of this node.
        membership: The voters.
        acceptor: Of this node: what it promised.
        learner: Of this node: its watermark, and those of others.
        election: The timers, the grants, and the rounds that were seen.
    """

    def __init__(
        self,
        me: NodeId,
        membership: Membership,
        acceptor: Acceptor,
        learner: Learner,
        election: Election,
    ) -> None:
        self._me = me
        self._membership = membership
        self._acceptor = acceptor
        self._learner = learner
        self._election = election

    def begin(self, now_s: float) -> tuple[bool, list[Effect]]:
        """Ask the voters whether they would promise; True and no message if we are a quorum."""
        number = self._election.begin_pre_vote(self._me, now_s)
        if self._is_elected({self._me}):
            return True, []
        round_ = self._election.next_round(self._acceptor.promised.round)
        message = PreVote(round_, number, self._learner.watermark)
        peers = [node for node in self._membership.members if node != self._me]
        return False, [Send(peer, message) for peer in peers]

    def on_pre_vote(
        self, sender: NodeId, message: PreVote, now_s: float, *, is_serving: bool
    ) -> list[Effect]:
        """Would we promise? A node that is no member, and not ahead, gets Removed (ELE-3)."""
        watermark = self._learner.watermark
        self._learner.note_remote_watermark(message.watermark, sender)
        if sender not in self._membership.members and message.watermark <= watermark:
            return [Send(sender, Removed(self._membership.newest.number))]
        promised = self._acceptor.promised
        granted = (
            not is_serving
            and message.round > promised.round
            and self._election.may_grant(watermark, message.watermark, now_s)
        )
        return [Send(sender, PreVoteAnswer(message.number, granted, promised, watermark))]

    def on_answer(
        self, sender: NodeId, message: PreVoteAnswer, now_s: float, *, is_leading: bool
    ) -> bool:
        """Count a grant; True if they are enough to campaign."""
        election = self._election
        if message.promised.round > election.round_seen and not message.is_granted:
            election.expedite(now_s)  # refused for a higher promise, not for a live leader
        election.note_round(message.promised.round)
        self._learner.note_remote_watermark(message.watermark, sender)
        if is_leading or not message.is_granted:
            return False
        return self._is_elected(election.on_grant(sender, message.number))

    def _is_elected(self, grants: set[NodeId]) -> bool:
        voters = self._membership.governing(Slot(self._learner.watermark + 1)).voter_ids
        return is_phase1_quorum(grants, voters)
