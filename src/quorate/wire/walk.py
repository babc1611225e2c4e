"""Reads the records of one segment in order; gives where and why it had to stop."""

from collections.abc import Iterator
from typing import NamedTuple

from quorate.base.ids import Slot
from quorate.wire.records import (
    ALIGNMENT,
    LAST,
    MAGIC_START,
    OPENING,
    RecordHeader,
    StoredKind,
    body_of,
    chain_seed,
    header_at,
)


class RecordFault(NamedTuple):
    """Where reading ended. `slot` is known if the header there is whole, else 0."""

    offset: int
    reason: str
    slot: Slot


class Walk:
    """The records of a segment, as far as each is whole and follows the one before.

    Args:
        data: The segment's bytes.
        number: Its number, from its name.
        end: Where its records end, as far as is known; else its length.

    Attributes:
        offset: Behind the last good record.
        commit, commit_offset, is_complete: Number and begin of the last commit read, and whether
            its last record was read too. Commit 0: no record was good.
        fault: Why reading ended before `end`; None if it did not, or goes on.
    """

    def __init__(self, data: bytes, number: int, end: int) -> None:
        self._data = data
        self._number = number
        self._end = end
        self._epoch: int | None = None
        self._previous_crc = 0
        self.offset = 0
        self.commit = 0
        self.commit_offset = 0
        self.is_complete = True
        self.fault: RecordFault | None = None

    def __iter__(self) -> Iterator[tuple[RecordHeader, bytes]]:
        """Each good record: its header and its body."""
        while self.offset < self._end:
            header = header_at(self._data, self.offset)
            reason = self._objection(header)
            if header is None or reason:
                self.fault = RecordFault(self.offset, reason, Slot(0))
                return
            body = body_of(self._data, header)
            if body is None or header.end > self._end:
                self.fault = RecordFault(self.offset, "its body is damaged", header.slot)
                return
            self._accept(header)
            yield header, body

    def later_commit_at(self) -> int | None:
        """Where behind the fault a whole record proves corruption; None if there is none.

        Proof is a record of a later commit than the one that the faulty record belongs to, for
        that was written only after this one was synced (WAL-1). If not even the head is good,
        it is one of any but the opening commit.

        Cost: reads to the end of the segment, about 10 ms for 64 MiB of zeros.
        """
        offset = self.offset
        while (offset := self._data.find(MAGIC_START, offset)) >= 0:
            header = header_at(self._data, offset) if offset % ALIGNMENT == 0 else None
            if header is None or header.segment != self._number:
                offset += 1
            elif self._is_later(header):
                return offset
            else:
                offset = header.end  # a value may look like a record: skip bodies
        return None

    def _objection(self, header: RecordHeader | None) -> str:
        if header is None:
            return "its header is damaged or missing"
        if self._epoch is None:
            if header.kind != StoredKind.HEAD or not header.flags & OPENING:
                return "the segment does not begin with its head"
            self._epoch = header.epoch
            self._previous_crc = chain_seed(self._number, header.epoch)
        if header.segment != self._number or header.epoch != self._epoch:
            return "it was written in another segment or epoch"
        if header.previous_crc != self._previous_crc:
            return "it does not follow the record before it"
        return ""

    def _accept(self, header: RecordHeader) -> None:
        if header.commit != self.commit:
            self.commit = header.commit
            self.commit_offset = self.offset
        self.is_complete = bool(header.flags & LAST)
        self._previous_crc = header.crc
        self.offset = header.end

    def _is_later(self, header: RecordHeader) -> bool:
        if self.commit == 0:
            return not header.flags & OPENING
        torn = self.commit + 1 if self.is_complete else self.commit
        return header.epoch == self._epoch and header.commit > torn
