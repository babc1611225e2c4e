"""Divergence check: do replicas hold the same tables?

At regular slots each node stores the rolling digest of what apply wrote. Followers report their
newest in heartbeat answers; the leader announces the digest of most voters. A node that differs
from a majority halts, keeps its files, and logs the slot. It is not repaired silently.

DIV-1: only digests of the same slot are compared.
"""

from quorate.base.batches import Configuration, majority
from quorate.base.effects import Halt
from quorate.base.ids import NodeId, Slot

KEPT = 64
"""Checkpoints that a node keeps."""


class DivergenceCheck:
    """Digests of one node at its checkpoints, and the reported ones of others."""

    def __init__(self, me: NodeId, every_slots: int) -> None:
        self._me = me
        self._every = every_slots
        self._mine: dict[Slot, int] = {}
        self._reported: dict[Slot, dict[NodeId, int]] = {}
        self.agreed = (Slot(0), 0)

    def note(self, slot: Slot, digest: int) -> bool:
        """This node applied `slot`; True if that is a checkpoint, now the newest."""
        if slot % self._every:
            return False
        self._mine[slot] = digest
        while len(self._mine) > KEPT:
            del self._mine[next(iter(self._mine))]
        return True

    def on_report(
        self, sender: NodeId, slot: Slot, digest: int, configuration: Configuration
    ) -> Halt | None:
        """As leader: a follower reported its digest. A Halt if most voters differ from us."""
        if slot == 0 or slot not in self._mine:
            return None
        voters = configuration.voter_ids
        digests = self._reported.setdefault(slot, {self._me: self._mine[slot]})
        digests[sender] = digest
        while len(self._reported) > KEPT:
            del self._reported[next(iter(self._reported))]
        for value in sorted(set(digests.values())):
            supporters = sum(
                1
                for node, digest_of_node in digests.items()
                if digest_of_node == value and node in voters
            )
            if supporters >= majority(len(voters)):
                if value != self._mine[slot]:
                    return self._halt(slot, value)
                if slot >= self.agreed[0]:
                    self.agreed = (slot, value)
        return None

    def check(self, slot: Slot, digest: int) -> Halt | None:
        """As follower: most voters had `digest` at `slot`. A Halt if we had another."""
        mine = self._mine.get(slot)
        if slot == 0 or mine is None or mine == digest:
            return None
        return self._halt(slot, digest)

    def _halt(self, slot: Slot, digest: int) -> Halt:
        return Halt(
            "corrupt",
            f"this node's tables differ from most others at slot {slot}: digest "
            f"{self._mine[slot]:08x}, theirs {digest:08x}. Nothing wrong was acknowledged by "
            "the others. Keep this directory for analysis, remove the node and add a new one.",
        )
