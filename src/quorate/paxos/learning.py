"""Learning: how one replica comes to know what is chosen, and keeps what it was only told.

L4: what a node knows chosen by a leader's word alone is in no record of its log, and is gone after
    a power cut. As long as the configuration that chose it is in force, its voters can tell again.
    So when a configuration goes out of force the log stores the word by which all its slots were
    known to be chosen: from then on its voters may be lost.
L5: an Accept for a slot that is known to be chosen is compared with what is held. It is granted if
    its batch is the one held. If that is no longer kept, or the Accept is a late one of a ballot
    below the one that chose, the answer says how far all is known here: its sender learns by that.
    Another batch of a ballot that must have heard of the choice stops this node.
"""

from typing import Protocol

from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Persist, Send
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Fetch,
    Fetched,
    Heartbeat,
    HeartbeatAnswer,
    PollAnswer,
)
from quorate.base.records import Chosen, Promised
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.fetcher import Fetcher
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import ContradictionError, Learner


class Home(Protocol):
    """The replica that learns: its other roles, as learning needs them."""

    me: NodeId
    settings: NodeSettings
    acceptor: Acceptor
    learner: Learner
    linked: set[NodeId]
    leadership: Leadership | None
    snapshot_source: NodeId | None

    def peers(self) -> list[NodeId]:
        """All other members."""
        ...

    def progress(self, ballot: Ballot, counter: int) -> HeartbeatAnswer:
        """How far this node is."""
        ...


class Learning:
    """What a replica does to know what is chosen.

    Args:
        home: The replica.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.fetcher = Fetcher(home.settings.timing.fetch_resend_s)
        self._claim: Promised | None = None  # a leader's last word, if no record holds it yet

    # --- what leaders say --------------------------------------------------------------------

    def learn(
        self, ballot: Ballot, watermark: Slot, teller: NodeId, *, is_stored: bool
    ) -> list[Effect]:
        """Take a leader's word for what is chosen; `is_stored`: a vote's record holds it too."""
        home, claim = self._home, self._claim
        if watermark <= home.learner.watermark:
            return []
        effects = self.store_claim() if claim is not None and claim.ballot != ballot else []
        home.learner.on_watermark(ballot, watermark, home.acceptor.votes, teller)
        self._claim = None if is_stored else Promised(ballot, watermark)
        return effects

    def keep_claim(self, ballot: Ballot) -> list[Effect]:
        """We led under `ballot`, and no more: our own word proves what our votes of it chose."""
        claimed = ballot if self._claim is None else self._claim.ballot
        effects = self.store_ahead(max(ballot, claimed))
        self._claim = Promised(ballot, self._home.learner.watermark)
        return effects

    def store_ahead(self, ballot: Ballot) -> list[Effect]:
        """Votes of a new ballot replace those that prove what is known: store it before (L4).

        Of a leader above `ballot` there are none, and its word would be a promise: it waits.
        """
        is_due = self._claim is None or self._claim.ballot <= ballot
        effects = self.store_claim() if is_due else []
        ahead = sorted(self._home.learner.chosen.items())
        return effects + [Persist(Chosen(slot, batch)) for slot, batch in ahead]

    def store_claim(self) -> list[Effect]:
        """Let the log hold what only a leader's word proved chosen (L4)."""
        home = self._home
        claims, self._claim = [self._claim] if self._claim is not None else [], None
        if home.leadership is not None and home.leadership.pipeline is not None:
            claims.append(Promised(home.leadership.ballot, home.learner.watermark))
        for claim in claims:
            home.acceptor.remember(claim)
        return [Persist(claim) for claim in claims]

    def judge_known(self, sender: NodeId, message: Accept) -> list[Effect]:
        """An Accept for a slot known to be chosen (L5); nothing if the acceptor may grant it.

        Raises:
            ContradictionError: Its ballot must have heard of the batch that was chosen.
        """
        learner = self._home.learner
        held = learner.held(message.slot)
        if held == message.batch:
            return []
        ballot, slot = learner.led
        if held is not None and message.slot <= slot and message.ballot >= ballot:
            raise ContradictionError(message.slot, held, message.batch)
        return [Send(sender, self._home.progress(message.ballot, 0))]

    def on_non_member(
        self, sender: NodeId, message: Accept | Heartbeat | PollAnswer
    ) -> list[Effect]:
        """Who is no member here may have become one in what is missing here: fetch it."""
        self._home.learner.hear_of(message.watermark, sender)
        return []

    # --- fetching ----------------------------------------------------------------------------

    def fetch(self, now_s: float) -> list[Effect]:
        """Ask for the next hole: first the node that told of it, then others in turn (K3)."""
        home, learner = self._home, self._home.learner
        if not learner.has_hole or not self.fetcher.is_due(now_s) or home.snapshot_source:
            return []
        candidates = [learner.teller, *home.peers(), *sorted(home.linked)]
        peers = [peer for peer in candidates if peer != home.me and peer in home.linked]
        asked = self.fetcher.ask(Slot(learner.watermark + 1), learner.told, peers, now_s)
        return [] if asked is None else [Send(*asked)]

    def on_fetch(self, sender: NodeId, message: Fetch) -> list[Effect]:
        """Give chosen batches to who asks."""
        home, tail = self._home, self._home.learner.tail
        first = message.slot_first
        batches = tail.run(first, message.slot_last, home.settings.limits.fetch_bytes_max)
        answer = Fetched(first, tuple(batches), home.learner.watermark, tail.slot_first)
        return [Send(sender, answer)]

    def on_fetched(self, sender: NodeId, message: Fetched) -> list[Effect]:
        """Take the answer to a question of ours (K1).

        Raises:
            ContradictionError: It holds another batch than the one known here.
        """
        if not self.fetcher.take(sender, message):
            return []
        effects: list[Effect] = []
        learner = self._home.learner
        for place, batch in enumerate(message.batches):
            slot = Slot(message.slot_first + place)
            if learner.choose(slot, batch):
                effects.append(Persist(Chosen(slot, batch)))
        learner.hear_of(message.watermark, sender)
        if not message.batches:
            is_gone = message.slot_first == learner.watermark + 1 < message.slot_tail
            if is_gone and message.slot_tail <= message.watermark + 1:
                self._home.snapshot_source = sender
        return effects

    def on_progress(self, now_s: float) -> list[Effect]:
        """What was fetched let the watermark rise: ask for more at once (K2)."""
        self.fetcher.hurry()
        return self.fetch(now_s)
