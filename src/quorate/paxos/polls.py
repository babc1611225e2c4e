"""Polls: the questions before an election, and their answers. `election` keeps the timers."""

from typing import Protocol

from quorate.base.effects import Effect, Send
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import Farewell, Poll, PollAnswer
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.election import Election
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import Learner
from quorate.paxos.membership import Membership
from quorate.paxos.quorum import is_phase1_quorum


class Home(Protocol):
    """The replica that polls: its other roles, as polls need them."""

    me: NodeId
    membership: Membership
    acceptor: Acceptor
    learner: Learner
    election: Election
    leadership: Leadership | None
    round_seen: int

    def peers(self) -> list[NodeId]:
        """All other members."""
        ...

    def next_round(self) -> int:
        """A round above all seen."""
        ...

    def stand(self, now_s: float) -> list[Effect]:
        """Begin phase 1."""
        ...


class Polls:
    """Both ends of a poll.

    Args:
        home: The replica.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def begin(self, now_s: float) -> list[Effect]:
        """Ask the voters whether they would promise (pre-vote)."""
        home = self._home
        number = home.election.begin_poll(home.me, now_s)
        if self._is_elected({home.me}):
            return home.stand(now_s)
        question = Poll(home.next_round(), number, home.learner.watermark)
        return [Send(peer, question) for peer in home.peers()]

    def on_poll(self, sender: NodeId, message: Poll, now_s: float) -> list[Effect]:
        """Would we promise? A stranger that knows no more than us is told farewell (E3)."""
        home, watermark = self._home, self._home.learner.watermark
        home.learner.hear_of(message.watermark, sender)
        if sender not in home.membership.members and message.watermark <= watermark:
            return [Send(sender, Farewell(home.membership.newest.number))]
        promised = home.acceptor.promised
        granted = (
            not (home.leadership and home.leadership.is_serving)
            and message.round > promised.round
            and home.election.may_grant(watermark, message.watermark, now_s)
        )
        return [Send(sender, PollAnswer(message.number, granted, promised, watermark))]

    def on_answer(self, sender: NodeId, message: PollAnswer, now_s: float) -> list[Effect]:
        """Count a grant; stand when there are enough."""
        home = self._home
        if message.promised.round > home.round_seen and not message.is_granted:
            home.election.hurry(now_s)  # outbid, not refused for a living leader: ask higher
        home.round_seen = max(home.round_seen, message.promised.round)
        home.learner.hear_of(message.watermark, sender)
        if home.leadership or not message.is_granted:
            return []
        if self._is_elected(home.election.on_grant(sender, message.number)):
            return home.stand(now_s)
        return []

    def _is_elected(self, grants: set[NodeId]) -> bool:
        home = self._home
        voters = home.membership.governing(Slot(home.learner.watermark + 1)).voter_ids
        return is_phase1_quorum(grants, voters)
