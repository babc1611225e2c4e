"""Node: one whole node as a pure machine.

    receive(event, now_s)   something happened
    tick(now_s)             time passed
    submit, read, watch     a client of this node wants something; only collected
    end_turn(now_s)         what waits becomes bundles, batches, requests for a read index
    apply_pending(now_s)    what is known as chosen is applied

All but the collectors return effects, to be obeyed strictly in order. `end_turn` must follow soon
if there were some or the node `is_turn_due`, and behind every tick and collector; `apply_pending`,
if the node `is_apply_pending`: the runtime calls it when the vote has been sent.

A node is a member of a cluster, or on its way into one: it has links to peers, and parts that
found, join and change the cluster. What the cluster stores is in a group (`node.group`): one log
and its state. A node hosts one group today, number 0, whose configurations say who is a member.
"""

from collections.abc import Callable, Iterable, Sequence

from quorate.base import events
from quorate.base.batches import Member
from quorate.base.chain import BOOTSTRAP_SLOT
from quorate.base.config import JOIN_ONLY, Bootstrap, ClusterConfig, NodeSettings
from quorate.base.effects import Effect, Refused, Ticket, Truncate
from quorate.base.errors import UnavailableError
from quorate.base.ids import GROUP, NodeId, Slot
from quorate.base.messages import (
    Accept,
    ChangeAnswer,
    ChangeAsk,
    ConfigurationDurable,
    HeartbeatAnswer,
    Overview,
)
from quorate.base.ports import Rng, Status, Tables
from quorate.base.records import Bootstrapped, Record
from quorate.domains import DOMAINS
from quorate.machine.domains import Domains
from quorate.node.applying import needs_space
from quorate.node.bootstrapping import BootstrapProtocol, bootstrap_first
from quorate.node.dispatch import Dispatch, Handlers
from quorate.node.group import Group
from quorate.node.identities import PeerIdentities, refused_group
from quorate.node.links import Links
from quorate.node.overview import Overviews
from quorate.node.periodic import PeriodicTasks
from quorate.node.reconfiguration import Reconfiguration
from quorate.node.settings import check_fixed
from quorate.node.status import is_removed, status_of


class Node:
    """A node of a cluster, or one on its way into a cluster.

    Args:
        me: This node as a member: id, name, addresses.
        incarnation: Rises with each start on this directory.
        settings: See `base.config`.
        tables: What apply writes to; holds the state as of its applied slot.
        records: What the log on disk remembers, oldest first.
        rng: For timeouts and ids.
        now_s: Monotonic seconds at creation.
        wall_ms: Milliseconds since 1970, for people only.
        bootstrap: What to do with a directory that belongs to no cluster.
        snapshot: The newest durable snapshot of the tables holds all up to here.
        domains: Whose commands it applies.
        before: The cluster settings of the last run on this directory; None: unknown.

    Attributes:
        group: The group it hosts.
        bootstrap: How its directory came, or comes, to belong to a cluster.

    Raises:
        StorageError: `corrupt`: the tables cannot take what the log holds. `settings`: see
            `node.settings`.
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
        snapshot: Slot = BOOTSTRAP_SLOT,
        domains: Domains = DOMAINS,
        before: ClusterConfig | None = None,
    ) -> None:
        self.me, self.settings = me, settings
        self._is_alone = bootstrap.is_alone
        self._identities = PeerIdentities(me.id)
        self._dispatch = Dispatch(self._identities)
        self._take = self._dispatch.take
        self.bootstrap = BootstrapProtocol(me, bootstrap, rng, self._identities)
        self.group = Group(
            me, incarnation, settings, tables, domains, rng, now_s,
            wall_ms=wall_ms, dispatch=self._take, on_leader=self._on_leader,
        )  # fmt: skip
        self._reconfiguration = Reconfiguration(
            me.id, incarnation, is_promoting=settings.auto_promote
        )
        self._overviews = Overviews(me.id)
        links = Links(me, self._identities, self.bootstrap, self.group, self._reconfiguration)
        self._links = links
        parts = (self.group, links, self._reconfiguration, self._overviews)
        self._tasks = PeriodicTasks(me, settings, *parts, now_s)
        for handlers in (self.group.handlers, links.handlers, self._handlers):
            self._dispatch.serve(handlers)
        self._recover(records, snapshot, now_s, before)

    @property
    def _handlers(self) -> Handlers:
        """The messages that are handled here."""
        return {
            ChangeAsk: self._on_change_ask,
            ChangeAnswer: lambda _, message, __: self._reconfiguration.on_answer(message),
            ConfigurationDurable: self._on_in_force,
            HeartbeatAnswer: self._on_heartbeat_answer,
            Overview: self._on_overview,
        }

    # --- start and stop ----------------------------------------------------------------------

    def _recover(
        self, records: Iterable[Record], snapshot: Slot, now_s: float, before: ClusterConfig | None
    ) -> None:
        group = self.group
        applied = group.machine.applied
        for record in bootstrap_first(records):
            if isinstance(record, Bootstrapped):
                if record.complete:
                    check_fixed(before, self.settings.cluster)
                self.bootstrap.remember(record)
                self._bootstrap_group(now_s, is_recovering=True)
            else:
                group.remember(record)
            group.apply_recovered()
        if group.replica is not None:
            group.replica.end_recovery(applied, snapshot)

    def _bootstrap_group(self, now_s: float, *, is_recovering: bool = False) -> bool:
        """Become a replica, once the directory belongs to a cluster that exists."""
        bootstrapped, group = self.bootstrap.bootstrapped, self.group
        if group.replica is not None or bootstrapped is None or not bootstrapped.complete:
            return False
        group.bootstrap(bootstrapped, now_s, is_recovering=is_recovering)
        if group.replica is None:
            return False
        self._dispatch.serve_other(group.replica.on_message)
        return True

    def _begun(self) -> list[Effect]:
        """What follows when this node has become a replica: the links are judged again."""
        effects = self._identities.adopt(self.cluster_id)
        if self.group.replica is not None:
            self.group.replica.adopt_links(self._identities.own_cluster)
        return [*effects, *self.group.configured()]

    def _let_out(self, effects: Sequence[Effect], now_s: float) -> list[Effect]:
        """Let effects out; whatever came may have been what a directory without a cluster needs."""
        out = self.group.let_out(effects, now_s)
        return out + self._begin(now_s) if self.group.replica is None else out

    def _begin(self, now_s: float) -> list[Effect]:
        """There is no replica: begin to be one, if the directory belongs to a cluster by now."""
        return self.group.let_out(self._begun(), now_s) if self._bootstrap_group(now_s) else []

    def start(self, now_s: float) -> list[Effect]:
        """The first effects of this incarnation."""
        effects: list[Effect] = []
        if self._is_alone:
            effects += self._let_out(self.bootstrap.alone(), now_s)
        if self._bootstrap_group(now_s) or self.group.replica is not None:
            effects += self._begun()
        replica = self.group.replica
        if replica is not None and replica.membership.newest.voter_ids == frozenset({self.me.id}):
            effects += self._let_out(replica.pre_vote(now_s), now_s)
        return effects

    @property
    def cluster_id(self) -> str:
        """What handshakes carry: "" until this node's cluster exists."""
        return self.bootstrap.cluster_id

    def stop(self) -> list[Refused]:
        """The node stops cleanly: refuse what waits, close views."""
        return self.group.stop()

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
        group = self.group
        if group.refusal is not None:
            raise group.refusal
        if group.space.is_full:
            raise UnavailableError("read_only", "this node's disk is full; try another node", 5.0)
        group.origin.submit(command, ticket, deadline_s, urgent=urgent)

    def read(self, ticket: Ticket, deadline_s: float) -> None:
        """Begin a linearizable read; answered by ReadReady or Refused."""
        self.group.reads.add(ticket, deadline_s)

    def watch(self, subjects: Sequence[bytes], ticket: Ticket) -> int:
        """Wait for a change of any subject; Wake brings the ticket once. Returns an id."""
        return self.group.watches.add(subjects, ticket)

    def unwatch(self, watch_id: int) -> None:
        """Forget a watch; harmless if it fired."""
        self.group.watches.remove(watch_id)

    def change(self, verb: str, member: Member, ticket: Ticket, deadline_s: float) -> None:
        """Ask for a change of membership: "add", "promote", "remove", "transfer"."""
        self._reconfiguration.ask(verb, member, ticket, deadline_s)

    # --- events ------------------------------------------------------------------------------

    def receive(self, event: events.Event, now_s: float) -> list[Effect]:
        """Take one event.

        Nothing is applied before a vote is on its way: that would hold up the others.
        """
        group = self.group
        if type(event) is events.Persisted:
            effects = group.on_persisted(event.mark, now_s)
        elif type(event) is events.Received:
            if event.group != GROUP:
                return [refused_group(event)]
            sender, message = event.sender, event.message
            may_apply = type(message) is not Accept
            effects = group.apply_pending(now_s) if may_apply and group.is_apply_pending else []
            own: Sequence[Effect] = ()
            if (
                not group.space.is_log_full or sender == self.me.id or not needs_space(message)
            ):  # APL-2
                own = self._take(sender, message, now_s)
            effects += group.let_out(own, now_s, is_applying=may_apply)
        else:
            effects = group.apply_pending(now_s)
            effects += group.let_out(self._on_event(event, now_s), now_s)
        return effects + self._begin(now_s) if group.replica is None else effects

    def _on_event(self, event: events.Event, now_s: float) -> list[Effect]:
        if isinstance(event, events.Connected):
            return self._links.on_connected(event, now_s)
        if isinstance(event, events.Disconnected):
            return self._links.on_disconnected(event, now_s)
        if isinstance(event, events.SnapshotTaken):
            return self._on_snapshot(event.slot)
        if isinstance(event, events.ChunkStored | events.Installed):
            return self.group.on_stored(event, now_s)
        if isinstance(event, events.SpaceChanged):
            return self.group.space.on_log(is_full=event.is_full)
        return []

    def _on_snapshot(self, slot: Slot) -> list[Effect]:
        """The tables as of `slot` are durable: the log up to there may go."""
        replica = self.group.replica
        return [Truncate(slot), *([] if replica is None else replica.durable.on_snapshot(slot))]

    # --- turns -------------------------------------------------------------------------------

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed: timeouts, resends, periodic tasks."""
        before = self.apply_pending(now_s)
        effects: list[Effect] = [*self.bootstrap.tick(now_s), *self._identities.tick(now_s)]
        effects += self.group.tick(now_s)
        effects += self._tasks.tick(now_s)
        return before + self._let_out(effects, now_s)

    def apply_pending(self, now_s: float) -> list[Effect]:
        """Apply what is chosen and wake watchers, up to this turn's share: `end_turn` gives it."""
        return self.group.apply_pending(now_s)

    @property
    def is_apply_pending(self) -> bool:
        """Something could be applied that is known to be chosen, or a watcher woken."""
        return self.group.is_apply_pending

    def is_turn_due(self, now_s: float) -> bool:
        """`end_turn` has something to do, even if an event or `apply_pending` had no effects."""
        return self.group.is_turn_due(now_s) or bool(self._reconfiguration.pending)

    def end_turn(self, now_s: float) -> list[Effect]:
        """End a turn: propose or forward what waits, request a read index, send the watermark."""
        return self.group.end_turn(
            now_s, self._request_changes if self._reconfiguration.pending else None
        )

    @property
    def turn_due_s(self) -> float:
        """When `end_turn` should be called at the latest; infinite: only after an event."""
        return self.group.turn_due_s

    def _request_changes(self, now_s: float) -> list[Effect]:
        """Send requests to the leader; a removed node, which knows none, to all linked peers."""
        leader, replica = self.group.leader, self.group.replica
        whom = [] if leader is None else [leader]
        if replica is not None and not whom and is_removed(replica):
            whom = sorted(replica.linked)
        return self._reconfiguration.requests(whom, now_s)

    def _on_leader(self, is_leading: bool) -> None:
        self._tasks.on_leader(is_leading)

    # --- messages ----------------------------------------------------------------------------

    def _on_change_ask(self, sender: NodeId, message: ChangeAsk, now_s: float) -> list[Effect]:
        replica = self.group.replica
        return (
            [] if replica is None else self._reconfiguration.on_ask(sender, message, replica, now_s)
        )

    def _on_in_force(
        self, sender: NodeId, message: ConfigurationDurable, now_s: float
    ) -> list[Effect]:
        replica = self.group.replica
        if replica is None:
            return []
        return replica.on_message(sender, message, now_s) + self._reconfiguration.responses(replica)

    def _on_heartbeat_answer(
        self, sender: NodeId, message: HeartbeatAnswer, now_s: float
    ) -> list[Effect]:
        replica = self.group.replica
        if replica is None:
            return []
        effects = replica.on_message(sender, message, now_s)
        if replica.leadership is None:
            return effects
        effects += self._reconfiguration.responses(replica)
        newest = replica.membership.newest
        slot, digest = message.digest_slot, message.digest
        halt = self.group.divergence.on_report(sender, slot, digest, newest)
        return effects if halt is None else [*effects, halt]

    def _on_overview(self, sender: NodeId, message: Overview, now_s: float) -> list[Effect]:
        if sender == self.group.leader:
            self._overviews.on_overview(message, now_s)
        return []

    # --- status ------------------------------------------------------------------------------

    def status(self, now_s: float) -> Status:
        """A fresh status; cheap."""
        parts = (self.bootstrap, self._identities, self._overviews)
        return status_of(self.me, self.group, *parts, now_s, refusal=self._reconfiguration.refusal)
