"""Oracle: what is chosen, by counting durable votes itself; and which node contradicts it.

It sees every record at the moment a disk holds it, which no node can. From that it knows what is
chosen before any node does, and checks at every step that no node sends, applies or answers what
the disks do not support.

Checked here:

- one batch per slot and ballot; what is chosen never changes;
- promises of a node never fall, over restarts too, and no durable record is lost;
- Prepare, Promise and Accepted are sent only when the disk holds what they depend on;
- what is applied is chosen by a durable quorum of the configuration that governs its slot;
- replicas have equal digests at equal slots, apply every slot once, and their index never falls.
"""

from collections.abc import Callable, Iterable

from quorate.base.batches import NOOP, Configuration
from quorate.base.config import ClusterConfig
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Accept, Accepted, BootstrapStored, Message, Prepare, Promise
from quorate.base.records import Bootstrapped, Promised, Record, Vote
from quorate.domains import DOMAINS
from quorate.machine.domains import Domains
from quorate.machine.state import State
from quorate.paxos.replica import Replica
from quorate.sim.model import ReferenceModel
from quorate.sim.world import ViolationError


class Memory:
    """What one node id must not lose."""

    def __init__(self) -> None:
        self.promised = NO_BALLOT  # durable
        self.seen = NO_BALLOT  # the highest promise it ever had in memory
        self.votes: dict[Slot, Ballot] = {}  # durable, above what was truncated
        self.has_bootstrap = False
        self.began = (NO_BALLOT, Slot(0))  # what its log held when it last started
        self.applied = Slot(0)
        self.index = 0


class Oracle:
    """Everything that is durable, and what follows.

    Args:
        settings: Of the cluster.
        on_chosen: Called with each chosen slot, in order.
        domains: Of all nodes.
    """

    def __init__(
        self,
        settings: ClusterConfig,
        on_chosen: Callable[[Slot, bytes], None],
        domains: Domains = DOMAINS,
    ) -> None:
        self._settings = settings
        self.domains = domains
        self._on_chosen = on_chosen
        self.model: ReferenceModel | None = None
        self.cluster_id = ""
        self.chosen: dict[Slot, bytes] = {}
        self.prefix = Slot(0)
        self.digests: dict[Slot, int] = {}
        self.memories: dict[NodeId, Memory] = {}
        self._batches: dict[tuple[Slot, Ballot], bytes] = {}
        self._votes: dict[Slot, dict[Ballot, dict[NodeId, None]]] = {}
        self._undecided: dict[Slot, None] = {}

    def memory(self, node: NodeId) -> Memory:
        """What this node must not lose."""
        memory = self.memories.get(node)
        if memory is None:
            memory = self.memories[node] = Memory()
        return memory

    # --- bootstrap ----------------------------------------------------------------------------

    def bootstrapped(self, cluster_id: str, configuration: Configuration) -> None:
        """A node stored a complete bootstrap."""
        if self.model is None:
            self.cluster_id = cluster_id
            self.model = ReferenceModel(configuration, self._settings, self.domains)
        elif cluster_id != self.cluster_id:
            raise ViolationError(
                f"two clusters were bootstrapped: {self.cluster_id} and {cluster_id}"
            )

    # --- disks --------------------------------------------------------------------------------

    def durable(self, node: NodeId, records: Iterable[Record]) -> None:
        """A disk holds these records now."""
        memory = self.memory(node)
        for record in records:
            if isinstance(record, Promised):
                memory.promised = max(memory.promised, record.ballot)
            elif isinstance(record, Vote):
                memory.promised = max(memory.promised, record.ballot)
                self._vote(node, record, memory)
            elif isinstance(record, Bootstrapped):
                memory.has_bootstrap = True
                if record.complete:
                    self.bootstrapped(record.cluster_id, record.configuration)
            elif record.slot in self.chosen and self.chosen[record.slot] != record.batch:
                raise ViolationError(f"{node} stored another batch as chosen in slot {record.slot}")

    def _vote(self, node: NodeId, vote: Vote, memory: Memory) -> None:
        self.proposed(vote.slot, vote.ballot, vote.batch)
        known = memory.votes.get(vote.slot, NO_BALLOT)
        memory.votes[vote.slot] = max(known, vote.ballot)
        self._votes.setdefault(vote.slot, {}).setdefault(vote.ballot, {})[node] = None
        self._decide(vote.slot)

    def proposed(self, slot: Slot, ballot: Ballot, batch: bytes) -> None:
        """A node sent that this ballot proposes this batch in this slot."""
        known = self._batches.setdefault((slot, ballot), batch)
        if known is not batch and known != batch:
            raise ViolationError(f"ballot {ballot} proposed two batches in slot {slot}")

    def _decide(self, slot: Slot) -> None:
        governing = self.model.governing(slot) if self.model else None
        if governing is None:
            self._undecided[slot] = None
            return
        voters = governing.voter_ids
        for ballot, nodes in self._votes[slot].items():
            if 2 * sum(1 for node in nodes if node in voters) > len(voters):
                self._choose(slot, self._batches[slot, ballot])

    def _choose(self, slot: Slot, batch: bytes) -> None:
        known = self.chosen.setdefault(slot, batch)
        if known is not batch and known != batch:
            raise ViolationError(f"two batches were chosen in slot {slot}")
        while (following := self.chosen.get(Slot(self.prefix + 1))) is not None:
            self.prefix = Slot(self.prefix + 1)
            if self.model is not None:
                self.model.step(self.prefix, following)
            self._on_chosen(self.prefix, following)
            for undecided in sorted(self._undecided):
                if self.model and self.model.governing(undecided) is not None:
                    del self._undecided[undecided]
                    self._decide(undecided)

    # --- nodes --------------------------------------------------------------------------------

    def recovered(self, node: NodeId, records: list[Record], after: Slot) -> None:
        """A node read these from its log; `after`: older slots may have been truncated."""
        memory = self.memory(node)
        promised, votes = NO_BALLOT, dict[Slot, Ballot]()
        for record in records:
            if isinstance(record, Promised | Vote):
                promised = max(promised, record.ballot)
            if isinstance(record, Vote):
                votes[record.slot] = max(votes.get(record.slot, NO_BALLOT), record.ballot)
        if promised < memory.promised:
            raise ViolationError(f"{node} lost its promise of {memory.promised}: {promised}")
        if memory.has_bootstrap and not any(isinstance(r, Bootstrapped) for r in records):
            raise ViolationError(f"{node} lost which cluster it belongs to")
        for slot, ballot in memory.votes.items():
            if slot > after and votes.get(slot, NO_BALLOT) < ballot:
                raise ViolationError(f"{node} lost its vote in slot {slot} under {ballot}")
        memory.seen = promised
        memory.began = (promised, max(votes, default=Slot(0)))
        self.durable(node, records)

    def rolled_back(self, node: NodeId) -> Memory:
        """A directory is replaced by an old copy, which may lack records; what it held before."""
        return self.memories.pop(node, None) or Memory()

    def sends(self, node: NodeId, watermark: Slot, message: Message) -> None:
        """A node sends a message: check that its disk supports it."""
        if isinstance(message, Accept):
            self.proposed(message.slot, message.ballot, message.batch)
        elif isinstance(message, Prepare | Promise):
            if self.memory(node).promised < message.ballot:
                raise ViolationError(f"{node} sends {type(message).__name__} before it is durable")
        elif isinstance(message, Accepted):
            memory = self.memory(node)
            vote = memory.votes.get(message.slot, NO_BALLOT)
            is_old = message.slot <= watermark and memory.promised >= message.ballot
            if vote < message.ballot and not is_old:
                raise ViolationError(
                    f"{node} sends Accepted of {message.slot} before it is durable"
                )
        elif isinstance(message, BootstrapStored) and not self.memory(node).has_bootstrap:
            raise ViolationError(f"{node} sends FoundStored before it is durable")

    def promises(self, node: NodeId, promised: Ballot) -> None:
        """The promise that a node has in memory."""
        memory = self.memory(node)
        if promised < memory.seen:
            raise ViolationError(f"the promise of {node} fell from {memory.seen} to {promised}")
        memory.seen = promised

    def look(self, node: NodeId, replica: Replica, looked: Slot) -> Slot:
        """Check a replica; slots up to `looked` were checked before."""
        self.promises(node, replica.acceptor.promised)
        for slot in range(looked + 1, replica.watermark + 1):
            batch = replica.learner.tail.get(Slot(slot))
            if batch is not None:
                self.released(node, Slot(slot), batch)
        return replica.watermark

    def tables_at(self, node: NodeId, slot: Slot, index: int) -> None:
        """A node started, or a snapshot was installed: the tables have this state now."""
        memory = self.memory(node)
        memory.applied, memory.index = slot, index

    def applied(self, node: NodeId, state: State) -> None:
        """A node committed this state of its tables."""
        memory, slot = self.memory(node), state.applied
        if slot == 0:
            return
        if slot != memory.applied + 1:
            raise ViolationError(f"{node} applied slot {slot} after slot {memory.applied}")
        if slot > self.prefix:
            raise ViolationError(f"{node} applied slot {slot}, which no durable quorum has chosen")
        if state.index < memory.index:
            raise ViolationError(f"the index of {node} fell in slot {slot}")
        known = self.digests.setdefault(slot, state.digest)
        if known != state.digest:
            raise ViolationError(f"{node} differs from others after slot {slot}")
        memory.applied, memory.index = slot, state.index
        if self.model and state.index != self.model.indexes[slot]:
            raise ViolationError(
                f"{node} has index {state.index} after slot {slot}, "
                f"the model {self.model.indexes[slot]}"
            )

    def released(self, node: NodeId, slot: Slot, batch: bytes) -> None:
        """A node took this batch for chosen."""
        known = self.chosen.get(slot)
        if known != batch and not (batch == NOOP and known == NOOP):
            raise ViolationError(f"{node} took another batch for chosen in slot {slot}")
