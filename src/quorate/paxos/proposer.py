"""Proposer: one ballot, from its promises to its last chosen slot.

PRO-1: Prepare leaves only when its ballot is durable, so no ballot is used twice.
PRO-2: Accept leaves at once, in parallel with the leader's own sync; the leader's own vote passes
    through its own acceptor and comes back as Accepted when it is durable, as any other vote.
PRO-3: a node that restarts does not know which Accepts it sent, so it never resumes a ballot.
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
    """The promises for one ballot, and what must be proposed because of them.

    Args:
        ballot: Of this candidate.
        slot_first: The first slot that the promises cover: the candidate's watermark + 1.

    Attributes:
        promised: The nodes whose promise is complete.
        watermark_max, watermark_holder: The highest watermark of an acceptor, and that acceptor.
        slot_last: The highest slot that any promise reported; 0 if none did.
        leader_watermark: Leaders of lower ballots reported all up to here chosen (ACC-5).
    """

    def __init__(self, ballot: Ballot, slot_first: Slot) -> None:
        self.ballot = ballot
        self.slot_first = slot_first
        self.promised: set[NodeId] = set()
        self.watermark_max = Slot(0)
        self.watermark_holder = ballot.node
        self.slot_last = Slot(0)
        self.leader_watermark = Slot(0)
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
        """Is the batch of `slot` chosen, and held by none of the nodes that promised (ACC-5)?

        A phase-1 quorum that lost nothing holds it. So one of these nodes has lost what it
        acknowledged, and any proposal here might contradict what was chosen.
        """
        return (
            slot <= self.leader_watermark and slot > self.watermark_max and slot not in self._held
        )

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
        self.leader_watermark = max(self.leader_watermark, page.leader_watermark)
        for held in page.held:
            best = self._held.get(held.slot)
            if best is None or _beats(held, best):
                self._held[held.slot] = held
                self.slot_last = max(self.slot_last, held.slot)


def _beats(one: SlotState, other: SlotState) -> bool:
    return (one.is_chosen, one.ballot) > (other.is_chosen, other.ballot)


class Proposal(msgspec.Struct, gc=False):
    """A slot in flight: what was proposed in it, and which voters accepted it."""

    batch: bytes
    need: int
    voters: AbstractSet[NodeId]
    accepted: set[NodeId]
    sent_s: float
    timeout_s: float


class Pipeline:
    """Phase 2 of one ballot: the slots in flight.

    Attributes:
        ballot: Of the leader.
        slot_next: The next slot to be proposed.
        in_flight: The proposals that are not chosen, by slot.
    """

    def __init__(self, ballot: Ballot, slot_next: Slot) -> None:
        self.ballot = ballot
        self.slot_next = slot_next
        self.in_flight: dict[Slot, Proposal] = {}

    def open(
        self, batch: bytes, voters: AbstractSet[NodeId], now_s: float, timeout_s: float
    ) -> Slot:
        """Propose a batch in the next slot; the caller sends the Accepts."""
        slot = self.slot_next
        self.slot_next = Slot(slot + 1)
        self.in_flight[slot] = Proposal(
            batch, phase2_size(len(voters)), voters, set(), now_s, timeout_s
        )
        return slot

    def on_accepted(self, sender: NodeId, slot: Slot) -> bytes | None:
        """Count a vote; the batch if that chose the slot. Late and foreign votes change nothing."""
        proposal = self.in_flight.get(slot)
        if proposal is None or sender not in proposal.voters:
            return None
        proposal.accepted.add(sender)
        if len(proposal.accepted) < proposal.need:
            return None
        del self.in_flight[slot]
        return proposal.batch

    def is_contradicted(self, slot: Slot, batch: bytes, barrier: Slot) -> bool:
        """Does what was chosen contradict this ballot (LDR-5)? `barrier`: 0 if not proposed."""
        proposal = self.in_flight.get(slot)
        if 0 < barrier <= slot:  # a slot that this ballot chose is no longer in flight
            return proposal is not None or slot >= self.slot_next
        return proposal is not None and proposal.batch != batch

    def skip(self, watermark: Slot) -> None:
        """Other nodes reported these slots chosen: nothing more is proposed there.

        What is in flight there stays so, until votes for this ballot have chosen it too (LDR-8).
        """
        if self.slot_next <= watermark:
            self.slot_next = Slot(watermark + 1)

    def send_again(self) -> None:
        """What was sent to a peer is lost: every proposal is overdue now."""
        for proposal in self.in_flight.values():
            proposal.sent_s = float("-inf")

    def overdue(self, now_s: float) -> list[tuple[Slot, Proposal]]:
        """Proposals without enough votes for their timeout, which doubles by this."""
        late: list[tuple[Slot, Proposal]] = []
        for slot, proposal in self.in_flight.items():
            if now_s - proposal.sent_s >= proposal.timeout_s:
                invariant(proposal.timeout_s > 0, "a timeout that doubles is not 0")
                proposal.sent_s = now_s
                proposal.timeout_s = min(proposal.timeout_s * 2, 5.0)
                late.append((slot, proposal))
        return late
