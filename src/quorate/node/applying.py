"""Applying: what is chosen and not applied yet, and how much of it one turn may apply.

A turn applies about 4 ms' worth of slots; a batch that is larger than that is applied in steps,
and holds back the slots behind it. Start-up gives shares until nothing is left.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from quorate.base.batches import NOOP, Configuration
from quorate.base.errors import StorageError
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import Accept, Fetched, Message, TransferNow
from quorate.machine.machine import ApplyResult, Machine
from quorate.machine.rows import WRITE_UNITS
from quorate.paxos.release import Released

SLOT_UNITS = 32
"""Work of a slot without commands, in units: see `machine.rows`."""


def needs_space(message: Message) -> bool:
    """What a full disk has no room for, or should not lead with; fetched when there is space."""
    if isinstance(message, Accept):
        return message.batch != NOOP
    return isinstance(message, Fetched | TransferNow)


class AppliedSlot(NamedTuple):
    """A slot that was just applied."""

    slot: Slot
    configuration: Configuration | None
    application: ApplyResult


class Applying:
    """The slots between the log and the machine.

    Args:
        machine: What applies them.
        me: Whose bundles are given outcomes.
        turn_units: Work of one turn.

    Attributes:
        waiting: The slots that are not applied; to be read only.
        has_worked: Some of this turn's share is used.
    """

    def __init__(self, machine: Machine, me: NodeId, turn_units: int) -> None:
        self._machine = machine
        self._me = me
        self.waiting: deque[Released] = deque()
        self._turn_units = self._share = turn_units
        self._is_stalled = False
        self._is_in_steps = False
        self.has_worked = False

    def __bool__(self) -> bool:
        return bool(self.waiting)

    @property
    def is_stalled(self) -> bool:
        """What waits found no space in the tables."""
        return self._is_stalled and bool(self.waiting)

    @property
    def may_go_on(self) -> bool:
        """Something waits, and there was space for what came before it."""
        return bool(self.waiting) and not self._is_stalled

    def give_share(self) -> None:
        """A new turn begins."""
        self._share = self._turn_units
        self.has_worked = False

    def add(self, released: Iterable[Released]) -> None:
        """These are next, in this order. What found no space is tried again."""
        self.waiting.extend(released)
        self._is_stalled = False

    def stop(self) -> None:
        """The tables are about to be replaced: drop the steps of a batch done so far."""
        self._is_in_steps = False
        self._machine.abandon()

    def clear(self) -> None:
        """The tables were replaced by others that hold all of it."""
        self.waiting.clear()

    def next(self) -> AppliedSlot | None:
        """Apply the next slot; None if this turn did its share, or nothing (more) can be applied.

        Raises:
            StorageError: The tables cannot be used any more. Not for `disk_full`: then the slot
                waits.
        """
        if not self.waiting or self._share <= 0:
            return None
        slot, batch, configuration = self.waiting[0]
        self.has_worked = True
        machine = self._machine
        try:
            if not machine.is_applying:
                machine.begin(slot, batch, configuration, self._me)
            application = machine.step()
        except StorageError as error:
            if error.code != "disk_full":
                raise
            self._is_stalled = True  # the tables are as before; tried again with the next event
            return None
        if application is None:
            self._share, self._is_in_steps = 0, True
            return None
        self.waiting.popleft()
        if self._is_in_steps:  # the turn ends here: with no batch half applied, views can be held
            self._share, self._is_in_steps = 0, False
        self._share -= SLOT_UNITS + WRITE_UNITS * application.commands
        return AppliedSlot(slot, configuration, application)
