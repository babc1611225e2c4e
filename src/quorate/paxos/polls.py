"""Polls: the questions before an election, and their answers. `election` keeps the timers."""

from quorate.base.effects import Effect, Send
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import Farewell, Poll, PollAnswer
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.election import Election
from quorate.paxos.learner import Learner
from quorate.paxos.membership import Membership
from quorate.paxos.quorum import is_phase1_quorum


class Polls:
    """Both ends of a poll (a pre-vote).

    Args:
        me: Our id.
        membership: Who votes.
        acceptor: Ours: what it promised.
        learner: Ours: how far we are, and where others are.
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
        """Ask the voters whether they would promise; True and no question if we are enough."""
        number = self._election.begin_poll(self._me, now_s)
        if self._is_elected({self._me}):
            return True, []
        round_ = self._election.next_round(self._acceptor.promised.round)
        question = Poll(round_, number, self._learner.watermark)
        peers = [node for node in self._membership.members if node != self._me]
        return False, [Send(peer, question) for peer in peers]

    def on_poll(
        self, sender: NodeId, message: Poll, now_s: float, *, is_serving: bool
    ) -> list[Effect]:
        """Would we promise? Who is no member and knows no more than us is told farewell (ELE-3)."""
        watermark = self._learner.watermark
        self._learner.hear_of(message.watermark, sender)
        if sender not in self._membership.members and message.watermark <= watermark:
            return [Send(sender, Farewell(self._membership.newest.number))]
        promised = self._acceptor.promised
        granted = (
            not is_serving
            and message.round > promised.round
            and self._election.may_grant(watermark, message.watermark, now_s)
        )
        return [Send(sender, PollAnswer(message.number, granted, promised, watermark))]

    def on_answer(
        self, sender: NodeId, message: PollAnswer, now_s: float, *, is_leading: bool
    ) -> bool:
        """Count a grant; True when there are enough to campaign."""
        election = self._election
        if message.promised.round > election.round_seen and not message.is_granted:
            election.hurry(now_s)  # outbid, not refused for a living leader: ask higher
        election.note_round(message.promised.round)
        self._learner.hear_of(message.watermark, sender)
        if is_leading or not message.is_granted:
            return False
        return self._is_elected(election.on_grant(sender, message.number))

    def _is_elected(self, grants: set[NodeId]) -> bool:
        voters = self._membership.governing(Slot(self._learner.watermark + 1)).voter_ids
        return is_phase1_quorum(grants, voters)
