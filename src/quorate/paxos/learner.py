"""Learner: what is chosen, released in slot order.

Slots may be chosen in any order; they are released strictly in order. A replica never counts
votes itself: the leader reports a watermark.

LRN-1: a slot is released once, in order, and never changes.
LRN-2: a replica takes its own vote for chosen by a reported watermark only if the vote has the
    ballot of the leader that reported it. A vote of another ballot may be for another batch: then
    the batch is fetched. A batch that is known by a vote was chosen under that ballot or a lower
    one (LDR-8), hence under none above this node's promise. Of a batch that was fetched no ballot
    is known (LRN-5).
LRN-3: no replica fills a hole on its own authority; only a leader may, after its phase 1.
"""

from collections.abc import Mapping

from quorate.base.errors import invariant
from quorate.base.ids import NO_BALLOT, NO_NODE, Ballot, NodeId, Slot
from quorate.base.records import Chosen, Promised, Vote
from quorate.paxos.log import Tail

FETCHED_MIN = 1024
"""While there are no more fetched slots than this, those no longer kept are not dropped."""


class ContradictionError(Exception):
    """A message reports another batch chosen in a slot than the one known to be chosen there.

    Attributes:
        slot: Of both batches.
        known: The batch held here.
        reported: The other one.
    """

    def __init__(self, slot: Slot, known: bytes, reported: bytes) -> None:
        super().__init__(f"slot {slot} was chosen differently")
        self.slot, self.known, self.reported = slot, known, reported


class Learner:
    """Which slots one replica knows to be chosen.

    Args:
        watermark: Every slot up to here was released by an earlier incarnation.
        tail: Where released batches are kept.

    Attributes:
        watermark: Every slot up to here is chosen and released.
        remote_watermark: The highest slot up to which any node reported all chosen.
        remote_node: The node that reported it.
        leader_watermark: The highest watermark that a leader reported, and its ballot.
        chosen: Batches known to be chosen above the watermark.
        logged: The highest slot of which the log of earlier incarnations holds a record.
        tail: See above.
    """

    def __init__(self, watermark: Slot, tail: Tail) -> None:
        self.watermark = watermark
        self.remote_watermark = watermark
        self.remote_node = NO_NODE
        self.leader_watermark = (NO_BALLOT, Slot(0))
        self.chosen: dict[Slot, bytes] = {}
        self.logged = Slot(0)
        self.tail = tail
        self._fetched: dict[Slot, None] = {}  # chosen under a ballot that is not known here
        self._fetched_most = FETCHED_MIN
        self._recovered: dict[Slot, bytes] = {}  # proven by the recovered log, newest first
        self._recovered_bytes = 0
        self._old_votes: dict[Slot, Vote] = {}
        self._proven: dict[Slot, bytes] = {}
        self._proven_bytes = 0

    @property
    def has_hole(self) -> bool:
        """More is chosen than is known here: something must be fetched."""
        return (
            self.remote_watermark > self.watermark and Slot(self.watermark + 1) not in self.chosen
        )

    def on_watermark(
        self, ballot: Ballot, watermark: Slot, votes: Mapping[Slot, Vote], reporter: NodeId
    ) -> None:
        """`reporter`, leader of `ballot`, knows everything up to `watermark` chosen (LRN-2).

        Cost: O(slots between), or O(votes) if fewer.
        """
        if watermark <= self.watermark:
            return
        self.note_remote_watermark(watermark, reporter)
        if watermark >= self.leader_watermark[1]:
            self.leader_watermark = (ballot, watermark)
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

    def note_own_leadership(self, ballot: Ballot, slot: Slot) -> None:
        """This node led under `ballot`, and by its own count all up to `slot` is chosen."""
        invariant(slot <= self.watermark, "ACC-5: a leader reports no more than what it knows")
        self.leader_watermark = (ballot, slot)

    def note_remote_watermark(self, watermark: Slot, node: NodeId) -> None:
        """`node` knows everything up to `watermark` chosen: what is missing here can be fetched."""
        if watermark > self.remote_watermark or (
            watermark > self.watermark and self.remote_node == NO_NODE
        ):
            self.remote_watermark = max(self.remote_watermark, watermark)
            self.remote_node = node

    def choose(self, slot: Slot, batch: bytes) -> bool:
        """Note that `batch` is chosen in `slot`; True if that was not known before.

        Raises:
            ContradictionError: Another batch was known to be chosen there.
        """
        known = self.chosen.get(slot) if slot > self.watermark else self.held(slot)
        if known is not None and known != batch:
            raise ContradictionError(slot, known, batch)
        if slot <= self.watermark or known is not None:
            return False
        self.chosen[slot] = batch
        return True

    def note_fetched(self, slot: Slot) -> None:
        """The batch of `slot` was fetched as chosen: under which ballot is not known.

        Cost: O(1), now and then O(slots held).
        """
        self._fetched[slot] = None
        if len(self._fetched) > self._fetched_most:
            kept = (s for s in self._fetched if s > self.watermark or self._keeps(s))
            self._fetched = dict.fromkeys(kept)
            self._fetched_most = max(FETCHED_MIN, 2 * len(self._fetched))

    def is_ballot_bounded(self, slot: Slot) -> bool:
        """Was the batch held of `slot` chosen under no ballot above the acceptor's promise?

        It was if it was not fetched: then this node's own vote for it was counted, or this node
        counted the votes as leader (LRN-2).
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
        return self._recovered.get(slot) if batch is None else batch

    def _keeps(self, slot: Slot) -> bool:
        return self.held(slot) is not None or slot in self._proven

    def is_proven(self, after: Slot, upto: Slot) -> bool:
        """On recovery, before it ends: does the log prove each slot above `after` up to `upto`?"""
        return all(slot in self._proven for slot in range(after + 1, upto + 1))

    def replay_record(self, record: Vote | Chosen | Promised) -> None:
        """On recovery: note what a record of the log proves.

        The slots that it proves chosen (LRN-2) and the tables hold already go into the tail by
        `end_recovery`, for peers that lag. The ballots of leaders and their reports are restored
        too, to detect contradictions. Of a long log no more is kept than twice the limits of the
        tail.
        """
        if not isinstance(record, Promised):
            self.logged = max(self.logged, record.slot)
        if isinstance(record, Chosen):
            self._prove(record.slot, record.batch)
            self.note_fetched(record.slot)
            return
        if record.watermark > self.leader_watermark[1]:
            self.leader_watermark = (record.ballot, record.watermark)
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

        The newest slot is often proven by no record: a heartbeat reported it. Then there is no such
        run, and what is proven below is kept for comparison, within the limits of the tail.
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
        self._recovered = self.tail.newest_of(self._proven)
        self._recovered_bytes = sum(map(len, self._recovered.values()))
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
        self.remote_watermark = max(self.remote_watermark, slot)
        self.tail.add(slot, batch)
        if self._recovered:
            self._trim_recovered()
        return slot, batch

    def _trim_recovered(self) -> None:
        """Tail and recovered batches share the limits: as the tail grows, the oldest go."""
        old, tail = self._recovered, self.tail
        while old and tail.is_beyond(tail.bytes + self._recovered_bytes, len(tail) + len(old)):
            _, batch = old.popitem()
            self._recovered_bytes -= len(batch)

    def on_installed(self, slot: Slot) -> None:
        """The tables were replaced by a snapshot of `slot`: everything up to it is released."""
        if slot <= self.watermark:
            return
        self.watermark = slot
        self.remote_watermark = max(self.remote_watermark, slot)
        self.chosen = {s: batch for s, batch in self.chosen.items() if s > slot}
        self.tail.restart(slot)
