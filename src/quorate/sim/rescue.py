"""Rescue: some directories are copied during the faulty phase, and a new cluster is made of them.

As an operator does who has lost a majority for good; the copies are those of hosts that run, are
paused or are down, so in any state that a kill leaves. The run itself is not changed. Checked is:

- what the survivors prove to be chosen is chosen, and nothing is missing that all of those hold
  that had to vote for it;
- a result without a wrong guess has the digest that the cluster had at its last slot;
- the new log makes a cluster of one with the same rows.
"""

from collections.abc import Iterable, Sequence
from random import Random

from quorate.base.batches import Member
from quorate.base.config import NodeSettings
from quorate.base.errors import StorageError
from quorate.base.ids import NodeId, Slot
from quorate.base.records import Bootstrapped, Record
from quorate.kv.tables import KV_DELAY
from quorate.node.node import Node
from quorate.node.recovering import Replayed, new_log, replayed, rows_of, state_of
from quorate.paxos.survivors import Surviving, Survivor, surviving
from quorate.sessions.tables import SESSIONS
from quorate.sim.cluster import SimCluster
from quorate.sim.host import Host
from quorate.sim.oracle import Oracle
from quorate.sim.tables import DictTables
from quorate.sim.world import ViolationError
from quorate.wire.journal import LogIdentity
from quorate.wire.recovery import Recovery


def rescued(cluster: SimCluster, hosts: Sequence[Host], rng: Random) -> Replayed | None:
    """Make a new cluster out of copies of these directories; None if none of them can be used.

    Args:
        cluster: It is not changed.
        hosts: The survivors.
        rng: For the nodes that replay; they send nothing.

    Raises:
        ViolationError: Something is lost, or something is there that was never chosen.
    """
    found = [(host, each) for host in hosts if (each := _survivor(cluster, host)) is not None]
    if not found:
        return None
    survivors = [each for _, each in found]
    result = surviving(survivors)
    base = found[result.base][0]
    _check_choice(cluster.oracle, {host.me.id for host, _ in found}, survivors, result)
    tables = DictTables(base.store.tables.save())
    own, incarnation, domains = base.me.id, base.store.incarnation + 1, cluster.oracle.domains
    settings = base.settings.cluster
    survivor = survivors[result.base]
    old = replayed(
        own, incarnation, survivor, tables, result, rng, cluster=settings, domains=domains
    )
    _check_state(cluster.oracle, result, old)
    made = DictTables()
    member = Member(NodeId("rescued"), "rescued", "rescued:8300")
    records = list(new_log(member, 1, "rescued", old, "rescue", 0))
    node = Node(
        member, 2, NodeSettings(), made, records, rng, 0.0, wall_ms=lambda: 0, domains=domains
    )
    if not node.cluster_id or _content(rows_of(made, domains)) != _content(old.rows):
        raise ViolationError("the new cluster does not hold what the survivors held")
    return old


def _content(rows: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Every row; without what a restore restarts: the times of sessions and lock-delays."""
    timed = {SESSIONS, KV_DELAY}
    return {key: b"" if key[0] in timed else value for key, value in rows}


def _survivor(cluster: SimCluster, host: Host) -> Survivor | None:
    """What a host's directory holds now; None if it is not of this cluster, or damaged."""
    store = host.store
    identity = LogIdentity(store.node_id, store.incarnation + 1, 0)
    recovery = Recovery(
        store.disk.files, store.disk.read, identity, store.layout, is_begun=store.has_log
    )
    try:
        records: list[Record] = list(recovery.records())
    except StorageError:
        return None
    cluster_id = cluster.oracle.cluster_id
    bootstrapped = (
        each.cluster_id for each in records if isinstance(each, Bootstrapped) and each.complete
    )
    if cluster_id not in bootstrapped:
        return None
    return Survivor(state_of(store.tables).applied, records)


def _check_choice(
    oracle: Oracle, present: set[NodeId], survivors: Sequence[Survivor], result: Surviving
) -> None:
    """What is proven is chosen; what no majority could choose without a survivor is there."""
    tail = {each.slot: each.batch for each in result.tail}
    for slot, batch in tail.items():
        if slot not in result.guessed and oracle.chosen.get(slot) != batch:
            raise ViolationError(f"slot {slot} is reported as proven, and is not what was chosen")
    slot = survivors[result.base].applied
    while (slot := Slot(slot + 1)) <= oracle.prefix and _meets(oracle, slot, present):
        if tail.get(slot) != oracle.chosen[slot]:
            raise ViolationError(f"slot {slot} was chosen with a survivor's vote, and is lost")


def _meets(oracle: Oracle, slot: Slot, present: set[NodeId]) -> bool:
    """Whether every majority that may have chosen in a slot includes one of these."""
    governing = oracle.model.governing(slot) if oracle.model else None
    if governing is None:
        return False
    voters = governing.voter_ids
    return 2 * len(set(voters) - present) <= len(voters)


def _check_state(oracle: Oracle, result: Surviving, old: Replayed) -> None:
    is_right = all(oracle.chosen.get(each.slot) == each.batch for each in result.tail)
    known = oracle.digests.get(old.state.applied)
    if is_right and known is not None and known != old.state.digest:
        raise ViolationError(f"replayed to slot {old.state.applied}, with another digest")


def rescue_some(cluster: SimCluster, seed: object) -> None:
    """Take random directories of a run, and check what is made of them.

    Raises:
        ViolationError: See `rescued`.
    """
    if cluster.has_old_copies or cluster.oracle.model is None:
        return  # a survivor that lost its votes proves nothing
    rng = Random(f"rescue {seed}")
    hosts = [host for host in cluster.members if not host.is_corrupted]
    for count in range(1, len(hosts) + 1):
        rescued(cluster, rng.sample(hosts, count), rng)
