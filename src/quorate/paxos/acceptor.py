"""Acceptor: the part of Paxos that must not forget.

It answers two messages, and only these: Prepare, which asks for the promise of a ballot, with
Promise, and Accept, which asks for a vote for a batch, with Accepted.

ACC-1: `promised` never decreases, over restarts too; a vote raises it.
ACC-2: no promise or vote is sent before it is durable: both leave as SendWhenDurable after their
    Persist. A Nack promises nothing and leaves as Send.
ACC-3: a promise lists everything held above the watermark, and the watermark itself; what lies at
    or below it is chosen and can be fetched. It never answers "empty" for what it once held.
ACC-4: what was fetched as chosen is reported as chosen, never as a vote.
ACC-5: a promise also reports up to which slot a leader of a *lower* ballot reported all chosen.
    Every phase-1 quorum of the ballot asked for must hold those batches; if it does not, one of its
    nodes has lost what it stored. Of a higher ballot this does not follow, so none is reported.

Votes at or below the watermark are dropped: their batches live in the learner's tail, in the
tables, in the log. An Accept down there is granted without a new vote, and only if its batch is
the one held (`replica` compares them): for a chosen slot no newer ballot can propose another.

Source: Lamport, "Paxos Made Simple" (2001), section 2.2.
"""

from collections.abc import Mapping

from quorate.base.config import ClusterConfig, Limits
from quorate.base.effects import Effect, Persist, Send, SendWhenDurable
from quorate.base.errors import invariant
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Accept, Accepted, Nack, Prepare, Promise, SlotState
from quorate.base.records import Promised, Vote

PAGE_BYTES_MAX = 1024 * 1024
"""One page of a promise; a single larger batch has a page of its own."""


class Acceptor:
    """The promise and the votes of one replica.

    Args:
        watermark: Every slot up to here is known chosen.
        slots_ahead_max: Accepts further above the watermark are ignored, so that a replica that
            fell behind holds a bounded number of votes; it fetches instead.
        bytes_ahead_max: So are they with more bytes of votes than this, but for the next
            `alpha_slots`: a leader that knows as much proposes no further, and needs the vote.
        alpha_slots: See `base.config`.

    Attributes:
        votes_bytes: Bytes of the batches in `votes`.
    """

    def __init__(
        self,
        watermark: Slot,
        slots_ahead_max: int,
        bytes_ahead_max: int = Limits().bytes_ahead_max,
        alpha_slots: int = ClusterConfig().alpha_slots,
    ) -> None:
        self.promised = NO_BALLOT
        self.votes: dict[Slot, Vote] = {}
        self.votes_bytes = 0
        self.watermark = watermark
        self._slots_ahead_max = slots_ahead_max
        self._bytes_ahead_max = bytes_ahead_max
        self._alpha_slots = alpha_slots

    def on_prepare(
        self,
        sender: NodeId,
        message: Prepare,
        chosen: Mapping[Slot, bytes],
        leader_watermark: tuple[Ballot, Slot] = (NO_BALLOT, Slot(0)),
    ) -> list[Effect]:
        """Answer phase 1a: promise, and report what is held above the watermark.

        Args:
            sender: The candidate.
            message: Its Prepare.
            chosen: What the learner knows chosen above the watermark.
            leader_watermark: The highest watermark that a leader reported, and its ballot (ACC-5).

        Returns:
            `[Persist, SendWhenDurable…]`, one SendWhenDurable a page; only the Nack if a higher
            ballot was promised. A repeated Prepare is promised again without a new record.
        """
        ballot = message.ballot
        if ballot < self.promised:
            return [Send(sender, Nack(ballot, self.promised))]
        effects: list[Effect] = []
        if ballot > self.promised:
            record = Promised(ballot)
            self.remember(record)
            effects.append(Persist(record))
        first = slot_from = message.slot_first
        leader, reported = leader_watermark
        is_reported = leader < ballot and reported > self.watermark
        pages = self._pages(first, chosen)
        for page, held in enumerate(pages):
            whole = tuple(held)
            promise = Promise(
                ballot,
                first,
                self.watermark,
                page,
                len(pages),
                whole,
                slot_from,
                reported if is_reported else Slot(0),
            )
            effects.append(SendWhenDurable(sender, promise))
            slot_from = Slot(held[-1].slot + 1) if held else slot_from
        return effects

    def on_accept(self, sender: NodeId, message: Accept) -> list[Effect]:
        """Answer phase 2a.

        Returns:
            `[Persist, SendWhenDurable]` when granted (no Persist if this very vote exists already
            or the slot lies at or below the watermark); a Nack when a higher ballot was promised;
            nothing when the slot is too far ahead.

        Raises:
            InvariantError: One ballot brought two batches for one slot.
        """
        ballot, slot = message.ballot, message.slot
        if ballot < self.promised:
            return [Send(sender, Nack(ballot, self.promised))]
        if slot > self.watermark + self._alpha_slots and self._is_too_far(slot):
            return []
        reply = SendWhenDurable(sender, Accepted(ballot, slot))
        if slot <= self.watermark:
            if ballot == self.promised:
                return [reply]
            self.remember(Promised(ballot))
            return [Persist(Promised(ballot)), reply]
        before = self.votes.get(slot)
        if before is not None and before.ballot == ballot:
            invariant(before.batch == message.batch, "one ballot, one batch per slot")
            return [reply]
        vote = Vote(ballot, slot, message.watermark, message.batch)
        self.remember(vote)
        return [Persist(vote), reply]

    def remember(self, record: Promised | Vote) -> None:
        """The one place where state changes: live and on recovery alike."""
        self.promised = max(self.promised, record.ballot)
        if isinstance(record, Vote) and record.slot > self.watermark:
            replaced = self.votes.get(record.slot)
            if replaced is not None:
                self.votes_bytes -= len(replaced.batch)
            self.votes[record.slot] = record
            self.votes_bytes += len(record.batch)

    def forget(self, watermark: Slot) -> None:
        """Drop votes up to a risen watermark. Cost: O(slots risen), or O(votes) if fewer."""
        if watermark - self.watermark < len(self.votes):
            for slot in range(self.watermark + 1, watermark + 1):
                vote = self.votes.pop(Slot(slot), None)
                if vote is not None:
                    self.votes_bytes -= len(vote.batch)
        else:
            self.votes = {s: vote for s, vote in self.votes.items() if s > watermark}
            left = self.votes.values()  # nearly always empty
            self.votes_bytes = sum([len(vote.batch) for vote in left]) if left else 0
        self.watermark = max(self.watermark, watermark)

    def _is_too_far(self, slot: Slot) -> bool:
        """Would a vote for this slot exceed the limits?"""
        if slot > self.watermark + self._slots_ahead_max:
            return True
        return self.votes_bytes > self._bytes_ahead_max and slot not in self.votes

    def _pages(self, slot_first: Slot, chosen: Mapping[Slot, bytes]) -> list[list[SlotState]]:
        pages: list[list[SlotState]] = [[]]
        size = 0
        for slot in sorted(self.votes.keys() | chosen.keys()):
            if slot < slot_first or slot <= self.watermark:
                continue
            if slot in chosen:
                held = SlotState(slot, NO_BALLOT, chosen[slot], is_chosen=True)
            else:
                vote = self.votes[slot]
                held = SlotState(slot, vote.ballot, vote.batch)
            if pages[-1] and size + len(held.batch) > PAGE_BYTES_MAX:
                pages.append([])
                size = 0
            pages[-1].append(held)
            size += len(held.batch)
        return pages
