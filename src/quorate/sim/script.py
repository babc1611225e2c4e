"""Script: a cluster for directed scenarios, without random faults.

The same simulation as that of the seeds, with a reliable network and fast disks; the scenario
drops, holds and delivers messages, cuts links, crashes and pauses hosts. All checkers run as with a
seed.
"""

from collections.abc import Callable, Sequence

from quorate.base.batches import Member
from quorate.base.command import Command
from quorate.base.config import NodeSettings
from quorate.base.errors import QuorateError
from quorate.base.messages import Message
from quorate.kv.commands import KvSet
from quorate.sim.behaviour import Behaviour
from quorate.sim.cluster import Make, SimCluster
from quorate.sim.host import Host
from quorate.sim.network import NetworkConditions, Rule
from quorate.sim.operations import Operation, OperationKind, OperationStatus
from quorate.sim.partitions import Pairs, both
from quorate.sim.store import Speed
from quorate.sim.workload import WorkloadProfile
from quorate.sim.world import ViolationError, World

RELIABLE = NetworkConditions(delay_s=0.001, jitter_s=0.0, tail=0.0, notice_s=0.2)
QUICK = Speed(sync_s=0.001, jitter_s=0.0)
TIMEOUT_S = 20.0


class Stage:
    """A cluster that has its first leader.

    Args:
        initial_nodes: How many hosts bootstrap it; named a, b, c …
        spares: Hosts that are not there at first.
        settings: Of all nodes.
        seed: Determines ids and timeouts.
        snapshot_s: Mean time between snapshots.
        conditions: Of the network.
        is_bootstrapped_alone: The first host bootstraps, the others join.
    """

    def __init__(
        self,
        initial_nodes: int = 3,
        *,
        spares: int = 0,
        settings: NodeSettings | None = None,
        seed: object = "stage",
        snapshot_s: float = 1e9,
        conditions: NetworkConditions = RELIABLE,
        is_bootstrapped_alone: bool = False,
    ) -> None:
        self.world = World(seed)
        make = Make(
            initial_nodes=initial_nodes,
            spares=spares,
            settings=settings or NodeSettings(),
            conditions=conditions,
            is_bootstrapped_alone=is_bootstrapped_alone,
            speed=QUICK,
            behaviour=Behaviour(flush_share=1.0, snapshot_s=snapshot_s),
            profile=WorkloadProfile(clients=0),
        )
        self.cluster = SimCluster(self.world, make)
        self.cluster.start()
        self.until(lambda: self.cluster.leader is not None)
        self.run(0.5)

    # --- time ---------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now + seconds)

    def until(self, is_so: Callable[[], bool], within_s: float = TIMEOUT_S) -> None:
        """Let time pass until a condition holds.

        Raises:
            ViolationError: It did not hold in time.
        """
        if not self.world.run_while(lambda: not is_so(), self.world.now + within_s):
            raise ViolationError(f"the condition did not hold in time: {self.cluster.behind()}")

    def level(self) -> None:
        """Let time pass until every member has applied everything, then check all."""
        self.until(lambda: self.cluster.is_level, within_s=60.0)
        self.cluster.checker.finish()
        self.cluster.compare_dumps()

    # --- who ----------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """A host by name."""
        return self.cluster.hosts[name]

    @property
    def leader(self) -> Host:
        """The host that serves as leader now.

        Raises:
            ViolationError: None does.
        """
        leader = self.cluster.leader
        if leader is None:
            raise ViolationError("there is no leader")
        return leader

    @property
    def followers(self) -> list[Host]:
        """The other members that run."""
        return [host for host in self.cluster.living if host is not self.leader]

    # --- clients ------------------------------------------------------------------------------

    def ask(
        self,
        host: Host,
        kind: OperationKind,
        command: Command | None,
        key: bytes = b"",
        index: int = 0,
    ) -> Operation:
        """Send an operation to a host, without waiting for the result."""
        number = len(self.cluster.checker.operations) + 1
        operation = Operation(number, "script", host.name, kind, self.world.now, command, key)
        operation.index = index
        self.cluster.probe(host, operation)
        return operation

    def write(self, host: Host, key: bytes = b"key") -> Operation:
        """Send a write of a new value to a host, without waiting for the result."""
        value = f"v{len(self.cluster.checker.operations)}".encode()
        return self.ask(host, OperationKind.WRITE, KvSet(key, value))

    def read(self, host: Host, key: bytes = b"key") -> Operation:
        """Begin a linearizable read."""
        return self.ask(host, OperationKind.READ, None, key)

    def done(self, *operations: Operation) -> None:
        """Let time pass until these succeeded.

        Raises:
            ViolationError: One did not.
        """
        self.until(
            lambda: all(operation.end is not OperationStatus.OPEN for operation in operations)
        )
        for operation in operations:
            if operation.end is not OperationStatus.DONE:
                raise ViolationError(f"operation {operation.number}: {operation.error}")

    def writes(self, host: Host, number: int) -> list[Operation]:
        """Do this number of writes, one after the other."""
        operations: list[Operation] = []
        for _ in range(number):
            operations.append(self.write(host))
            self.done(operations[-1])
        return operations

    def change(self, verb: str, member: Member, host: Host) -> list[QuorateError | None]:
        """Request a change of membership; the result is appended to the list."""
        results: list[QuorateError | None] = []
        host.do(lambda node, now_s: node.change(verb, member, results.append, now_s + TIMEOUT_S))
        return results

    # --- network ------------------------------------------------------------------------------

    def catch(
        self,
        kind: type[Message] | tuple[type[Message], ...],
        *,
        sender: Host | None = None,
        receiver: Host | None = None,
        is_held: bool = False,
    ) -> Rule:
        """Catch messages of a kind from now on: drop them, or hold them until `let_go`."""

        def matches(one: str, other: str, message: Message) -> bool:
            return (
                isinstance(message, kind)
                and (sender is None or sender.name == one)
                and (receiver is None or receiver.name == other)
            )

        rule = Rule(matches, is_held)
        self.cluster.network.rules.append(rule)
        return rule

    def let_go(self, rule: Rule) -> None:
        """End a rule; what it held is delivered now."""
        self.cluster.network.let_go(rule)

    def cut(self, host: Host, others: Sequence[Host]) -> Pairs:
        """Cut all links between a host and others; the pairs, for `heal`."""
        pairs = both([(host.name, other.name) for other in others if other is not host])
        self.cluster.network.cut(pairs)
        return pairs

    def heal(self, pairs: Pairs) -> None:
        """Undo a cut."""
        self.cluster.network.heal(pairs)
