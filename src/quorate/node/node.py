"""Node: one whole node as a pure machine.

    receive(event, now_s)   something happened
    tick(now_s)             time passed
    submit, read, watch     a client of this node wants something; only collected
    flush(now_s)            the turn ends: what waits becomes bundles, batches, questions
    settle(now_s)           what a vote let be known as chosen is applied

All but the collectors return effects, to be obeyed strictly in order. `flush` must follow every
turn, and `settle` soon, if the node `is_unsettled`: a body calls it when the vote has left.
`replica` (paxos) orders batches, `machine` applies them, `gate` holds replies back for the disk.

N1: a batch is applied in slot order, each once, and only then answered.
N2: a node whose disk is full applies nothing it cannot store, votes for nothing new but noops, and
    comes back by itself. Noops have room (the log's ballast), and let a new leader serve reads.
N3: one turn applies a bounded amount: a batch that is too large for it is applied in steps, and
    holds back the slots behind it. Votes, heartbeats and reads of what is applied go on.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf

from quorate.base import events
from quorate.base.batches import Batch, Member, encode_batch
from quorate.base.config import JOIN_ONLY, Bootstrap, NodeSettings
from quorate.base.effects import (
    Configured,
    Effect,
    Halt,
    Note,
    Persist,
    Refused,
    Reply,
    Send,
    Ticket,
    Wake,
)
from quorate.base.errors import StorageError, UnavailableError
from quorate.base.ids import GROUP, NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Accept, Message
from quorate.base.ports import Rng, Status, Tables
from quorate.base.records import Founded, Record
from quorate.base.subjects import EVERYTHING
from quorate.domains import DOMAINS
from quorate.machine.domains import Domains
from quorate.machine.machine import Machine
from quorate.machine.watches import Watches
from quorate.node.agreement import Agreement
from quorate.node.applying import AppliedSlot, Applying, needs_space
from quorate.node.catchup import Asker, Source
from quorate.node.changes import Changes
from quorate.node.duties import Duties
from quorate.node.founding import Founding, founding_first
from quorate.node.gate import Gate
from quorate.node.intake import Intake
from quorate.node.origin import Origin
from quorate.node.overview import Overviews
from quorate.node.peering import Peering, refused_group
from quorate.node.presence import Presence
from quorate.node.reads import Reads
from quorate.node.reports import Reports
from quorate.node.routes import Routes
from quorate.node.status import status_of
from quorate.paxos.membership import FOUNDING_SLOT, Membership
from quorate.paxos.replica import Replica


class Node:
    """A node of a cluster, or one on its way into a cluster.

    Args:
        me: This node as a member: id, name, addresses.
        incarnation: Which life of this directory this is; rises with each start.
        settings: See `base.config`.
        tables: What apply writes to; holds the state as of its applied slot.
        records: What the log on disk remembers, oldest first.
        rng: Chance for timeouts and ids.
        now_s: Monotonic seconds at creation.
        wall_ms: Milliseconds since 1970, for people only.
        bootstrap: What to do with a directory that belongs to no cluster.
        snapshot: The newest durable snapshot of the tables holds all up to here.
        domains: Whose commands it applies.

    Raises:
        StorageError: `corrupt`: the tables cannot take what the log holds.
    """

    def __init__(  # noqa: PLR0913 - a node is made of these
        self,
        me: Member,
        incarnation: int,
        settings: NodeSettings,
        tables: Tables,
        records: Iterable[Record],
        rng: Rng,
        now_s: float,
        *,
        wall_ms: Callable[[], int],
        bootstrap: Bootstrap = JOIN_ONLY,
        snapshot: Slot = FOUNDING_SLOT,
        domains: Domains = DOMAINS,
    ) -> None:
        self.me, self.settings = me, settings
        self.machine = Machine(tables, settings.cluster, domains, settings.limits.turn_units)
        self.peering = Peering(me.id)
        self.founding = Founding(me, bootstrap, rng, self.peering)
        self.replica: Replica | None = None
        self.gate, self.watches = Gate(), Watches()
        self.origin = Origin(me.id, incarnation, settings)
        self.intake: Intake | None = None
        self.reads = Reads(incarnation, settings.timing.read_resend_s)
        self.source, self.asker = Source(tables, settings.limits), Asker(incarnation)
        self.changes = Changes(me.id, incarnation, is_promoting=settings.auto_promote)
        self.agreement = Agreement(me.id, settings.cluster.digest_every_slots)
        self.presence: Presence | None = None
        self.overviews, self.reports = Overviews(me.id), Reports(me.id, incarnation, rng, wall_ms)
        self.refusal: UnavailableError | None = None  # why clients are sent away
        self.leader: NodeId | None = None
        self.leaderless_since_s = now_s
        self._followed: tuple[NodeId | None, Ballot] = (None, NO_BALLOT)
        self.served_from = (0, 0.0)  # logged ms and now_s when our leadership began to serve
        self._rng, self._wall_ms = rng, wall_ms
        self._is_alone, self._has_halted, self.is_full = bootstrap.is_alone, False, False
        self.applying = Applying(self.machine, me.id, settings.limits.turn_units)
        self._routes = Routes(self)
        self._duties = Duties(self, self._routes, now_s)
        self._recover(records, snapshot, now_s)

    # --- life --------------------------------------------------------------------------------

    def _recover(self, records: Iterable[Record], snapshot: Slot, now_s: float) -> None:
        applied = self.machine.applied
        for record in founding_first(records):
            if isinstance(record, Founded):
                self.founding.remember(record)
                self._found(now_s, is_recovering=True)
            elif self.replica is not None:
                self.replica.remember(record)
            while self.is_unsettled:  # nobody waits yet: however much it is
                self.applying.give_share()
                for effect in self._apply_released():
                    if isinstance(effect, Halt):
                        raise StorageError(effect.code, effect.reason)
        if self.replica is not None:
            self.replica.end_recovery(applied, snapshot)

    def _found(self, now_s: float, *, is_recovering: bool = False) -> bool:
        """Become a replica, once the directory belongs to a cluster that exists."""
        if self.replica is not None:
            return False
        founded = self.founding.founded
        if founded is None or not founded.complete:
            return False
        if not self.machine.configurations:
            try:
                self.machine.found(founded.cluster_id, founded.configuration)
            except StorageError as error:
                if error.code != "disk_full" or is_recovering:
                    raise
                return False  # N2: tried again with the next event
        recall, applied = self.reports.recall(self.machine), self.machine.applied
        asked = (self.me.id, self.settings, self._membership(), applied, self._rng, now_s)
        self.replica = Replica(*asked, recall)
        return True

    def _begun(self) -> list[Effect]:
        """What follows when this node has become a replica: the links are judged again."""
        effects = self.peering.adopt(self.cluster_id)
        if self.replica is not None:
            self.replica.linked |= self.peering.own_cluster
        return [*effects, *self._configured()]

    def _membership(self) -> Membership:
        return Membership(self.machine.configurations, self.settings.cluster.alpha_slots)

    def start(self, now_s: float) -> list[Effect]:
        """The first effects of this life."""
        effects: list[Effect] = []
        if self._is_alone:
            effects += self._pass(self.founding.alone(), now_s)
        if self._found(now_s) or self.replica is not None:
            effects += self._begun()
        replica = self.replica
        if replica is not None and replica.membership.newest.voter_ids == frozenset({self.me.id}):
            effects += self._pass(replica.poll(now_s), now_s)
        return effects

    @property
    def cluster_id(self) -> str:
        """What handshakes carry: "" until this node's cluster exists."""
        return self.founding.cluster_id

    # --- collectors --------------------------------------------------------------------------

    def submit(
        self, command: bytes, ticket: Ticket, deadline_s: float, urgent: bool = False
    ) -> None:
        """Take an encoded command; answered by Applied or Refused.

        Args:
            command: From `base.command.encode_command`.
            ticket: Comes back with the answer; None: no answer wanted.
            deadline_s: Absolute; unnumbered by then it is refused (definite), numbered and not
                applied it is OutcomeUnknownError.
            urgent: Before others that wait.

        Raises:
            UnavailableError: `overloaded`, `read_only` (disk full), `removed`: definite.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.is_full:
            raise UnavailableError("read_only", "this node's disk is full; try another node", 5.0)
        self.origin.submit(command, ticket, deadline_s, urgent=urgent)

    def read(self, ticket: Ticket, deadline_s: float) -> None:
        """Begin a linearizable read; answered by ReadReady or Refused."""
        self.reads.add(ticket, deadline_s)

    def watch(self, subjects: Sequence[bytes], ticket: Ticket) -> int:
        """Wait for a change of any subject; Wake brings the ticket once. Returns an id."""
        return self.watches.add(subjects, ticket)

    def unwatch(self, watch_id: int) -> None:
        """Forget a watch; harmless if it fired."""
        self.watches.remove(watch_id)

    def change(self, verb: str, member: Member, ticket: Ticket, deadline_s: float) -> None:
        """Ask for a change of membership: "add", "promote", "remove", "transfer"."""
        self.changes.ask(verb, member, ticket, deadline_s)

    # --- events ------------------------------------------------------------------------------

    def receive(self, event: events.Event, now_s: float) -> list[Effect]:
        """Take one event.

        Nothing is applied before a vote is on its way: that would hold up the others.
        """
        if type(event) is events.Persisted:
            freed = self.gate.on_persisted(event.mark)
            effects = [each for to, what in freed for each in self._say(to, what, now_s)]
            return self._pass(effects, now_s, is_applying=False)
        if type(event) is events.Received and event.group != GROUP:
            return [refused_group(event)]
        if type(event) is events.Received and type(event.message) is Accept:
            heard = self._hear(event.sender, event.message, now_s)
            return self._pass(heard, now_s, is_applying=False)
        before = self.settle(now_s)
        if type(event) is events.Received:
            effects = self._hear(event.sender, event.message, now_s)
        else:
            effects = self._on_event(event, now_s)
        return before + self._pass(effects, now_s)

    def _on_event(self, event: events.Event, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        if isinstance(event, events.Connected):
            effects += self._routes.on_connected(event, now_s)
        elif isinstance(event, events.Disconnected):
            effects += self._routes.on_disconnected(event, now_s)
        elif isinstance(event, events.SnapshotTaken):
            effects += self._routes.on_snapshot(event.slot)
        elif isinstance(event, events.Installed):
            effects += self._installed(event.transfer, now_s)
        elif isinstance(event, events.SpaceChanged):
            self.is_full = event.is_full
            effects.append(Note("disk full" if event.is_full else "disk has space", {}))
        return effects

    def _hear(self, sender: NodeId, message: Message, now_s: float) -> list[Effect]:
        if self.is_full and sender != self.me.id and needs_space(message):
            return []  # N2
        return self._routes.take(sender, message, now_s)

    def _installed(self, transfer: int, now_s: float) -> list[Effect]:
        if self.replica is None or not self.asker.is_done(transfer):
            return []
        self.machine.reload()
        self.applying.clear()
        applied = self.machine.applied
        effects = self.replica.jump(applied, self._membership(), now_s)
        effects.append(Note("snapshot installed", {"slot": applied}))
        effects += self.origin.on_jump(*self.machine.last_sequence(self.me.id))
        self.watches.mark([EVERYTHING])
        effects += self._wake()
        return [*effects, *self.reads.on_applied(applied), *self._configured()]

    # --- turns -------------------------------------------------------------------------------

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed: timeouts, resends, a leader's duties."""
        before = self.settle(now_s)
        effects: list[Effect] = [*self.founding.tick(now_s), *self.peering.tick(now_s)]
        effects += self.origin.expire(now_s)
        effects += self.reads.expire(now_s)
        replica = self.replica
        if replica is not None:
            effects += replica.tick(now_s)
            effects += self.asker.tick(now_s)
            if replica.snapshot_source and self.asker.take_failure():
                replica.snapshot_source = None  # look for a hole again, and another source
            self.source.tick(now_s)
            for bundle in self.origin.overdue(now_s) if self.leader else []:
                effects += self._routes.forward(bundle, self.leader)
            if replica.snapshot_source and self.asker.source is None and not self.applying:
                effects += self.asker.begin(replica.snapshot_source, now_s)
        effects += self._duties.tick(now_s)
        return before + self._pass(effects, now_s)

    def settle(self, now_s: float) -> list[Effect]:
        """Apply what is chosen and wake watchers, up to this turn's share: `flush` gives it."""
        return self._pass((), now_s) + self._wake() if self.is_unsettled else []

    @property
    def is_unsettled(self) -> bool:
        """Something could be applied that is known to be chosen, or somebody woken."""
        replica, is_waking = self.replica, self.watches.is_waking
        if is_waking or replica is None or self._has_halted or replica.is_installing:
            return is_waking
        return replica.has_released or (bool(self.applying.waiting) and self.applying.may_go_on)

    def _wake(self) -> list[Effect]:
        woken = self.watches.take() if self.watches.is_waking else None
        return [Wake(woken)] if woken else []

    def flush(self, now_s: float) -> list[Effect]:
        """End a turn: propose or forward what waits, ask for read points, tell the watermark."""
        if self.applying.has_worked:
            self.applying.give_share()
        if self.watches.has_worked:
            self.watches.give_share()
        replica = self.replica
        if replica is None:
            return []
        effects = self._note_leader(now_s)
        leadership = replica.leadership
        if leadership is not None:
            leadership.stamp_ms = self.stamp_ms(now_s)
            leadership.digest_slot, leadership.digest = self.agreement.agreed
        effects += self._bundles(now_s)
        question = self.reads.question(self.leader, now_s)
        if question is not None and self.leader is not None:
            effects += self._pass([Send(self.leader, question)], now_s, is_applying=False)
        if self.changes.is_asking and (wishes := self._routes.ask_changes(now_s)):
            effects += self._pass(wishes, now_s, is_applying=False)
        steps = replica.flush(now_s)
        if steps:
            effects += self._pass(steps, now_s, is_applying=False)
            if self._is_new_leader(now_s):
                effects += self.flush(now_s)
        return effects

    @property
    def turn_due_s(self) -> float:
        """When `flush` should be called at the latest; infinite if only after something happens."""
        leadership = self.replica.leadership if self.replica else None
        return min(self.origin.gather.due_s, leadership.tell_due_s if leadership else inf)

    def _serving(self, now_s: float) -> tuple[NodeId | None, Ballot]:
        leader = self.replica.serving_leader(now_s) if self.replica else None
        return leader, self.replica.ballot if self.replica and leader else NO_BALLOT

    def _is_new_leader(self, now_s: float) -> bool:
        serving = self._serving(now_s)
        return serving[0] is not None and serving != self._followed

    def _note_leader(self, now_s: float) -> list[Effect]:
        """Adopt whoever serves now; a new leadership gets every bundle that is on the way."""
        serving = self._serving(now_s)
        if serving == self._followed:
            return []
        before = self.settle(now_s)  # a new leader goes on from what is applied
        self._followed, self.leader = serving, serving[0]
        self.leaderless_since_s = now_s
        if self.leader != self.me.id:
            self.intake = self.presence = None
            self.changes.stop_leading()
        else:
            self.intake = Intake(self.settings.cluster, self.machine.last_sequence)
            self.presence = Presence(self.me.id, self.settings.timing.dead_s)
            self.served_from = (self.machine.stamp_ms, now_s)
        return before + self._pass(self.send_again(now_s) if self.leader is not None else (), now_s)

    def send_again(self, now_s: float) -> list[Effect]:
        """Every bundle on the way goes to the leader again, in order."""
        effects: list[Effect] = []
        for bundle in self.origin.all_again(now_s):
            effects += self._routes.forward(bundle, self.leader)
        return effects

    def _bundles(self, now_s: float) -> list[Effect]:
        """Number what waits if it may leave; as leader, propose while there is room."""
        effects: list[Effect] = []
        if self.leader is None or self.applying.waiting or not (self.origin.waiting or self.intake):
            return effects
        if self.intake is None:
            while self.origin.may_number(now_s):
                effects += self._routes.forward(self.origin.number(now_s), self.leader)
            return self._pass(effects, now_s, is_applying=False)
        while self.origin.waiting or self.intake:
            leadership = self.replica.leadership if self.replica else None
            if leadership is None or leadership.room() == 0 or self.is_full:  # N2
                break
            while self.origin.may_number(now_s, is_leaving=bool(self.intake)):
                self.intake.offer(self.origin.number(now_s))
            bundles = self.intake.take()
            if not bundles:
                break
            stamp_ms, shown = self.stamp_ms(now_s), self.reports.take(leadership, now_s)
            batch = Batch(leadership.ballot, stamp_ms, self._wall_ms(), bundles, None, shown)
            is_awaited = any(bundle.origin != self.me.id for bundle in bundles)
            steps = leadership.propose(encode_batch(batch), now_s, is_awaited=is_awaited)
            effects += self._pass(steps, now_s, is_applying=False)
        return effects

    def stamp_ms(self, now_s: float) -> int:
        """Logged time: it goes on while we serve, from what was applied when that began."""
        base_ms, since_s = self.served_from if self.intake is not None else (0, now_s)
        return max(self.machine.stamp_ms, base_ms + int((now_s - since_s) * 1000))

    # --- effects -----------------------------------------------------------------------------

    def _pass(
        self, effects: Sequence[Effect], now_s: float, *, is_applying: bool = True
    ) -> list[Effect]:
        """Let effects out in order: hold replies, hear what is for ourselves, apply what is due."""
        out: list[Effect] = []
        queue, me = list(effects), self.me.id
        while True:
            for effect in queue:  # which grows meanwhile
                if type(effect) is Reply:
                    if self.gate.is_open:
                        queue += self._say(effect.to, effect.message, now_s)
                    else:
                        self.gate.hold(effect.to, effect.message)
                elif type(effect) is Send and effect.to == me:
                    queue += self._hear(me, effect.message, now_s)
                else:
                    self.gate.asked += type(effect) is Persist
                    out.append(effect)
            queue = self._begun() if self.replica is None and self._found(now_s) else []
            if is_applying:
                queue += self._apply_released()
            if not queue:
                return out

    def _say(self, to: NodeId, message: Message, now_s: float) -> list[Effect]:
        return self._hear(to, message, now_s) if to == self.me.id else [Send(to, message)]

    def _apply_released(self) -> list[Effect]:
        """Apply what was released, in order (N1, N3); what finds no space waits (N2)."""
        replica = self.replica
        if replica is None or self._has_halted:
            return []
        if replica.is_installing:  # T3
            self.applying.stop()
            return []
        released = replica.take_released()
        if not released and not self.applying.waiting:
            return []
        self.applying.add(released)
        effects: list[Effect] = []
        try:
            while (done := self.applying.next()) is not None:
                effects += self._applied(done)
        except StorageError as error:
            self._has_halted = True
            return [*effects, Halt(error.code, error.text)]
        replica.digest_slot, replica.digest = self.agreement.newest
        return effects + list(self.reads.on_applied(self.machine.applied))

    def _applied(self, done: AppliedSlot) -> list[Effect]:
        slot, configuration, application = done
        effects: list[Effect] = []
        for result in application.bundles:
            if result.origin == self.me.id and result.is_applied:
                effects += self._routes.own_applied(result, slot)
        self.watches.mark(application.touched)
        effects += self._wake()
        self.agreement.note(slot, self.machine.digest)
        if configuration is not None:
            effects += self._configured()
        return effects

    def _configured(self) -> list[Effect]:
        if self.replica is None:
            return []
        return [Configured(self.replica.membership.newest, self.cluster_id)]

    # --- status ------------------------------------------------------------------------------

    def status(self, now_s: float) -> Status:
        """A fresh status; cheap."""
        return status_of(self, now_s)

    def stop(self) -> list[Refused]:
        """The node stops cleanly: refuse what waits, let go of what is held open."""
        self.source.close()
        self.applying.stop()
        return self.origin.withdraw_all(UnavailableError("stopping", "this node is stopping"))
