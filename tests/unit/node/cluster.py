"""A few pure nodes on one small deterministic network, for tests. The seed names the run."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from quorate.base.batches import Member
from quorate.base.command import Command, encode_command
from quorate.base.config import Bootstrap, NodeSettings, local
from quorate.base.effects import (
    Applied,
    ChangeDone,
    Close,
    Effect,
    Halt,
    Install,
    Persist,
    ReadReady,
    Refused,
    Send,
)
from quorate.base.events import (
    ChunkStored,
    Connected,
    Disconnected,
    Event,
    Installed,
    Persisted,
    Received,
)
from quorate.base.ids import NodeId
from quorate.base.records import Record
from quorate.chunks import rows_of
from quorate.node.node import Node
from quorate.sim.tables import DictTables, Saved

DEADLINE_S = 60.0


class Host:
    """One machine: its disk outlives its process."""

    def __init__(self, number: int) -> None:
        node = NodeId(f"{number:08d}-0000-4000-8000-000000000000")
        self.member = Member(node, f"n{number}", f"127.0.0.{number}:8300")
        self.tables = DictTables()
        self.log: list[Record] = []
        self.unsynced: list[Record] = []
        self.incarnation = 0
        self.node: Node | None = None
        self.mark = 0


class Cluster:
    """Hosts, links and time. A message takes 1 to 5 ms, a sync 1 to 3 ms."""

    def __init__(
        self, size: int, seed: int, loss: float = 0.0, settings: NodeSettings | None = None
    ) -> None:
        self.settings = settings or msgspec.structs.replace(local(), auto_promote=True)
        self.changes: dict[Any, Any] = {}
        self.installed = 0
        self.stuck: set[NodeId] = set()  # disks that sync nothing
        self.dropped: type | None = None  # messages of this type vanish
        self.rng = random.Random(seed)
        self.loss = loss
        self.now_s = 0.0
        self.order = 0
        self.queue: list[tuple[float, int, NodeId, int, Event]] = []
        self.hosts = {host.member.id: host for host in (Host(n + 1) for n in range(size))}
        self.expect = size
        self.cut: set[frozenset[NodeId]] = set()
        self.outcomes: dict[Any, Any] = {}
        self.reads: dict[Any, bytes | None] = {}
        self.halted: list[str] = []
        for node in list(self.hosts):
            self.start(node)

    def add(self) -> NodeId:
        """A new machine that wants to join."""
        host = Host(len(self.hosts) + 1)
        self.hosts[host.member.id] = host
        self.expect = 0
        self.start(host.member.id)
        return host.member.id

    def change(self, node: NodeId, verb: str, whom: NodeId, ticket: Any) -> None:
        asked = self.hosts[node].node
        assert asked is not None
        asked.change(verb, self.hosts[whom].member, ticket, self.now_s + DEADLINE_S)

    def start(self, node: NodeId) -> None:
        host = self.hosts[node]
        host.incarnation += 1
        host.mark = 0
        alone = self.expect == 1
        host.node = Node(
            host.member,
            host.incarnation,
            self.settings,
            host.tables,
            list(host.log),
            random.Random(self.rng.random()),
            self.now_s,
            wall_ms=lambda: 0,
            bootstrap=Bootstrap(self.expect, alone),
        )
        self.obey(host, host.node.start(self.now_s))
        for other in self.hosts.values():
            if other is not host and other.node is not None:
                self.link(host, other)

    def link(self, one: Host, other: Host) -> None:
        if one.node is None or other.node is None:
            return
        one_id, other_id = one.node.cluster_id, other.node.cluster_id
        self.post(one.member.id, Connected(other.member, other_id, one_id))
        self.post(other.member.id, Connected(one.member, one_id, other_id))

    def power_cut(self, node: NodeId, snapshot: Saved | None = None) -> None:
        """The process dies; of what was not synced a prefix may survive."""
        host = self.hosts[node]
        host.log += host.unsynced[: self.rng.randint(0, len(host.unsynced))]
        host.unsynced = []
        host.node = None
        host.tables = DictTables(host.tables.save() if snapshot is None else snapshot)
        for other in self.hosts:
            if other != node:
                self.post(other, Disconnected(node))

    def partition(self, node: NodeId) -> None:
        for other in self.hosts:
            if other != node:
                self.cut.add(frozenset({node, other}))
                self.post(other, Disconnected(node))
                self.post(node, Disconnected(other))

    def heal(self) -> None:
        pairs, self.cut = self.cut, set()
        for pair in sorted(sorted(p) for p in pairs):
            self.link(self.hosts[pair[0]], self.hosts[pair[1]])

    def post(self, to: NodeId, event: Event, delay_s: float | None = None) -> None:
        self.order += 1
        incarnation = self.hosts[to].incarnation
        delay_s = 0.001 + self.rng.random() * 0.004 if delay_s is None else delay_s
        self.queue.append((self.now_s + delay_s, self.order, to, incarnation, event))

    def obey(self, host: Host, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Persist):
                host.unsynced.append(effect.record)
            elif isinstance(effect, Send):
                lost = self.rng.random() < self.loss or type(effect.message) is self.dropped
                if not lost and frozenset({host.member.id, effect.to}) not in self.cut:
                    self.post(effect.to, Received(host.member.id, effect.message))
            elif isinstance(effect, Close):
                self.post(host.member.id, Disconnected(effect.peer))
                self.post(effect.peer, Disconnected(host.member.id))
            elif isinstance(effect, Halt):
                self.halted.append(effect.reason)
            elif isinstance(effect, Install):
                self.install(host, effect)
            else:
                self.answer(host, effect)

    def answer(self, host: Host, effect: Effect) -> None:
        if isinstance(effect, ChangeDone):
            self.changes[effect.ticket] = effect.error
        elif isinstance(effect, Applied):
            for place, (ticket, outcome) in enumerate(
                zip(effect.tickets, effect.outcomes, strict=True)
            ):
                assert ticket not in self.outcomes, "answered once"
                self.outcomes[ticket] = (effect.slot, effect.position + place, outcome)
        elif isinstance(effect, Refused):
            for ticket in effect.tickets:
                self.outcomes[ticket] = effect.error
        elif isinstance(effect, ReadReady):
            for ticket in effect.tickets:
                self.reads[ticket] = self.value(host, ticket)

    def install(self, host: Host, effect: Install) -> None:
        if effect.is_first:
            host.tables.begin_install()
        host.tables.install_rows(rows_of(effect.data))
        if effect.is_last:
            host.tables.finish_install()
            self.installed += 1
            self.post(host.member.id, Installed(effect.transfer))
        else:
            self.post(host.member.id, ChunkStored(effect.transfer))

    def value(self, host: Host, ticket: Any) -> bytes | None:
        return b"".join(row for key, row in host.tables.range(b"") if ticket[1] in key)

    def run(self, seconds: float) -> None:
        """Let time pass: deliver, sync, tick, flush; check after each step."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 0.002
            due = sorted(e for e in self.queue if e[0] <= self.now_s)
            self.queue = [e for e in self.queue if e[0] > self.now_s]
            for _, _, to, incarnation, event in due:
                host = self.hosts[to]
                if host.node is not None and host.incarnation == incarnation:
                    self.obey(host, host.node.receive(event, self.now_s))
            for host in self.hosts.values():
                self.turn(host)
            self.check()

    def turn(self, host: Host) -> None:
        node = host.node
        if node is None:
            return
        is_stuck = host.member.id in self.stuck
        if host.unsynced and not is_stuck and self.rng.random() < 0.7:
            host.log += host.unsynced
            host.mark += len(host.unsynced)
            host.unsynced = []
            self.obey(host, node.receive(Persisted(host.mark), self.now_s))
        if self.rng.random() < 0.3:
            self.obey(host, node.tick(self.now_s))
        self.obey(host, node.end_turn(self.now_s))
        if node.is_apply_pending and self.rng.random() < 0.7:
            self.obey(host, node.apply_pending(self.now_s))
            self.obey(host, node.end_turn(self.now_s))

    def check(self) -> None:
        """Replicas at the same slot have the same digest; nobody halted."""
        assert not self.halted
        seen: dict[int, int] = {}
        for host in self.hosts.values():
            if host.node is not None and host.node.group.replica is not None:
                machine = host.node.group.machine
                assert seen.setdefault(machine.applied, machine.digest) == machine.digest

    def submit(self, node: NodeId, command: Command, ticket: Any) -> None:
        host = self.hosts[node]
        assert host.node is not None
        host.node.submit(encode_command(command), ticket, self.now_s + DEADLINE_S)

    def leader(self) -> NodeId | None:
        for host in self.hosts.values():
            if host.node is not None and host.node.group.intake is not None:
                return host.member.id
        return None

    def leader_of(self, nodes: set[NodeId]) -> NodeId:
        for node in sorted(nodes):
            host = self.hosts[node]
            if host.node is not None and host.node.group.intake is not None:
                return node
        raise AssertionError("nobody leads")
