"""Cluster: all hosts of a run, the clients, checkers, and an operator who replaces lost ones."""

from collections.abc import Sequence
from functools import partial
from itertools import count

import msgspec

from quorate.base.batches import Member
from quorate.base.config import NodeSettings
from quorate.base.errors import QuorateError
from quorate.base.ids import NodeId, Slot
from quorate.domains import DOMAINS
from quorate.kv.model import keys_of
from quorate.kv.queries import kv_list
from quorate.machine.derived import differences
from quorate.machine.domains import Domains
from quorate.machine.queries import Reader
from quorate.sim.behaviour import Behaviour
from quorate.sim.clock import NodeClock
from quorate.sim.gateway import SimGateway
from quorate.sim.history import HistoryChecker
from quorate.sim.host import Host
from quorate.sim.model import ReferenceModel
from quorate.sim.network import Network, NetworkConditions
from quorate.sim.operations import Operation
from quorate.sim.oracle import Memory, Oracle
from quorate.sim.readfaults import NO_FAULTS, ReadFaults
from quorate.sim.store import Directory, Speed
from quorate.sim.workload import Client, WorkloadProfile
from quorate.sim.world import ViolationError, World
from quorate.wire.journal import Layout

NAMES = "abcdefgh"
WALL_MS = 1_700_000_000_000

GUARDED_S = 3.0
"""For this time after an old copy was put back there is no other fault."""


class Make(msgspec.Struct, frozen=True):
    """What a cluster is made of; drawn from the seed."""

    initial_nodes: int = 3
    spares: int = 0  # hosts that are not there at first
    is_bootstrapped_alone: bool = (
        False  # one bootstraps, the others join; else all expect each other
    )
    expect: int = 0  # so many of them bootstrap, the others join; 0: all
    early: int = 0  # spares that start together with the initial nodes
    neighbours: int = 0  # initial nodes of a second cluster, which the last spare knows too
    settings: NodeSettings = NodeSettings()
    layout: Layout = Layout(segment_bytes=16 * 1024)
    speed: Speed = Speed()
    conditions: NetworkConditions = NetworkConditions()
    behaviour: Behaviour = Behaviour()
    profile: WorkloadProfile = WorkloadProfile()
    read_faults: ReadFaults = NO_FAULTS
    drift: float = 0.0  # clocks run at 1 ± this
    domains: Domains = DOMAINS


class SimCluster:
    """Everything that a run consists of.

    Args:
        world: Time and random numbers.
        make: What to build.
        names: One for each host.
        network: That of another cluster, to share; None: an own one.
    """

    def __init__(
        self, world: World, make: Make, *, names: str = NAMES, network: Network | None = None
    ) -> None:
        self.world, self.make = world, make
        self.checker = HistoryChecker()
        self.gateway = SimGateway(world, self.checker, make.domains, make.read_faults)
        self.oracle = Oracle(make.settings.cluster, self._on_chosen, make.domains)
        self.network = network or Network(world, make.conditions)
        self._rng = world.rng("cluster" if network is None else "neighbour cluster")
        self._numbers = count(1)
        self.hosts: dict[str, Host] = {}
        self.retired: set[str] = set()  # hosts that must not be in the configuration any more
        self.visitors: set[str] = set()  # hosts that may belong to another cluster: see `neighbour`
        self._to_remove: dict[NodeId, Member] = {}  # until it is answered that they are removed
        self._to_promote: Member | None = None  # the same for a vote
        self.has_old_copies = False  # some directory may lack what its node reported to hold
        self.guarded_until_s = 0.0  # no new fault before
        self.faults_active = 0
        self.are_faults_over = False
        names = names[: make.initial_nodes + make.spares]
        for place, name in enumerate(names):
            self.hosts[name] = self._host(name, place, tuple(names[: make.initial_nodes]))
        self.clients = [
            Client(
                world,
                self.gateway,
                self.askable,
                f"c{n}",
                make.profile,
                lambda: next(self._numbers),
            )
            for n in range(make.profile.clients)
        ]

    def _host(self, name: str, place: int, initial_nodes: tuple[str, ...]) -> Host:
        make, rng = self.make, self._rng
        is_first = place == 0
        is_initial = place < make.initial_nodes
        behaviour = msgspec.structs.replace(
            make.behaviour,
            expect=(make.expect or make.initial_nodes)
            if is_initial and not make.is_bootstrapped_alone
            else 0,
            is_alone=is_first and (make.is_bootstrapped_alone or make.initial_nodes == 1),
            seeds=tuple(n for n in initial_nodes if n != name),
        )
        rate = 1.0 + make.drift * (2 * rng.random() - 1)
        clock = NodeClock(rng.random() * 1000, rate, WALL_MS + rng.randrange(10**6))
        host = Host(
            self.world,
            self.network,
            self.oracle,
            self.gateway,
            name,
            make.settings,
            make.layout,
            make.speed,
            clock,
            behaviour,
        )
        host.format()
        return host

    def _on_chosen(self, slot: Slot, batch: bytes) -> None:
        if self.checker.model is None:
            self.checker.model = self.oracle.model

    # --- starts and stops ---------------------------------------------------------------------

    def start(self) -> None:
        """Start all initial nodes within half a second, spares that are early, and the clients."""
        for name in list(self.hosts)[: self.make.initial_nodes + self.make.early]:
            self.world.after(self._rng.random() * 0.5, self.hosts[name].start)
        for client in self.clients:
            client.begin()
        self.world.after(0.5, self._look)
        self.world.after(1.0, self._operate)

    def askable(self) -> Sequence[Host]:
        """Hosts that clients call."""
        return [
            host
            for name, host in self.hosts.items()
            if host.starts and not host.is_lost and name not in self.retired | self.visitors
        ]

    @property
    def living(self) -> list[Host]:
        """Hosts that run."""
        return [host for host in self.hosts.values() if host.is_running]

    @property
    def leader(self) -> Host | None:
        """A host that serves as leader; if several do, the one with the highest ballot."""
        serving = [
            host
            for host in self.living
            if host.node and host.node.group.replica and host.node.group.replica.is_serving
        ]
        return max(serving, key=_ballot_of, default=None)

    @property
    def is_bootstrapped(self) -> bool:
        """Whether every initial node belongs to the cluster, by its own state."""
        initial_nodes = [self.hosts[name] for name in list(self.hosts)[: self.make.initial_nodes]]
        return all(host.node is not None and host.node.cluster_id for host in initial_nodes)

    def _look(self) -> None:
        """Check the watchers that wait."""
        for host in self.living:
            self.gateway.look(host)
        self.world.after(0.5, self._look)

    # --- the operator -------------------------------------------------------------------------

    def wipe(self, host: Host) -> None:
        """A lost disk: the old id must leave, the host joins as a new one."""
        if host.me.id in self._to_remove:
            return
        self._to_remove[host.me.id] = host.me
        host.crash(is_power_cut=True)
        host.format()
        host.behaviour = msgspec.structs.replace(host.behaviour, expect=0, is_alone=False)
        self.world.log(f"{host.name} has an empty disk, now {host.me.id}")
        self.world.after(0.5 + self._rng.random(), host.start)

    def start_or_replace(self, host: Host) -> None:
        """Start a host; if it refuses its damaged log, replace it."""
        host.start()
        if host.is_lost:
            self.world.after(self._rng.random() * 3, self.wipe, host)

    def roll_back(self, host: Host, old: Directory) -> None:
        """Replace a host's directory by an old copy and start it.

        If it lacks what others have recorded it must halt, and soon; then it is replaced.
        """
        before = self.oracle.rolled_back(host.me.id)
        host.crash(is_power_cut=False)
        host.store.roll_back(old)
        self.has_old_copies, host.in_force = True, 0
        host.is_rolled_back = True  # it may halt; whether it must is checked below
        host.start()
        self._compare_old_copy(host, host.me.id, before, old.snapshot[0])

    def _compare_old_copy(self, host: Host, node_id: NodeId, before: Memory, saved: Slot) -> None:
        """What does it lack? That is known as soon as a start has read its log."""
        if host.me.id != node_id:
            return  # replaced meanwhile
        self.guarded_until_s = self.world.now + GUARDED_S
        if not (host.epoch or host.is_lost):
            self.world.after(0.1, self._compare_old_copy, host, node_id, before, saved)
            return
        promised, slot = self.oracle.memory(node_id).began
        has_forgotten = promised < before.promised or (
            max(slot, saved) < max(before.votes, default=Slot(0))
        )
        self.world.log(f"{host.name} is an old copy; it lacks records: {has_forgotten}")
        host.is_rolled_back = has_forgotten
        self.world.after(GUARDED_S, self._check_old_copy, host, host.me.id, has_forgotten)

    def is_fault_free(self, host: Host) -> bool:
        """Whether all members run, without a fault, and are linked with this one."""
        network = self.network
        for other in self.members:
            other.disarm()
            if not other.is_running or other.clock.is_frozen or other.store.slowness > 1.0:
                return False
            if other is not host and not (
                network.is_linked(other.name, host.name)
                and network.is_linked(host.name, other.name)
                and not network.is_cut(other.name, host.name)
                and not network.is_cut(host.name, other.name)
            ):
                return False
        return True

    def is_remembered(self, host: Host) -> bool:
        """Whether another member has recorded all that this one asked its disk to hold."""
        memory, me = self.oracle.memory(host.me.id), host.me.id
        highest = max(memory.votes, default=Slot(0))
        for other in self.members:
            replica = other.node.group.replica if other.node else None
            if other is not host and replica is not None:
                promised, slot = replica.recall.remembered(me)
                if promised >= memory.promised and slot >= highest:
                    return True
        return False

    def _check_old_copy(self, host: Host, node_id: NodeId, has_forgotten: bool) -> None:
        if host.me.id != node_id:
            return  # replaced meanwhile
        if has_forgotten and not host.is_lost:
            raise ViolationError(f"{host.name} goes on with an old copy of its directory")
        if host.is_lost:
            self.wipe(host)

    def retire(self, host: Host) -> None:
        """A member leaves for good: it is stopped when its removal is answered."""
        self.retired.add(host.name)
        self._to_remove[host.me.id] = host.me

    def _answered(self, verb: str, member: Member, error: QuorateError | None) -> None:
        """What an operator does when a change is answered."""
        if verb == "promote" and error is None:  # a refusal may be of the second try, not the first
            self._to_promote = None
        if verb != "remove" or error is not None or member.id not in self._to_remove:
            return
        del self._to_remove[member.id]
        host = self.hosts[member.name]
        if host.name in self.retired and host.me.id == member.id:
            delay_s = self._rng.choice((0.0, 0.0, 2.0)) * self._rng.random()
            self.world.after(delay_s, partial(host.crash, is_power_cut=False))

    @property
    def is_membership_stable(self) -> bool:
        """No removal is left to do, and every change is answered."""
        return not self._to_remove and self._to_promote is None

    def _operate(self) -> None:
        """Request the changes that are still to be made, on any host that runs."""
        self.world.after(1.0, self._operate)
        model = self.oracle.model
        if model is None:
            return
        newest = model.chain[-1][1]
        for node_id in list(self._to_remove):
            if newest.member(node_id) is None and node_id not in newest.removed:
                del self._to_remove[node_id]  # it never was one
        if self._to_promote is not None and newest.member(self._to_promote.id) is None:
            self._to_promote = None
        if self._to_remove:
            self.change("remove", next(iter(self._to_remove.values())))
        elif self._to_promote is not None:
            self.change("promote", self._to_promote)
        elif newest.learners and not self.make.settings.auto_promote:
            self._to_promote = newest.learners[self._rng.randrange(len(newest.learners))]
            self.change("promote", self._to_promote)

    def change(self, verb: str, member: Member) -> None:
        """Request a change of membership from some host."""
        hosts = self.living
        if not hosts:
            return
        host = hosts[self._rng.randrange(len(hosts))]

        def done(error: QuorateError | None) -> None:
            why = "" if error is None else f": {error.code}"
            self.world.log(f"{host.name} closed {verb} {member.name}{why}")
            self._answered(verb, member, error)

        host.do(lambda node, now_s: node.change(verb, member, done, now_s + 5.0))

    # --- the end ------------------------------------------------------------------------------

    def end_faults(self) -> None:
        """End all faults: the liveness phase begins."""
        self.are_faults_over = True
        self.network.heal_all()
        self.gateway.failing.is_over = True
        for host in self.hosts.values():
            now = self.world.now
            host.clock.thaw(now)
            host.store.slowness = 1.0
            host.store.disk.sync_failures = 0
            host.store.speed = msgspec.structs.replace(host.store.speed, stall=0.0)
            host.disarm()
            host.set_full(is_full=False)
            host.resume()
            if host.starts and host.name not in self.retired:
                if host.is_lost:
                    self.wipe(host)
                elif not host.epoch:
                    self.world.after(self._rng.random() * 0.2, self.start_or_replace, host)

    def stop_clients(self) -> None:
        """Clients send no more requests."""
        for client in self.clients:
            client.is_stopped = True

    @property
    def members(self) -> list[Host]:
        """Hosts in the newest configuration."""
        model = self.oracle.model
        ids = {m.id for m in model.chain[-1][1].members} if model else set[NodeId]()
        return [host for host in self.hosts.values() if host.me.id in ids]

    @property
    def is_level(self) -> bool:
        """Whether all members have applied all that is chosen, and no operation is open."""
        members = self.members
        if not members or self.gateway.open or not self.is_membership_stable:
            return False
        return self.leader is not None and all(
            host.node is not None and host.node.group.machine.applied == self.oracle.prefix
            for host in members
        )

    def behind(self) -> str:
        """Which members are behind, as text."""
        states = [
            f"{host.name}: {'down' if host.node is None else host.node.group.machine.applied}"
            for host in self.members
        ]
        return (
            f"chosen {self.oracle.prefix}, {', '.join(states)}, leader "
            f"{self.leader.name if self.leader else None}, open {len(self.gateway.open)}, "
            f"membership stable {self.is_membership_stable}"
        )

    def probe(self, host: Host, operation: Operation) -> None:
        """One more operation, for the liveness phase."""
        self.gateway.ask(host, operation, 10.0, lambda _: None)

    def compare_dumps(self) -> None:
        """Every member's keys, as a client would list them, against the model's."""
        model = self.oracle.model
        if model is None:
            raise ViolationError("no cluster was bootstrapped")
        for host in self.members:
            if host.node is None:
                continue
            reader = self.gateway.reader(host.tables)
            found = {
                entry.key: (entry.row.value, entry.row.modify_index, entry.row.session)
                for entry in kv_list(reader, b"").value
            }
            expected = {
                key: (row.value, row.modify, row.session) for key, row in keys_of(model).kv.items()
            }
            if reader.applied == model.slot and found != expected:
                raise ViolationError(f"the keys of {host.name} are not those of the model")
            self._compare_queries(host, reader, model)
            wrong = differences(self.gateway.domains, host.tables)
            if wrong:
                raise ViolationError(f"secondary indexes of {host.name}: {wrong[:3]}")

    def _compare_queries(self, host: Host, reader: Reader, model: ReferenceModel) -> None:
        for name, query in self.gateway.queries.items() if reader.applied == model.slot else ():
            for key in dict.fromkeys(query.key(self._rng) for _ in range(8)):
                if query.see(reader, key) != query.expect(model, model.slot, key):
                    raise ViolationError(f"{name} {key!r} of {host.name} is not that of the model")


def _ballot_of(host: Host) -> tuple[int, str]:
    replica = host.node.group.replica if host.node else None
    return (replica.ballot.round, replica.ballot.node) if replica else (0, "")
