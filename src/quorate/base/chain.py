"""The configuration chain: those in force and to come, and which of them governs which slot.

A configuration chosen in slot i governs from slot i + alpha on; the first one, at slot 0, from slot
1. One that governs no slot above the watermark any more is dropped. `paxos.membership` determines
which configurations enter the chain, as of the released slots; `machine` stores it, as of the
applied ones. Both use this module, and no other code does.
"""

from collections.abc import Iterable

from quorate.base.batches import Configuration, Member
from quorate.base.ids import NodeId, Slot

BOOTSTRAP_SLOT = Slot(0)
"""The slot of the first configuration: it governs from slot 1 on."""

Chosen = tuple[Slot, Configuration]
"""The slot in which it was chosen, and the configuration."""


class Chain:
    """A chain that does not change; another one comes after it.

    Args:
        chosen: Oldest first.
        alpha: Slots between being chosen and governing.

    Attributes:
        chosen: See above.
        governing: The slot from which each governs, and the configuration; oldest first.
        members: Voters and learners of all of them, by id; as the newest that names one has it.
    """

    __slots__ = ("_alpha", "chosen", "governing", "members")

    def __init__(self, chosen: Iterable[Chosen], alpha: int) -> None:
        self._alpha = alpha
        self.chosen: tuple[Chosen, ...] = tuple(chosen)
        self.governing: tuple[Chosen, ...] = tuple(
            (self.governs_from(slot), made) for slot, made in self.chosen
        )
        self.members: dict[NodeId, Member] = {}
        for _, configuration in self.chosen:
            self.members.update((member.id, member) for member in configuration.members)

    def governs_from(self, slot: Slot) -> Slot:
        """The first slot that a configuration chosen in `slot` governs."""
        return Slot(1) if slot == BOOTSTRAP_SLOT else Slot(slot + self._alpha)

    def followed_by(self, slot: Slot, configuration: Configuration) -> "Chain":
        """With a configuration that was chosen in `slot`, above all others."""
        return Chain((*self.chosen, (slot, configuration)), self._alpha)

    def above(self, watermark: Slot) -> "Chain":
        """Without those that govern no slot above `watermark`; itself if there is none."""
        gone = 0
        while gone + 1 < len(self.governing) and self.governing[gone + 1][0] <= watermark + 1:
            gone += 1
        return Chain(self.chosen[gone:], self._alpha) if gone else self
