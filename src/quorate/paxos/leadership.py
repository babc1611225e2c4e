"""Leadership: what a replica does while it tries to lead, and while it leads.

Preparing until a phase-1 quorum promised; recovering while it fetches up to the highest watermark
reported, proposes again what was held above it, and gets its barrier chosen; then serving.

LDR-1: nothing is served before the barrier, a noop that this ballot proposes above all that was
    held, is chosen.
LDR-2: slot j is proposed only when every slot up to j - alpha is known chosen (CFG-1), and with
    promises from a phase-1 quorum of the configuration that governs j (CFG-3).
LDR-3: between a configuration in slot i and slot i + alpha nothing but noops is proposed.
LDR-4: a risen watermark is sent with the next Accept or round, or by itself: at the end of the
    turn if another node waits for a batch it covers, else `tell_s` later. A peer that is sent no
    Accepts is sent a Heartbeat instead, else it would never catch up with a busy leader.
LDR-5: a leader that learns that others chose another batch in a slot it has in flight, or any slot
    from its barrier on, steps down: followers that voted for its own batch would treat that as
    chosen by its watermark (LRN-2), and later ballots would count it as a report that they must
    know (ACC-5, LRN-5). Below its barrier it goes on, but for a slot in flight it waits for votes
    for its own ballot (LDR-8).
LDR-6: a leader that must learn a slot which only an unreachable peer knows steps down: the next
    phase 1 does without that peer.
LDR-7: nothing is proposed in a slot that a leader of a lower ballot reported chosen, and whose
    batch none of the nodes that promised holds (ACC-5): one of them has lost it. It is fetched from
    any node that still has it; until one is reachable no node leads, so that no write is lost.
LDR-8: a leader reports a slot that it has proposed as chosen only when votes for its own ballot
    chose it. What it learned from others may have been chosen under a higher ballot, which the
    ballots between need not know: followers that voted for this leader's proposal would treat the
    batch of such a ballot as a contradiction (LRN-5).
"""

from math import inf

from quorate.base.batches import (
    NOOP,
    Batch,
    Configuration,
    decode_batch,
    encode_batch,
    is_configuration,
)
from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Note, Send
from quorate.base.errors import invariant, violated
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accept, Heartbeat, HeartbeatAnswer, Promise, ReadIndexAnswer
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.campaign import Campaign
from quorate.paxos.followers import Followers
from quorate.paxos.inputs import NO_INPUTS, TurnInputs
from quorate.paxos.learner import Learner
from quorate.paxos.membership import Membership
from quorate.paxos.proposer import Phase1, Pipeline, Proposal
from quorate.paxos.quorum import is_phase1_quorum
from quorate.paxos.reads import ReadRequest, ReadRounds
from quorate.paxos.recall import Recall
from quorate.paxos.transfer import Transfer


class Leadership:
    """One ballot of this node, from Prepare until it steps down.

    Args:
        me: The id of this node.
        settings: See `base.config`.
        membership: The configurations in force and to come; read here.
        acceptor: Of this node: it votes for what is proposed here.
        learner: Of this node: it is notified of what this ballot chose.
        followers: What is known of the peers, created anew with each ballot.
        recall: What members have shown.
        ballot: Above all that this node has seen.
        now_s: When the campaign began.

    Attributes:
        chosen_last: The highest slot chosen by votes for this ballot.
        is_short: A batch known to be chosen is held by none of the nodes that promised (LDR-7).
        announce_due_s: When a risen watermark is sent by itself (LDR-4); infinite: none waits.
    """

    def __init__(
        self,
        me: NodeId,
        settings: NodeSettings,
        membership: Membership,
        acceptor: Acceptor,
        learner: Learner,
        followers: Followers,
        recall: Recall,
        *,
        ballot: Ballot,
        now_s: float,
    ) -> None:
        self._me = me
        self._membership = membership
        self._acceptor = acceptor
        self._learner = learner
        self._followers = followers
        self._timing = settings.timing
        self._cluster = settings.cluster
        self._window = settings.cluster.window_slots
        self.ballot = ballot
        self.recall = recall
        self.phase1 = Phase1(ballot, Slot(learner.watermark + 1))
        self._campaign = Campaign(me, self.phase1, settings.timing.accept_resend_s)
        self.pipeline: Pipeline | None = None
        self.is_serving = False
        self.chosen_last = Slot(0)
        self.is_short = False
        self.rounds = ReadRounds()
        self._inputs = NO_INPUTS
        self.transfer = Transfer(ballot, settings.timing)
        self._stuck_since_s = inf
        self._began_s = now_s
        self._barrier, self._is_barrier_chosen = Slot(0), False
        self._stop_until = self._announced = Slot(0)
        self._awaited = Slot(0)  # the newest slot that another node waits for
        self.announce_due_s = inf
        self._heartbeat_due_s = now_s
        self.peers = followers.peers

    @property
    def watermark(self) -> Slot:
        """Every slot up to here is known chosen."""
        return self._learner.watermark

    @property
    def reportable(self) -> Slot:
        """The watermark that may be reported under this ballot (LDR-8)."""
        watermark = self._learner.watermark
        if self.is_serving or self.pipeline is None:  # then no slot below is in flight
            return watermark
        return min(watermark, Slot(next(iter(self.pipeline.in_flight), watermark + 1) - 1))

    @property
    def is_overtaken(self) -> bool:
        """Is a slot in flight that was learned as chosen from other nodes (LDR-8)?"""
        return self.reportable < self._learner.watermark

    # --- phase 1 -----------------------------------------------------------------------------

    def prepare(self, peers: list[NodeId], now_s: float) -> list[Effect]:
        """Ask for promises, first of our own acceptor: Prepare waits for its record (PRO-1)."""
        learner, message = self._learner, self._campaign.prepare
        invariant(self.ballot > self._acceptor.promised, "PRO-1: a campaign has a fresh ballot")
        effects = self._acceptor.on_prepare(
            self._me, message, learner.chosen, learner.leader_watermark
        )
        return effects + self._campaign.begin(peers, now_s)

    def on_promise(self, sender: NodeId, message: Promise, now_s: float) -> None:
        """Take a promise; `end_turn` goes on when there are enough."""
        if sender != self._me:
            self._followers.peer(sender, now_s).on_contact(now_s)
        self.phase1.on_promise(sender, message)

    def _advance(self, now_s: float) -> list[Effect]:
        """Do the next steps of recovery that have become possible."""
        if self.pipeline is None:
            next_slot = Slot(self._learner.watermark + 1)
            if not self.phase1.is_enough(self._membership.governing(next_slot).voter_ids):
                return self._prepare_more(next_slot, now_s)
            if self._must_learn(next_slot):
                return []
            invariant(
                next_slot > self.phase1.watermark_max,
                "LDR-7: what is chosen is learned, not proposed",
            )
            self.pipeline = Pipeline(self.ballot, next_slot)
        effects: list[Effect] = []
        while not self.is_serving or self._must_fill():
            slot = self.pipeline.slot_next
            if not self._may_propose(slot, self._cluster.alpha_slots):
                effects += self._prepare_more(slot, now_s)
                break
            if slot <= self.phase1.slot_last:
                effects += self._open(self.phase1.batch_for(slot), now_s)
            elif self._must_fill():
                effects += self._open(NOOP, now_s)
            elif not self._barrier:
                self._barrier = slot
                effects += self._open(NOOP, now_s)
            else:
                break
        return effects

    def _must_fill(self) -> bool:
        """Is the next slot reserved: reported by a promise, or between a change and its start?"""
        pipeline = self.pipeline
        if pipeline is None:
            return False
        slot = pipeline.slot_next
        if slot < self._stop_until or slot < self._membership.newest_from:
            return True
        return slot <= self.phase1.slot_last

    def _prepare_more(self, slot: Slot, now_s: float) -> list[Effect]:
        """Ask for the promises that the configuration of `slot` still needs (CFG-3)."""
        if slot > self._learner.watermark + self._cluster.alpha_slots:
            return []
        return self._campaign.ask(self._membership.governing(slot).voter_ids, now_s)

    # --- phase 2 -----------------------------------------------------------------------------

    def capacity(self) -> int:
        """How many batches may be proposed now; 0 unless serving, and in a change or transfer."""
        pipeline = self.pipeline
        if not self.is_serving or pipeline is None or self.transfer.to or self._must_fill():
            return 0
        slot, window = pipeline.slot_next, self._window
        if not self._may_propose(slot, window):
            return 0
        return self._learner.watermark + window + 1 - slot

    def propose(self, batch: bytes, now_s: float, *, is_awaited: bool = True) -> list[Effect]:
        """Give a batch the next slot: Accepts for the peers, then our own vote.

        Args:
            batch: Encoded.
            now_s: Monotonic seconds.
            is_awaited: A client of another node waits for it (LDR-4).

        Raises:
            InvariantError: There is no `capacity()`.
        """
        invariant(self.capacity() > 0, "a batch is proposed only into the window")
        if is_awaited and self.pipeline is not None:
            self._awaited = self.pipeline.slot_next
        return self._open(batch, now_s)

    def propose_change(self, configuration: Configuration, now_s: float) -> list[Effect]:
        """Propose a configuration; the caller has checked `may_change`."""
        invariant(self.may_change(), "LDR-3: one change at a time")
        batch = encode_batch(Batch(self.ballot, self._inputs.log_time_ms, 0, (), configuration))
        return self.propose(batch, now_s, is_awaited=True)

    def may_change(self) -> bool:
        """No other change is in flight or between its slot and its start."""
        is_in_force = self._membership.newest_from <= self._learner.watermark + 1
        return is_in_force and self.capacity() > 0

    def quorum_would_live(self, configuration: Configuration, now_s: float) -> bool:
        """Is a quorum of the configuration *after* a change reachable? The old one may not be."""
        healthy = self.healthy(now_s)
        return is_phase1_quorum(healthy, configuration.voter_ids)

    def on_accepted(self, sender: NodeId, slot: Slot, now_s: float) -> None:
        """Count a durable vote."""
        pipeline = self.pipeline
        if pipeline is None:
            return
        if sender == self._me:
            self.recall.note_own(slot)
        else:
            self._followers.peer(sender, now_s).on_answer(slot, now_s)
        if (batch := pipeline.on_accepted(sender, slot)) is None:
            return
        self._learner.choose(slot, batch)
        self.chosen_last = max(self.chosen_last, slot)
        if slot == self._barrier:
            self._is_barrier_chosen = True

    def _may_propose(self, slot: Slot, window: int) -> bool:
        if slot > self._learner.watermark + window or self._must_learn(slot):
            return False
        return self.phase1.is_enough(self._membership.governing(slot).voter_ids)

    def _must_learn(self, slot: Slot) -> bool:
        """Is `slot` known to be chosen, and its batch unknown? Then it must be fetched (LDR-7).

        A promise reports nothing of slots up to its watermark, so nothing may be proposed there.
        """
        learner, phase1 = self._learner, self.phase1
        if slot > phase1.leader_watermark and slot > phase1.watermark_max:  # nearly always
            self.is_short = False
            return False
        if slot <= learner.watermark:
            self.is_short = False
            return False
        if slot <= phase1.watermark_max:
            learner.note_remote_watermark(phase1.watermark_max, phase1.watermark_holder)
            return True
        self.is_short = phase1.is_lost(slot) and slot not in learner.chosen
        if self.is_short:
            learner.note_remote_watermark(phase1.leader_watermark, self._me)
        return self.is_short

    def _open(self, batch: bytes, now_s: float) -> list[Effect]:
        pipeline = self.pipeline
        if pipeline is None:
            violated("phase 2 follows phase 1")
        voters = self._membership.governing(pipeline.slot_next).voter_ids
        slot = pipeline.open(batch, voters, now_s, self._timing.accept_resend_s)
        if is_configuration(batch):
            self._note_change(slot, batch)
        watermark = self.reportable
        accept = Accept(self.ballot, slot, watermark, batch)
        effects: list[Effect] = []
        for node in self._membership.members:
            if node == self._me:
                continue
            peer = self._followers.peer(node, now_s)
            if peer.takes_accepts:
                peer.on_sent(slot, len(batch))
                effects.append(Send(node, accept))
            elif peer.is_linked and self._announced < watermark:
                effects.append(Send(node, self._heartbeat_message(0)))
        self._announced, self.announce_due_s = watermark, inf
        return effects + self._acceptor.on_accept(self._me, accept)

    def _note_change(self, slot: Slot, batch: bytes) -> None:
        configuration = decode_batch(batch).configuration
        newest = self._membership.newest.number
        if configuration is not None and configuration.predecessor >= newest:
            self._stop_until = max(self._stop_until, self._membership.effective(slot))

    # --- turns -------------------------------------------------------------------------------

    def is_contradicted(self, slot: Slot, batch: bytes) -> bool:
        """Does what was chosen contradict this ballot (LDR-5)? To be asked before `on_released`."""
        pipeline = self.pipeline
        return pipeline is not None and pipeline.is_contradicted(slot, batch, self._barrier)

    def on_released(self, watermark: Slot) -> None:
        """The learner released up to `watermark`."""
        if self.pipeline is not None:
            self.pipeline.skip(watermark)

    def tick(self, now_s: float) -> list[Effect]:
        """Heartbeats and resends."""
        effects = self._advance(now_s)
        if self.pipeline is None:
            effects += self._campaign.ask_again(now_s)
        else:
            effects += self._prepare_more(self.pipeline.slot_next, now_s)
            for slot, proposal in self.pipeline.overdue(now_s):
                effects += self._resend(slot, proposal, now_s)
        if self.transfer.to is not None:
            effects += self.transfer.expire(now_s)
        if self.pipeline is not None and now_s >= self._heartbeat_due_s:
            effects += self._heartbeat(now_s)
        return effects

    def take_inputs(self, inputs: TurnInputs) -> None:
        """From now on batches and heartbeats carry this; `end_turn` sends the next ones."""
        self._inputs = inputs

    @property
    def is_turn_due(self) -> bool:
        """Could `end_turn` have effects now, and not only as time passes?"""
        if not self.is_serving or self.rounds.has_waiting or self.transfer.to is not None:
            return True
        is_announcing = self._announced < self._learner.watermark
        if is_announcing and (self._announced < self._awaited or self.announce_due_s == inf):
            return True  # else `announce_due_s` is known
        return self._must_fill()

    def end_turn(self, now_s: float) -> list[Effect]:
        """End a turn: steps of recovery, the watermark to peers (LDR-4), the next read round."""
        effects: list[Effect] = []
        if not self.is_serving or self._must_fill():
            effects += self._advance(now_s)
            effects += self._try_serving(now_s)
        if self.transfer.to is not None:
            effects += self._try_transfer(now_s)
        if self.is_serving and self.rounds.is_due(now_s, self._timing.read_resend_s):
            effects += self._begin_round(now_s)
        elif (
            self._announced < self._learner.watermark
            and self.pipeline
            and self._announced < self.reportable
        ):
            if self._announced < self._awaited or now_s >= self.announce_due_s:
                effects += self._announce(0)
            elif self.announce_due_s == inf:
                self.announce_due_s = now_s + self._timing.tell_s
        return effects

    def _try_transfer(self, now_s: float) -> list[Effect]:
        if self.pipeline is None or self.pipeline.in_flight:
            return []
        return self.transfer.step(self.peers, self._learner.watermark, now_s)

    def _try_serving(self, now_s: float) -> list[Effect]:
        is_below = self.reportable < self._barrier
        if self.is_serving or not self._is_barrier_chosen or is_below:
            return []
        invariant(self.reportable == self.watermark, "LDR-8: a serving leader chose all it reports")
        self.is_serving = True
        self._heartbeat_due_s = now_s
        return [
            Note("leading", {"round": self.ballot.round, "barrier": self._barrier}),
            *self._heartbeat(now_s),
        ]

    def _resend(self, slot: Slot, proposal: Proposal, now_s: float) -> list[Effect]:
        accept = Accept(self.ballot, slot, self.reportable, proposal.batch)
        effects: list[Effect] = []
        for node in sorted(proposal.voters - proposal.accepted - {self._me}):
            peer = self._followers.peer(node, now_s)
            if peer.takes_accepts:
                peer.on_sent(slot, len(proposal.batch))
                effects.append(Send(node, accept))
        return effects

    def _heartbeat(self, now_s: float) -> list[Effect]:
        self._heartbeat_due_s = now_s + self._timing.heartbeat_s
        return self._begin_round(now_s)

    def _begin_round(self, now_s: float) -> list[Effect]:
        watermark = self._learner.watermark
        voters = self._membership.governing(Slot(watermark + 1)).voter_ids
        counter = self.rounds.begin(watermark, self._inputs.log_time_ms, now_s, voters)
        effects = self._announce(counter)
        if self._acceptor.promised == self.ballot:
            effects += self._count_answer(self._me, counter)
        return effects

    def _announce(self, counter: int) -> list[Effect]:
        message = self._heartbeat_message(counter)
        self._announced, self.announce_due_s = message.watermark, inf
        return [Send(node, message) for node in self._membership.members if node != self._me]

    def _heartbeat_message(self, counter: int) -> Heartbeat:
        inputs = self._inputs
        return Heartbeat(
            self.ballot,
            self.reportable,
            counter,
            self.is_serving,
            inputs.agreed_slot,
            inputs.agreed_digest,
            self.recall.own_slot,
        )

    # --- answers -----------------------------------------------------------------------------

    def on_heartbeat_answer(
        self, sender: NodeId, message: HeartbeatAnswer, now_s: float
    ) -> list[Effect]:
        """A peer still follows: note its watermark, and count its answer to the round."""
        learner, peer = self._learner, self._followers.peer(sender, now_s)
        peer.on_watermark(message.watermark, learner.watermark, now_s)
        peer.on_in_force(message.in_force)
        learner.note_remote_watermark(message.watermark, sender)
        return self._count_answer(sender, message.round)

    def _count_answer(self, sender: NodeId, counter: int) -> list[Effect]:
        confirmed = self.rounds.on_answer(sender, counter)
        if confirmed is None:
            return []
        return [
            Send(each.node, ReadIndexAnswer(each.number, confirmed.slot, confirmed.log_time_ms))
            for each in confirmed.requests
        ]

    def request_read_index(self, node: NodeId, number: int) -> None:
        """Take a node's request for a read index; its answer is a ReadIndexAnswer."""
        if self.is_serving:
            self.rounds.add(ReadRequest(node, number))

    # --- peers -------------------------------------------------------------------------------

    def healthy(self, now_s: float) -> set[NodeId]:
        """The nodes that answered within the last election timeout, and this one."""
        return self._followers.healthy(now_s)

    def has_live_quorum(self, now_s: float) -> bool:
        """Check-quorum; a new leadership has one timeout to reach a quorum."""
        limit_s = self._timing.election_timeout_s
        if now_s - self._began_s < limit_s:
            return True
        if self.pipeline is None and now_s - self._began_s >= 2 * limit_s:
            return False
        voters = self._membership.governing(Slot(self._learner.watermark + 1)).voter_ids
        return is_phase1_quorum(self.healthy(now_s), voters)

    def is_stuck(self, now_s: float) -> bool:
        """Must a slot be learned that no reachable node knows? Another phase 1 may not need it.

        Or is there a slot that others chose, and whose batch too many nodes no longer keep, so that
        it gets no votes (LRN-5)? Applies to phase 2; before, `has_live_quorum` sets the limit.
        """
        pipeline, phase1 = self.pipeline, self.phase1
        is_known = pipeline is not None and (
            pipeline.slot_next <= phase1.watermark_max
            and phase1.watermark_holder in self.healthy(now_s)
        )
        is_idle = pipeline is None or is_known or not self._must_learn(pipeline.slot_next)
        if is_idle and not self.is_overtaken:
            self._stuck_since_s = inf
            return False
        self._stuck_since_s = min(self._stuck_since_s, now_s)
        return now_s - self._stuck_since_s >= self._timing.election_timeout_s

    def on_link(self, peer: NodeId, *, is_linked: bool) -> None:
        """A link was established or lost: what was in flight on it is lost and sent again."""
        self._followers.on_link(peer, is_linked=is_linked)
        if not is_linked:
            return
        self._campaign.on_link(peer, is_again=self.pipeline is None)
        if self.pipeline is not None:
            self.pipeline.send_again()
