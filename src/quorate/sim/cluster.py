"""Cluster: all hosts of a run, the clients, the checkers, and an operator who replaces the lost."""

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
from quorate.sim.clock import NodeClock
from quorate.sim.desk import Desk
from quorate.sim.habits import Habits
from quorate.sim.host import Host
from quorate.sim.judge import Judge
from quorate.sim.model import ReferenceModel
from quorate.sim.network import Network, Weather
from quorate.sim.operations import Operation
from quorate.sim.oracle import Memory, Oracle
from quorate.sim.readfaults import NO_FAULTS, ReadFaults
from quorate.sim.store import Directory, Speed
from quorate.sim.workload import Appetite, Client
from quorate.sim.world import ViolationError, World
from quorate.wire.journal import Layout

NAMES = "abcdefgh"
WALL_MS = 1_700_000_000_000

GUARDED_S = 3.0
"""For so long after an old copy was put back no other fault comes: those who remember are there."""


class Make(msgspec.Struct, frozen=True):
    """What a cluster is made of; drawn by the seed."""

    founders: int = 3
    spares: int = 0  # hosts that are not there at first
    is_founded_alone: bool = False  # one founds, the others join; else all expect each other
    expect: int = 0  # so many of the founders found, the others join; 0: all of them
    early: int = 0  # spares that start together with the founders
    neighbours: int = 0  # founders of a second cluster, which the last spare knows as well
    settings: NodeSettings = NodeSettings()
    layout: Layout = Layout(segment_bytes=16 * 1024)
    speed: Speed = Speed()
    weather: Weather = Weather()
    habits: Habits = Habits()
    appetite: Appetite = Appetite()
    read_faults: ReadFaults = NO_FAULTS
    drift: float = 0.0  # clocks run at 1 ± this
    domains: Domains = DOMAINS


class SimCluster:
    """Everything that a run consists of.

    Args:
        world: Time and chance.
        make: What to build.
        names: One for each host.
        network: That of another cluster, to share; None: an own one.
    """

    def __init__(
        self, world: World, make: Make, *, names: str = NAMES, network: Network | None = None
    ) -> None:
        self.world, self.make = world, make
        self.judge = Judge()
        self.desk = Desk(world, self.judge, make.domains, make.read_faults)
        self.oracle = Oracle(make.settings.cluster, self._on_chosen, make.domains)
        self.network = network or Network(world, make.weather)
        self._chance = world.chance("cluster" if network is None else "neighbour cluster")
        self._numbers = count(1)
        self.hosts: dict[str, Host] = {}
        self.retired: set[str] = set()  # hosts that must not be in the configuration any more
        self.visitors: set[str] = set()  # hosts that may belong to another cluster: see `neighbour`
        self._to_remove: dict[NodeId, Member] = {}  # until it is answered that they are removed
        self._to_promote: Member | None = None  # the same for a vote
        self.has_old_copies = False  # some directory may have lost what it said it holds
        self.guarded_until_s = 0.0  # no new fault before
        self.faults_active = 0
        names = names[: make.founders + make.spares]
        for place, name in enumerate(names):
            self.hosts[name] = self._host(name, place, tuple(names[: make.founders]))
        self.clients = [
            Client(
                world, self.desk, self.askable, f"c{n}", make.appetite, lambda: next(self._numbers)
            )
            for n in range(make.appetite.clients)
        ]

    def _host(self, name: str, place: int, founders: tuple[str, ...]) -> Host:
        make, chance = self.make, self._chance
        is_first = place == 0
        is_founder = place < make.founders
        habits = msgspec.structs.replace(
            make.habits,
            expect=(make.expect or make.founders)
            if is_founder and not make.is_founded_alone
            else 0,
            is_alone=is_first and (make.is_founded_alone or make.founders == 1),
            seeds=tuple(n for n in founders if n != name),
        )
        rate = 1.0 + make.drift * (2 * chance.random() - 1)
        clock = NodeClock(chance.random() * 1000, rate, WALL_MS + chance.randrange(10**6))
        host = Host(
            self.world,
            self.network,
            self.oracle,
            self.desk,
            name,
            make.settings,
            make.layout,
            make.speed,
            clock,
            habits,
        )
        host.format()
        return host

    def _on_chosen(self, slot: Slot, batch: bytes) -> None:
        if self.judge.model is None:
            self.judge.model = self.oracle.model

    # --- lives --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all founders, one soon after the other, spares that are early, and the clients."""
        for name in list(self.hosts)[: self.make.founders + self.make.early]:
            self.world.after(self._chance.random() * 0.5, self.hosts[name].start)
        for client in self.clients:
            client.begin()
        self.world.after(0.5, self._look)
        self.world.after(1.0, self._operate)

    def askable(self) -> Sequence[Host]:
        """Hosts that clients know."""
        return [
            host
            for name, host in self.hosts.items()
            if host.lives and not host.is_lost and name not in self.retired | self.visitors
        ]

    @property
    def living(self) -> list[Host]:
        """Hosts that run."""
        return [host for host in self.hosts.values() if host.is_running]

    @property
    def leader(self) -> Host | None:
        """A host that serves as leader, the one with the highest ballot if several believe so."""
        serving = [
            host
            for host in self.living
            if host.node and host.node.group.replica and host.node.group.replica.is_serving
        ]
        return max(serving, key=_ballot_of, default=None)

    @property
    def is_founded(self) -> bool:
        """Every founder belongs to the cluster, as the host knows itself."""
        founders = [self.hosts[name] for name in list(self.hosts)[: self.make.founders]]
        return all(host.node is not None and host.node.cluster_id for host in founders)

    def _look(self) -> None:
        """Look at those who sleep."""
        for host in self.living:
            self.desk.look(host)
        self.world.after(0.5, self._look)

    # --- the operator -------------------------------------------------------------------------

    def wipe(self, host: Host) -> None:
        """A lost disk: the old id must leave, the host joins as a new one."""
        if host.me.id in self._to_remove:
            return
        self._to_remove[host.me.id] = host.me
        host.crash(is_power_cut=True)
        host.format()
        host.habits = msgspec.structs.replace(host.habits, expect=0, is_alone=False)
        self.world.say(f"{host.name} has an empty disk, now {host.me.id}")
        self.world.after(0.5 + self._chance.random(), host.start)

    def try_rotten(self, host: Host) -> None:
        """Start a host; if its log is damaged and it refuses, replace it."""
        host.start()
        if host.is_lost:
            self.world.after(self._chance.random() * 3, self.wipe, host)

    def roll_back(self, host: Host, old: Directory) -> None:
        """Put an old copy in the place of a host's directory and start it.

        If it forgot what others remember it must halt, and soon; then it is replaced.
        """
        before = self.oracle.rolled_back(host.me.id)
        host.crash(is_power_cut=False)
        host.store.roll_back(old)
        self.has_old_copies, host.in_force = True, 0
        host.is_rolled_back = True  # it may halt; whether it must is judged below
        host.start()
        self._compare_old_copy(host, host.me.id, before, old.snapshot[0])

    def _compare_old_copy(self, host: Host, node_id: NodeId, before: Memory, saved: Slot) -> None:
        """What did it forget? Its log tells, as soon as a start got so far as to read it."""
        if host.me.id != node_id:
            return  # replaced meanwhile
        self.guarded_until_s = self.world.now + GUARDED_S
        if not (host.life or host.is_lost):
            self.world.after(0.1, self._compare_old_copy, host, node_id, before, saved)
            return
        promised, slot = self.oracle.memory(node_id).began
        has_forgotten = promised < before.promised or (
            max(slot, saved) < max(before.votes, default=Slot(0))
        )
        self.world.say(f"{host.name} is an old copy; it forgot: {has_forgotten}")
        host.is_rolled_back = has_forgotten
        self.world.after(GUARDED_S, self._judge_old_copy, host, host.me.id, has_forgotten)

    def is_quiet(self, host: Host) -> bool:
        """Do all members run, in good health, and linked with this one?"""
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
        """Has another member seen all that the disk of this one has been asked to hold?"""
        memory, me = self.oracle.memory(host.me.id), host.me.id
        highest = max(memory.votes, default=Slot(0))
        for other in self.members:
            replica = other.node.group.replica if other.node else None
            if other is not host and replica is not None:
                promised, slot = replica.recall.remembered(me)
                if promised >= memory.promised and slot >= highest:
                    return True
        return False

    def _judge_old_copy(self, host: Host, node_id: NodeId, has_forgotten: bool) -> None:
        if host.me.id != node_id:
            return  # replaced meanwhile
        if has_forgotten and not host.is_lost:
            raise ViolationError(f"{host.name} goes on with an old copy of its directory")
        if host.is_lost:
            self.wipe(host)

    def retire(self, host: Host) -> None:
        """A member leaves for good: it is shut down when it is answered that it is removed."""
        self.retired.add(host.name)
        self._to_remove[host.me.id] = host.me

    def _answered(self, verb: str, member: Member, error: QuorateError | None) -> None:
        """What an operator does when a change is made, and may rely on."""
        if verb == "promote" and error is None:  # a refusal may be of the second try, not the first
            self._to_promote = None
        if verb != "remove" or error is not None or member.id not in self._to_remove:
            return
        del self._to_remove[member.id]
        host = self.hosts[member.name]
        if host.name in self.retired and host.me.id == member.id:
            delay_s = self._chance.choice((0.0, 0.0, 2.0)) * self._chance.random()
            self.world.after(delay_s, partial(host.crash, is_power_cut=False))

    @property
    def is_settled(self) -> bool:
        """Nobody is left who should not be a member, and no change is without its answer."""
        return not self._to_remove and self._to_promote is None

    def _operate(self) -> None:
        """Ask for what is still to be done, on any host that runs."""
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
            self._to_promote = newest.learners[self._chance.randrange(len(newest.learners))]
            self.change("promote", self._to_promote)

    def change(self, verb: str, member: Member) -> None:
        """Ask some host for a change of membership."""
        hosts = self.living
        if not hosts:
            return
        host = hosts[self._chance.randrange(len(hosts))]

        def done(error: QuorateError | None) -> None:
            why = "" if error is None else f": {error.code}"
            self.world.say(f"{host.name} closed {verb} {member.name}{why}")
            self._answered(verb, member, error)

        host.do(lambda node, now_s: node.change(verb, member, done, now_s + 5.0))

    # --- the end ------------------------------------------------------------------------------

    def calm(self) -> None:
        """No fault is left: the liveness phase begins."""
        self.network.heal_all()
        self.desk.failing.is_over = True
        for host in self.hosts.values():
            now = self.world.now
            host.clock.thaw(now)
            host.store.slowness = 1.0
            host.store.disk.sync_failures = 0
            host.store.speed = msgspec.structs.replace(host.store.speed, stall=0.0)
            host.disarm()
            host.set_full(is_full=False)
            host.resume()
            if host.lives and host.name not in self.retired:
                if host.is_lost:
                    self.wipe(host)
                elif not host.life:
                    self.world.after(self._chance.random() * 0.2, self.try_rotten, host)

    def quiet(self) -> None:
        """Clients stop asking."""
        for client in self.clients:
            client.is_stopped = True

    @property
    def members(self) -> list[Host]:
        """Hosts that the newest configuration names."""
        model = self.oracle.model
        ids = {m.id for m in model.chain[-1][1].members} if model else set[NodeId]()
        return [host for host in self.hosts.values() if host.me.id in ids]

    @property
    def is_level(self) -> bool:
        """All members have applied all that is chosen, and nobody waits for anything."""
        members = self.members
        if not members or self.desk.open or not self.is_settled:
            return False
        return self.leader is not None and all(
            host.node is not None and host.node.group.machine.applied == self.oracle.prefix
            for host in members
        )

    def behind(self) -> str:
        """Who is not level, in words."""
        states = [
            f"{host.name}: {'down' if host.node is None else host.node.group.machine.applied}"
            for host in self.members
        ]
        return (
            f"chosen {self.oracle.prefix}, {', '.join(states)}, leader "
            f"{self.leader.name if self.leader else None}, open {len(self.desk.open)}, "
            f"settled {self.is_settled}"
        )

    def probe(self, host: Host, operation: Operation) -> None:
        """One more operation, for the liveness phase."""
        self.desk.ask(host, operation, 10.0, lambda _: None)

    def compare_dumps(self) -> None:
        """Every member's keys, as a client would list them, against the model's."""
        model = self.oracle.model
        if model is None:
            raise ViolationError("no cluster came to be")
        for host in self.members:
            if host.node is None:
                continue
            reader = self.desk.reader(host.tables)
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
            wrong = differences(self.desk.domains, host.tables)
            if wrong:
                raise ViolationError(f"secondary indexes of {host.name}: {wrong[:3]}")

    def _compare_queries(self, host: Host, reader: Reader, model: ReferenceModel) -> None:
        for name, query in self.desk.queries.items() if reader.applied == model.slot else ():
            for key in dict.fromkeys(query.key(self._chance) for _ in range(8)):
                if query.see(reader, key) != query.expect(model, model.slot, key):
                    raise ViolationError(f"{name} {key!r} of {host.name} is not that of the model")


def _ballot_of(host: Host) -> tuple[int, str]:
    replica = host.node.group.replica if host.node else None
    return (replica.ballot.round, replica.ballot.node) if replica else (0, "")
