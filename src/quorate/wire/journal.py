"""Journal: turns records into file operations. `wire.recovery` reads back what came of them.

The log is a row of segments, each a file of fixed size made ahead and, when its slots are no
longer needed, used again. The first ones are small: each segment that fills up doubles the size
of those to be made, up to `Layout.segment_bytes`. What is appended together is a *commit*: one
write, one sync. Four rules, on which `wire.recovery` relies:

WAL-1: a commit is written only after the one before it was synced. So a whole record of a later
    commit proves that the commits before it were on the disk: damage in them is corruption.
WAL-2: a segment is used only under a durable name, and its first commit (*opening*) begins with
    its head, the highest promise and the bootstrap record. So any older segment may go.
WAL-3: nothing is ever written into a segment of an earlier incarnation. Its last commit may never
    have been acknowledged or synced, and may be in the page cache only, after a failed sync: it is
    written again, whole, in the first commit of this incarnation, and the head says where the older
    segment ends.
WAL-4: the oldest segment goes first, and each goes durably before the next.

A recycled segment is not filled with zeros again: its stale records carry another segment number
and epoch, so they are never taken for new ones, and refilling would double what the disk has to
write. So all segments that one truncation frees are kept for what is written up to the next one,
which needs as many; `release` gives one back to the disk when less is written.

Pure: it holds no file. The operations may be executed on another thread, in order, one list at a
time.
"""

from collections.abc import Sequence

import msgspec

from quorate.base.effects import Persist
from quorate.base.errors import invariant
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.records import Bootstrapped, Promised, Record, Vote
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write
from quorate.wire.records import (
    CLOSE,
    CLOSE_BYTES,
    COPY,
    FORMAT,
    LAST,
    OPENING,
    Place,
    SegmentHead,
    Stored,
    StoredKind,
    chain_seed,
    encode,
    size_of,
    stored,
    stored_head,
)

SEGMENT_PREFIX = "wal-"
SPARE_PREFIX = "spare-"


class Layout(msgspec.Struct, frozen=True):
    """How the log is laid out on the disk. May change between incarnations.

    `spares_ready` segments are made ahead. One would do for speed; the second is the disk reserve:
    if it cannot be made, a whole segment is still there for ballots. The smallest one has space for
    some 40,000 of them, a change of leader every second for half a day.

    `spares_max` bounds what is kept for use again after the log was once unusually long. Else
    there are never more segments than the log and `spares_ready` needed at once.
    """

    segment_bytes: int = 64 * 1024 * 1024  # made in 0.1 s; a few of them per snapshot interval
    segment_bytes_first: int = 4 * 1024 * 1024  # of a log that was hardly used
    spares_ready: int = 2
    spares_max: int = 16  # recycled segments beyond these are removed

    @property
    def smallest_bytes(self) -> int:
        """Size of the first segment."""
        return min(self.segment_bytes_first, self.segment_bytes)

    def is_usual(self, size: int) -> bool:
        """Whether segments of this size are made: the smallest one doubled, up to the largest."""
        usual = self.smallest_bytes
        while usual < min(size, self.segment_bytes):
            usual = min(2 * usual, self.segment_bytes)
        return usual == size

    def spares_with(self, size: int) -> int:
        """How many spares there may be with one of this size: only the largest pay."""
        return self.spares_max if size >= self.segment_bytes else self.spares_ready


class LogIdentity(msgspec.Struct, frozen=True):
    """Which node's log this is, and which incarnation writes it.

    Attributes:
        node: Drawn when the data directory was made.
        incarnation: Rises at every start, before the log is opened.
        epoch: Drawn at start, 64 bits: no record of another epoch is taken for one of this.
    """

    node: NodeId
    incarnation: int
    epoch: int


class Segment(msgspec.Struct):
    """What the journal knows of one segment file."""

    number: int
    size: int
    end: int = 0
    slot_last: Slot = Slot(0)

    def holds(self, slot: Slot) -> None:
        """A record of that slot is in it."""
        self.slot_last = max(self.slot_last, slot)


class RecoveredLog(msgspec.Struct):
    """What recovery found, as far as writing depends on it.

    Attributes:
        number: The highest number in any file name.
        promised, bootstrapped: As the log has them, what is repeated included.
        segments: Those that count, oldest first.
        spares: Whole spare segments: name and size.
    """

    number: int = 0
    promised: Ballot = NO_BALLOT
    bootstrapped: Bootstrapped | None = None
    segments: list[Segment] = msgspec.field(default_factory=list[Segment])
    spares: list[tuple[str, int]] = msgspec.field(default_factory=list[tuple[str, int]])

    def found(self, bootstrapped: Bootstrapped) -> None:
        """The log holds the cluster that the directory belongs to, or is about to."""
        self.bootstrapped = bootstrapped

    def promise(self, ballot: Ballot) -> None:
        """The log holds a promise of that ballot, or a vote under it."""
        self.promised = max(self.promised, ballot)


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"{SEGMENT_PREFIX}{number:016d}"


def spare_name(number: int) -> str:
    """The file name of a spare segment."""
    return f"{SPARE_PREFIX}{number:016d}"


class Journal:
    """The log as one incarnation of a node writes it. Made by `wire.recovery`.

    The first call must be `open`.
    """

    def __init__(self, identity: LogIdentity, layout: Layout, recovered: RecoveredLog) -> None:
        self._identity = identity
        self._layout = layout
        self._number = recovered.number
        self._promised = recovered.promised
        self._bootstrapped = recovered.bootstrapped
        self._segments = recovered.segments
        self._spares = recovered.spares
        self._preparing: tuple[str, int] | None = None
        self._spare_bytes = _next_bytes(layout, recovered)  # of segments to be made
        self._usable_end = 0  # of the newest segment, without the reserve for a CLOSE
        self._previous_crc = 0
        self._commit_number = 0
        self._waiting: list[Stored] = []
        self._waiting_bytes = 0
        self._is_opening = False  # the commit that waits is the first of its segment
        self._has_only_opening = False  # and no other was written behind it
        self._is_closed = True

    @property
    def log_bytes(self) -> int:
        """Bytes of records in all segments that truncation has left."""
        return sum(segment.end for segment in self._segments)

    @property
    def segments(self) -> int:
        """How many segments hold records that truncation has left."""
        return len(self._segments)

    @property
    def spares(self) -> int:
        """How many whole segments are ready ahead."""
        return len(self._spares)

    @property
    def newest(self) -> int:
        """The number of the segment that is written now; it rises with each one begun."""
        return self._segments[-1].number

    def open(self, repeated: Sequence[Record]) -> list[FileOp]:
        """Begin the first segment of this incarnation.

        Args:
            repeated: What the last commit of the last incarnation held (WAL-3). It goes into one
                commit, so into one segment, however large: a part of it must not count.
        """
        invariant(
            self._commit_number == 0, "WAL-3: an incarnation opens the log once, before it writes"
        )
        ops: list[FileOp] = []
        waiting = [stored(record) for record in repeated]
        self._begin_segment(sum(map(size_of, waiting)), ops)
        for record in waiting:
            self._place(record, ops)
        self._commit(ops)
        return ops

    def append(self, asked: Sequence[Persist]) -> list[FileOp]:
        """Write records, in this order. When all operations have succeeded, they are durable.

        One commit, one sync; one more for each segment that this fills.

        Cost: 6 µs for a record alone, 3 µs each for sixteen, measured with 100 bytes to 4 KiB.
        """
        ops: list[FileOp] = []
        for persist in asked:
            record = persist.record
            self._place(stored(record, 0, persist.group), ops)
            self._observe(record)
        self._commit(ops)
        return ops

    def close_idle(self) -> list[FileOp]:
        """Write an empty commit, which proves that the last one was synced; nothing if it did.

        To be called when the node becomes idle and at a clean stop: corruption of the very last
        commit cannot be distinguished from a torn write, and is dropped without an error.
        """
        if self._is_closed:
            return []
        invariant(not self._waiting, "WAL-1: an empty commit stands alone")
        ops: list[FileOp] = []
        self._waiting.append(CLOSE)
        self._waiting_bytes += CLOSE_BYTES
        self._commit(ops)
        self._is_closed = True
        return ops

    def truncate(self, slot: Slot) -> list[FileOp]:
        """Free whole segments that hold no slot above `slot`; never the newest one."""
        ops: list[FileOp] = []
        while len(self._segments) > 1 and self._segments[0].slot_last <= slot:
            if not ops and self._has_only_opening:
                ops += self.close_idle()  # else damage to its only commit would lose the promise
            oldest = self._segments.pop(0)
            invariant(
                oldest.number < self._segments[0].number, "WAL-4: the oldest segment goes first"
            )
            ops += self.recycle(segment_name(oldest.number), oldest.size)
        return ops

    def recycle(self, name: str, size: int) -> list[FileOp]:
        """Make a file that no longer counts a spare, or remove it. Durable at once (WAL-4)."""
        invariant(name != segment_name(self.newest), "WAL-4: the newest segment stays")
        if size != self._spare_bytes or len(self._spares) >= self._layout.spares_with(size):
            return [Remove(name), SyncDirectory()]
        spare = SPARE_PREFIX + name.removeprefix(SEGMENT_PREFIX)
        self._spares.append((spare, size))
        return [Rename(name, spare), SyncDirectory()]

    def release(self) -> list[FileOp]:
        """Remove one spare, if there are more than are made ahead: its space is needed."""
        if len(self._spares) <= self._layout.spares_ready:
            return []
        name, _ = self._spares.pop(0)
        return [Remove(name), SyncDirectory()]

    def prepare(self) -> list[FileOp]:
        """Make one spare segment, if too few are ready and none is being made.

        Slow, so for a thread of its own, in parallel with other operations. `prepared` ends it.
        """
        if self._preparing is not None or len(self._spares) >= self._layout.spares_ready:
            return []
        self._preparing = (self._new_spare(), self._spare_bytes)
        return [Create(*self._preparing), SyncDirectory()]

    def prepared(self, has_succeeded: bool) -> None:
        """The operations of `prepare` have ended; if they failed, they left no file."""
        invariant(self._preparing is not None, "a spare segment was being made")
        if has_succeeded and self._preparing is not None:
            self._spares.append(self._preparing)
        self._preparing = None

    def _observe(self, record: Record) -> None:
        if isinstance(record, Promised | Vote):
            self._promised = max(self._promised, record.ballot)
        elif isinstance(record, Bootstrapped):
            self._bootstrapped = record

    def _place(self, record: Stored, ops: list[FileOp]) -> None:
        """Put a record into the waiting commit; begin a new segment if it does not fit."""
        needed = size_of(record)
        if self._segments[-1].end + self._waiting_bytes + needed > self._usable_end:
            self._commit(ops)
            self._grow()
            self._begin_segment(needed, ops)
        self._waiting.append(record)
        self._waiting_bytes += needed

    def _begin_segment(self, needed_bytes: int, ops: list[FileOp]) -> None:
        """Begin a segment whose first commit can hold its head and `needed_bytes`."""
        invariant(not self._waiting, "WAL-1: what was before a segment is committed before it")
        opening = self._opening()
        opening_bytes = sum(map(size_of, opening))
        wanted_bytes = opening_bytes + needed_bytes + CLOSE_BYTES
        fitting = next((spare for spare in self._spares if spare[1] >= wanted_bytes), None)
        if fitting is not None:
            self._spares.remove(fitting)
            spare, size = fitting
        else:
            spare, size = self._new_spare(), max(self._spare_bytes, wanted_bytes)
            ops.append(Create(spare, size))
        self._number += 1
        invariant(
            all(self._number > one.number for one in self._segments[-1:]),
            "WAL-2: a segment has a number that none before it had",
        )
        ops += [Rename(spare, segment_name(self._number)), SyncDirectory()]
        self._segments.append(Segment(self._number, size))
        self._usable_end = size - CLOSE_BYTES
        self._previous_crc = chain_seed(self._number, self._identity.epoch)
        self._waiting = opening
        self._waiting_bytes = opening_bytes
        self._is_opening = True

    def _grow(self) -> None:
        """A segment is full: the next ones to be made are twice as large."""
        twice = min(2 * self._segments[-1].size, self._layout.segment_bytes)
        if self._layout.is_usual(twice):
            self._spare_bytes = max(self._spare_bytes, twice)

    def _opening(self) -> list[Stored]:
        """What a segment must hold so that all older ones may be freed (WAL-2)."""
        newest = self._segments[-1] if self._segments else Segment(0, 0)
        me = self._identity
        head = SegmentHead(FORMAT, me.node, me.incarnation, newest.number, newest.end)
        opening = [stored_head(head)]
        if self._promised != NO_BALLOT:
            opening.append(stored(Promised(self._promised), COPY))
        if self._bootstrapped is not None:
            opening.append(stored(self._bootstrapped, COPY))
        return opening

    def _new_spare(self) -> str:
        self._number += 1
        return spare_name(self._number)

    def _commit(self, ops: list[FileOp]) -> None:
        """Write the commit that waits, and sync it."""
        waiting = self._waiting
        if not waiting:
            return
        segment = self._segments[-1]
        self._commit_number += 1
        flags = OPENING if self._is_opening else 0
        last = waiting[-1]
        buffers: list[bytes] = []
        for record in waiting:
            place = Place(
                segment.number,
                self._identity.epoch,
                self._commit_number,
                flags | LAST if record is last else flags,
            )
            self._previous_crc, parts = encode(record, self._previous_crc, place)
            buffers += parts
            if record.kind in _WITH_SLOT and record.slot > segment.slot_last:
                segment.slot_last = record.slot
        name = segment_name(segment.number)
        ops += [Write(name, segment.end, buffers), Sync(name)]
        segment.end += self._waiting_bytes
        invariant(segment.end <= segment.size, "a commit fits into its segment")
        self._has_only_opening = self._is_opening
        self._is_opening = False
        self._is_closed = False
        self._waiting = []
        self._waiting_bytes = 0


def _next_bytes(layout: Layout, recovered: RecoveredLog) -> int:
    """The size of segments to be made: that of the largest usual one found."""
    found = [segment.size for segment in recovered.segments]
    found += [size for _, size in recovered.spares]
    usual = [size for size in found if layout.is_usual(size)]
    return max([layout.smallest_bytes, *usual])


_WITH_SLOT = frozenset({StoredKind.VOTE, StoredKind.CHOSEN})
