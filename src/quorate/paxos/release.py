"""Release: what is known to be chosen is handed on in slot order, and waits to be applied.

Each chosen configuration enters the chain here, and those that govern no slot above the watermark
any more leave it, by rules LRN-1 (`learner`) and CFG-2 (`membership`); LDR-5 (`leadership`) says
what a leader must check.
"""

from quorate.base.batches import Configuration
from quorate.base.ids import Slot
from quorate.paxos.acceptor import Acceptor
from quorate.paxos.leadership import Leadership
from quorate.paxos.learner import Learner
from quorate.paxos.membership import Membership

Released = tuple[Slot, bytes, Configuration | None]
"""Slot, batch, and the configuration it brought into the chain, if any."""


class Release:
    """The batches that a replica has learned and its machine has not taken yet.

    Args:
        membership: The configurations in force and to come; they change here.
        acceptor: It drops the votes of what is released.
        learner: It gives the next batch.

    Attributes:
        waiting: What is released and not taken yet. To be read only.
        is_stopped: The tables are being replaced: nothing is released. To be read only.
        has_closed: A configuration went out of force (LRN-4). To be read only.
    """

    def __init__(self, membership: Membership, acceptor: Acceptor, learner: Learner) -> None:
        self._membership = membership
        self._acceptor = acceptor
        self._learner = learner
        self.waiting: list[Released] = []
        self.is_stopped = False
        self.has_closed = False

    def run(self, leadership: Leadership | None) -> bool:
        """Release what is known in order; True if it contradicts `leadership` (LDR-5)."""
        learner = self._learner
        before, is_contradicted = learner.watermark, False
        while (
            learner.chosen
            and not self.is_stopped
            and (released := learner.next_released()) is not None
        ):
            slot, batch = released
            if leadership is not None and leadership.is_contradicted(slot, batch):
                is_contradicted = True
            self.waiting.append((slot, batch, self._membership.take(slot, batch)))
        if learner.watermark > before:
            self._acceptor.forget(learner.watermark)
            if self._membership.prune(learner.watermark):
                self.has_closed = True
            if leadership is not None:
                leadership.on_released(learner.watermark)
        return is_contradicted

    def take(self) -> list[Released]:
        """What was released since the last call, in slot order; the caller applies it."""
        if not self.waiting:
            return []
        released, self.waiting = self.waiting, []
        return released

    def stop(self) -> None:
        """The tables are about to be replaced: nothing is released until `go_on` (SNP-3)."""
        self.is_stopped = True

    def go_on(self) -> None:
        """The tables were replaced."""
        self.is_stopped = False

    def forget_closed(self) -> None:
        """The log holds what closed the configuration, or need not."""
        self.has_closed = False
