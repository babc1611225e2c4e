import pytest

from quorate.base.errors import InvariantError
from quorate.base.ids import Slot
from quorate.base.records import Record, Vote
from quorate.sim.disk import SimDisk
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write
from quorate.wire.journal import Journal, Layout
from quorate.wire.records import COPY, LAST, OPENING, header_at
from tests.unit.wire.journals import (
    BOOTSTRAPPED,
    FIRST,
    SMALL,
    begun,
    chosen,
    found,
    names,
    persists,
    promise,
    recovery,
    vote,
    written,
)


def kinds(operations: list[FileOp]) -> list[type]:
    return [type(operation) for operation in operations]


def test_the_first_segment_is_whole_and_named_durably_before_it_is_written() -> None:
    recovered_log = recovery(SimDisk())
    assert list(recovered_log.records()) == []
    _, operations = recovered_log.finish()

    assert kinds(operations) == [Create, Rename, SyncDirectory, Write, Sync]
    assert operations[0] == Create("spare-0000000000000001", SMALL.segment_bytes)
    assert operations[1] == Rename("spare-0000000000000001", FIRST)


def test_what_is_appended_together_is_one_write_and_one_sync() -> None:
    journal = begun(SimDisk())
    operations = journal.append(persists([vote(1), promise(2), chosen(3)]))
    assert kinds(operations) == [Write, Sync]


def test_nothing_appended_is_nothing_written() -> None:
    assert begun(SimDisk()).append([]) == []


def test_batches_are_handed_on_uncopied() -> None:
    journal = begun(SimDisk())
    record = vote(1)
    (write, _) = journal.append(persists([record]))
    assert isinstance(write, Write)
    assert any(buffer is record.batch for buffer in write.buffers)


def test_a_full_segment_is_synced_before_the_next_one_is_written() -> None:
    """Law WAL-1: so a group never lies in two segments."""
    disk = SimDisk()
    journal = written(disk, [vote(slot, 500) for slot in range(1, 6)])
    operations = journal.append(persists([vote(slot, 500) for slot in range(6, 10)]))

    assert kinds(operations) == [
        Write, Sync, Create, Rename, SyncDirectory, Write, Sync,
    ]  # fmt: skip
    disk.obey(operations)
    assert found(disk) == [vote(slot, 500) for slot in range(1, 10)]


def test_a_spare_segment_is_made_ahead_once_and_then_used() -> None:
    disk = SimDisk()
    journal = begun(disk)
    operations = journal.prepare()
    assert kinds(operations) == [Create, SyncDirectory]
    assert journal.prepare() == []  # one is on the way
    disk.obey(operations)
    journal.prepared(has_succeeded=True)
    assert journal.prepare() == []  # one is ready
    assert journal.spares == 1

    operations = journal.append(persists([vote(1, 3000), vote(2, 3000)]))
    assert Create not in kinds(operations)
    assert journal.spares == 0


def test_a_spare_that_could_not_be_made_is_tried_again_under_another_name() -> None:
    journal = begun(SimDisk())
    first = journal.prepare()
    journal.prepared(has_succeeded=False)
    assert journal.spares == 0
    assert first[0] != journal.prepare()[0]


def test_only_what_was_begun_can_end() -> None:
    with pytest.raises(InvariantError):
        begun(SimDisk()).prepared(has_succeeded=True)


def test_a_record_larger_than_a_segment_gets_a_file_of_its_own() -> None:
    disk = SimDisk()
    journal = written(disk, [vote(1, 10)], [vote(2, 10_000)], [vote(3, 10)])

    assert max(disk.files.values()) > 10_000
    assert found(disk) == [vote(1, 10), vote(2, 10_000), vote(3, 10)]
    operations = journal.truncate(Slot(2))
    assert kinds(operations)[-4:] == [Rename, SyncDirectory, Remove, SyncDirectory]


def test_truncation_takes_whole_segments_that_hold_no_later_slot() -> None:
    disk = SimDisk()
    journal = written(disk, *[[vote(slot, 900)] for slot in range(1, 13)])  # 3 in a segment
    held = names(disk, "wal-")

    assert journal.truncate(Slot(2)) == []
    operations = journal.truncate(Slot(7))
    assert [o.old for o in operations if isinstance(o, Rename)] == held[:2]
    disk.obey(operations)
    records = found(disk)
    assert records[-6:] == [vote(slot, 900) for slot in range(7, 13)]


def test_a_segment_stays_for_its_highest_slot_whatever_was_written_behind_that() -> None:
    """A vote for a lower slot, or a record of none, does not make it older."""
    disk = SimDisk()
    records: list[Record] = [vote(9, 1500), vote(3, 1500), promise(2), chosen(4)]
    journal = written(disk, records, *[[vote(slot, 900)] for slot in range(10, 16)])
    disk.obey(journal.truncate(Slot(8)))
    assert found(disk)[: len(records)] == records


def test_only_the_last_record_of_a_commit_ends_it() -> None:
    """What was cut short is distinguished by that from what is whole."""
    disk = SimDisk()
    written(disk, [vote(1), vote(2)], [vote(3), vote(4), vote(5)])
    data, offset, flags = disk.read(FIRST, 0, disk.files[FIRST]), 0, list[int]()
    while (header := header_at(data, offset)) is not None:
        flags.append(header.flags)
        offset = header.end
    assert flags == [COPY | OPENING | LAST, 0, LAST, 0, 0, LAST]


def test_truncation_never_takes_the_newest_segment() -> None:
    disk = SimDisk()
    journal = written(disk, [vote(1)])
    assert journal.truncate(Slot(99)) == []


def test_each_old_segment_goes_durably_before_the_next() -> None:
    """Law WAL-4: a gap in the row would look like a lost file."""
    disk = SimDisk()
    journal = written(disk, *[[vote(slot, 900)] for slot in range(1, 13)])
    disk.obey(journal.close_idle())
    assert kinds(journal.truncate(Slot(9))) == [Rename, SyncDirectory] * 2 + [
        Remove, SyncDirectory,
    ]  # fmt: skip


def test_promise_and_cluster_outlive_the_segment_that_held_them() -> None:
    """M26."""
    disk = SimDisk()
    journal = written(disk, [BOOTSTRAPPED, promise(7)], *[[vote(s, 900)] for s in range(1, 13)])
    disk.obey(journal.truncate(Slot(9)))
    disk.power_cut(NO_CHANCE)

    assert FIRST not in disk.files
    assert found(disk)[:2] == [promise(7), BOOTSTRAPPED]


def test_the_opening_group_is_proven_synced_before_older_segments_go() -> None:
    """Corruption in the last group is taken for a torn write, and the promise with it."""
    disk = SimDisk()
    journal = written(disk, [promise(7)], [vote(1, 3500)], [vote(2, 3500)])
    operations = journal.truncate(Slot(1))
    assert kinds(operations)[:2] == [Write, Sync]
    disk.obey(operations)
    assert journal.truncate(Slot(1)) == []


def test_an_idle_journal_closes_its_last_group_once() -> None:
    disk = SimDisk()
    journal = written(disk, [vote(1)])
    operations = journal.close_idle()
    assert kinds(operations) == [Write, Sync]
    disk.obey(operations)
    assert journal.close_idle() == []
    disk.obey(journal.append(persists([vote(2)])))
    assert journal.close_idle() != []
    assert found(disk) == [vote(1), vote(2)]


def test_there_is_always_space_to_close() -> None:
    for size in range(3300, 3900):
        disk = SimDisk()
        journal = written(disk, [vote(1, size)])
        disk.obey(journal.close_idle())  # the disk refuses to write recovered_log the end
        disk.obey(journal.append(persists([vote(2, 10)])))
        assert found(disk) == [vote(1, size), vote(2, 10)]


def test_recycled_segments_are_used_again_with_their_stale_content() -> None:
    """M25: as long as a segment is half full, its other half is that of an older one."""
    disk = SimDisk()
    journal = begun(disk)
    for slot in range(1, 60):
        disk.obey(journal.append(persists([vote(slot, 300)])))
        disk.obey(journal.truncate(Slot(slot - 3)))
        expected = [vote(s, 300) for s in range(max(1, slot - 2), slot + 1)]
        assert found(disk)[-len(expected) :] == expected
    assert len(disk.files) <= 4


def test_more_spares_than_wanted_are_removed() -> None:
    disk = SimDisk()
    journal = written(disk, *[[vote(slot, 900)] for slot in range(1, 25)])
    disk.obey(journal.truncate(Slot(24)))
    assert journal.spares == SMALL.spares_max
    assert len(disk.files) == SMALL.spares_max + 1


def test_the_size_of_the_log_is_that_of_its_records() -> None:
    disk = SimDisk()
    journal = written(disk, *[[vote(slot, 900)] for slot in range(1, 13)])
    before = journal.log_bytes
    assert 12 * 900 < before < 12 * 1100
    disk.obey(journal.truncate(Slot(9)))
    assert journal.log_bytes < before / 2


def test_segments_of_another_size_are_read_and_removed_when_their_time_comes() -> None:
    disk = SimDisk()
    written(disk, *[[vote(slot, 900)] for slot in range(1, 7)])
    journal = begun(disk, 2, Layout(segment_bytes=8192, spares_ready=1, spares_max=2))
    disk.obey(journal.append(persists([vote(7, 6000)])))
    disk.obey(journal.append(persists([vote(8, 6000)])))
    disk.obey(journal.truncate(Slot(6)))
    assert set(disk.files.values()) == {8192}


class _NoChance:
    """A power cut that takes all it may."""

    def random(self) -> float:
        return 1.0

    def randrange(self, stop: int) -> int:
        return stop - 1


NO_CHANCE = _NoChance()


# --- growing ----------------------------------------------------------------------------------

GROWING = Layout(segment_bytes=8192, segment_bytes_first=1024, spares_ready=1, spares_max=2)


def made(disk: SimDisk, journal: Journal) -> None:
    """What the maintenance thread does: make segments ahead until none lacks."""
    while operations := journal.prepare():
        disk.obey(operations)
        journal.prepared(has_succeeded=True)


def test_a_log_begins_small_and_grows_to_its_full_size_with_use() -> None:
    disk = SimDisk()
    journal = begun(disk, 1, GROWING)
    made(disk, journal)
    assert sum(disk.files.values()) == 2 * 1024
    for slot in range(1, 200):
        disk.obey(journal.append(persists([vote(slot, 200)])))
        made(disk, journal)
    sizes = [size for name, size in sorted(disk.files.items()) if name.startswith("wal-")]
    assert sizes[:2] == [1024, 1024]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 8192
    assert set(sizes) == {1024, 2048, 4096, 8192}


def test_a_restart_without_use_makes_a_log_no_larger_per_segment() -> None:
    disk = SimDisk()
    for epoch in range(1, 6):
        journal = begun(disk, epoch, GROWING)
        made(disk, journal)
    assert set(disk.files.values()) == {1024}


def test_a_log_that_has_grown_stays_so_over_a_restart() -> None:
    disk = SimDisk()
    journal = begun(disk, 1, GROWING)
    for slot in range(1, 100):
        disk.obey(journal.append(persists([vote(slot, 200)])))
        made(disk, journal)
    spare = [size for name, size in disk.files.items() if name.startswith("spare-")]
    assert spare == [8192]

    journal = begun(disk, 2, GROWING)
    made(disk, journal)

    sizes = [size for name, size in sorted(disk.files.items()) if name.startswith("wal-")]
    assert sizes[-1] == 8192


def test_a_spare_that_was_torn_while_it_was_made_is_removed() -> None:
    disk = SimDisk()
    begun(disk, 1, GROWING)
    disk.obey([Create("spare-0000000000000077", 1500), SyncDirectory()])
    begun(disk, 2, GROWING)
    assert 1500 not in disk.files.values()


def test_small_segments_are_not_kept_for_use_again_once_the_log_has_grown() -> None:
    disk = SimDisk()
    journal = begun(disk, 1, GROWING)
    for slot in range(1, 100):
        disk.obey(journal.append(persists([vote(slot, 200)])))
        made(disk, journal)
    disk.obey(journal.truncate(Slot(99)))
    assert set(disk.files.values()) == {8192}


def test_a_record_that_no_segment_made_ahead_can_hold_gets_one_of_its_own() -> None:
    disk = SimDisk()
    journal = begun(disk, 1, GROWING)
    made(disk, journal)
    disk.obey(journal.append(persists([vote(1, 20_000)])))
    assert max(disk.files.values()) > 20_000
    made(disk, journal)
    assert [record.slot for record in found(disk) if isinstance(record, Vote)] == [1]
