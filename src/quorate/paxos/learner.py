"""Learner: what is chosen, released in slot order.

Slots may be chosen in any order; they are released strictly in order. A replica never counts
votes itself: the leader tells a watermark.

LRN-1: a slot is released once, in order, and never changes.
LRN-2: a replica takes its own vote for chosen by the watermark only if the vote has the ballot of
    the leader who told it. A vote of another ballot may be for another batch: it fetches.
    Then the batch was chosen under that ballot or a lower one (LDR-8), hence under none above this
    node's promise. Of a batch that was fetched no ballot is known (LRN-5).
LRN-3: nobody fills a hole on its own authority; only a leader may, after its phase 1.
"""

from collections.abc import Mapping

from quorate.base.errors import invariant
from quorate.base.ids import NO_BALLOT, NOBODY, Ballot, NodeId, Slot
from quorate.base.records import Chosen, Promised, Vote
from quorate.paxos.log import Tail

FETCHED_MIN = 1024
"""Fetched slots are not searched for those that are kept no more while they are this few."""


class ContradictionError(Exception):
    """A batch is said to be chosen in a slot, where another one is known to be.

    Attributes:
        slot: Which.
        known: The batch held here.
        said: The other one.
    """

    def __init__(self, slot: Slot, known: bytes, said: bytes) -> None:
        super().__init__(f"slot {slot} was chosen differently")
        self.slot, self.known, self.said = slot, known, said


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
        self.led = (NO_BALLOT, Slot(0))  # who led when this was known chosen, by its own word
        self.chosen: dict[Slot, bytes] = {}
        self.logged = Slot(0)  # the highest slot of which the log of earlier lives holds a record
        self.tail = tail
        self._fetched: dict[Slot, None] = {}  # chosen under a ballot that is not known here
        self._fetched_most = FETCHED_MIN
        self._past: dict[Slot, bytes] = {}  # proven by the log of earlier lives, newest first
        self._past_bytes = 0
        self._old_votes: dict[Slot, Vote] = {}
        self._proven: dict[Slot, bytes] = {}
        self._proven_bytes = 0

    @property
    def has_hole(self) -> bool:
        """More is chosen than is known here: something must be fetched."""
        return self.told > self.watermark and Slot(self.watermark + 1) not in self.chosen

    def on_watermark(
        self, ballot: Ballot, watermark: Slot, votes: Mapping[Slot, Vote], teller: NodeId
    ) -> None:
        """The leader of `ballot` knows everything up to `watermark` chosen (LRN-2).

        Cost: O(slots between), or O(votes) if fewer.
        """
        if watermark <= self.watermark:
            return
        self.hear_of(watermark, teller)
        if watermark >= self.led[1]:
            self.led = (ballot, watermark)
        if watermark == self.watermark + 1:  # nearly always
            slots = [watermark]
        elif watermark - self.watermark <= len(votes):
            slots = [Slot(s) for s in range(self.watermark + 1, watermark + 1)]
        else:
            slots = [s for s in votes if self.watermark < s <= watermark]
        for slot in slots:
            vote = votes.get(slot)
            if vote is not None and vote.ballot == ballot:
                self.choose(slot, vote.batch)

    def note_led(self, ballot: Ballot, slot: Slot) -> None:
        """We led under `ballot`, and by our own count all up to `slot` is chosen."""
        invariant(
            slot <= self.watermark, "ACC-5: a leader's word goes no further than what it knows"
        )
        self.led = (ballot, slot)

    def hear_of(self, watermark: Slot, teller: NodeId) -> None:
        """`teller` knows everything up to `watermark`: what is missing here can be fetched."""
        if watermark > self.told or (watermark > self.watermark and self.teller == NOBODY):
            self.told = max(self.told, watermark)
            self.teller = teller

    def choose(self, slot: Slot, batch: bytes) -> bool:
        """Note that `batch` is chosen in `slot`; True if that was news.

        Raises:
            ContradictionError: Another batch was known chosen there.
        """
        known = self.chosen.get(slot) if slot > self.watermark else self.held(slot)
        if known is not None and known != batch:
            raise ContradictionError(slot, known, batch)
        if slot <= self.watermark or known is not None:
            return False
        self.chosen[slot] = batch
        return True

    def note_fetched(self, slot: Slot) -> None:
        """Another node said that the batch of `slot` is chosen; under which ballot, it did not.

        Cost: O(1), now and then O(slots held).
        """
        self._fetched[slot] = None
        if len(self._fetched) > self._fetched_most:
            kept = (s for s in self._fetched if s > self.watermark or self._keeps(s))
            self._fetched = dict.fromkeys(kept)
            self._fetched_most = max(FETCHED_MIN, 2 * len(self._fetched))

    def is_ballot_bounded(self, slot: Slot) -> bool:
        """Was the batch held of `slot` chosen under no ballot above the acceptor's promise?

        So it is if it was not fetched: then our own vote for it was counted, or we counted it
        (LRN-2).
        """
        return slot not in self._fetched

    def knows(self, slot: Slot) -> bool:
        """Is some batch known to be chosen in `slot`?"""
        return slot <= self.watermark or slot in self.chosen

    def held(self, slot: Slot) -> bytes | None:
        """The batch known to be chosen in `slot`, if it is known and still kept."""
        if slot > self.watermark:
            return self.chosen.get(slot)
        batch = self.tail.get(slot)
        return self._past.get(slot) if batch is None else batch

    def _keeps(self, slot: Slot) -> bool:
        return self.held(slot) is not None or slot in self._proven

    def is_proven(self, after: Slot, upto: Slot) -> bool:
        """On recovery, before it ends: does the log prove each slot above `after` up to `upto`?"""
        return all(slot in self._proven for slot in range(after + 1, upto + 1))

    def recollect(self, record: Vote | Chosen | Promised) -> None:
        """On recovery: the log still holds a slot that the tables have passed.

        What it proves chosen (LRN-2) goes into the tail by `end_recovery`, for peers that lag. By
        whose word it is chosen is known again too, to find what contradicts it. Of a long log no
        more is kept than twice the caps of the tail.
        """
        if not isinstance(record, Promised):
            self.logged = max(self.logged, record.slot)
        if isinstance(record, Chosen):
            self._prove(record.slot, record.batch)
            self.note_fetched(record.slot)
            return
        if record.watermark > self.led[1]:
            self.led = (record.ballot, record.watermark)
        if isinstance(record, Vote) and record.slot <= self.watermark:
            self._old_votes[record.slot] = record
        for slot in [s for s in self._old_votes if s <= record.watermark]:
            vote = self._old_votes.pop(slot)
            if vote.ballot == record.ballot:
                self._prove(slot, vote.batch)

    def _prove(self, slot: Slot, batch: bytes) -> None:
        self._proven[slot] = batch
        self._proven_bytes += len(batch)
        if self.tail.is_beyond(self._proven_bytes // 2, len(self._proven) // 2):
            self._proven = self.tail.newest_of(self._proven)
            self._proven_bytes = sum(map(len, self._proven.values()))

    def end_recovery(self, applied: Slot) -> None:
        """Rebuild the tail: the unbroken run of proven batches up to `applied`, then the rest.

        The newest slot is often proven by no record: a heartbeat told that it is chosen. Then
        there is no such run, and what is proven below is kept to be compared with, within the
        caps of the tail.
        """
        newer: list[bytes] = []
        while (batch := self.tail.get(Slot(applied + len(newer) + 1))) is not None:
            newer.append(batch)
        if Slot(applied + len(newer)) == self.watermark:
            slot_first = applied
            while Slot(slot_first) in self._proven:
                slot_first = Slot(slot_first - 1)
            self.tail.restart(slot_first)
            for slot in range(slot_first + 1, applied + 1):
                self.tail.add(Slot(slot), self._proven[Slot(slot)])
            for place, batch in enumerate(newer):
                self.tail.add(Slot(applied + place + 1), batch)
        invariant(
            self.tail.slot_last == self.watermark, "LRN-1: what is kept ends at the watermark"
        )
        self._past = self.tail.newest_of(self._proven)
        self._past_bytes = sum(map(len, self._past.values()))
        self._old_votes.clear()
        self._proven.clear()
        self._proven_bytes = 0

    def next_released(self) -> tuple[Slot, bytes] | None:
        """The next batch in order, if it is known; it counts as released from now on."""
        slot = Slot(self.watermark + 1)
        batch = self.chosen.pop(slot, None)
        if batch is None:
            return None
        self.watermark = slot
        self.told = max(self.told, slot)
        self.tail.add(slot, batch)
        if self._past:
            self._trim_past()
        return slot, batch

    def _trim_past(self) -> None:
        """The caps of the tail are for both: as it grows, the oldest of what is past goes."""
        past, tail = self._past, self.tail
        while past and tail.is_beyond(tail.bytes + self._past_bytes, len(tail) + len(past)):
            _, batch = past.popitem()
            self._past_bytes -= len(batch)

    def jump(self, slot: Slot) -> None:
        """The tables were replaced by a snapshot of `slot`: everything up to it is released."""
        if slot <= self.watermark:
            return
        self.watermark = slot
        self.told = max(self.told, slot)
        self.chosen = {s: batch for s, batch in self.chosen.items() if s > slot}
        self.tail.restart(slot)
