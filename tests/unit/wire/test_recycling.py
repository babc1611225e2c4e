"""Recycled segments: what is left in them from an earlier use is never read as a record.

All votes here have the same length, so every stale record begins where a new one does or would.
"""

import random
from collections.abc import Iterator
from itertools import pairwise, product

import pytest

from quorate.base.errors import StorageError
from quorate.base.ids import Ballot, Slot
from quorate.base.records import Promised, Record, Vote
from quorate.sim.disk import SECTOR_BYTES, SimDisk
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, Write
from quorate.wire.journal import Journal, Layout, segment_name, spare_name
from quorate.wire.records import ALIGNMENT, header_at
from tests.unit.wire.journals import begun, found, names, persists, promise, vote

LAYOUT = Layout(segment_bytes=4096, spares_ready=2)
BODY = 300
PER_TRUNCATION = 40
"""So many slots are written from one truncation to the next: some five segments."""


def wrapped(disk: SimDisk, epochs: int = 1, last: int = 200) -> tuple[Journal, int]:
    """A log all of whose segments hold stale records behind the new ones; and its newest slot."""
    slot = 0
    journal = begun(disk, 1, LAYOUT)
    for epoch in range(1, epochs + 1):
        if epoch > 1:
            journal = begun(disk, epoch, LAYOUT)
        disk.obey(journal.append(persists([promise(epoch)])))
        for _ in range(last // epochs):
            slot += 1
            disk.obey(journal.append(persists([vote(slot, BODY)])))
            made(disk, journal)
            if slot % PER_TRUNCATION == 0:
                disk.obey(journal.truncate(Slot(slot - 3)))
    return journal, slot


def made(disk: SimDisk, journal: Journal) -> int:
    """Make segments ahead until none lacks; return how many."""
    count = 0
    while operations := journal.prepare():
        disk.obey(operations)
        journal.prepared(has_succeeded=True)
        count += 1
    return count


def newest(disk: SimDisk) -> str:
    return names(disk, "wal-")[-1]


def numbers_in(data: bytes) -> set[int]:
    """Of segments that whole headers in these bytes name, stale ones included."""
    headers = (header_at(data, offset) for offset in range(0, len(data), ALIGNMENT))
    return {header.segment for header in headers if header is not None}


def test_a_segment_that_goes_becomes_a_spare_that_the_next_incarnation_knows() -> None:
    disk = SimDisk()
    journal, _ = wrapped(disk)
    spares = names(disk, "spare-")
    assert len(spares) == journal.spares > 0
    assert all(name == spare_name(int(name[-16:])) for name in spares)


# --- how many are kept ------------------------------------------------------------------------


def test_once_the_log_has_wrapped_no_segment_is_made_and_none_removed() -> None:
    disk = SimDisk()
    journal, slot = wrapped(disk)
    operations: list[FileOp] = []
    for _ in range(5 * PER_TRUNCATION):
        slot += 1
        operations += (ops := journal.append(persists([vote(slot, BODY)])))
        disk.obey(ops)
        assert made(disk, journal) == 0
        if slot % PER_TRUNCATION == 0:
            operations += (ops := journal.truncate(Slot(slot - 3)))
            disk.obey(ops)
    assert not any(isinstance(each, Create | Remove) for each in operations)
    assert sum(isinstance(each, Rename) for each in operations) > 40


def test_recycling_takes_no_more_space_than_the_log_needed_at_once() -> None:
    disk = SimDisk()
    journal = begun(disk, 1, LAYOUT)
    most = 0
    for slot in range(1, 400):
        disk.obey(journal.append(persists([vote(slot, BODY)])))
        made(disk, journal)
        most = max(most, journal.segments + LAYOUT.spares_ready)
        assert len(disk.files) <= most
        if slot % PER_TRUNCATION == 0:
            disk.obey(journal.truncate(Slot(slot - 3)))


def test_after_an_unusually_long_log_only_so_many_are_kept() -> None:
    disk = SimDisk()
    journal = begun(disk, 1, LAYOUT)
    for slot in range(1, 400):
        disk.obey(journal.append(persists([vote(slot, BODY)])))
    assert journal.segments > 2 * LAYOUT.spares_max
    disk.obey(journal.truncate(Slot(399)))
    assert journal.spares == LAYOUT.spares_max
    assert len(disk.files) == LAYOUT.spares_max + 1


def test_spares_are_released_down_to_those_made_ahead() -> None:
    disk = SimDisk()
    journal, slot = wrapped(disk)
    disk.obey(journal.truncate(Slot(slot)))
    assert journal.spares > LAYOUT.spares_ready
    while operations := journal.release():
        disk.obey(operations)
    assert journal.spares == LAYOUT.spares_ready
    assert len(disk.files) == journal.segments + LAYOUT.spares_ready
    assert journal.prepare() == []


def test_segments_below_the_full_size_are_kept_only_as_those_made_ahead() -> None:
    disk = SimDisk()
    small = Layout(segment_bytes=65536, segment_bytes_first=4096, spares_ready=2)
    journal = begun(disk, 1, small)
    for epoch in range(2, 12):  # a start begins a segment, and none is ever full
        disk.obey(journal.append(persists([vote(epoch)])))
        made(disk, journal)
        journal = begun(disk, epoch, small)
    made(disk, journal)
    disk.obey(journal.truncate(Slot(11)))
    assert sum(disk.files.values()) == 3 * 4096


# --- what is left in them ---------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_name_of_a_file_bears_a_number_above_all_that_was_ever_written_in_it(
    epochs: int,
) -> None:
    """So whatever is stale in a segment names a lower number, in whichever epoch it was written."""
    disk = SimDisk()
    wrapped(disk, epochs)
    for name in disk.files:
        numbers = numbers_in(disk.read(name, 0, 4096))
        own = int(name.rpartition("-")[2])
        assert all(number <= own for number in numbers)
    data = disk.read(newest(disk), 0, 4096)
    assert len(numbers_in(data)) > 1, "there is something stale in it"


def torn_everywhere(before: SimDisk, write: Write) -> Iterator[SimDisk]:
    """The disks that a power cut in this write may leave: each sector of it is there or not."""
    data = b"".join(write.buffers)
    begin, end = write.offset, write.offset + len(data)
    cuts = [begin, *range(-(-begin // SECTOR_BYTES) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    pieces = [(a, b) for a, b in pairwise(cuts) if a < b]
    for chosen in product([False, True], repeat=len(pieces)):
        disk = before.copied()
        for is_there, (a, b) in zip(chosen, pieces, strict=True):
            if is_there:
                disk.obey([Write(write.name, a, [data[a - begin : b - begin]]), Sync(write.name)])
        yield disk


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("size", [BODY, 10, 1500])
def test_a_write_torn_over_stale_records_is_the_end_or_is_whole(epochs: int, size: int) -> None:
    """In any place of a segment, its first commit included, and with any sectors missing."""
    disk = SimDisk()
    journal, slot = wrapped(disk, epochs)
    for _ in range(14):
        slot += 1
        before = disk.copied()
        known = found(disk, 90)
        operations = journal.append(persists([vote(slot, size)]))
        for operation in operations:
            if isinstance(operation, Write):
                for torn in torn_everywhere(before, operation):
                    after = found(torn, 90)
                    assert after in (known, [*known, vote(slot, size)])
            before.do(operation)
        disk.obey(operations)


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_between_any_two_operations_loses_and_invents_nothing(seed: int) -> None:
    """Of a turn over into a recycled segment, of the recycling itself, and of a release."""
    rng = random.Random(seed)
    disk = SimDisk()
    journal, slot = wrapped(disk, 1 + seed % 3, 190 + 3 * seed)
    truncated = next(r.slot for r in found(disk, 90) if isinstance(r, Vote)) - 1
    for step in range(30):
        slot += 1
        known = found(disk, 90)
        operations = journal.append(persists([vote(slot, BODY)]))
        appended = len(operations)
        if step % 10 == 9:  # several segments go at once
            truncated = slot - 5
            operations += journal.truncate(Slot(truncated))
        elif step % 3 == 0:
            operations += journal.release()
        for count in range(len(operations) + 1):
            crashed = disk.copied()
            crashed.obey(operations[:count])
            crashed.power_cut(rng)
            after = found(crashed, 90)
            votes = [record for record in after if isinstance(record, Vote)]
            assert votes == [vote(s, BODY) for s in range(votes[0].slot, votes[-1].slot + 1)]
            assert votes[0].slot <= truncated + 1
            assert votes[-1].slot in ((slot,) if count >= appended else (slot - 1, slot))
            assert promised(after) == promised(known)
        disk.obey(operations)


def promised(records: list[Record]) -> Ballot:
    return max(record.ballot for record in records if isinstance(record, Promised | Vote))


# --- and corruption is still distinguished from a torn write


def test_a_sector_that_fell_back_to_its_stale_content_is_corruption() -> None:
    """The disk had said that it was written; commits behind it prove that it was."""
    disk = SimDisk()
    journal, slot = wrapped(disk)
    stale = b""
    while not stale:
        slot += 1
        operations = journal.append(persists([vote(slot, BODY)]))
        renamed = [each.old for each in operations if isinstance(each, Rename)]
        stale = disk.read(renamed[0], 0, 4096) if renamed else b""
        disk.obey(operations)
    for _ in range(4):
        slot += 1
        disk.obey(journal.append(persists([vote(slot, BODY)])))
    disk.obey(journal.close_idle())
    name = segment_name(journal.newest)
    proven = disk.read(name, 0, 4096).index(b"\xd1Qr", 5 * 416) // SECTOR_BYTES * SECTOR_BYTES
    assert len(numbers_in(stale)) > 0

    for offset in range(0, proven, SECTOR_BYTES):
        damaged = disk.copied()
        old = stale[offset : offset + SECTOR_BYTES]
        damaged.obey([Write(name, offset, [old]), Sync(name)])
        with pytest.raises(StorageError, match=name) as refusal:
            found(damaged, 90)
        assert refusal.value.code == "corrupt"
