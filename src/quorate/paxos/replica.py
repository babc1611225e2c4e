"""Replica: one node's part in the log, all roles together.

`receive(event, now_s)` and `tick(now_s)` return effects; `take_released()` returns what became
chosen, in slot order; `end_turn(now_s)` returns what a leader sends once per turn: the watermark,
the next read round. `leadership.py` has what only a leader does.

Each role is a module: `acceptor` keeps promises and votes, `learner` releases in order, `election`
decides when to campaign, `leadership` proposes. This module connects them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Note, Persist, Send, SendWhenDurable
from quorate.base.errors import invariant
from quorate.base.events import Connected, Disconnected, Event, Received
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    ConfigurationDurable,
    Fetch,
    Fetched,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    Nack,
    Prepare,
    PreVote,
    PreVoteAnswer,
    Promise,
    Recognized,
    Removed,
    Restarted,
    TransferNow,
)
from quorate.base.ports import Rng
from quorate.base.records import Chosen, Promised, Record, Vote
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.contradiction import contradiction
from quorate.paxos.durable import Durable
from quorate.paxos.election import Election
from quorate.paxos.followers import Followers
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import ContradictionError, Learner
from quorate.paxos.learning import Learning
from quorate.paxos.log import Tail
from quorate.paxos.membership import Membership
from quorate.paxos.prevotes import PreVotes
from quorate.paxos.recall import Blank, Recall
from quorate.paxos.release import Release, Released

Handlers = dict[type, Callable[[NodeId, Any, float], list[Effect]]]  # by type of message

NOT_SERVED: tuple[None, Ballot] = (None, NO_BALLOT)

UNKNOWN = "no reachable node knows what is chosen"
FORGOTTEN = "no reachable node holds a batch that is known to be chosen: one has lost its data"
OVERTAKEN = "a slot that others chose gets no votes"
"""Why a leader steps down (LDR-6, LDR-7, LDR-8)."""


class Replica:
    """Acceptor, learner, and now and then leader.

    Args:
        me: The id of this node.
        settings: See `base.config`.
        membership: The configurations in force and to come, as of `applied`.
        applied: The tables hold everything up to here.
        rng: For random timeouts.
        now_s: The time of creation.
        recall: What others have shown, and which incarnation this is; None: the first one.

    Attributes:
        removed_in: A member reported a configuration of this number that this node is not in.
        linked: The nodes with an established link.
    """

    def __init__(
        self,
        me: NodeId,
        settings: NodeSettings,
        membership: Membership,
        applied: Slot,
        rng: Rng,
        now_s: float,
        recall: Recall | None = None,
    ) -> None:
        self.me = me
        self.settings = settings
        self.membership = membership
        limits = settings.limits
        bounds = (limits.slots_ahead_max, limits.bytes_ahead_max, settings.cluster.alpha_slots)
        self.acceptor = Acceptor(applied, *bounds)
        tail = Tail(applied, limits.tail_bytes_max, limits.tail_slots_max)
        self.learner = Learner(applied, tail)
        self.election = Election(settings.timing, rng, now_s)
        self.leadership: Leadership | None = None
        self._checkpoint, self.removed_in, self._failed_why = (Slot(0), 0), 0, ""
        self.linked: set[NodeId] = set()
        roles = (membership, self.acceptor, self.learner)
        self.release = Release(*roles)
        self.learning = Learning(me, settings, *roles, self.linked, self._proposing)
        self.durable = Durable(me, membership, self.learner, self.learning, self.election)
        self.pre_votes = PreVotes(me, *roles, self.election)
        self._wait_until_s = now_s + settings.timing.election_timeout_s
        self.recall = recall or Recall(me, 1, 0, Blank())
        of_all: Handlers = {
            PreVote: lambda sender, message, now_s: self.pre_votes.on_pre_vote(
                sender, message, now_s, is_serving=self.is_serving
            ),
            Fetch: lambda sender, message, _: self.learning.on_fetch(sender, message),
            Fetched: self._on_fetched,
            Removed: self._on_removed,
            Restarted: lambda sender, message, _: self.recall.on_restarted(sender, message),
            Recognized: lambda sender, message, _: self.recall.on_recognized(sender, message),
        }
        self.recall.begin(NO_BALLOT, applied, self._wait_until_s)
        of_members: Handlers = {
            Accept: self._on_accept,
            Accepted: self._on_accepted,
            Heartbeat: self._on_heartbeat,
            HeartbeatAnswer: self._on_heartbeat_answer,
            Prepare: self._on_prepare,
            Promise: self._on_promise,
            Nack: self._on_nack,
            PreVoteAnswer: self._on_pre_vote_answer,
            TransferNow: self._on_transfer_now,
            ConfigurationDurable: lambda sender, message, _: (
                self.durable.on_stored(message) if sender == self.me else []
            ),
        }
        of_others: Handlers = {
            kind: lambda sender, message, _: self.learning.on_non_member(sender, message)
            for kind in (Accept, Heartbeat, PreVoteAnswer)
        }
        self._handlers, self._of_non_members = of_all | of_members, of_all | of_others
        self._refused: Handlers = {Restarted: of_all[Restarted]}

    # --- for the node ------------------------------------------------------------------------

    @property
    def watermark(self) -> Slot:
        """Every slot up to here is chosen and was released."""
        return self.learner.watermark

    @property
    def ballot(self) -> Ballot:
        """The ballot that this node leads under, or that of the leader it knows."""
        return self.leadership.ballot if self.leadership else self.election.leader

    @property
    def is_voter(self) -> bool:
        """May we campaign: do we vote in the newest configuration or the next slot's?"""
        if self.removed_in > self.membership.newest.number:
            return False
        next_slot = Slot(self.watermark + 1)
        return (
            self.me in self.membership.newest.voter_ids
            or self.me in self.membership.governing(next_slot).voter_ids
        )

    @property
    def is_serving(self) -> bool:
        """This node leads, and its barrier is chosen."""
        return self.leadership is not None and self.leadership.is_serving

    def serving(self, now_s: float) -> tuple[NodeId | None, Ballot]:
        """Which node takes bundles and read index requests now, and under which ballot."""
        leadership = self.leadership
        if leadership is not None:
            return (self.me, leadership.ballot) if leadership.is_serving else NOT_SERVED
        election = self.election
        if election.is_leader_serving and election.has_live_leader(now_s):
            return election.leader.node, election.leader
        return NOT_SERVED

    def remember(self, record: Record) -> None:
        """Replay one record of the log, in order, before the first event."""
        if isinstance(record, Vote | Chosen | Promised):
            self.learner.replay_record(record)
        if isinstance(record, Vote | Promised):
            self.acceptor.remember(record)
            self.learner.on_watermark(
                record.ballot, record.watermark, self.acceptor.votes, record.ballot.node
            )
        elif isinstance(record, Chosen) and record.slot > self.learner.watermark:
            self.learner.choose(record.slot, record.batch)
        self.release.run(self.leadership)

    def end_recovery(self, applied: Slot, snapshot: Slot) -> None:
        """All records are replayed; the tables held `applied`, a durable snapshot `snapshot`."""
        self.durable.begin(snapshot, applied)
        self.learner.end_recovery(applied)
        self.release.forget_closed()
        durable = max(snapshot, self.learner.logged)  # tables may hold more after a kill (RCL-4)
        self.recall.begin(self.acceptor.promised, durable, self._wait_until_s)

    def take_released(self) -> list[Released]:
        """What became chosen since the last call, in slot order; the caller applies it."""
        return self.release.take()

    def on_installed(self, slot: Slot, membership: Membership, now_s: float) -> list[Effect]:
        """The tables were replaced by a snapshot of `slot`."""
        self.learner.on_installed(slot)
        self.acceptor.forget(slot)
        self.membership.restart(membership)
        self.learning.drop_snapshot_source()
        self.release.go_on()
        self.learning.fetcher.reset_pause()
        effects: list[Effect] = []
        if self.leadership and self.leadership.pipeline:  # a leader chooses what it needs
            why = "a snapshot holds what others chose"
            effects += self.step_down(now_s, why, is_contradicted=True)
        return effects + self._release_chosen(now_s) + self.durable.on_snapshot(slot)

    def note_checkpoint(self, slot: Slot, digest: int) -> None:
        """The tables have this digest at `slot`; answers to heartbeats report it from now on."""
        self._checkpoint = (slot, digest)

    def adopt_links(self, peers: Iterable[NodeId]) -> None:
        """Links to these were established before this node was a replica."""
        self.linked.update(peers)

    # --- events ------------------------------------------------------------------------------

    def receive(self, event: Event, now_s: float) -> list[Effect]:
        """Take one event; a Halt if a message contradicts what is known to be chosen."""
        if isinstance(event, Received):
            return self.on_message(event.sender, event.message, now_s)
        if isinstance(event, Connected):
            return self._on_connected(event.peer.id, now_s)
        return self._on_disconnected(event.peer, now_s) if isinstance(event, Disconnected) else []

    def on_message(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        """Take a message; one that is not for a replica changes nothing.

        Messages of members are taken. Of a linked node that is no member, as far as is known here,
        only those are taken that a node needs to catch up, or to learn that it was removed: it
        gets no promise and no vote, and is not followed. Messages of the leader are taken until its
        ballot ends, for it may have been removed meanwhile.
        """
        if sender in self.membership.members or sender in (self.me, self.election.leader.node):
            handlers = self._handlers
        else:
            handlers = self._of_non_members if sender in self.linked else {}
        if self.recall.refused and sender in self.recall.refused:
            handlers = self._refused  # RCL-2
        handler = handlers.get(type(message))
        if handler is None:
            return []
        try:
            effects = handler(sender, message, now_s)
        except ContradictionError as found:
            return [contradiction(found, sender, message, self.learner.leader_watermark)]
        return effects + self._release_chosen(now_s) if self.learner.chosen else effects

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed: heartbeats, resends, elections, fetches."""
        effects: list[Effect] = []
        if self.leadership:
            effects += self.leadership.tick(now_s)
            is_short = self.leadership.is_short
            if not self.leadership.has_live_quorum(now_s):
                effects += self.step_down(now_s, FORGOTTEN if is_short else "no quorum reachable")
            elif self.leadership.is_stuck(now_s):
                unknown = OVERTAKEN if self.leadership.is_overtaken else UNKNOWN
                effects += self.step_down(now_s, FORGOTTEN if is_short else unknown)
        elif now_s >= self.election.due_s and self.is_voter and self._may_vote(now_s):
            effects += self.pre_vote(now_s)
        effects += self.recall.ask(sorted(self.linked), now_s)
        effects += self.learning.fetch(now_s)
        return effects + self._release_chosen(now_s)

    def end_turn(self, now_s: float) -> list[Effect]:
        """End a turn: what a leader sends its peers, and the next steps that became possible."""
        effects: list[Effect] = []
        leadership, learner = self.leadership, self.learner
        if leadership is not None:
            effects = leadership.end_turn(now_s)
            if learner.chosen:
                effects += self._release_chosen(now_s)
        if learner.remote_watermark > learner.watermark and learner.has_hole:
            effects += self.learning.fetch(now_s)
        return effects

    # --- elections ---------------------------------------------------------------------------

    def pre_vote(self, now_s: float) -> list[Effect]:
        """Ask the voters whether they would promise."""
        is_enough, requests = self.pre_votes.begin(now_s)
        return self.campaign(now_s) if is_enough else requests

    def campaign(self, now_s: float) -> list[Effect]:
        """Begin phase 1 under a ballot above all seen; Prepare waits for the disk (PRO-1)."""
        invariant(self.leadership is None, "PRO-3: a node campaigns under one ballot at a time")
        self.election.end_pre_vote()
        self.election.postpone(now_s)
        ballot = Ballot(self.election.next_round(self.acceptor.promised.round), self.me)
        self.election.note_round(ballot.round)
        followers = Followers(self.me, self.settings, self.linked)
        roles = (self.membership, self.acceptor, self.learner, followers, self.recall)
        self.leadership = Leadership(self.me, self.settings, *roles, ballot=ballot, now_s=now_s)
        note = Note("campaigning", {"round": ballot.round, "watermark": self.watermark})
        return [
            *self.learning.log_report(),
            *([] if self._failed_why else [note]),
            *self.leadership.prepare(self.peers(), now_s),
        ]

    def step_down(self, now_s: float, why: str, *, is_contradicted: bool = False) -> list[Effect]:
        """Stop leading; what is in flight may still be chosen by others, or be already (LDR-5)."""
        leadership = self.leadership
        if leadership is None:
            return []
        self.leadership = None
        effects: list[Effect] = []
        if is_contradicted:  # our own votes may be for other batches: no report is logged for them
            self.durable.on_contradicted()
        elif leadership.pipeline is not None:
            effects += self.learning.keep_own_report(leadership.ballot)
        if leadership.chosen_last >= self.learner.leader_watermark[1] and not is_contradicted:
            led_to = min(leadership.chosen_last, self.watermark)
            self.learner.note_own_leadership(leadership.ballot, led_to)
        self.election.postpone(now_s)
        is_news, self._failed_why = why != self._failed_why, "" if leadership.is_serving else why
        is_logged = is_news or leadership.is_serving
        return effects + ([Note("stepped down", {"why": why})] if is_logged else [])

    def _proposing(self) -> Ballot | None:
        leadership = self.leadership
        return None if leadership is None or leadership.pipeline is None else leadership.ballot

    def peers(self) -> list[NodeId]:
        """All other members."""
        return [node for node in self.membership.members if node != self.me]

    def _on_pre_vote_answer(
        self, sender: NodeId, message: PreVoteAnswer, now_s: float
    ) -> list[Effect]:
        is_leading = self.leadership is not None
        is_enough = self.pre_votes.on_answer(sender, message, now_s, is_leading=is_leading)
        return self.campaign(now_s) if is_enough else []

    def _on_transfer_now(self, sender: NodeId, message: TransferNow, now_s: float) -> list[Effect]:
        if self.leadership or message.ballot != self.election.leader or not self.is_voter:
            return []
        if not self._may_vote(now_s):
            return []
        self.election.forget(now_s)
        return self.campaign(now_s)

    def _on_removed(self, sender: NodeId, message: Removed, now_s: float) -> list[Effect]:
        self.removed_in = max(self.removed_in, message.number)
        return []

    # --- phase 1 and 2, both sides -----------------------------------------------------------

    def _may_vote(self, now_s: float) -> bool:
        """May we promise, vote, and confirm that we promised nothing higher (RCL-3)?"""
        if self.recall.is_confirmed:
            return True
        newest = self.membership.newest
        governing = self.membership.governing(Slot(self.watermark + 1))
        return self.recall.confirm((governing.voter_ids, newest.voter_ids), now_s)

    def _on_prepare(self, sender: NodeId, message: Prepare, now_s: float) -> list[Effect]:
        if not self._may_vote(now_s):
            return []
        self.recall.note(sender, message.ballot, Slot(0))
        is_new = message.ballot > self.acceptor.promised
        ahead = self.learning.log_ahead(message.ballot) if is_new else []
        effects = self.acceptor.on_prepare(
            sender, message, self.learner.chosen, self.learner.leader_watermark
        )
        if sender != self.me and isinstance(effects[0], Persist | SendWhenDurable):
            self.election.postpone(now_s)
        return ahead + effects + self._yield(now_s)

    def _on_promise(self, sender: NodeId, message: Promise, now_s: float) -> list[Effect]:
        self.recall.note(sender, message.ballot, Slot(0))
        if self.leadership:
            self.leadership.on_promise(sender, message, now_s)
        return []

    def _on_nack(self, sender: NodeId, message: Nack, now_s: float) -> list[Effect]:
        self.election.note_round(message.promised.round)
        if self.leadership and message.refused == self.leadership.ballot:
            return self.step_down(now_s, f"{sender} promised a higher ballot")
        return []

    def _on_accept(self, sender: NodeId, message: Accept, now_s: float) -> list[Effect]:
        if not self.recall.is_confirmed and not self._may_vote(now_s):
            return []
        ballot, acceptor, learning = message.ballot, self.acceptor, self.learning
        promised = acceptor.promised
        is_known = self.learner.knows(message.slot) and ballot >= promised
        if is_known and not learning.may_grant(message):
            return [Send(sender, self._progress(ballot, 0))]
        ahead = learning.log_ahead(ballot) if ballot > promised else []
        voted = acceptor.on_accept(sender, message)
        is_stored = bool(voted) and type(voted[0]) is Persist
        effects = ahead + voted if ahead else voted
        if ballot >= acceptor.promised and sender != self.me:
            self._follow(ballot, now_s, None)
            if self.leadership is not None:
                effects += self._yield(now_s)
        if message.watermark <= self.learner.watermark:
            return effects
        return effects + learning.learn(ballot, message.watermark, sender, is_stored=is_stored)

    def _on_accepted(self, sender: NodeId, message: Accepted, now_s: float) -> list[Effect]:
        slot, leadership = message.slot, self.leadership
        self.recall.note(sender, message.ballot, slot)
        if leadership is not None and message.ballot == leadership.ballot:
            leadership.on_accepted(sender, slot, now_s)
        return []

    def _on_heartbeat(self, sender: NodeId, message: Heartbeat, now_s: float) -> list[Effect]:
        effects = self.learning.learn(message.ballot, message.watermark, sender, is_stored=False)
        self.recall.note(sender, message.ballot, message.durable)
        promised = self.acceptor.promised
        if message.ballot < promised:
            nack = Send(sender, Nack(message.ballot, promised))
            return [*effects, nack] if message.round else effects
        if sender != self.me:
            if self._follow(message.ballot, now_s, message.is_serving):
                effects.append(Note("following", {"leader": sender, "serving": message.is_serving}))
            effects += self._yield(now_s)
        if message.round:
            counter = message.round if self._may_vote(now_s) else 0  # RCL-3
            effects.append(Send(sender, self._progress(message.ballot, counter)))
        return effects

    def _progress(self, ballot: Ballot, counter: int) -> HeartbeatAnswer:
        """This node's watermark and what it has stored; `counter` 0 answers no round."""
        durable = self.durable.number
        return HeartbeatAnswer(ballot, self.watermark, counter, *self._checkpoint, durable)

    def _on_heartbeat_answer(
        self, sender: NodeId, message: HeartbeatAnswer, now_s: float
    ) -> list[Effect]:
        if self.leadership and message.ballot == self.leadership.ballot:
            return self.leadership.on_heartbeat_answer(sender, message, now_s)
        return []

    def _follow(self, ballot: Ballot, now_s: float, is_serving: bool | None) -> bool:
        self._failed_why = ""
        return self.election.on_leader(ballot, now_s, is_serving)

    def _yield(self, now_s: float) -> list[Effect]:
        """Step down if a ballot above ours was promised, or leads."""
        if self.leadership is None:
            return []
        above = max(self.acceptor.promised, self.election.leader)
        return self.step_down(now_s, "outbid") if above > self.leadership.ballot else []

    # --- learning and catching up ------------------------------------------------------------

    def _release_chosen(self, now_s: float) -> list[Effect]:
        """Release what is due; a leader whose slot went to another batch steps down (LDR-5)."""
        if not self.learner.chosen:
            return []
        effects: list[Effect] = []
        if self.release.run(self.leadership):
            effects = self.step_down(now_s, "another batch was chosen", is_contradicted=True)
        if self.release.has_closed:
            self.release.forget_closed()
            effects += self.durable.on_configuration_closed()
        return effects

    def _on_fetched(self, sender: NodeId, message: Fetched, now_s: float) -> list[Effect]:
        before = self.watermark
        effects = self.learning.on_fetched(sender, message)
        effects += self._release_chosen(now_s)
        return effects + (self.learning.on_progress(now_s) if self.watermark > before else [])

    # --- links -------------------------------------------------------------------------------

    def _on_connected(self, peer: NodeId, now_s: float) -> list[Effect]:
        self.linked.add(peer)
        self.learning.fetcher.reset_pause()
        self.recall.unlink(peer)
        if self.leadership:
            self.leadership.on_link(peer, is_linked=True)
        return self.recall.ask([peer], now_s)

    def _on_disconnected(self, peer: NodeId, now_s: float) -> list[Effect]:
        self.linked.discard(peer)
        self.learning.fetcher.forget(peer)
        self.recall.unlink(peer)
        if self.leadership:
            self.leadership.on_link(peer, is_linked=False)
        elif self.election.on_link_lost(peer, now_s):
            return [Note("leader lost", {"leader": peer})]
        return []
