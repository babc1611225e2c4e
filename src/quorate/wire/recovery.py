"""Recovery: what the files of the log hold after any crash, and how writing goes on.

The newest segment with a whole opening commit is the *top*. Newer ones were torn when they were
begun: nothing in them was acknowledged. From the top each head names the segment before it and how
far that one counts, so all that counts is proven by something newer, but for the top's last commit:
that may be torn, or whole and never synced. It is written again into a new segment (WAL-3).

A bad record in the last commit is a torn write and is dropped. Any other bad record is corruption:
it may have been acknowledged, so nothing is guessed and the node does not start.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager

from quorate.base.errors import StorageError, invariant
from quorate.base.formats import LOG
from quorate.base.ids import Slot
from quorate.base.records import Bootstrapped, Chosen, Promised, Record, Vote
from quorate.wire.fileops import FileOp, Remove, SyncDirectory
from quorate.wire.journal import (
    SEGMENT_PREFIX,
    SPARE_PREFIX,
    Journal,
    Layout,
    LogIdentity,
    RecoveredLog,
    Segment,
    segment_name,
    spare_name,
)
from quorate.wire.records import (
    COPY,
    OPENING,
    RecordHeader,
    SegmentHead,
    StoredKind,
    body_of,
    head_of,
    header_at,
    record_of,
)
from quorate.wire.walk import RecordFault, Walk

ReadFile = Callable[[str, int, int], bytes]
"""(name, offset, length): those bytes of a file, fewer at its end."""

HEAD_BYTES_MAX = 4096


class Recovery:
    """One recovery: read `records` to the end, then `finish`. Nothing is written before that.

    Args:
        files: Name and size of every file in the directory of the log.
        read: Reads them.
        identity: Of the incarnation that begins.
        layout: For the incarnation that begins.
        is_begun: This directory had a log before, so a missing one is an error.
        begun_in: The newest incarnation that is known to have written here; 0: unknown.

    Attributes:
        warnings: Sentences about what was dropped, for the operator.

    Raises:
        StorageError: `corrupt`, `foreign` or `version`; nothing was changed.
    """

    def __init__(
        self,
        files: Mapping[str, int],
        read: ReadFile,
        identity: LogIdentity,
        layout: Layout,
        *,
        is_begun: bool = False,
        begun_in: int = 0,
    ) -> None:
        self._read = read
        self._identity = identity
        self._begun_in = begun_in
        self._layout = layout
        self._files = dict(files)
        self._segments = _numbered(files, SEGMENT_PREFIX)
        self._recovered = RecoveredLog(max([0, *self._segments, *_numbered(files, SPARE_PREFIX)]))
        self._chain: list[tuple[int, int]] = []  # (number, end), oldest first
        self._repeated: list[tuple[RecordHeader, bytes]] = []
        self._again: list[Record] = []
        self._is_read = False
        self.warnings: list[str] = []
        self._find_top(is_begun)

    def records(self) -> Iterator[Record]:
        """What the log remembers, oldest first, read segment by segment.

        The first may repeat the promise and the bootstrap record of segments that are gone. All are
        of the one group that there is.

        Raises:
            StorageError: `corrupt`: damaged; the text names file, offset and slot. `version`: a
                newer version wrote them, or for a group that is not here.
        """
        is_first = True
        for number, end in self._chain:
            segment = Segment(number, self._files[segment_name(number)], end)
            self._recovered.segments.append(segment)
            for header, body in self._walked(number, end):
                record = self._recalled(header, body, is_first)
                if record is not None:
                    if isinstance(record, Vote | Chosen):
                        segment.holds(record.slot)
                    yield record
            is_first = False
        for header, body in self._repeated:
            record = self._recalled(header, body, is_first)
            if record is not None:
                if not header.flags & COPY:
                    self._again.append(record)
                yield record
        self._is_read = True

    def finish(self) -> tuple[Journal, list[FileOp]]:
        """The journal with which writing goes on, and the operations to be executed first.

        These make durable what `records` returned; nothing may rely on it before.
        """
        invariant(self._is_read, "all records are read before the journal is opened")
        leftovers: list[FileOp] = []
        for number in _numbered(self._files, SPARE_PREFIX):
            name = spare_name(number)
            size = self._files[name]
            wanted = self._layout.spares_with(size)
            if self._layout.is_usual(size) and len(self._recovered.spares) < wanted:
                self._recovered.spares.append((name, size))
            else:
                leftovers += [Remove(name), SyncDirectory()]
        journal = Journal(self._identity, self._layout, self._recovered)
        operations = journal.open(self._again)
        counting = [number for number, _ in self._chain]
        for number in self._segments:
            if number not in counting:
                name = segment_name(number)
                leftovers += journal.recycle(name, self._files[name])
        return journal, operations + leftovers

    def _find_top(self, is_begun: bool) -> None:
        for number in reversed(self._segments):
            if self._is_top(number):
                return
            self.warnings.append(
                f"{segment_name(number)}: it was being begun when the node ended; dropped"
            )
        if is_begun:
            raise StorageError(
                "corrupt",
                "the log of this node is missing, though it had one: its promises are lost. "
                "Remove the node from the cluster and let it join again with an empty directory",
            )

    def _is_top(self, number: int) -> bool:
        """Is this segment, tried from the newest down, the top? Then note those before it."""
        name = segment_name(number)
        data = self._read(name, 0, self._files[name])
        newest = self._checked_head(number, data)
        walk = Walk(data, number, len(data))
        last_commit: list[tuple[RecordHeader, bytes]] = []
        for header, body in walk:
            if last_commit and header.commit != last_commit[0][0].commit:
                last_commit = []
            last_commit.append((header, body))
        if walk.fault is not None:
            later = walk.later_commit_at()
            if later is not None:
                raise _corruption(name, walk.fault, f"a later one at offset {later} is whole")
        is_opening = not last_commit or bool(last_commit[0][0].flags & OPENING)
        if is_opening and not (last_commit and walk.is_complete):
            return False
        if newest is not None and newest.incarnation < self._begun_in:
            raise StorageError(
                "corrupt",
                f"the newest segment of the log, {name}, was begun in incarnation "
                f"{newest.incarnation} of this node, but incarnation {self._begun_in} wrote a log "
                "here, too: this one is an old copy, and promises are lost. Put back the newest "
                "one, or remove the node and let it join with an empty directory",
            )
        self._warn_of_torn(name, walk)
        self._repeated = last_commit
        if is_opening:
            head = head_of(last_commit[0][1])
            self._follow(head.previous, head.previous_end)
        else:
            self._follow(number, walk.commit_offset)
        return True

    def _warn_of_torn(self, name: str, walk: Walk) -> None:
        if walk.fault is not None and (walk.fault.slot or not walk.is_complete):
            self.warnings.append(
                f"{name}: the last write was torn at offset {walk.fault.offset}; "
                "what follows was never acknowledged and is dropped"
            )

    def _checked_head(self, number: int, data: bytes) -> SegmentHead | None:
        """The head of a segment, if it is whole; refused if this incarnation may not read on."""
        header = header_at(data, 0)
        if header is None or header.kind != StoredKind.HEAD or header.segment != number:
            return None
        body = body_of(data, header)
        if body is None:
            return None
        name = segment_name(number)
        with _understood(name):
            head = head_of(body)
        LOG.check(name, head.format)
        if head.node != self._identity.node:
            raise StorageError(
                "foreign",
                f"{name} is the log of node {head.node}, this directory belongs to "
                f"{self._identity.node}: put back the log that was here",
            )
        if head.incarnation >= self._identity.incarnation:
            raise StorageError(
                "corrupt",
                f"{name} was written in incarnation {head.incarnation} of this node, but its "
                f"directory counts {self._identity.incarnation}: node.json is an old copy. Put "
                "back the newest one, or remove the node and let it join with an empty directory",
            )
        return head

    def _follow(self, number: int, end: int) -> None:
        """Note the chain of segments that count, from the newest back to where it was cut."""
        while number and segment_name(number) in self._files:
            self._chain.insert(0, (number, end))
            name = segment_name(number)
            head = self._checked_head(number, self._read(name, 0, HEAD_BYTES_MAX))
            if head is None:
                raise _corruption(
                    name, RecordFault(0, "its head is damaged", Slot(0)), "the segment counts"
                )
            number, end = head.previous, head.previous_end
        older = [other for other in self._segments if other < number]
        if older:
            raise StorageError(
                "corrupt",
                f"{segment_name(number)} is missing, though {segment_name(older[-1])} before it "
                "is there: only Quorate itself may remove files of the log. Put it back, or remove "
                "the node from the cluster and let it join again with an empty directory",
            )

    def _walked(self, number: int, end: int) -> Iterator[tuple[RecordHeader, bytes]]:
        """All records of a segment that counts up to `end`; any fault before is corruption."""
        name = segment_name(number)
        walk = Walk(self._read(name, 0, end), number, end)
        yield from walk
        if walk.fault is not None:
            raise _corruption(name, walk.fault, "newer ones prove that it was whole")

    def _recalled(self, header: RecordHeader, body: bytes, with_copies: bool) -> Record | None:
        if header.flags & COPY and not with_copies:
            return None
        with _understood(segment_name(header.segment)):
            record = record_of(header, body)
        match record:
            case Bootstrapped():
                self._recovered.found(record)
            case Promised(ballot) | Vote(ballot=ballot):
                self._recovered.promise(ballot)
            case Chosen() | None:
                pass
        return record


@contextmanager
def _understood(name: str) -> Generator[None, None, None]:
    """A record with a correct checksum that cannot be decoded was written by another version."""
    try:
        yield
    except ValueError as error:
        raise StorageError(
            "version",
            f"{name} holds what this version of Quorate does not know ({error}): start the "
            "version that wrote it, or a newer one",
        ) from error


def _numbered(files: Mapping[str, int], prefix: str) -> list[int]:
    """The numbers of the files whose name is the prefix and a number, ascending."""
    endings = [name.removeprefix(prefix) for name in files if name.startswith(prefix)]
    return sorted(int(ending) for ending in endings if len(ending) == 16 and ending.isdecimal())


def _corruption(name: str, fault: RecordFault, proof: str) -> StorageError:
    slot = f" (slot {fault.slot})" if fault.slot else ""
    return StorageError(
        "corrupt",
        f"{name}: the record at offset {fault.offset}{slot} is bad: {fault.reason}, and {proof}. "
        "This is corruption, not a torn write. Nothing was changed; the other nodes still hold "
        "what is chosen. This node may have lost a promise or a vote, so it must not start with "
        "this log: remove it from the cluster and let it join again with an empty directory",
    )
