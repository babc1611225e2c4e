"""Learning: how one replica learns what is chosen, and stores what only a leader reported.

LRN-4: what a node knows chosen by a leader's report alone is in no record of its log, and is lost
    by a power cut. As long as the configuration that chose it is in force, its voters can report
    it again. So when a configuration goes out of force the log stores the report that proves all
    its slots chosen: from then on its voters may be lost.
LRN-5: an Accept for a slot that is known to be chosen is compared with the batch held. It is
    granted if it carries that batch. Another batch is a contradiction if the Accept's ballot is at
    or above the one under which the slot was chosen, and legal, however late, if it is below. The
    first is known if this node voted for the batch held, and the leader of that ballot reported
    the slot chosen: then that ballot chose it, or a lower one (LDR-8), and no vote is above the
    promise. So an Accept at or above the promise halts this node. If the batch was fetched, its
    ballot is not known; then, and if the batch is no longer kept, nothing can be proven: the Accept
    gets no vote, and the answer carries this node's watermark, from which its sender learns.
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
    PreVoteAnswer,
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
        membership: The members, from whom batches can be fetched.
        acceptor: Of this node: its votes count as chosen by a leader's report.
        learner: Of this node.
        linked: The nodes with an established link; the replica updates it.
        proposing: The ballot in whose phase 2 this node is; None if it is in none.

    Attributes:
        snapshot_source: The node that has what no peer keeps in memory any more; None: nothing of
            that kind is missing. To be read only.
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
        self._unlogged: Promised | None = None  # a leader's last report, if no record holds it

    # --- reports of leaders ------------------------------------------------------------------

    def learn(
        self, ballot: Ballot, watermark: Slot, reporter: NodeId, *, is_stored: bool
    ) -> list[Effect]:
        """Take a leader's report of what is chosen; `is_stored`: a vote's record holds it too."""
        if watermark <= self._learner.watermark:
            return []
        unlogged = self._unlogged
        effects = self.log_report() if unlogged is not None and unlogged.ballot != ballot else []
        self._learner.on_watermark(ballot, watermark, self._acceptor.votes, reporter)
        newest = self._unlogged  # None if it was of another ballot: stored above
        if newest is None or watermark >= newest.watermark:  # a late report proves less
            self._unlogged = None if is_stored else Promised(ballot, watermark)
        return effects

    def keep_own_report(self, ballot: Ballot) -> list[Effect]:
        """This node led under `ballot` until now: its own report proves what its votes chose."""
        unlogged = ballot if self._unlogged is None else self._unlogged.ballot
        effects = self.log_ahead(max(ballot, unlogged))
        self._unlogged = Promised(ballot, self._learner.watermark)
        return effects

    def log_ahead(self, ballot: Ballot) -> list[Effect]:
        """Votes of a new ballot replace those that prove what is known: store it before (LRN-4).

        Of a leader above `ballot` there are none, and storing its report would be a promise: that
        waits.
        """
        is_due = self._unlogged is None or self._unlogged.ballot <= ballot
        effects = self.log_report() if is_due else []
        ahead = sorted(self._learner.chosen.items())
        return effects + [Persist(Chosen(slot, batch)) for slot, batch in ahead]

    def log_report(self) -> list[Effect]:
        """Store in the log what only a leader's report proved chosen (LRN-4)."""
        reports, self._unlogged = [self._unlogged] if self._unlogged is not None else [], None
        ballot = self._proposing()
        if ballot is not None:
            reports.append(Promised(ballot, self._learner.watermark))
        for report in reports:
            self._acceptor.remember(report)
        return [Persist(report) for report in reports]

    def may_grant(self, message: Accept) -> bool:
        """An Accept for a slot known to be chosen: may the acceptor grant it (LRN-5)?

        If not, the answer is this node's watermark.

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
        self, sender: NodeId, message: Accept | Heartbeat | PreVoteAnswer
    ) -> list[Effect]:
        """A node that is no member here may be one in what is missing here: fetch that."""
        self._learner.note_remote_watermark(message.watermark, sender)
        return []

    # --- fetching ----------------------------------------------------------------------------

    def fetch(self, now_s: float) -> list[Effect]:
        """Request the next hole: first of the node that reported it, then in turn (FET-3)."""
        learner, me, linked = self._learner, self._me, self._linked
        if not learner.has_hole or not self.fetcher.is_due(now_s) or self.snapshot_source:
            return []
        candidates = [learner.remote_node, *self._membership.members, *sorted(linked)]
        peers = [peer for peer in candidates if peer != me and peer in linked]
        asked = self.fetcher.ask(
            Slot(learner.watermark + 1), learner.remote_watermark, peers, now_s
        )
        return [] if asked is None else [Send(*asked)]

    def on_fetch(self, sender: NodeId, message: Fetch) -> list[Effect]:
        """Answer with the chosen batches that are kept."""
        tail, first = self._learner.tail, message.slot_first
        batches = tail.run(first, message.slot_last, self._fetch_bytes_max)
        answer = Fetched(first, tuple(batches), self._learner.watermark, tail.slot_first)
        return [Send(sender, answer)]

    def on_fetched(self, sender: NodeId, message: Fetched) -> list[Effect]:
        """Take the answer to a Fetch of this node (FET-1).

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
        learner.note_remote_watermark(message.watermark, sender)
        if not message.batches:
            is_gone = message.slot_first == learner.watermark + 1 < message.slot_tail
            if is_gone and message.slot_tail <= message.watermark + 1:
                self.snapshot_source = sender
        return effects

    def drop_snapshot_source(self) -> None:
        """Its snapshot was installed, or it sent none: fetch again, from any source."""
        self.snapshot_source = None

    def on_progress(self, now_s: float) -> list[Effect]:
        """What was fetched raised the watermark: fetch more at once (FET-2)."""
        self.fetcher.reset_pause()
        return self.fetch(now_s)
