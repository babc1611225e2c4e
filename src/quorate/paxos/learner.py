"""Learner: what is chosen, released in slot order.

Slots may be chosen in any order; they are released strictly in order. A replica never counts
votes itself: the leader tells a watermark.

L1: a slot is released once, in order, and never changes.
L2: a replica takes its own vote for chosen by the watermark only if the vote has the ballot of
    the leader who told it. A vote of another ballot may be for another batch: it fetches.
L3: nobody fills a hole on its own authority; only a leader may, after its phase 1.
"""

from collections.abc import Mapping

from quorate.base.errors import invariant
from quorate.base.ids import NOBODY, Ballot, NodeId, Slot
from quorate.base.records import Vote
from quorate.paxos.log import Tail


class Learner:
    """Which slots are chosen, as one replica knows.

    Args:
        watermark: Every slot up to here was released in an earlier life.
        tail: Where released batches go.
    """

    def __init__(self, watermark: Slot, tail: Tail) -> None:
        self.watermark = watermark
        self.told = watermark
        self.teller = NOBODY
        self.chosen: dict[Slot, bytes] = {}
        self.tail = tail

    @property
    def has_hole(self) -> bool:
        """More is chosen than is known here: something must be fetched."""
        return self.told > self.watermark and Slot(self.watermark + 1) not in self.chosen

    def on_watermark(
        self, ballot: Ballot, watermark: Slot, votes: Mapping[Slot, Vote], teller: NodeId
    ) -> None:
        """The leader of `ballot` knows everything up to `watermark` chosen (L2).

        Cost: O(slots between), or O(votes) if fewer.
        """
        if watermark <= self.watermark:
            return
        if watermark > self.told or self.teller == NOBODY:
            self.told = max(self.told, watermark)
            self.teller = teller
        if watermark - self.watermark <= len(votes):
            slots = [Slot(s) for s in range(self.watermark + 1, watermark + 1)]
        else:
            slots = [s for s in votes if self.watermark < s <= watermark]
        for slot in slots:
            vote = votes.get(slot)
            if vote is not None and vote.ballot == ballot:
                self.choose(slot, vote.batch)

    def choose(self, slot: Slot, batch: bytes) -> bool:
        """Note that `batch` is chosen in `slot`; True if that was news.

        Raises:
            InvariantError: Another batch was known chosen there.
        """
        if slot <= self.watermark:
            known = self.tail.get(slot)
            invariant(known is None or known == batch, f"slot {slot} was chosen differently")
            return False
        before = self.chosen.get(slot)
        if before is not None:
            invariant(before == batch, f"slot {slot} was chosen differently")
            return False
        self.chosen[slot] = batch
        return True

    def next_released(self) -> tuple[Slot, bytes] | None:
        """The next batch in order, if it is known; it counts as released from now on."""
        slot = Slot(self.watermark + 1)
        batch = self.chosen.pop(slot, None)
        if batch is None:
            return None
        self.watermark = slot
        self.told = max(self.told, slot)
        self.tail.add(slot, batch)
        return slot, batch

    def jump(self, slot: Slot) -> None:
        """The tables were replaced by a snapshot of `slot`: everything up to it is released."""
        if slot <= self.watermark:
            return
        self.watermark = slot
        self.told = max(self.told, slot)
        self.chosen = {s: batch for s, batch in self.chosen.items() if s > slot}
        self.tail.restart(slot)
