"""Faults: what goes wrong, when, and for how long.

A run's faults are a list drawn before it begins. Each has its own seed, so that leaving one out
changes nothing in the others: a failing list can be shortened.

What the protocol cannot survive is not injected: a directory is lost only while no other one is,
and only when a quorum keeps its records.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import msgspec

from quorate.sim.cluster import SimCluster
from quorate.sim.host import Host
from quorate.sim.partitions import PARTITIONS, Pairs, both


class Fault(msgspec.Struct, frozen=True):
    """One fault: at `at_s`, of this kind, undone after `for_s`; `seed` determines the rest."""

    at_s: float
    kind: str
    for_s: float
    seed: int


class Injector:
    """Injects faults into a cluster, and counts them by kind."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self.counts: dict[str, int] = {}
        self.is_over = False

    def schedule(self, faults: Sequence[Fault]) -> None:
        """Inject these faults when they are due."""
        for fault in faults:
            self._world.after(fault.at_s, self._inject, fault)

    def _inject(self, fault: Fault) -> None:
        if self.is_over or self._world.now < self._cluster.guarded_until_s:
            return
        rng = Random(fault.seed)
        undo = FAULTS[fault.kind](self._cluster, rng, fault)
        if undo is None:
            return
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        self._world.log(f"fault {fault.kind} for {fault.for_s:.2f}")
        self._cluster.faults_active += 1
        self._world.after(fault.for_s, self._undo, undo)

    def _undo(self, undo: Callable[[], None]) -> None:
        self._cluster.faults_active -= 1
        if not self.is_over:
            undo()


Undo = Callable[[], None]
Inject = Callable[[SimCluster, Random, Fault], Undo | None]


def _nothing() -> None:
    """Nothing to undo."""


def _host(cluster: SimCluster, rng: Random) -> Host | None:
    """A host that runs; the leader in one of three cases."""
    living = cluster.living
    leader = cluster.leader
    if leader is not None and rng.random() < 0.33:
        return leader
    return living[rng.randrange(len(living))] if living else None


# --- network ----------------------------------------------------------------------------------


def _partition(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    names = [name for name, host in cluster.hosts.items() if host.starts]
    if len(names) < 2:
        return None
    rng.shuffle(names)
    leader = cluster.leader
    pairs = PARTITIONS[fault.kind](names, leader.name if leader else names[0])
    cluster.network.cut(pairs)
    return lambda: cluster.network.heal(pairs)


def _flapping(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    names = [name for name, host in cluster.hosts.items() if host.starts]
    if len(names) < 2:
        return None
    one, other = rng.sample(names, 2)
    pairs: Pairs = both([(one, other)])
    state = {"is_cut": False, "is_over": False}

    def flap() -> None:
        if state["is_over"] or cluster.are_faults_over:
            return
        (cluster.network.heal if state["is_cut"] else cluster.network.cut)(pairs)
        state["is_cut"] = not state["is_cut"]
        cluster.world.after(rng.random(), flap)

    def undo() -> None:
        state["is_over"] = True
        if state["is_cut"]:
            cluster.network.heal(pairs)

    flap()
    return undo


def _slow_link(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    names = list(cluster.hosts)
    if len(names) < 2:
        return None
    one, other = rng.sample(names, 2)
    cluster.network.slow_down(one, other, rng.random() * rng.choice((0.05, 0.5, 3.0)))
    return lambda: cluster.network.slow_down(one, other, 0.0)


# --- processes --------------------------------------------------------------------------------


def _crash(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    is_power_cut = fault.kind == "power_cut"
    if rng.random() < 0.7:
        host.arm(rng.randrange(60), is_power_cut=is_power_cut)
        return lambda: _up(host)
    host.crash(is_power_cut=is_power_cut)
    return host.start


def _up(host: Host) -> None:
    """Start it if it has crashed; else cancel the crash."""
    host.disarm()
    host.start()


def _all_at_once(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    hosts = cluster.living
    is_power_cut = fault.kind == "power_cut_all"
    for host in hosts:
        host.crash(is_power_cut=is_power_cut)

    def start() -> None:
        for host in hosts:
            cluster.world.after(rng.random() * 0.3, host.start)

    return start


def _rolling(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    hosts = cluster.living
    for place, host in enumerate(hosts):
        at_s = fault.for_s * place / len(hosts)
        cluster.world.after(at_s, partial(host.crash, is_power_cut=False))
        cluster.world.after(at_s + fault.for_s / len(hosts) * rng.random(), host.start)

    def undo() -> None:
        for host in hosts:
            host.start()

    return undo


def _pause(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.pause()
    return host.resume


# --- clocks -----------------------------------------------------------------------------------


def _freeze(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.clock.freeze(cluster.world.now)
    return lambda: host.clock.thaw(cluster.world.now)


def _leap(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.clock.leap(cluster.world.now, rng.random() * rng.choice((0.5, 5.0, 60.0)))
    host.clock.leap_wall(rng.randrange(-(10**9), 10**9))
    return _nothing


def _drift(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.clock.set_rate(cluster.world.now, rng.choice((0.5, 0.9, 1.1, 2.0)))
    return lambda: host.clock.set_rate(cluster.world.now, 1.0)


# --- disks ------------------------------------------------------------------------------------


def _slow_disk(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.store.slowness = rng.choice((10.0, 100.0, 1000.0))

    def undo() -> None:
        host.store.slowness = 1.0

    return undo


def _sync_failure(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.store.disk.sync_failures = 1
    return lambda: _healthy_again(host)


def _healthy_again(host: Host) -> None:
    host.store.disk.sync_failures = 0
    host.start()


def _full(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None:
        return None
    host.set_full(is_full=True)
    return lambda: host.set_full(is_full=False)


def _may_lose(cluster: SimCluster, host: Host) -> bool:
    """May this directory be lost? Not while another one is not replaced yet.

    Replaced means that an operator was answered that the lost one is removed, and that the new
    one votes (rule MEM-4). Automatic promotion answers no operator, and an old copy of a directory
    may lack what an answer relied on: then all others must know it.
    """
    model = cluster.oracle.model
    if model is None or not cluster.is_membership_stable:
        return False
    if cluster.visitors:
        return False  # an empty node may join the other cluster: see `neighbour`
    if any(other.is_lost or other.is_corrupted for other in cluster.hosts.values()):
        return False
    begin, newest = model.newest
    if len(newest.voters) < 3 or newest.learners or newest.member(host.me.id) is None:
        return False
    if not (cluster.make.settings.auto_promote or cluster.has_old_copies):
        return True
    return all(
        other.node is not None
        and other.node.group.replica is not None
        and other.node.group.replica.watermark + 1 >= begin
        and other.node.group.gate.is_open
        for other in cluster.members
    )


def _wipe(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    host = _host(cluster, rng)
    if host is None or not _may_lose(cluster, host):
        return None
    cluster.wipe(host)
    return _nothing


def _bit_flip(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    """Corruption of the log of a node that is down; it costs at most this directory."""
    host = _host(cluster, rng)
    if host is None or not _may_lose(cluster, host):
        return None
    if not host.store.close():
        return None  # damage in the last commit looks like a torn write: only a clean stop counts
    host.crash(is_power_cut=False)
    host.is_corrupted = True
    name, offset = host.store.disk.bit_flip(rng)
    cluster.world.log(f"{host.name} has a bit flipped in {name} at {offset}")
    return lambda: cluster.start_or_replace(host)


def _rolled_back(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    """A copy of a directory is made, and replaces the directory some time later.

    `docs/protocol/rollback.md` says which old copies are detected; no other one is put back: a node
    that runs and is linked has recorded what was lost, and no other fault is active.
    """
    host = _host(cluster, rng)
    if host is None or not _may_lose(cluster, host):
        return None
    old, epoch, node_id = host.store.copied(), host.epoch, host.me.id

    def undo() -> None:
        is_same = host.epoch == epoch and host.me.id == node_id
        is_fault_free = not cluster.faults_active and cluster.is_fault_free(host)
        if is_same and is_fault_free and _may_lose(cluster, host) and cluster.is_remembered(host):
            cluster.roll_back(host, old)

    return undo


# --- membership -------------------------------------------------------------------------------


def _transfer(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    model = cluster.oracle.model
    if model is None:
        return None
    voters = model.chain[-1][1].voters
    cluster.change("transfer", voters[rng.randrange(len(voters))])
    return _nothing


def _add(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    hosts = [host for name, host in cluster.hosts.items() if name not in cluster.visitors]
    fresh = [host for host in hosts if not host.starts]
    if not fresh or cluster.oracle.model is None:
        return None
    fresh[0].start()
    return _nothing


def _remove(cluster: SimCluster, rng: Random, fault: Fault) -> Undo | None:
    model = cluster.oracle.model
    if model is None or not cluster.is_membership_stable or len(model.chain) > 1:
        return None
    newest = model.chain[-1][1]
    hosts = [h for h in cluster.living if h.me.id in newest.voter_ids]
    if len(newest.voters) <= 3 or not hosts:
        return None
    host = hosts[rng.randrange(len(hosts))]
    cluster.retire(host)
    return _nothing


FAULTS: dict[str, Inject] = {
    **dict.fromkeys(PARTITIONS, _partition),
    "flapping": _flapping,
    "slow_link": _slow_link,
    "kill": _crash,
    "power_cut": _crash,
    "kill_all": _all_at_once,
    "power_cut_all": _all_at_once,
    "rolling": _rolling,
    "pause": _pause,
    "freeze": _freeze,
    "leap": _leap,
    "drift": _drift,
    "slow_disk": _slow_disk,
    "sync_failure": _sync_failure,
    "full": _full,
    "wipe": _wipe,
    "bit_flip": _bit_flip,
    "rolled_back": _rolled_back,
    "transfer": _transfer,
    "add": _add,
    "remove": _remove,
}
"""Injects each kind of fault; returns how it is undone, None if it cannot be injected now."""
