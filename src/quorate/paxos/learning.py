"""Learning: how one replica comes to know what is chosen, and keeps what it was only told.

LRN-4: what a node knows chosen by a leader's word alone is in no record of its log, and is gone
    after a power cut. As long as the configuration that chose it is in force, its voters can tell
    again. So when a configuration goes out of force the log stores the word by which all its slots
    were known to be chosen: from then on its voters may be lost.
LRN-5: an Accept for a slot that is known to be chosen is compared with what is held. It is granted
    if its batch is the one held. Another batch is a contradiction if the Accept's ballot is at or
    above the one under which the slot was chosen, and legal, however late, if it is below. The
    first is known if this node voted for the batch held, and the leader of that ballot told that
    the slot is chosen: then that ballot chose it, or a lower one (LDR-8), and no vote is above the
    promise. So an Accept that the promise lets pass stops this node. If the batch was fetched, its
    ballot is not known; then, and if the batch is no longer kept, nothing can be proven: the Accept
    gets no vote, and the answer says how far all is known here. Its sender learns by that.
    Logs of builds that did not keep LDR-8 are no exception, as those builds take part in no ballot
    with this one (`docs/protocol/paxos.md`).
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Persist, Send
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Fetch,
    Fetched,
    Heartbeat,
    PollAnswer,
)
from quorate.base.records import Chosen, Promised
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.fetcher import Fetcher
from quorate.paxos.learner import ContradictionError, Learner
from quorate.paxos.membership import Membership


class Learning:
    """What a replica does to know what is chosen.

    Args:
        me: Our id.
        settings: See `base.config`.
        membership: Who can be asked.
        acceptor: Ours: its votes are taken for chosen by a leader's word.
        learner: Ours.
        linked: To whom a link stands; the replica keeps it.
        proposing: The ballot in whose phase 2 this node is; None if it is in none.

    Attributes:
        snapshot_source: Who has what no peer keeps in memory any more; None: nothing of that kind
            is missing. To be read only.
    """

    def __init__(
        self,
        me: NodeId,
        settings: NodeSettings,
        membership: Membership,
        acceptor: Acceptor,
        learner: Learner,
        linked: AbstractSet[NodeId],
        proposing: Callable[[], Ballot | None],
    ) -> None:
        self._me = me
        self._fetch_bytes_max = settings.limits.fetch_bytes_max
        self._membership = membership
        self._acceptor = acceptor
        self._learner = learner
        self._linked = linked
        self._proposing = proposing
        self.snapshot_source: NodeId | None = None
        self.fetcher = Fetcher(settings.timing.fetch_resend_s)
        self._claim: Promised | None = None  # a leader's last word, if no record holds it yet

    # --- what leaders say --------------------------------------------------------------------

    def learn(
        self, ballot: Ballot, watermark: Slot, teller: NodeId, *, is_stored: bool
    ) -> list[Effect]:
        """Take a leader's word for what is chosen; `is_stored`: a vote's record holds it too."""
        if watermark <= self._learner.watermark:
            return []
        claim = self._claim
        effects = self.store_claim() if claim is not None and claim.ballot != ballot else []
        self._learner.on_watermark(ballot, watermark, self._acceptor.votes, teller)
        self._claim = None if is_stored else Promised(ballot, watermark)
        return effects

    def keep_claim(self, ballot: Ballot) -> list[Effect]:
        """We led under `ballot`, and no more: our own word proves what our votes of it chose."""
        claimed = ballot if self._claim is None else self._claim.ballot
        effects = self.store_ahead(max(ballot, claimed))
        self._claim = Promised(ballot, self._learner.watermark)
        return effects

    def store_ahead(self, ballot: Ballot) -> list[Effect]:
        """Votes of a new ballot replace those that prove what is known: store it before (LRN-4).

        Of a leader above `ballot` there are none, and its word would be a promise: it waits.
        """
        is_due = self._claim is None or self._claim.ballot <= ballot
        effects = self.store_claim() if is_due else []
        ahead = sorted(self._learner.chosen.items())
        return effects + [Persist(Chosen(slot, batch)) for slot, batch in ahead]

    def store_claim(self) -> list[Effect]:
        """Let the log hold what only a leader's word proved chosen (LRN-4)."""
        claims, self._claim = [self._claim] if self._claim is not None else [], None
        ballot = self._proposing()
        if ballot is not None:
            claims.append(Promised(ballot, self._learner.watermark))
        for claim in claims:
            self._acceptor.remember(claim)
        return [Persist(claim) for claim in claims]

    def may_grant(self, message: Accept) -> bool:
        """An Accept for a slot known to be chosen: may the acceptor grant it (LRN-5)?

        If not, the answer is how far this node is.

        Raises:
            ContradictionError: Its ballot is at or above that under which another batch was chosen.
        """
        learner = self._learner
        held = learner.held(message.slot)
        if held == message.batch:
            return True
        is_bounded = learner.is_ballot_bounded(message.slot)
        if held is not None and is_bounded and message.ballot >= self._acceptor.promised:
            raise ContradictionError(message.slot, held, message.batch)
        return False

    def on_non_member(
        self, sender: NodeId, message: Accept | Heartbeat | PollAnswer
    ) -> list[Effect]:
        """Who is no member here may have become one in what is missing here: fetch it."""
        self._learner.hear_of(message.watermark, sender)
        return []

    # --- fetching ----------------------------------------------------------------------------

    def fetch(self, now_s: float) -> list[Effect]:
        """Ask for the next hole: first the node that told of it, then others in turn (FET-3)."""
        learner, me, linked = self._learner, self._me, self._linked
        if not learner.has_hole or not self.fetcher.is_due(now_s) or self.snapshot_source:
            return []
        candidates = [learner.teller, *self._membership.members, *sorted(linked)]
        peers = [peer for peer in candidates if peer != me and peer in linked]
        asked = self.fetcher.ask(Slot(learner.watermark + 1), learner.told, peers, now_s)
        return [] if asked is None else [Send(*asked)]

    def on_fetch(self, sender: NodeId, message: Fetch) -> list[Effect]:
        """Give chosen batches to who asks."""
        tail, first = self._learner.tail, message.slot_first
        batches = tail.run(first, message.slot_last, self._fetch_bytes_max)
        answer = Fetched(first, tuple(batches), self._learner.watermark, tail.slot_first)
        return [Send(sender, answer)]

    def on_fetched(self, sender: NodeId, message: Fetched) -> list[Effect]:
        """Take the answer to a question of ours (FET-1).

        Raises:
            ContradictionError: It holds another batch than the one known here.
        """
        if not self.fetcher.take(sender, message):
            return []
        effects: list[Effect] = []
        learner = self._learner
        for place, batch in enumerate(message.batches):
            slot = Slot(message.slot_first + place)
            if learner.choose(slot, batch):
                effects.append(Persist(Chosen(slot, batch)))
                learner.note_fetched(slot)
        learner.hear_of(message.watermark, sender)
        if not message.batches:
            is_gone = message.slot_first == learner.watermark + 1 < message.slot_tail
            if is_gone and message.slot_tail <= message.watermark + 1:
                self.snapshot_source = sender
        return effects

    def drop_snapshot_source(self) -> None:
        """Its snapshot was taken, or it gave none: look for a hole, and a source, again."""
        self.snapshot_source = None

    def on_progress(self, now_s: float) -> list[Effect]:
        """What was fetched let the watermark rise: ask for more at once (FET-2)."""
        self.fetcher.hurry()
        return self.fetch(now_s)
