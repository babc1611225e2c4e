"""Proposer: one ballot, from its promises to its last chosen slot.

PRO-1: Prepare leaves only when its ballot is durable, so no ballot is used twice.
PRO-2: Accept leaves at once, beside our own sync; our own vote passes through our own acceptor and
    comes back as Accepted when it is durable, like everybody's.
PRO-3: a node that restarts has forgotten which Accepts it sent, so it never resumes a ballot.
PRO-4: for a slot that a promise reports, the batch known chosen wins, else that of the highest
    ballot; for a hole below the highest slot reported, a noop. Nothing else may be proposed there.
PRO-5: the answer to another Prepare is no promise for this one; pages of two answers are one
    promise only if they leave no slot out.

Source: Lamport, "Paxos Made Simple" (2001), sections 2.2 and 3.
"""

from collections.abc import Set as AbstractSet

import msgspec

from quorate.base.batches import NOOP
from quorate.base.errors import invariant
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Promise, SlotState
from quorate.paxos.quorum import is_phase1_quorum, phase2_size


class Phase1:
    """The promises for one ballot, and what they oblige us to.

    Args:
        ballot: Ours.
        slot_first: The first slot asked for: our watermark + 1.
    """

    def __init__(self, ballot: Ballot, slot_first: Slot) -> None:
        self.ballot = ballot
        self.slot_first = slot_first
        self.promised: set[NodeId] = set()
        self.watermark_max = Slot(0)
        self.watermark_holder = ballot.node
        self.slot_last = Slot(0)  # the highest slot that any promise reported; 0 if none did
        self.told = Slot(0)  # all up to here is chosen, by the word of leaders of lower ballots
        self._enough_for: frozenset[NodeId] | None = None
        self._pages: dict[NodeId, dict[int, Promise]] = {}
        self._held: dict[Slot, SlotState] = {}

    def on_promise(self, sender: NodeId, message: Promise) -> bool:
        """Take a page; True when it completes the sender's promise (PRO-5)."""
        if message.ballot != self.ballot or message.slot_first != self.slot_first:
            return False
        pages = self._pages.setdefault(sender, {})
        if any(page.pages != message.pages for page in pages.values()):
            pages.clear()  # promised anew with more or fewer pages: only whole ones count
        pages[message.page] = message
        if sender in self.promised or not self._is_whole(pages, message.pages):
            return False
        self.promised.add(sender)
        for page in self._pages.pop(sender).values():
            self._take(sender, page)
        return True

    def is_enough(self, voters: frozenset[NodeId]) -> bool:
        """Do a phase-1 quorum of these voters promise? Promises are never taken back."""
        if voters is not self._enough_for:
            if not is_phase1_quorum(self.promised, voters):
                return False
            self._enough_for = voters
        return True

    def batch_for(self, slot: Slot) -> bytes:
        """What must be proposed in a slot up to `slot_last` (PRO-4)."""
        held = self._held.get(slot)
        return NOOP if held is None else held.batch

    def is_lost(self, slot: Slot) -> bool:
        """Is the batch of `slot` chosen, and held by nobody who promised (ACC-5)?

        A phase-1 quorum that keeps its memory holds it. So one of these nodes has forgotten what
        it acknowledged, and whatever were proposed here might contradict what was chosen.
        """
        return slot <= self.told and slot > self.watermark_max and slot not in self._held

    def _is_whole(self, pages: dict[int, Promise], count: int) -> bool:
        """Do the pages leave no slot out? Those of answers given at different times may (PRO-5)."""
        slot_from = self.slot_first
        for number in range(count):
            page = pages.get(number)
            if page is None or page.slot_from > slot_from:
                return False
            slot_from = Slot(page.held[-1].slot + 1) if page.held else slot_from
        return True

    def _take(self, sender: NodeId, page: Promise) -> None:
        if page.watermark > self.watermark_max:
            self.watermark_max = page.watermark
            self.watermark_holder = sender
        self.told = max(self.told, page.told)
        for held in page.held:
            best = self._held.get(held.slot)
            if best is None or _beats(held, best):
                self._held[held.slot] = held
                self.slot_last = max(self.slot_last, held.slot)


def _beats(one: SlotState, other: SlotState) -> bool:
    return (one.is_chosen, one.ballot) > (other.is_chosen, other.ballot)


class Flight(msgspec.Struct, gc=False):
    """A slot on the way."""

    batch: bytes
    need: int
    voters: AbstractSet[NodeId]
    accepted: set[NodeId]
    sent_s: float
    patience_s: float


class Pipeline:
    """Phase 2 of one ballot: slots on the way, and who has voted for each."""

    def __init__(self, ballot: Ballot, slot_next: Slot) -> None:
        self.ballot = ballot
        self.slot_next = slot_next
        self.flights: dict[Slot, Flight] = {}

    def open(
        self, batch: bytes, voters: AbstractSet[NodeId], now_s: float, patience_s: float
    ) -> Slot:
        """Give a batch the next slot; the caller sends the Accepts."""
        slot = self.slot_next
        self.slot_next = Slot(slot + 1)
        self.flights[slot] = Flight(
            batch, phase2_size(len(voters)), voters, set(), now_s, patience_s
        )
        return slot

    def on_accepted(self, sender: NodeId, slot: Slot) -> bytes | None:
        """Count a vote; the batch if that chose the slot. Late and foreign votes change nothing."""
        flight = self.flights.get(slot)
        if flight is None or sender not in flight.voters:
            return None
        flight.accepted.add(sender)
        if len(flight.accepted) < flight.need:
            return None
        del self.flights[slot]
        return flight.batch

    def is_contradicted(self, slot: Slot, batch: bytes, barrier: Slot) -> bool:
        """Was a slot chosen otherwise than by us (LDR-5)? `barrier`: ours, 0 if not proposed."""
        flight = self.flights.get(slot)
        if 0 < barrier <= slot:  # our own votes leave no flight
            return flight is not None or slot >= self.slot_next
        return flight is not None and flight.batch != batch

    def skip(self, watermark: Slot) -> None:
        """Others told us these slots chosen: nothing is proposed there any more.

        What is on the way there stays so, until votes for this ballot have chosen it too (LDR-8).
        """
        if self.slot_next <= watermark:
            self.slot_next = Slot(watermark + 1)

    def send_again(self) -> None:
        """What was on the way to a peer is lost: every flight is overdue now."""
        for flight in self.flights.values():
            flight.sent_s = float("-inf")

    def overdue(self, now_s: float) -> list[tuple[Slot, Flight]]:
        """Flights unanswered for their patience, which doubles by this."""
        late: list[tuple[Slot, Flight]] = []
        for slot, flight in self.flights.items():
            if now_s - flight.sent_s >= flight.patience_s:
                invariant(flight.patience_s > 0, "patience doubles from something")
                flight.sent_s = now_s
                flight.patience_s = min(flight.patience_s * 2, 5.0)
                late.append((slot, flight))
        return late
