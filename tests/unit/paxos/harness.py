"""Replicas and their gates on a small hostile network: the seed names the run.

Each step is one thing: a message comes (out of order, twice, or never), a disk syncs a prefix of
what waits, time passes, a batch is proposed, a link breaks, a process is killed, the power goes.
After each step the invariants are checked against an oracle that sees every disk.
"""

import random
from collections import deque
from collections.abc import Sequence

from quorate.base.batches import BatchKind, Configuration, Member, decode_batch, kind_of
from quorate.base.config import ClusterConfig, Limits, NodeSettings
from quorate.base.effects import Effect, Halt, Persist, Send, SendWhenDurable
from quorate.base.errors import QuorateError
from quorate.base.events import Connected, Disconnected, Received
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Message,
    Prepare,
    Promise,
    ReadIndexAnswer,
    ReadIndexRequest,
)
from quorate.base.records import Chosen, Promised, Record, Vote
from quorate.node.gate import Gate
from quorate.paxos.membership import Membership
from quorate.paxos.quorum import phase2_size
from quorate.paxos.replica import Replica

ALPHA = 4
SETTINGS = NodeSettings(
    cluster=ClusterConfig(alpha_slots=ALPHA, window_slots=3),
    limits=Limits(tail_slots_max=12, slots_ahead_max=40, fetch_bytes_max=40),
)


def member(number: int) -> Member:
    return Member(NodeId(f"n{number}"), f"n{number}", f"n{number}:1")


class Oracle:
    """Sees every disk: what is chosen is what a quorum has voted for durably."""

    def __init__(self, first: Configuration, alpha: int) -> None:
        self.membership = Membership([(Slot(0), first)], alpha)
        self.alpha = alpha
        self.watermark = Slot(0)
        self.chosen: dict[Slot, bytes] = {}
        self.chosen_in: dict[Slot, Ballot] = {}  # the lowest ballot
        self.proposed: dict[tuple[Slot, Ballot], bytes] = {}
        self.released = Slot(0)
        self._voted: dict[tuple[Slot, Ballot], set[NodeId]] = {}
        self._voters: dict[Slot, frozenset[NodeId]] = {}

    def on_proposed(self, accept: Accept) -> None:
        """CFG-1: the configuration of a slot is known before anything is proposed in it."""
        assert accept.slot <= self.watermark + self.alpha, "proposed beyond alpha"
        known = self.proposed.setdefault((accept.slot, accept.ballot), accept.batch)
        assert known == accept.batch, "one batch per slot and ballot"
        voters = self.membership.governing(accept.slot).voter_ids
        assert self._voters.setdefault(accept.slot, voters) == voters

    def on_durable(self, node: NodeId, record: Record) -> None:
        if not isinstance(record, Vote):
            return
        key = (record.slot, record.ballot)
        assert self.proposed[key] == record.batch
        voted = self._voted.setdefault(key, set())
        voted.add(node)
        voters = self._voters[record.slot]
        if len(voted & voters) >= phase2_size(len(voters)):
            known = self.chosen.setdefault(record.slot, record.batch)
            assert known == record.batch, f"slot {record.slot} was chosen twice"
            before = self.chosen_in.get(record.slot, record.ballot)
            self.chosen_in[record.slot] = min(before, record.ballot)
            self._advance()

    def on_released(self, slot: Slot, batch: bytes) -> None:
        assert self.chosen.get(slot) == batch, f"slot {slot} released, not chosen so"
        self.released = max(self.released, slot)

    def _advance(self) -> None:
        while (batch := self.chosen.get(Slot(self.watermark + 1))) is not None:
            self.watermark = Slot(self.watermark + 1)
            if kind_of(batch) is BatchKind.CONFIGURATION:
                configuration = decode_batch(batch).configuration
                assert configuration is not None
                self.membership.judge(self.watermark, configuration)


class Site:
    """One machine: disk, tables, and a process now and then."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.member = member(number)
        self.node = self.member.id
        self.durable: list[Record] = []
        self.unsynced: list[Record] = []
        self.tables: list[bytes] = []
        self.chain: list[tuple[Slot, Configuration]] = [(Slot(0), world.first)]
        self.saved = 0
        self.incarnation = 0
        self.replica: Replica | None = None
        self.gate = Gate()
        self.promised_sent = NO_BALLOT
        self.asked: dict[int, Slot] = {}
        self.asked_number = 0
        self.in_force = 0  # the configuration that is in force by its disk, as it said

    @property
    def alive(self) -> Replica:
        assert self.replica is not None
        return self.replica

    # --- incarnation ----------------------------------------------------------------------------

    def start(self) -> None:
        world, applied = self.world, Slot(len(self.tables))
        self.incarnation += 1
        self.gate = Gate()
        self.replica = Replica(
            self.node, world.settings, self.membership(), applied, world.rng, world.now_s
        )
        for record in self.durable:
            self.replica.remember(record)
            self.apply()
        self.replica.end_recovery(applied, Slot(self.saved))
        in_force = self.replica.membership.in_force(self.replica.watermark)
        assert in_force >= self.in_force, "LRN-6: what was said to be in force was not durable"
        assert self.replica.durable.number <= in_force
        for slot in map(Slot, range(1, self.replica.watermark + 1)):
            batch = self.replica.learner.held(slot)
            chosen = world.oracle.chosen.get(slot)
            assert batch in (None, chosen), f"the log proves what was not chosen in slot {slot}"
            self.check_bounded(slot)
        for other in world.sites.values():
            if world.is_linked(self, other):
                self.receive(Connected(other.member, "c"))
                other.receive(Connected(self.member, "c"))

    def stop(self, *, power: bool) -> None:
        """Kill the process; a power cut takes a suffix of the log and all of the tables too."""
        survives = self.world.rng.randint(0, len(self.unsynced)) if power else len(self.unsynced)
        for record in self.unsynced[:survives]:
            self.store(record)
        self.unsynced = []
        if self.replica is not None:
            self.in_force = self.replica.durable.number
        self.replica = None
        if power:
            del self.tables[self.saved :]
            self.chain = [one for one in self.chain if one[0] <= self.saved]
        for other in self.world.sites.values():
            if other.replica is not None:
                other.receive(Disconnected(self.node))

    def membership(self) -> Membership:
        made = Membership(self.chain, self.world.settings.cluster.alpha_slots)
        made.prune(Slot(len(self.tables)))
        return made

    def save(self) -> None:
        """A durable snapshot: the oldest records may go while it covers them, the promise not."""
        self.saved = len(self.tables)
        ballots = [r.ballot for r in self.durable if isinstance(r, Promised | Vote)]
        promised = max(ballots, default=NO_BALLOT)
        newer = [isinstance(r, Vote | Chosen) and r.slot > self.saved for r in self.durable]
        first = newer.index(True) if True in newer else len(newer)
        self.durable = [Promised(promised), *self.durable[first:]]
        if self.replica is not None:
            self.obey(self.replica.durable.on_snapshot(Slot(self.saved)))

    def install(self) -> None:
        """Take the tables of the source that the replica named."""
        source = self.world.sites.get(self.alive.learning.snapshot_source or NodeId(""))
        if source is None or source.replica is None or len(source.tables) <= len(self.tables):
            self.alive.learning.drop_snapshot_source()
            return
        self.tables, self.chain = list(source.tables), list(source.chain)
        self.saved = len(self.tables)
        self.obey(self.alive.on_installed(Slot(self.saved), self.membership(), self.world.now_s))

    # --- effects -------------------------------------------------------------------------

    def receive(self, event: Received | Connected | Disconnected) -> None:
        if self.replica is not None:
            self.obey(self.replica.receive(event, self.world.now_s))

    def take_from(self, sender: NodeId, message: Message) -> Sequence[Effect]:
        replica = self.alive
        if isinstance(message, ReadIndexRequest):
            if replica.leadership is not None:
                replica.leadership.request_read_index(sender, message.number)
            return []
        if isinstance(message, ReadIndexAnswer):
            high = self.asked.pop(message.number, None)
            assert high is None or message.slot >= high, "a stale read index"
            return []
        return replica.receive(Received(sender, message), self.world.now_s)

    def obey(self, effects: Sequence[Effect]) -> None:
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            if isinstance(effect, Persist):
                self.persist(effect.record)
            elif isinstance(effect, SendWhenDurable):
                if self.gate.is_open or self.world.replies_early:
                    queue.extend(self.say(effect.to, effect.message))
                else:
                    self.gate.hold(effect.to, effect.message)
            elif isinstance(effect, Send):
                queue.extend(self.say(effect.to, effect.message))
            else:
                assert not isinstance(effect, Halt), effect
        self.apply()

    def persist(self, record: Record) -> None:
        self.gate.asked += 1
        self.unsynced.append(record)
        if isinstance(record, Vote) and record.ballot.node == self.node:  # the leader's own vote
            self.world.oracle.on_proposed(Accept(record.ballot, record.slot, Slot(0), record.batch))

    def say(self, to: NodeId, message: Message) -> Sequence[Effect]:
        self.check_said(message)
        if to == self.node:
            return self.take_from(to, message)
        self.world.post(self.node, to, message)
        return []

    def check_said(self, message: Message) -> None:
        """What a promise and a ballot mean, checked as they leave."""
        if isinstance(message, Promise):
            self.promised_sent = max(self.promised_sent, message.ballot)
        elif isinstance(message, Accepted):
            assert message.ballot >= self.promised_sent, "voted below an own promise"
        elif isinstance(message, Prepare):
            user = (self.node, self.incarnation)
            assert self.world.ballots.setdefault(message.ballot, user) == user, "a ballot twice"
        elif isinstance(message, Accept):
            self.world.oracle.on_proposed(message)

    def sync(self) -> None:
        count = self.world.rng.randint(1, len(self.unsynced))
        for record in self.unsynced[:count]:
            self.store(record)
        del self.unsynced[:count]
        for to, message in self.gate.on_persisted(self.gate.durable + count):
            self.obey(self.say(to, message))

    def store(self, record: Record) -> None:
        self.durable.append(record)
        self.world.oracle.on_durable(self.node, record)

    def apply(self) -> None:
        for slot, batch, configuration in self.alive.take_released():
            self.world.oracle.on_released(slot, batch)
            assert slot == len(self.tables) + 1, "released in order, once"
            self.check_bounded(slot)
            self.tables.append(batch)
            if configuration is not None:
                self.chain.append((slot, configuration))

    def check_bounded(self, slot: Slot) -> None:
        """LRN-5: a ballot at or above the promise that proposes another batch is in the wrong."""
        learner = self.alive.learner
        if learner.held(slot) is not None and learner.is_ballot_bounded(slot):
            assert self.world.oracle.chosen_in[slot] <= self.alive.acceptor.promised, slot

    def end_turn(self) -> None:
        if self.replica is not None:
            self.obey(self.replica.end_turn(self.world.now_s))

    # --- what clients do -----------------------------------------------------------------

    def propose(self) -> None:
        leadership = self.alive.leadership
        if leadership is not None and leadership.capacity() > 0:
            self.world.batches += 1
            batch = bytes([BatchKind.BUNDLES]) + b"%d" % self.world.batches
            self.obey(leadership.propose(batch, self.world.now_s))

    def change(self, verb: str, number: int) -> bool:
        leadership = self.alive.leadership
        if leadership is None or not leadership.may_change():
            return False
        try:
            configuration = self.alive.membership.derive(verb, member(number))
        except QuorateError:  # nothing to change
            return False
        if not leadership.quorum_would_live(configuration, self.world.now_s):
            return False
        self.obey(leadership.propose_change(configuration, self.world.now_s))
        return True

    def read(self) -> None:
        leader = self.alive.serving(self.world.now_s)[0]
        if leader is not None:
            self.asked_number += 1
            self.asked[self.asked_number] = self.world.oracle.released
            self.obey([Send(leader, ReadIndexRequest(self.asked_number))])


class World:
    """The sites, the links between them, and what is on the way."""

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        spare: int = 0,
        settings: NodeSettings = SETTINGS,
        replies_early: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.settings = settings
        self.replies_early = replies_early
        self.now_s = 0.0
        self.first = Configuration(1, 0, tuple(member(n) for n in range(1, size + 1)))
        self.oracle = Oracle(self.first, settings.cluster.alpha_slots)
        self.sites: dict[NodeId, Site] = {}
        self.cut: set[frozenset[NodeId]] = set()
        self.on_way: list[tuple[NodeId, int, NodeId, int, Message]] = []
        self.ballots: dict[Ballot, tuple[NodeId, int]] = {}
        self.batches = 0
        self.loss = self.rng.choice((0.0, 0.02, 0.1))
        self.is_fifo = self.rng.random() < 0.4
        for number in range(1, size + spare + 1):
            site = Site(self, number)
            self.sites[site.node] = site
        for site in self.sites.values():
            site.start()

    def is_linked(self, one: Site, other: Site) -> bool:
        running = one is not other and None not in (one.replica, other.replica)
        return running and frozenset({one.node, other.node}) not in self.cut

    def post(self, sender: NodeId, to: NodeId, message: Message) -> None:
        incarnations = self.sites[sender].incarnation, self.sites[to].incarnation
        self.on_way.append((sender, incarnations[0], to, incarnations[1], message))

    def living(self) -> list[Site]:
        return [site for site in self.sites.values() if site.replica is not None]

    def serving(self) -> list[Site]:
        return [site for site in self.living() if site.alive.is_serving]

    # --- steps ---------------------------------------------------------------------------

    def step(self, faults: float) -> None:
        """One thing happens."""
        drawn = self.rng.random()
        if drawn < faults:
            self.misfortune()
        elif drawn < 0.75 and self.on_way:
            self.deliver()
        elif drawn < 0.85:
            waiting = [site for site in self.living() if site.unsynced]
            if waiting:
                site = self.rng.choice(waiting)
                site.sync()
                site.end_turn()
        elif drawn < 0.93:
            self.tick()
        elif self.living():
            site = self.rng.choice(self.serving() or self.living())
            if self.rng.random() < 0.6:
                site.propose()
            else:
                self.rng.choice(self.living()).read()
            site.end_turn()

    def deliver(self) -> None:
        """A message comes: the oldest of a link, or any; perhaps twice, perhaps never."""
        place = 0 if self.is_fifo else self.rng.randrange(min(len(self.on_way), 20))
        sender, _, to, incarnation, message = self.on_way[place]
        if self.is_fifo or self.rng.random() >= 0.05:
            del self.on_way[place]
        site = self.sites[to]
        if site.replica is None or (self.is_fifo and site.incarnation != incarnation):
            return
        if frozenset({sender, to}) in self.cut or self.rng.random() < self.loss:
            return
        site.obey(site.take_from(sender, message))
        site.end_turn()

    def tick(self) -> None:
        self.now_s += self.rng.choice((0.002, 0.01, 0.03, 0.15))
        site = self.rng.choice(list(self.sites.values()))
        if site.replica is not None:
            site.obey(site.replica.tick(self.now_s))
            site.end_turn()
            if site.replica.learning.snapshot_source:
                site.install()

    def misfortune(self) -> None:
        site = self.rng.choice(list(self.sites.values()))
        drawn = self.rng.random()
        if site.replica is None:
            site.start()
        elif drawn < 0.35:
            site.stop(power=self.rng.random() < 0.5)
        elif drawn < 0.5:
            site.save()
        else:
            self.toggle(site, self.rng.choice(list(self.sites.values())))

    def toggle(self, one: Site, other: Site) -> None:
        """Break a link, or mend it."""
        if one is other:
            return
        pair = frozenset({one.node, other.node})
        self.cut ^= {pair}
        event = Disconnected if pair in self.cut else None
        for here, there in ((one, other), (other, one)):
            if event is not None:
                here.receive(Disconnected(there.node))
            elif self.is_linked(one, other):
                here.receive(Connected(there.member, "c"))

    def run(self, steps: int, faults: float = 0.02, change_every: int = 0) -> None:
        for number in range(steps):
            self.step(faults)
            if change_every and number % change_every == 0 and self.serving():
                site = self.rng.choice(self.serving())
                verb = self.rng.choice(("add", "promote", "promote", "remove"))
                site.change(verb, 1 + self.rng.randrange(len(self.sites)))
                site.end_turn()

    def heal(self) -> None:
        """Every node runs, every link is established."""
        self.loss, self.is_fifo = 0.0, True
        for pair in sorted(sorted(pair) for pair in self.cut):
            self.toggle(self.sites[pair[0]], self.sites[pair[1]])
        for site in self.sites.values():
            if site.replica is None:
                site.start()

    def run_calm(self, seconds: float) -> None:
        """Time passes evenly and nothing goes wrong."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 0.01
            on_way, self.on_way = self.on_way, []
            for sender, _, to, _, message in on_way:
                site = self.sites[to]
                if site.replica is not None and frozenset({sender, to}) not in self.cut:
                    site.obey(site.take_from(sender, message))
            for site in self.living():
                if site.unsynced:
                    site.sync()
                site.obey(site.alive.tick(self.now_s))
                if site.alive.learning.snapshot_source:
                    site.install()
                site.end_turn()
