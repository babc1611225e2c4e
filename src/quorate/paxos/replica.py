"""Replica: one node's part in the log, all roles together.

`receive(event, now_s)` and `tick(now_s)` give effects; `take_released()` gives what became chosen
in slot order; `flush(now_s)` ends a turn and says what the turn as a whole calls for: the
watermark to peers, the next read round. `leadership.py` has what only a leader does.

The roles are the seams: `acceptor` must not forget, `learner` releases in order, `election` says
who may try, `leadership` proposes. This file only connects them.
"""

from collections.abc import Callable

from quorate.base.batches import Configuration, decode_batch, is_configuration
from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Note, Persist, Reply, Send
from quorate.base.events import Connected, Disconnected, Event, Received
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Farewell,
    Fetch,
    Fetched,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    Nack,
    Poll,
    PollAnswer,
    Prepare,
    Promise,
    TransferNow,
)
from quorate.base.ports import Rng
from quorate.base.records import Chosen, Promised, Record, Vote
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.election import Election
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import Learner
from quorate.paxos.log import Tail
from quorate.paxos.membership import Membership
from quorate.paxos.quorum import is_phase1_quorum

Released = tuple[Slot, bytes, Configuration | None]
"""Slot, batch, and the configuration it brought into the chain, if any."""


class Replica:
    """Acceptor, learner, and now and then leader.

    Args:
        me: Our id.
        settings: See `base.config`.
        membership: The configurations in force and to come, as of `applied`.
        applied: The tables hold everything up to here.
        rng: Chance for timeouts.
        now_s: The time of creation.
    """

    def __init__(
        self,
        me: NodeId,
        settings: NodeSettings,
        membership: Membership,
        applied: Slot,
        rng: Rng,
        now_s: float,
    ) -> None:
        self.me = me
        self.settings = settings
        self.membership = membership
        limits = settings.limits
        self.acceptor = Acceptor(applied, limits.slots_ahead_max)
        tail = Tail(applied, limits.tail_bytes_max, limits.tail_slots_max)
        self.learner = Learner(applied, tail)
        self.election = Election(settings.timing, rng, now_s)
        self.leadership: Leadership | None = None
        self.snapshot_source: NodeId | None = None
        self.is_installing = False  # the tables are being replaced: nothing is released
        self.digest_slot, self.digest = Slot(0), 0
        self.farewell = 0
        self.round_seen = 0
        self.linked: set[NodeId] = set()
        self._released: list[Released] = []
        self._fetch_due_s = float("-inf")
        self._fetch_turn = 0
        self._handlers: dict[type, Callable[..., list[Effect]]] = {
            Accept: self._on_accept,
            Accepted: self._on_accepted,
            Heartbeat: self._on_heartbeat,
            HeartbeatAnswer: self._on_heartbeat_answer,
            Prepare: self._on_prepare,
            Promise: self._on_promise,
            Nack: self._on_nack,
            Poll: self._on_poll,
            PollAnswer: self._on_poll_answer,
            Fetch: self._on_fetch,
            Fetched: self._on_fetched,
            TransferNow: self._on_transfer_now,
            Farewell: self._on_farewell,
        }

    # --- what the node asks ------------------------------------------------------------------

    @property
    def watermark(self) -> Slot:
        """Every slot up to here is chosen and was released."""
        return self.learner.watermark

    @property
    def ballot(self) -> Ballot:
        """The ballot we lead under, or that of the leader we know of."""
        return self.leadership.ballot if self.leadership else self.election.leader

    @property
    def is_voter(self) -> bool:
        """May we stand for election: do we vote in the newest configuration or the next slot's?"""
        if self.farewell > self.membership.newest.number:
            return False
        next_slot = Slot(self.watermark + 1)
        return (
            self.me in self.membership.newest.voter_ids
            or self.me in self.membership.governing(next_slot).voter_ids
        )

    @property
    def is_serving(self) -> bool:
        """We lead, and our barrier is chosen."""
        return self.leadership is not None and self.leadership.is_serving

    def serving_leader(self, now_s: float) -> NodeId | None:
        """Who takes bundles and read questions now, as far as we know."""
        if self.leadership:
            return self.me if self.leadership.is_serving else None
        election = self.election
        if election.is_leader_serving and election.hears_leader(now_s):
            return election.leader.node
        return None

    def remember(self, record: Record) -> None:
        """Replay one record of the log, in order, before the first event."""
        if isinstance(record, Vote | Chosen):
            self.learner.recollect(record)
        if isinstance(record, Vote):
            self.acceptor.remember(record)
            self.learner.on_watermark(
                record.ballot, record.watermark, self.acceptor.votes, record.ballot.node
            )
        elif isinstance(record, Promised):
            self.acceptor.remember(record)
        elif isinstance(record, Chosen) and record.slot > self.learner.watermark:
            self.learner.choose(record.slot, record.batch)
        self._release()

    def end_recovery(self, applied: Slot) -> None:
        """All records are replayed; `applied` is what the tables held when they began."""
        self.learner.end_recovery(applied)

    @property
    def has_released(self) -> bool:
        """`take_released` would give something that may be applied."""
        return bool(self._released) and not self.is_installing

    def take_released(self) -> list[Released]:
        """What became chosen since the last call, in slot order; the caller applies it."""
        if not self._released:
            return []
        released, self._released = self._released, []
        return released

    def jump(self, slot: Slot, membership: Membership, now_s: float) -> list[Effect]:
        """The tables were replaced by a snapshot of `slot`."""
        self.learner.jump(slot)
        self.acceptor.forget(slot)
        self.membership = membership
        self.snapshot_source = None
        self.is_installing = False
        self._fetch_due_s = float("-inf")
        effects: list[Effect] = []
        if self.leadership and self.leadership.pipeline:  # who leads chooses, and need not jump
            effects += self.step_down(now_s, "a snapshot holds what others chose")
        return effects + self._settle(now_s)

    # --- events ------------------------------------------------------------------------------

    def receive(self, event: Event, now_s: float) -> list[Effect]:
        """Take one event.

        Raises:
            InvariantError: What came contradicts what is known to be chosen.
        """
        if isinstance(event, Received):
            return self.hear(event.sender, event.message, now_s)
        if isinstance(event, Connected):
            return self._on_connected(event.peer.id)
        if isinstance(event, Disconnected):
            return self._on_disconnected(event.peer, now_s)
        return []

    def hear(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        """Take a message; one of no concern to a replica changes nothing.

        Raises:
            InvariantError: See `receive`.
        """
        handler = self._handlers.get(type(message))
        if handler is None:
            return []
        effects = handler(sender, message, now_s)
        return effects + self._settle(now_s)

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed: heartbeats, resends, elections, fetches."""
        effects: list[Effect] = []
        if self.leadership:
            effects += self.leadership.tick(now_s)
            if not self.leadership.hears_quorum(now_s):
                effects += self.step_down(now_s, "no quorum heard")
            elif self.leadership.is_stuck(now_s):
                effects += self.step_down(now_s, "nobody heard knows what is chosen")
        elif now_s >= self.election.due_s and self.is_voter:
            effects += self.poll(now_s)
        effects += self.fetch(now_s)
        return effects + self._settle(now_s)

    def flush(self, now_s: float) -> list[Effect]:
        """End a turn: what the leader owes its peers, and the next steps that became possible."""
        effects: list[Effect] = []
        if self.leadership:
            effects = self.leadership.flush(now_s)
            effects += self._settle(now_s)
        if self.learner.has_hole and now_s >= self._fetch_due_s:
            effects += self.fetch(now_s)
        return effects

    # --- elections ---------------------------------------------------------------------------

    def poll(self, now_s: float) -> list[Effect]:
        """Ask the voters whether they would promise (pre-vote)."""
        number = self.election.begin_poll(self.me, now_s)
        if self._is_elected({self.me}):
            return self.stand(now_s)
        question = Poll(self._next_round(), number, self.watermark)
        return [Send(peer, question) for peer in self._peers()]

    def stand(self, now_s: float) -> list[Effect]:
        """Begin phase 1 under a ballot above all we have seen (P1: Prepare leaves as Reply)."""
        self.election.end_poll()
        self.election.postpone(now_s)
        ballot = Ballot(self._next_round(), self.me)
        self.round_seen = ballot.round
        self.leadership = Leadership(self, ballot, now_s)
        return [
            Note("standing", {"round": ballot.round, "watermark": self.watermark}),
            *self.leadership.prepare(self._peers(), now_s),
        ]

    def step_down(self, now_s: float, why: str) -> list[Effect]:
        """Lead no more; what is on the way may still be chosen by others."""
        if self.leadership is None:
            return []
        self.leadership = None
        self.election.postpone(now_s)
        return [Note("stepped down", {"why": why})]

    def _is_elected(self, grants: set[NodeId]) -> bool:
        voters = self.membership.governing(Slot(self.watermark + 1)).voter_ids
        return is_phase1_quorum(grants, voters)

    def _next_round(self) -> int:
        return max(self.acceptor.promised.round, self.round_seen, self.election.leader.round) + 1

    def _peers(self) -> list[NodeId]:
        return [node for node in self.membership.members if node != self.me]

    def _on_poll(self, sender: NodeId, message: Poll, now_s: float) -> list[Effect]:
        self.learner.hear_of(message.watermark, sender)
        if sender not in self.membership.members and message.watermark <= self.watermark:
            return [Send(sender, Farewell(self.membership.newest.number))]
        granted = (
            not (self.leadership and self.leadership.is_serving)
            and message.round > self.acceptor.promised.round
            and self.election.may_grant(self.watermark, message.watermark, now_s)
        )
        promised = self.acceptor.promised
        return [Send(sender, PollAnswer(message.number, granted, promised, self.watermark))]

    def _on_poll_answer(self, sender: NodeId, message: PollAnswer, now_s: float) -> list[Effect]:
        if message.promised.round > self.round_seen and not message.is_granted:
            self.election.hurry(now_s)  # outbid, not refused for a living leader: ask higher
        self.round_seen = max(self.round_seen, message.promised.round)
        self.learner.hear_of(message.watermark, sender)
        if self.leadership or not message.is_granted:
            return []
        if self._is_elected(self.election.on_grant(sender, message.number)):
            return self.stand(now_s)
        return []

    def _on_transfer_now(self, sender: NodeId, message: TransferNow, now_s: float) -> list[Effect]:
        if self.leadership or message.ballot != self.election.leader or not self.is_voter:
            return []
        self.election.forget(now_s)
        return self.stand(now_s)

    def _on_farewell(self, sender: NodeId, message: Farewell, now_s: float) -> list[Effect]:
        self.farewell = max(self.farewell, message.number)
        return []

    # --- phase 1 and 2, both sides -----------------------------------------------------------

    def _on_prepare(self, sender: NodeId, message: Prepare, now_s: float) -> list[Effect]:
        effects = self.acceptor.on_prepare(sender, message, self.learner.chosen)
        if sender != self.me and isinstance(effects[0], Persist | Reply):
            self.election.postpone(now_s)
        return effects + self._yield(now_s)

    def _on_promise(self, sender: NodeId, message: Promise, now_s: float) -> list[Effect]:
        return self.leadership.on_promise(sender, message, now_s) if self.leadership else []

    def _on_nack(self, sender: NodeId, message: Nack, now_s: float) -> list[Effect]:
        self.round_seen = max(self.round_seen, message.promised.round)
        if self.leadership and message.refused == self.leadership.ballot:
            return self.step_down(now_s, f"{sender} promised a higher ballot")
        return []

    def _on_accept(self, sender: NodeId, message: Accept, now_s: float) -> list[Effect]:
        effects = self.acceptor.on_accept(sender, message)
        if message.ballot >= self.acceptor.promised and sender != self.me:
            self._follow(message.ballot, now_s, None)
            effects += self._yield(now_s)
        self._learn(message.ballot, message.watermark, sender)
        return effects

    def _on_accepted(self, sender: NodeId, message: Accepted, now_s: float) -> list[Effect]:
        if self.leadership and message.ballot == self.leadership.ballot:
            self.leadership.on_accepted(sender, message.slot, now_s)
        return []

    def _on_heartbeat(self, sender: NodeId, message: Heartbeat, now_s: float) -> list[Effect]:
        self._learn(message.ballot, message.watermark, sender)
        promised = self.acceptor.promised
        if message.ballot < promised:
            return [Send(sender, Nack(message.ballot, promised))] if message.round else []
        effects: list[Effect] = []
        if sender != self.me:
            if self._follow(message.ballot, now_s, message.is_serving):
                effects.append(Note("following", {"leader": sender, "serving": message.is_serving}))
            effects += self._yield(now_s)
        if message.round:
            answer = HeartbeatAnswer(
                message.ballot, self.watermark, message.round, self.digest_slot, self.digest
            )
            effects.append(Send(sender, answer))
        return effects

    def _on_heartbeat_answer(
        self, sender: NodeId, message: HeartbeatAnswer, now_s: float
    ) -> list[Effect]:
        if self.leadership and message.ballot == self.leadership.ballot:
            return self.leadership.on_heartbeat_answer(sender, message, now_s)
        return []

    def _follow(self, ballot: Ballot, now_s: float, is_serving: bool | None) -> bool:
        return self.election.on_leader(ballot, now_s, is_serving)

    def _yield(self, now_s: float) -> list[Effect]:
        """A ballot above ours was promised or leads: we do not."""
        if self.leadership is None:
            return []
        above = max(self.acceptor.promised, self.election.leader)
        return self.step_down(now_s, "outbid") if above > self.leadership.ballot else []

    # --- learning and catching up ------------------------------------------------------------

    def _learn(self, ballot: Ballot, watermark: Slot, teller: NodeId) -> None:
        self.learner.on_watermark(ballot, watermark, self.acceptor.votes, teller)

    def _settle(self, now_s: float) -> list[Effect]:
        """Release what is due; a leader whose slot went to another batch leads no more (S5)."""
        if not self.learner.chosen:
            return []
        return self.step_down(now_s, "another batch was chosen") if self._release() else []

    def _release(self) -> bool:
        """Release what is known in order; True if it contradicts what we propose (S5)."""
        learner = self.learner
        before = learner.watermark
        is_contradicted = False
        while not self.is_installing and (released := learner.next_released()) is not None:
            slot, batch = released
            if self.leadership and self.leadership.is_contradicted(slot, batch):
                is_contradicted = True
            configuration = None
            if is_configuration(batch):
                proposed = decode_batch(batch).configuration
                if proposed is not None:
                    configuration = self.membership.judge(slot, proposed)
            self._released.append((slot, batch, configuration))
        if learner.watermark > before:
            self.acceptor.forget(learner.watermark)
            self.membership.prune(learner.watermark)
            if self.leadership:
                self.leadership.on_released(learner.watermark)
        return is_contradicted

    def fetch(self, now_s: float) -> list[Effect]:
        """Ask for the next hole: first the node that told of it, then others in turn."""
        learner = self.learner
        if not learner.has_hole or now_s < self._fetch_due_s or self.snapshot_source:
            return []
        self._fetch_due_s = now_s + self.settings.timing.fetch_resend_s
        candidates = [learner.teller, *self._peers()]
        peers = [p for p in dict.fromkeys(candidates) if p != self.me and p in self.linked]
        if not peers:
            return []
        peer = peers[self._fetch_turn % len(peers)]
        self._fetch_turn += 1
        return [Send(peer, Fetch(Slot(learner.watermark + 1), learner.told))]

    def _on_fetch(self, sender: NodeId, message: Fetch, now_s: float) -> list[Effect]:
        tail = self.learner.tail
        first = message.slot_first
        batches = tail.run(first, message.slot_last, self.settings.limits.fetch_bytes_max)
        answer = Fetched(first, tuple(batches), self.watermark, tail.slot_first)
        return [Send(sender, answer)]

    def _on_fetched(self, sender: NodeId, message: Fetched, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        learner = self.learner
        for place, batch in enumerate(message.batches):
            slot = Slot(message.slot_first + place)
            if slot > learner.watermark and learner.choose(slot, batch):
                effects.append(Persist(Chosen(slot, batch)))
        learner.told = max(learner.told, message.watermark)
        if message.batches:
            self._fetch_turn = 0
            self._fetch_due_s = float("-inf")
            effects += self._settle(now_s)
            return effects + self.fetch(now_s)
        is_gone = message.slot_first == learner.watermark + 1 < message.slot_tail
        if is_gone and message.slot_tail <= message.watermark + 1:
            self.snapshot_source = sender
        return effects

    # --- links -------------------------------------------------------------------------------

    def _on_connected(self, peer: NodeId) -> list[Effect]:
        self.linked.add(peer)
        if self.leadership:
            return self.leadership.on_link(peer, is_linked=True)
        return []

    def _on_disconnected(self, peer: NodeId, now_s: float) -> list[Effect]:
        self.linked.discard(peer)
        if self.leadership:
            return self.leadership.on_link(peer, is_linked=False)
        if self.election.on_link_lost(peer, now_s):
            return [Note("leader lost", {"leader": peer})]
        return []
