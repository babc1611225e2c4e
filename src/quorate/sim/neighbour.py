"""Neighbour: a second cluster on the same network, and a host that has addresses of both.

The host may join either, once for each directory it has. Both oracles check it: what it stores,
promises and votes counts for the cluster that its directory belongs to, and nothing of one cluster
may appear in the other.
"""

from collections.abc import Iterable

import msgspec

from quorate.base.config import ClusterConfig
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Message
from quorate.base.records import Bootstrapped, Record
from quorate.machine.state import State
from quorate.sim.cluster import SimCluster
from quorate.sim.oracle import Oracle
from quorate.sim.workload import WorkloadProfile
from quorate.sim.world import ViolationError

NAMES = "pqrs"
"""Of the hosts of the second cluster."""

JOIN_S = 60.0
"""Simulated seconds within which the visitor must be a member, without faults."""


class EitherOracle(Oracle):
    """Reports what a host does to the oracle of the cluster that its directory belongs to.

    Args:
        settings: As those of both clusters.
        oracles: Of both clusters.
    """

    def __init__(self, settings: ClusterConfig, oracles: tuple[Oracle, Oracle]) -> None:
        super().__init__(settings, lambda _, __: None)
        self._oracles = oracles
        self._of: dict[NodeId, Oracle] = {}

    def durable(self, node: NodeId, records: Iterable[Record]) -> None:
        """See `Oracle.durable`."""
        listed = list(records)
        self._decide_by(node, listed)
        if node in self._of:
            self._of[node].durable(node, listed)

    def recovered(self, node: NodeId, records: list[Record], after: Slot) -> None:
        """See `Oracle.recovered`."""
        self._decide_by(node, records)
        if node in self._of:
            self._of[node].recovered(node, records, after)

    def _decide_by(self, node: NodeId, records: list[Record]) -> None:
        for record in records:
            if isinstance(record, Bootstrapped) and record.complete:
                oracle = next(o for o in self._oracles if o.cluster_id == record.cluster_id)
                if self._of.setdefault(node, oracle) is not oracle:
                    raise ViolationError(f"{node} belongs to two clusters")

    def sends(self, node: NodeId, watermark: Slot, message: Message) -> None:
        """See `Oracle.sends`."""
        if node in self._of:
            self._of[node].sends(node, watermark, message)

    def promises(self, node: NodeId, promised: Ballot) -> None:
        """See `Oracle.promises`."""
        if node in self._of:
            self._of[node].promises(node, promised)

    def tables_at(self, node: NodeId, slot: Slot, index: int) -> None:
        """See `Oracle.tables_at`."""
        if node in self._of:
            self._of[node].tables_at(node, slot, index)

    def applied(self, node: NodeId, state: State) -> None:
        """See `Oracle.applied`."""
        if node in self._of:
            self._of[node].applied(node, state)

    def released(self, node: NodeId, slot: Slot, batch: bytes) -> None:
        """See `Oracle.released`."""
        if node in self._of:
            self._of[node].released(node, slot, batch)


class Neighbour:
    """The second cluster, and the visitor, which is the last spare of the first one.

    Args:
        first: The cluster whose last spare knows both.
        initial_nodes: How many bootstrap the second one.
    """

    def __init__(self, first: SimCluster, initial_nodes: int) -> None:
        make = msgspec.structs.replace(
            first.make,
            initial_nodes=initial_nodes,
            spares=0,
            early=0,
            expect=0,
            profile=WorkloadProfile(clients=0),
        )
        self.cluster = SimCluster(first.world, make, names=NAMES, network=first.network)
        self._first = first
        self.visitor = list(first.hosts.values())[-1]
        oracles = (first.oracle, self.cluster.oracle)
        self.visitor.oracle = EitherOracle(make.settings.cluster, oracles)
        seeds = [*self.visitor.behaviour.seeds, *self.cluster.hosts]
        first.world.rng("neighbour").shuffle(seeds)
        self.visitor.behaviour = msgspec.structs.replace(
            self.visitor.behaviour, seeds=tuple(seeds), expect=0, is_alone=False
        )
        first.visitors.add(self.visitor.name)
        self.cluster.hosts[self.visitor.name] = self.visitor
        self.cluster.visitors.add(self.visitor.name)

    def start(self) -> None:
        """Start the second cluster, and the visitor when both exist.

        Before that the visitor would make nodes of one cluster join the other: a node that expects
        others, and learns of a cluster, joins it.
        """
        self.cluster.start()
        self._first.world.after(0.5, self._begin)

    def _begin(self) -> None:
        world = self._first.world
        if all(cluster.is_bootstrapped for cluster in (self._first, self.cluster)):
            world.after(5.0 * world.rng("visitor").random(), self.visitor.start)
        else:
            world.after(0.5, self._begin)

    def check(self) -> None:
        """The visitor belongs to one cluster, unless that has removed it; no node is in both.

        Raises:
            ViolationError: Otherwise.
        """
        world, name = self._first.world, self.visitor.name
        may_be_out = name in self._first.retired | self.cluster.retired
        if not may_be_out and not world.run_while(
            lambda: not self._clusters_of_visitor(), world.now + JOIN_S
        ):
            raise ViolationError(
                "liveness: the node that has addresses of two clusters is in none of them"
            )
        ids = [_ids(cluster) for cluster in (self._first, self.cluster)]
        if ids[0] & ids[1]:
            raise ViolationError(f"members of both clusters: {sorted(ids[0] & ids[1])}")

    def _clusters_of_visitor(self) -> list[SimCluster]:
        """The clusters whose newest configuration names the visitor."""
        me = self.visitor.me.id
        return [cluster for cluster in (self._first, self.cluster) if me in _ids(cluster)]


def _ids(cluster: SimCluster) -> set[NodeId]:
    model = cluster.oracle.model
    return {member.id for member in model.chain[-1][1].members} if model else set()
