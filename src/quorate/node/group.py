"""Group: one log and its state on this node; today a node hosts one, number 0.

`replica` (paxos) orders batches, `machine` applies them, `gate` holds replies back for the disk,
`origin` and `reads` are what this node's clients wait for, `intake` what waits at a leader. The
node passes events, time and messages to a group; it knows the links and the cluster.

APL-1: a batch is applied in slot order, each once, and only then answered.
APL-2: a node whose disk is full (`space`) applies nothing that it cannot store, votes for nothing
    new but noops, and recovers by itself. Noops fit into the log's disk reserve: a new leader can
    serve reads.
APL-3: one turn applies a bounded amount: a batch that is too large for it is applied in steps, and
    holds back the slots behind it. Votes, heartbeats and reads of applied state continue.
"""

from collections.abc import Callable, Sequence

from quorate.base.batches import Batch, Member, encode_batch
from quorate.base.config import NodeSettings
from quorate.base.effects import (
    Configured,
    Effect,
    Halt,
    Note,
    Persist,
    Refused,
    Send,
    SendWhenDurable,
    Wake,
)
from quorate.base.errors import StorageError, UnavailableError
from quorate.base.events import ChunkStored, Connected, Installed
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import (
    Forward,
    Heartbeat,
    ReadIndexAnswer,
    ReadIndexRequest,
    SnapshotAsk,
    SnapshotChunk,
)
from quorate.base.ports import Rng, Tables
from quorate.base.records import Bootstrapped, Record
from quorate.base.subjects import EVERYTHING
from quorate.machine.domains import Domains
from quorate.machine.machine import BundleResult, Machine
from quorate.machine.watches import Watches
from quorate.node.applying import AppliedSlot, Applying
from quorate.node.catchup import CatchUp
from quorate.node.dispatch import Handler, Handlers
from quorate.node.divergence import DivergenceCheck
from quorate.node.forwarding import Forwarding
from quorate.node.gate import Gate
from quorate.node.intake import Intake
from quorate.node.origin import Origin
from quorate.node.reads import Reads
from quorate.node.reports import Reports
from quorate.node.space import SpaceWatch
from quorate.paxos.inputs import TurnInputs
from quorate.paxos.membership import Membership
from quorate.paxos.replica import Replica

LeaderRequests = Callable[[float], list[Effect]]
"""Requests of the node to the leader in this turn, beside commands and reads."""


class Group:
    """One group of replicas, as this node takes part in it.

    Args:
        me: This node as a member.
        incarnation: Rises with each start on its directory.
        settings: See `base.config`.
        tables: What apply writes to; holds the state as of its applied slot.
        domains: Whose commands it applies.
        rng: For timeouts and ids.
        now_s: Monotonic seconds at creation.
        wall_ms: Milliseconds since 1970, for people only.
        dispatch: Handles messages of this node to itself, as those of others.
        on_leader: Called when another node serves: whether it is this one.

    Attributes:
        cluster_id: What the group belongs to; "" until then.
        replica: None until the directory belongs to a cluster that exists.
        refusal: Why clients are refused; None: they are not.
    """

    def __init__(
        self,
        me: Member,
        incarnation: int,
        settings: NodeSettings,
        tables: Tables,
        domains: Domains,
        rng: Rng,
        now_s: float,
        *,
        wall_ms: Callable[[], int],
        dispatch: Handler,
        on_leader: Callable[[bool], None],
    ) -> None:
        limits = settings.limits
        self._me, self._settings = me, settings
        self._rng, self._wall_ms = rng, wall_ms
        self._dispatch, self._on_leader = dispatch, on_leader
        self.machine = Machine(tables, settings.cluster, domains, limits.turn_units)
        self.applying = Applying(self.machine, me.id, limits.turn_units)
        self.space = SpaceWatch(self.applying)
        self.replica: Replica | None = None
        self.gate, self.watches = Gate(), Watches()
        self.origin = Origin(me.id, incarnation, settings)
        self.forwarding = Forwarding(self.origin)
        self.reads = Reads(incarnation, settings.timing.read_resend_s)
        self.divergence = DivergenceCheck(me.id, settings.cluster.digest_every_slots)
        self.reports = Reports(me.id, incarnation, rng, wall_ms)
        self._catch_up = CatchUp(self.machine, tables, limits, incarnation)
        self.cluster_id = ""
        self.refusal: UnavailableError | None = None
        self.leaderless_since_s = now_s
        self._followed: tuple[NodeId | None, Ballot] = (None, NO_BALLOT)
        self._served_from = (0, 0.0)  # logged ms and now_s when our leadership began to serve
        self._has_halted = False

    @property
    def leader(self) -> NodeId | None:
        """Who serves, as far as this node knows."""
        return self.forwarding.leader

    @property
    def intake(self) -> Intake | None:
        """What waits for a slot here; None unless this node serves as leader."""
        return self.forwarding.intake

    @property
    def handlers(self) -> Handlers:
        """Which messages are taken here; those of Paxos are for the replica."""
        return {
            **self.forwarding.handlers,
            ReadIndexRequest: self._on_read_ask,
            ReadIndexAnswer: self._on_read_index,
            SnapshotAsk: self._catch_up.on_ask,
            SnapshotChunk: self._on_snapshot_chunk,
            Heartbeat: self._on_heartbeat,
        }

    # --- start and stop ----------------------------------------------------------------------

    def bootstrap(
        self, bootstrapped: Bootstrapped, now_s: float, *, is_recovering: bool = False
    ) -> bool:
        """Become a replica of that cluster; False if there is no room, or it is one (APL-2)."""
        if self.replica is not None:
            return False
        if not self.machine.configurations:
            try:
                self.machine.bootstrap(bootstrapped.cluster_id, bootstrapped.configuration)
            except StorageError as error:
                if error.code != "disk_full" or is_recovering:
                    raise
                return False  # tried again with the next event
        self.cluster_id = bootstrapped.cluster_id
        recall, applied = self.reports.recall(self.machine), self.machine.applied
        asked = (self._me.id, self._settings, self._membership(), applied, self._rng, now_s)
        self.replica = Replica(*asked, recall)
        return True

    def remember(self, record: Record) -> None:
        """Replay a record of the log; the caller holds back those before the bootstrap record."""
        if self.replica is not None:
            self.replica.remember(record)

    def apply_recovered(self) -> None:
        """Apply all that the log proves so far: no client waits yet.

        Raises:
            StorageError: `corrupt`: the tables cannot take what the log holds.
        """
        while self.is_apply_pending:
            self.applying.give_share()
            for effect in self._apply_released(0.0):
                if isinstance(effect, Halt):
                    raise StorageError(effect.code, effect.reason)

    def _membership(self) -> Membership:
        return Membership(self.machine.configurations, self._settings.cluster.alpha_slots)

    def configured(self) -> list[Effect]:
        """The members that should be linked."""
        if self.replica is None:
            return []
        return [Configured(self.replica.membership.newest, self.cluster_id)]

    def refuse(self, refusal: UnavailableError, now_s: float) -> list[Refused]:
        """The cluster has removed this node: refuse its clients from now on."""
        self.refusal = refusal
        refused = self.origin.withdraw_all(refusal) + self.reads.withdraw(refusal)
        self.watches.mark([EVERYTHING], now_s)
        return refused

    def admit(self) -> None:
        """The cluster has not removed this node, or not any more."""
        self.refusal = None

    def stop(self) -> list[Refused]:
        """The node stops cleanly: refuse what waits, close views."""
        self._catch_up.close()
        self.applying.stop()
        return self.origin.withdraw_all(UnavailableError("stopping", "this node is stopping"))

    # --- events ------------------------------------------------------------------------------

    def on_persisted(self, mark: int, now_s: float) -> list[Effect]:
        """The first `mark` records are durable: send the messages that waited for them."""
        me = self._me.id
        effects: list[Effect] = []
        for to, message in self.gate.on_persisted(mark):
            if to == me:
                own = self._dispatch(me, message, now_s)
                effects += self.let_out(own, now_s, is_applying=False)
            else:
                effects.append(Send(to, message))
        return effects

    def on_linked(self, peer: Member, now_s: float) -> list[Effect]:
        """A link to another node of this cluster was established."""
        if self.replica is None:
            return []
        effects = self.replica.receive(Connected(peer, ""), now_s)
        return effects + self.forwarding.send_again(now_s) if peer.id == self.leader else effects

    def on_stored(self, event: ChunkStored | Installed, now_s: float) -> list[Effect]:
        """The disk holds some of a peer's tables, or all: then they have replaced ours."""
        if isinstance(event, Installed):
            return self._on_installed(event.transfer, now_s)
        return self._catch_up.on_stored(event.transfer, now_s)

    def _on_installed(self, transfer: int, now_s: float) -> list[Effect]:
        """The tables were replaced by those of a peer, if that transfer is the one awaited."""
        if self.replica is None or not self._catch_up.is_done(transfer):
            return []
        self.machine.reload()
        self.applying.clear()
        applied = self.machine.applied
        effects = self.replica.on_installed(applied, self._membership(), now_s)
        effects += self.replica.recall.review()  # RCL-5
        effects.append(Note("snapshot installed", {"slot": applied}))
        effects += self.origin.on_jump(*self.machine.last_sequence(self._me.id))
        self.watches.mark([EVERYTHING], now_s)
        effects += self._wake(now_s)
        return [*effects, *self.reads.on_applied(applied), *self.configured()]

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed: deadlines, timeouts, resends, the next step of a transfer of tables."""
        if is_full := self.space.is_short:
            self.reads.expire_soon(now_s)
        effects: list[Effect] = [*self.space.tick(now_s), *self.origin.expire(now_s)]
        effects += self.reads.expire(now_s, is_full=is_full)
        replica = self.replica
        if replica is None:
            return effects
        effects += replica.tick(now_s)
        effects += self._catch_up.tick(replica.learning, now_s)
        effects += self.forwarding.send_overdue(now_s)
        if not self.applying:
            effects += self._catch_up.begin(replica.learning, now_s)
        return effects

    # --- turns -------------------------------------------------------------------------------

    def apply_pending(self, now_s: float) -> list[Effect]:
        """Apply what is chosen and wake watchers, up to this turn's share: `end_turn` gives it."""
        return self.let_out((), now_s) + self._wake(now_s) if self.is_apply_pending else []

    @property
    def is_apply_pending(self) -> bool:
        """Something could be applied that is known to be chosen, or a watcher woken."""
        if self.watches.is_waking:
            return True
        replica, applying = self.replica, self.applying
        if replica is None or not (replica.release.waiting or applying.waiting):
            return False  # nearly always
        if self._has_halted or replica.release.is_stopped:
            return False
        return bool(replica.release.waiting) or applying.may_go_on

    def is_turn_due(self, now_s: float) -> bool:
        """`end_turn` has something to do now."""
        replica, way = self.replica, self.forwarding
        if replica is None or self.is_apply_pending or replica.learner.has_hole:
            return True
        if replica.leadership is not None and replica.leadership.is_turn_due:
            return True
        if way.leader is not None and (
            self.origin.has_waiting or way.intake or self.reads.has_waiting
        ):
            return True
        return replica.serving(now_s) != self._followed

    @property
    def turn_due_s(self) -> float:
        """When the next turn should end at the latest; infinite: after something happens."""
        due_s, replica = self.origin.batch_delay.due_s, self.replica
        if replica is None or replica.leadership is None:
            return due_s
        return min(due_s, replica.leadership.announce_due_s)

    def end_turn(self, now_s: float, requests: LeaderRequests | None = None) -> list[Effect]:
        """Propose or forward what waits, request a read index, announce the watermark.

        Again, if that made another node the leader, which may be this one.
        """
        effects: list[Effect] = []
        while True:
            if self.applying.has_worked or self.watches.has_worked:
                self.applying.give_share()
                self.watches.give_share()
            replica = self.replica
            if replica is None:
                return effects
            serving = replica.serving(now_s)
            if serving != self._followed:
                effects += self._follow(serving, now_s)
            if replica.leadership is not None:
                slot, digest = self.divergence.agreed
                replica.leadership.take_inputs(TurnInputs(self.log_time_ms(now_s), slot, digest))
            if (leader := self.forwarding.leader) is not None:
                effects += self._asks(leader, now_s)
            if requests is not None:
                effects += self.let_out(requests(now_s), now_s, is_applying=False)
            steps = replica.end_turn(now_s)
            if not steps:
                return effects
            effects += self.let_out(steps, now_s, is_applying=False)
            serving = replica.serving(now_s)
            if serving[0] is None or serving == self._followed:
                return effects

    def _follow(self, serving: tuple[NodeId | None, Ballot], now_s: float) -> list[Effect]:
        """Follow the node that serves now; a new leader gets every bundle that is on the way."""
        before = self.apply_pending(now_s)  # a new leader continues from what is applied
        self._followed, leader, intake = serving, serving[0], None
        self.leaderless_since_s = now_s
        is_leading = leader == self._me.id
        self._on_leader(is_leading)
        if is_leading:
            intake = Intake(self._settings.cluster, self.machine.last_sequence)
            self._served_from = (self.machine.log_time_ms, now_s)
        self.forwarding.follow(leader, intake)
        return before + self.let_out(self.forwarding.send_again(now_s), now_s)

    def _asks(self, leader: NodeId, now_s: float) -> list[Effect]:
        """What the leader, which may be this node, is asked in this turn."""
        has_commands = self.origin.has_waiting or self.forwarding.intake
        effects = self._bundles(leader, now_s) if has_commands else []
        request = self.reads.request(leader, now_s)
        if request is None:
            return effects
        return effects + self.let_out([Send(leader, request)], now_s, is_applying=False)

    def _bundles(self, leader: NodeId, now_s: float) -> list[Effect]:
        """Number what waits if it may leave; as leader, propose while there is room."""
        effects: list[Effect] = []
        origin, intake, replica = self.origin, self.forwarding.intake, self.replica
        if self.applying.waiting or replica is None:
            return effects
        if intake is None:
            while origin.may_number(now_s):
                effects.append(Send(leader, Forward(origin.number(now_s))))
            return self.let_out(effects, now_s, is_applying=False)
        while origin.has_waiting or intake:
            leadership = replica.leadership
            if leadership is None or leadership.capacity() == 0 or self.space.is_log_full:  # APL-2
                break
            while origin.may_number(now_s, is_leaving=bool(intake)):
                intake.offer(origin.number(now_s))
            bundles = intake.take()
            if not bundles:
                break
            log_time_ms, shown = self.log_time_ms(now_s), self.reports.take(leadership, now_s)
            batch = Batch(leadership.ballot, log_time_ms, self._wall_ms(), bundles, None, shown)
            is_awaited = any(bundle.origin != leader for bundle in bundles)
            steps = leadership.propose(encode_batch(batch), now_s, is_awaited=is_awaited)
            effects += self.let_out(steps, now_s, is_applying=False)
        return effects

    def log_time_ms(self, now_s: float) -> int:
        """Log time: it advances while this node serves, from what was applied when that began."""
        is_leading = self.forwarding.intake is not None
        base_ms, since_s = self._served_from if is_leading else (0, now_s)
        return max(self.machine.log_time_ms, base_ms + int((now_s - since_s) * 1000))

    # --- effects -----------------------------------------------------------------------------

    def let_out(
        self, effects: Sequence[Effect], now_s: float, *, is_applying: bool = True
    ) -> list[Effect]:
        """Release effects in order: hold replies, handle own messages, apply what is due."""
        if not effects and is_applying:
            effects = self._apply_released(now_s)
        if not effects:
            return []  # nearly always
        out: list[Effect] = []
        queue, me, gate = list(effects), self._me.id, self.gate
        while True:
            for effect in queue:  # which grows meanwhile
                one = effect
                if type(one) is SendWhenDurable:
                    if gate.hold(one.to, one.message):
                        continue
                    one = Send(one.to, one.message)
                if type(one) is Send and one.to == me:
                    queue += self._dispatch(me, one.message, now_s)
                else:
                    if type(one) is Persist:
                        gate.ask()
                    out.append(one)
            queue = self._apply_released(now_s) if is_applying else []
            if not queue:
                return out

    def _wake(self, now_s: float) -> list[Effect]:
        woken = self.watches.take(now_s)
        return [Wake(woken)] if woken else []

    def _apply_released(self, now_s: float) -> list[Effect]:
        """Apply what was released, in order (APL-1, APL-3); what finds no space waits (APL-2)."""
        replica, applying = self.replica, self.applying
        if replica is None or not (replica.release.waiting or applying.waiting):
            return []
        if self._has_halted:
            return []
        if replica.release.is_stopped:  # SNP-3
            applying.stop()
            return []
        applying.add(replica.release.take())
        effects: list[Effect] = []
        try:
            while (done := applying.next()) is not None:
                effects += self._applied(done, replica, now_s)
        except StorageError as error:
            self._has_halted = True
            return [*effects, Halt(error.code, error.text)]
        return effects + list(self.reads.on_applied(self.machine.applied))

    def _applied(self, done: AppliedSlot, replica: Replica, now_s: float) -> list[Effect]:
        slot, configuration, application = done
        effects: list[Effect] = []
        for result in application.bundles:
            if result.origin == self._me.id and result.is_applied:
                effects += self._own_applied(result, slot)
        self.watches.mark(application.changed_subjects, now_s)
        if self.watches.is_waking:
            effects += self._wake(now_s)
        digest = self.machine.digest
        if self.divergence.note(slot, digest):
            replica.note_checkpoint(slot, digest)
        if configuration is not None:
            effects += self.configured()
        if application.has_shown:
            effects += replica.recall.review()  # RCL-5
        return effects

    def _own_applied(self, result: BundleResult, slot: Slot) -> list[Effect]:
        if result.incarnation != self.origin.incarnation:
            return []  # an earlier incarnation has no clients
        applied = self.origin.on_applied(result.sequence, result.outcomes, slot, result.position)
        return [] if applied is None else [applied]

    # --- messages ----------------------------------------------------------------------------

    def _on_read_ask(self, sender: NodeId, message: ReadIndexRequest, now_s: float) -> list[Effect]:
        if self.replica is not None and self.replica.leadership is not None:
            self.replica.leadership.request_read_index(sender, message.number)
        return []

    def _on_read_index(
        self, sender: NodeId, message: ReadIndexAnswer, now_s: float
    ) -> list[Effect]:
        applied = self.machine.applied
        ready = self.reads.on_point(message.number, message.slot, message.log_time_ms, applied)
        return [] if ready is None else [ready]

    def _on_snapshot_chunk(
        self, sender: NodeId, message: SnapshotChunk, now_s: float
    ) -> list[Effect]:
        if self.replica is None:
            return []
        return self._catch_up.on_chunk(sender, message, self.replica, now_s)

    def _on_heartbeat(self, sender: NodeId, message: Heartbeat, now_s: float) -> list[Effect]:
        effects = [] if self.replica is None else self.replica.on_message(sender, message, now_s)
        halt = self.divergence.check(message.digest_slot, message.digest)
        return effects if halt is None else [*effects, halt]
