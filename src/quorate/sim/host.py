"""Host: a machine that runs one node, with its disk, its clock and its clients.

It drives the node in virtual time. It executes effects strictly in order, as `runtime.driver` does,
and may crash between any two of them or between two transactions of the tables; it may pause while
messages queue, and end its turn after each event or after several.
"""

from collections.abc import Callable
from math import inf
from typing import Any

from quorate.base.batches import Configuration, Member
from quorate.base.config import Bootstrap, NodeSettings
from quorate.base.effects import (
    Applied,
    ChangeDone,
    Close,
    Configured,
    Effect,
    Halt,
    Install,
    Note,
    Persist,
    ReadReady,
    Refused,
    Send,
    SendWhenDurable,
    Truncate,
    Wake,
)
from quorate.base.errors import StorageError, violated
from quorate.base.events import (
    ChunkStored,
    Event,
    Installed,
    Persisted,
    SnapshotTaken,
    SpaceChanged,
)
from quorate.base.ids import NodeId, Slot
from quorate.base.records import Record
from quorate.machine.state import State
from quorate.node.node import Node
from quorate.sim.behaviour import Behaviour
from quorate.sim.clock import NodeClock
from quorate.sim.gateway import SimGateway
from quorate.sim.network import Network
from quorate.sim.oracle import Oracle
from quorate.sim.store import Crash, Speed, Store, WatchedTables
from quorate.sim.world import ViolationError, World
from quorate.wire.hello import VERSION_MAX, VERSION_MIN, Hello, settings_shown
from quorate.wire.journal import Layout

NO_MEMBER = Member(NodeId(""), "", "")


class Host:
    """One machine of the cluster.

    Args:
        world: Time and random numbers.
        network: Carries its messages.
        oracle: Sees all it does.
        gateway: Serves its clients.
        name: Its address.
        settings: Of the node.
        layout, speed: Of its disk.
        clock: The time that it reads.
        behaviour: How it behaves.
    """

    def __init__(  # noqa: PLR0917
        self,
        world: World,
        network: Network,
        oracle: Oracle,
        gateway: SimGateway,
        name: str,
        settings: NodeSettings,
        layout: Layout,
        speed: Speed,
        clock: NodeClock,
        behaviour: Behaviour,
    ) -> None:
        self.world, self.network, self.oracle, self.gateway = world, network, oracle, gateway
        self.name, self.settings, self.clock, self.behaviour = name, settings, clock, behaviour
        tables = WatchedTables(self._at_boundary, self._on_state)
        self.store = Store(world, name, layout, speed, tables)
        self.store.on_failure = self._sync_failed
        self.me = NO_MEMBER
        self.node: Node | None = None
        self.epoch = 0
        self.starts = 0
        self.is_lost = False  # its directory cannot be used again
        self.is_corrupted = False
        self.is_rolled_back = False  # its directory is an old copy that forgot something
        self._rng = world.rng(f"host {name}")
        self._wanted: frozenset[str] = frozenset()
        self._nonce = 0
        self._armed = -1  # boundaries left before a crash; negative: none
        self._is_power_cut = False
        self._is_paused = False
        self._inbox: list[Event] = []
        self._is_flush_due = self._is_obeying = False
        self._turn_timer_s, self._flushed_s = inf, 0.0
        self._looked = Slot(0)
        self.in_force = 0  # the newest configuration in force by its disk, as it reported (LRN-6)
        self._shown = settings_shown(settings.cluster)  # of the settings, in handshakes
        network.ends[name] = self

    # --- for the network ----------------------------------------------------------------------

    def hello(self) -> Hello:
        """What it sends in handshakes now."""
        cluster_id = self.node.cluster_id if self.node else ""
        incarnation = self.store.incarnation
        return Hello(
            VERSION_MIN, VERSION_MAX, cluster_id, self.me, incarnation, self._nonce, *self._shown
        )

    def wants(self, name: str) -> bool:
        """Whether it keeps a link to that host; to those to join, until one to a member is up."""
        if name in self._wanted or name not in self.behaviour.seeds:
            return name in self._wanted
        is_member = self.node is not None and bool(self.node.cluster_id)
        linked = (self.network.is_linked(self.name, other) for other in self._wanted)
        return not is_member or not any(linked)

    def deliver(self, epoch: int, event: Event) -> None:
        """Something happened, for that epoch of this host."""
        if not epoch or epoch != self.epoch:
            return
        if self._is_paused:
            self._inbox.append(event)
            return
        self._turn(self._receive, event)

    # --- starts and stops ---------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Monotonic seconds, as this host reads them."""
        return self.clock.read(self.world.now)

    def format(self) -> None:
        """An empty disk, so a new id."""
        node_id = NodeId(f"{self._rng.getrandbits(64):016x}-{self.name}")
        self.store.format(node_id)
        self.me = Member(node_id, self.name, f"{self.name}:8300")
        self.is_lost = self.is_corrupted = self.is_rolled_back = False
        self.in_force = 0

    def start(self) -> None:
        """Start, if it does not run and the directory allows it."""
        if self.epoch or self.is_lost:
            return
        try:
            self._start()
        except Crash:
            self.store.end(is_power_cut=self._is_power_cut)
            self.epoch, self.node = 0, None
            self.world.after(1.0, self.start)
        except StorageError as error:
            self.epoch, self.node = 0, None
            self.store.end(is_power_cut=False)
            if error.code == "disk_full":
                self.world.after(1.0, self.start)
                return
            if not self.is_corrupted:
                raise ViolationError(f"{self.name} cannot start: {error.text}") from error
            self.is_lost = True
            self.world.log(f"{self.name} refuses its log: {error.text[:80]}")

    def _start(self) -> None:
        records = self.store.recover()
        self._nonce = self._rng.getrandbits(32)
        self._shown = settings_shown(self.settings.cluster)
        after = self.store.snapshot[0]
        self.oracle.recovered(self.me.id, records, after)
        self._armed = -1
        state_slot, state_index = self._tables_state()
        self.oracle.tables_at(self.me.id, state_slot, state_index)
        self._looked = state_slot
        node = Node(
            self.me,
            self.store.incarnation,
            self.settings,
            self.store.tables,
            records,
            self._rng,
            self.now_s,
            wall_ms=self._wall_ms,
            bootstrap=Bootstrap(
                self.behaviour.expect,
                self.behaviour.is_alone,
                tuple(f"{name}:8300" for name in self.behaviour.seeds),
            ),
            snapshot=after,
            domains=self.oracle.domains,
            before=self.store.cluster,
        )
        self.store.cluster = self.settings.cluster
        replica = node.group.replica
        if replica and replica.membership.in_force(replica.watermark) < self.in_force:
            raise ViolationError(f"{self.name} forgot that configuration {self.in_force} governs")
        self.starts += 1
        self.epoch = self.starts
        self.node = node
        self.is_corrupted = False
        self._is_paused, self._inbox, self._is_flush_due = False, [], False
        self._turn_timer_s, self._flushed_s = inf, self.now_s
        self.gateway.serve(self, self.settings.timing.hold_s)
        self.world.log(
            f"{self.name} starts as incarnation {self.store.incarnation} at {state_slot}"
        )
        self.network.up(self.name)
        self._turn(node.start, is_always=True)
        epoch = self.epoch
        if epoch:
            self.world.after(self._tick_s(), self._tick, epoch)
            self._plan_snapshot(epoch)
            self.world.after(1.0, self._take_wanted, epoch)

    def crash(self, *, is_power_cut: bool) -> None:
        """Stop now."""
        if not self.epoch:
            return
        self.world.log(f"{self.name} {'loses power' if is_power_cut else 'is killed'}")
        if self.node is not None and self.node.group.replica is not None:
            self.in_force = max(self.in_force, self.node.group.replica.durable.number)
        self.epoch, self.node = 0, None
        self.store.end(is_power_cut=is_power_cut)
        self.network.down(self.name, is_silent=is_power_cut)
        self.gateway.lost(self.name)

    def arm(self, boundaries: int, *, is_power_cut: bool) -> None:
        """Crash after so many effects or transactions."""
        self._armed, self._is_power_cut = boundaries, is_power_cut

    def disarm(self) -> None:
        """Do not crash after all."""
        self._armed = -1

    def pause(self) -> None:
        """Pause; what arrives queues."""
        self._is_paused = bool(self.epoch)

    def resume(self) -> None:
        """Go on, with all that queued in one turn."""
        if not self._is_paused:
            return
        self._is_paused = False
        inbox, self._inbox = self._inbox, []
        epoch = self.epoch
        for event in inbox:
            self.deliver(epoch, event)

    @property
    def tables(self) -> WatchedTables:
        """Its rows as of now."""
        return self.store.tables

    @property
    def is_running(self) -> bool:
        """It runs and is not paused."""
        return bool(self.epoch) and not self._is_paused

    def _sync_failed(self) -> None:
        self.world.log(f"{self.name} failed to sync")
        self.crash(is_power_cut=False)

    # --- turns --------------------------------------------------------------------------------

    def do(self, action: Callable[[Node, float], Any]) -> None:
        """Pass a client's request to the node, as part of a turn."""
        node = self.node
        if node is None or self._is_paused:
            return
        action(node, self.now_s)
        self._end_turn()

    def _turn(self, call: Callable[..., list[Effect]], *args: Any, is_always: bool = False) -> None:
        try:
            effects = call(*args, self.now_s)
            self._obey(effects)
            if effects or is_always or (self.node and self.node.is_turn_due(self.now_s)):
                self._end_turn()
            elif self.behaviour.is_checking_turns and self.node and not self._is_flush_due:
                self._check_turn(self.node)
        except Crash:
            self.crash(is_power_cut=self._is_power_cut)

    def _check_turn(self, node: Node) -> None:
        """Check that no turn is due: at the time of the last one, it has no effects."""
        if effects := node.end_turn(self._flushed_s):
            raise ViolationError(f"no turn of {self.name} is due, and it brings {effects}")

    def _receive(self, event: Event, now_s: float) -> list[Effect]:
        node = self.node
        return node.receive(event, now_s) if node else []

    def _end_turn(self) -> None:
        if self._is_flush_due:
            return
        self._is_flush_due = True
        if self._rng.random() < self.behaviour.flush_share and not self._is_obeying:
            self._flush(self.epoch)
        else:
            delay_s = self._rng.random() * self.behaviour.flush_s
            self.world.after(delay_s, self._flush, self.epoch)

    def _flush(self, epoch: int) -> None:
        node = self.node
        if node is None or epoch != self.epoch:
            return
        if self._is_paused:
            self.world.after(self.behaviour.flush_s, self._flush, epoch)
            return
        self._is_flush_due, self._flushed_s = False, self.now_s
        try:
            self._obey(node.end_turn(self._flushed_s))
        except Crash:
            self.crash(is_power_cut=self._is_power_cut)
            return
        self._look(node)
        if node.is_apply_pending:
            delay_s = self._rng.random() * self.behaviour.flush_s
            self.world.after(delay_s, self._apply_pending, epoch)
        if node.turn_due_s != self._turn_timer_s:
            self._turn_timer_s = node.turn_due_s
            if self._turn_timer_s < inf:
                self.world.after(max(0.0, self._turn_timer_s - self.now_s), self._flush, epoch)

    def _apply_pending(self, epoch: int) -> None:
        node = self.node
        if node is not None and epoch == self.epoch and not self._is_paused:
            self._turn(node.apply_pending)

    def _tick_s(self) -> float:
        return self.settings.timing.tick_s * (0.9 + 0.2 * self._rng.random())

    def _tick(self, epoch: int) -> None:
        node = self.node
        if node is None or epoch != self.epoch:
            return
        self.world.after(self._tick_s(), self._tick, epoch)
        if not self._is_paused:
            self._turn(node.tick, is_always=True)

    def _look(self, node: Node) -> None:
        if node.group.replica is not None:
            self._looked = self.oracle.look(self.me.id, node.group.replica, self._looked)

    def _wall_ms(self) -> int:
        return self.clock.wall(self.world.now)

    def _at_boundary(self) -> None:
        if self._armed >= 0:
            self._armed -= 1
            if self._armed < 0:
                raise Crash

    def _on_state(self, state: State) -> None:
        self.oracle.applied(self.me.id, state)

    # --- effects ------------------------------------------------------------------------------

    def _obey(self, effects: list[Effect]) -> None:
        """Execute effects, in order; requests of clients wait meanwhile for the end of the turn."""
        is_within, self._is_obeying = self._is_obeying, True
        try:
            self._obey_each(effects)
        finally:
            self._is_obeying = is_within

    def _obey_each(self, effects: list[Effect]) -> None:  # noqa: C901, PLR0912
        epoch = self.epoch
        for effect in effects:
            self._at_boundary()
            if self.epoch != epoch:
                return
            match effect:
                case Persist():
                    self.store.append(effect, self._persisted)
                case Send():
                    self._send(effect)
                case Applied(tickets, outcomes, slot, position):
                    self.gateway.applied(tickets, outcomes, slot, position)
                case Refused(tickets, error):
                    self.gateway.refused(tickets, error)
                case ReadReady(tickets, _, log_time_ms):
                    self.gateway.ready(tickets, log_time_ms)
                case Wake(tickets):
                    self.gateway.wake(self, tickets)
                case ChangeDone(ticket, error):
                    ticket(error)
                case Truncate(slot):
                    self.store.truncate(slot)
                case Install():
                    self._install(effect)
                case Configured(configuration):
                    self._configured(configuration)
                case Close(peer, why):
                    self._close(peer, why)
                case Note(what, fields):
                    self.world.log(f"{self.name} notes {what} {fields}")
                case Halt(code, reason):
                    if not self.is_rolled_back:
                        raise ViolationError(f"{self.name} halted ({code}): {reason}")
                    self.world.log(f"{self.name} halted: {reason[:90]}")
                    self.crash(is_power_cut=False)
                    self.is_lost = True
                case SendWhenDurable():
                    violated("a driver never sees a SendWhenDurable")

    def _send(self, effect: Send) -> None:
        watermark = (
            self.node.group.replica.watermark if self.node and self.node.group.replica else Slot(0)
        )
        self.oracle.sends(self.me.id, watermark, effect.message)
        name = effect.to.rpartition("-")[2]
        if self.network.ends[name].hello().member.id == effect.to:
            self.network.send(self, name, effect.message, effect.group)

    def _persisted(self, mark: int, records: list[Record]) -> None:
        self.oracle.durable(self.me.id, records)
        self.deliver(self.epoch, Persisted(mark))

    def _configured(self, configuration: Configuration) -> None:
        names = {member.name for member in configuration.members} - {self.name}
        is_new = not names <= self._wanted
        self._wanted = frozenset(names)
        if is_new:
            self.network.redial(self.name)

    def _close(self, peer: NodeId, why: str) -> None:
        name = peer.rpartition("-")[2]
        self.world.log(f"{self.name} closes its link to {name}: {why[:60]}")
        if self.network.is_linked(self.name, name):
            self.network.close(self.name, name)

    # --- tables -------------------------------------------------------------------------------

    def _tables_state(self) -> tuple[Slot, int]:
        reader = self.gateway.reader(self.store.tables)
        return Slot(reader.applied), reader.index

    def _plan_snapshot(self, epoch: int) -> None:
        delay_s = self.behaviour.snapshot_s * (0.3 + 1.4 * self._rng.random())
        self.world.after(delay_s, self._take_snapshot, epoch)

    def _take_snapshot(self, epoch: int) -> None:
        node = self.node
        if node is None or epoch != self.epoch:
            return
        if not self._is_paused and node.group.machine.applied > self.store.snapshot[0]:
            self.world.log(f"{self.name} takes a snapshot of {node.group.machine.applied}")
            self.store.take_snapshot(node.group.machine.applied, self._snapshot_taken)
        self._plan_snapshot(epoch)

    def _take_wanted(self, epoch: int) -> None:
        """Once a second, as a server: a snapshot if the node wants one (rule LRN-6)."""
        node = self.node
        if node is None or epoch != self.epoch:
            return
        self.world.after(1.0, self._take_wanted, epoch)
        replica = node.group.replica
        if replica is None or not replica.durable.is_snapshot_wanted or self._is_paused:
            return
        if node.group.machine.applied > self.store.snapshot[0]:
            self.world.log(f"{self.name} takes a wanted snapshot of {node.group.machine.applied}")
            self.store.take_snapshot(node.group.machine.applied, self._snapshot_taken)

    def _snapshot_taken(self, slot: Slot) -> None:
        self.deliver(self.epoch, SnapshotTaken(slot))

    def _install(self, effect: Install) -> None:
        self.store.put_chunk(effect.data, is_first=effect.is_first)
        if effect.is_last:
            transfer = effect.transfer
            self.store.install(effect.slot, lambda: self._installed(transfer))
        else:
            self.store.after_chunk(self.deliver, self.epoch, ChunkStored(effect.transfer))

    def _installed(self, transfer: int) -> None:
        slot, index = self._tables_state()
        self.oracle.tables_at(self.me.id, slot, index)
        self._looked = slot
        self.gateway.is_jumping = True
        self._is_paused, is_paused = False, self._is_paused
        self.deliver(self.epoch, Installed(transfer))
        self._is_paused = is_paused and bool(self.epoch)
        self.gateway.is_jumping = False

    def set_full(self, *, is_full: bool) -> None:
        """Its disk has no space left, or has some again."""
        self.store.tables.is_full = is_full
        self.deliver(self.epoch, SpaceChanged(is_full))
