import random
from collections.abc import Sequence

import pytest

from quorate.base.effects import Persist
from quorate.base.errors import InvariantError, StorageError
from quorate.base.ids import GroupNumber, NodeId, Slot
from quorate.base.records import Record
from quorate.sim.disk import SimDisk
from quorate.wire.fileops import Create, Rename, Sync, SyncDirectory, Write
from quorate.wire.journal import Layout, LogIdentity, segment_name
from quorate.wire.records import FORMAT, MAGIC, MAGIC_2, head_of, header_at
from quorate.wire.recovery import Recovery
from tests.unit.wire import older
from tests.unit.wire.journals import (
    BOOTSTRAPPED,
    FIRST,
    NODE,
    SMALL,
    begun,
    found,
    identity,
    names,
    persists,
    promise,
    recovery,
    vote,
    written,
)

RNG = random.Random(1)


def refused(
    disk: SimDisk, incarnation: int = 9, *, is_begun: bool = False, begun_in: int = 0
) -> StorageError:
    with pytest.raises(StorageError) as caught:
        list(recovery(disk, incarnation, is_begun=is_begun, begun_in=begun_in).records())
    return caught.value


def places(disk: SimDisk, name: str) -> list[int]:
    """Where the records of a segment begin."""
    data = disk.read(name, 0, disk.files[name])
    begins: list[int] = []
    offset = 0
    while (header := header_at(data, offset)) is not None:
        begins.append(offset)
        offset = header.end
    return begins


def test_an_empty_directory_is_a_beginning() -> None:
    assert found(SimDisk()) == []


def test_an_empty_directory_that_had_a_log_is_an_error() -> None:
    error = refused(SimDisk(), is_begun=True)
    assert error.code == "corrupt"
    assert "join again" in error.text


def test_records_come_back_in_order_over_segments_and_incarnations() -> None:
    disk = SimDisk()
    written(disk, [BOOTSTRAPPED, promise(3)], *[[vote(slot, 900)] for slot in range(1, 8)])
    for incarnation in (2, 3):
        journal = begun(disk, incarnation)
        disk.obey(journal.append(persists([vote(10 + incarnation, 900)])))
    expected: list[Record] = [BOOTSTRAPPED, promise(3)]
    assert found(disk) == expected + [vote(s, 900) for s in (1, 2, 3, 4, 5, 6, 7, 12, 13)]


def test_records_are_read_before_the_journal_is_opened() -> None:
    with pytest.raises(InvariantError):
        recovery(SimDisk()).finish()


def test_what_was_never_proven_synced_is_written_again_and_the_old_segment_left_alone() -> None:
    """Law WAL-3: a killed process leaves in the page cache what the disk may never have seen."""
    disk = SimDisk()
    journal = written(disk, [vote(1)])
    write, _ = journal.append(persists([vote(2)]))
    disk.do(write)
    disk.kill()

    recovered_log = recovery(disk, 2)
    assert list(recovered_log.records()) == [vote(1), vote(2)]
    _, operations = recovered_log.finish()
    written_names = {o.name for o in operations if isinstance(o, Write | Sync)}
    assert FIRST not in written_names
    disk.obey(operations)
    disk.power_cut(RNG)
    assert found(disk) == [vote(1), vote(2)]


def test_a_failed_sync_is_healed_by_the_next_incarnation() -> None:
    """The pages are marked clean, so syncing the old file again would write nothing (M28)."""
    for seed in range(20):
        disk = SimDisk()
        journal = written(disk, [vote(1)])
        disk.sync_failures = 1
        with pytest.raises(StorageError):
            disk.obey(journal.append(persists([vote(2), promise(5)])))
        disk.kill()
        begun(disk, 2)
        disk.power_cut(random.Random(seed))
        assert found(disk) == [vote(1), vote(2), promise(5)]


def test_a_segment_torn_at_birth_is_dropped_and_the_one_before_it_counts_whole() -> None:
    disk = SimDisk()
    written(disk, [promise(3), vote(1)], [vote(2)])
    recovered_log = recovery(disk, 2)
    list(recovered_log.records())
    _, operations = recovered_log.finish()
    first_sync = next(i for i, o in enumerate(operations) if isinstance(o, Sync))
    disk.obey(operations[:first_sync])
    name = names(disk, "wal-")[-1]
    disk.flip(name, places(disk, name)[-1] + 80)

    recovered_log = recovery(disk, 3)
    assert list(recovered_log.records()) == [promise(3), vote(1), vote(2)]
    assert "was being begun" in recovered_log.warnings[0]
    _, operations = recovered_log.finish()
    assert any(isinstance(o, Rename) and o.old == name for o in operations)
    disk.obey(operations)
    assert found(disk) == [promise(3), vote(1), vote(2)]


def test_an_incarnation_that_wrote_nothing_leaves_no_segment_behind() -> None:
    disk = SimDisk()
    written(disk, [promise(3), vote(1)], [vote(2)])
    for incarnation in range(2, 12):
        begun(disk, incarnation)
        assert len(names(disk, "wal-")) <= 3
    assert found(disk, 20) == [promise(3), vote(1), vote(2)]


def test_a_crash_at_the_very_first_start_is_a_beginning() -> None:
    recovered_log = recovery(SimDisk())
    list(recovered_log.records())
    _, operations = recovered_log.finish()
    for count in range(len(operations)):
        disk = SimDisk()
        disk.obey(operations[:count])
        disk.power_cut(RNG)
        assert found(disk) == []
        begun(disk, 2)
        assert found(disk) == []


def test_leftover_spares_are_used_and_half_made_ones_removed() -> None:
    disk = SimDisk()
    written(disk, [vote(1)])
    for number, size in ((50, 4096), (51, 100), (52, 4096), (53, 4096), (54, 4096)):
        disk.obey([Create(f"spare-{number:016d}", size), SyncDirectory()])
    journal = begun(disk, 2)
    assert journal.spares == 1  # two were kept, one of them is now the newest segment
    assert max(names(disk, "wal-")) == segment_name(55)
    assert names(disk, "spare-") == ["spare-0000000000000052"]


def test_files_of_others_are_left_alone() -> None:
    disk = SimDisk()
    disk.obey([Create("wal-12", 10), Create("notes", 10), Create("wal-" + "x" * 16, 10)])
    begun(disk)
    assert {"wal-12", "notes", "wal-" + "x" * 16} <= set(disk.files)


def test_a_torn_write_is_dropped_with_a_warning() -> None:
    disk = SimDisk()
    written(disk, [vote(1)], [vote(2), vote(3)])
    disk.flip(FIRST, places(disk, FIRST)[-1] + 130)
    recovered_log = recovery(disk, 2)
    assert list(recovered_log.records()) == [vote(1), vote(2)]
    assert "was torn at offset" in recovered_log.warnings[0]


def test_a_log_that_ended_whole_brings_no_warning() -> None:
    disk = SimDisk()
    assert recovery(disk).warnings == []
    journal = written(disk, [promise(3)], [vote(1), vote(2)])
    assert recovery(disk, 2).warnings == []
    disk.obey(journal.close_idle())
    assert recovery(disk, 2).warnings == []


def test_a_commit_without_its_end_brings_a_warning_and_what_is_whole_of_it_counts() -> None:
    """The header of its second record never came: neither body nor slot are known."""
    disk = SimDisk()
    written(disk, [vote(1)], [vote(2), vote(3)])
    last = places(disk, FIRST)[-1]
    disk.flip(FIRST, last + 8)
    recovered_log = recovery(disk, 2)
    (warning,) = recovered_log.warnings
    assert warning.startswith(f"{FIRST}: the last write was torn at offset {last}; ")
    assert list(recovered_log.records()) == [vote(1), vote(2)]


def test_damage_is_reported_with_its_place_its_kind_and_how_it_is_known() -> None:
    def text_after(byte: int, commits: int = 7) -> str:
        disk = SimDisk()
        written(disk, *([vote(slot, 900)] for slot in range(1, commits + 1)))
        disk.flip(FIRST, byte)
        return refused(disk).text.partition(". ")[0]

    disk = SimDisk()
    written(disk, *([vote(slot, 900)] for slot in range(1, 8)))
    opening, first, second, *_ = places(disk, FIRST)
    is_older = "newer ones prove that it was whole"
    assert opening == 0
    assert text_after(20) == (
        f"{FIRST}: the record at offset 0 is bad: its head is damaged, and the segment counts"
    )
    assert text_after(20, commits=2) == (
        f"{FIRST}: the record at offset 0 is bad: its header is damaged or missing, "
        f"and a later one at offset {first} is whole"
    )
    assert text_after(first + 130) == (
        f"{FIRST}: the record at offset {first} (slot 1) is bad: its body is damaged, "
        f"and {is_older}"
    )
    assert text_after(second + 8) == (
        f"{FIRST}: the record at offset {second} is bad: its header is damaged or missing, "
        f"and {is_older}"
    )


def test_corruption_of_the_newest_segment_names_file_offset_and_slot() -> None:
    disk = SimDisk()
    written(disk, [vote(1)], [vote(2)], [vote(3)])
    offset = places(disk, FIRST)[2]
    disk.flip(FIRST, offset + 130)
    error = refused(disk)

    assert error.code == "corrupt"
    assert f"{FIRST}: the record at offset {offset} (slot 2)" in error.text
    for word in (
        "corruption, not a torn write",
        "Nothing was changed",
        "other nodes",
        "join again",
    ):
        assert word in error.text


def test_corruption_of_the_last_commit_is_noticed_once_it_is_closed() -> None:
    disk = SimDisk()
    journal = written(disk, [vote(1)], [vote(2)])
    disk.obey(journal.close_idle())
    disk.flip(FIRST, places(disk, FIRST)[2] + 130)
    assert "slot 2" in refused(disk).text


def test_corruption_of_the_head_of_the_newest_segment_is_noticed() -> None:
    disk = SimDisk()
    written(disk, [vote(1)], [vote(2)])
    disk.flip(FIRST, 20)
    assert "offset 0" in refused(disk).text


def test_corruption_of_an_older_segment_is_noticed_while_reading() -> None:
    disk = SimDisk()
    written(disk, *[[vote(slot, 900)] for slot in range(1, 8)])
    disk.flip(FIRST, places(disk, FIRST)[1] + 40)
    recovered_log = recovery(disk, 2)
    with pytest.raises(StorageError, match="newer ones prove"):
        list(recovered_log.records())


def test_a_damaged_head_of_an_older_segment_is_corruption() -> None:
    disk = SimDisk()
    written(disk, *[[vote(slot, 900)] for slot in range(1, 8)])
    disk.flip(FIRST, 20)
    assert "its head is damaged" in refused(disk).text


def test_a_shortened_older_segment_is_corruption() -> None:
    disk = SimDisk()
    written(disk, *[[vote(slot, 900)] for slot in range(1, 8)])
    disk_read = disk.read
    recovered_log = Recovery(
        disk.files,
        lambda name, offset, length: disk_read(name, offset, min(length, 2000)),
        identity(2),
        SMALL,
    )
    with pytest.raises(StorageError):
        list(recovered_log.records())


def test_a_missing_segment_between_others_is_noticed() -> None:
    disk = SimDisk()
    written(disk, *[[vote(slot, 900)] for slot in range(1, 13)])
    second = names(disk, "wal-")[1]
    files = {name: size for name, size in disk.files.items() if name != second}
    with pytest.raises(StorageError, match=f"{second} is missing") as caught:
        Recovery(files, disk.read, identity(2), SMALL)
    assert caught.value.code == "corrupt"


def test_the_log_of_another_node_is_refused() -> None:
    disk = SimDisk()
    written(disk, [vote(1)])
    with pytest.raises(StorageError, match=f"^{FIRST} is the log of node") as caught:
        Recovery(disk.files, disk.read, LogIdentity(NodeId("other"), 2, 5), SMALL)
    assert caught.value.code == "foreign"


def test_a_log_newer_than_its_directory_is_refused() -> None:
    disk = SimDisk()
    begun(disk, 4)
    assert refused(disk, 4).code == "corrupt"
    text = refused(disk, 3).text
    assert text.startswith(f"{FIRST} was written in ")
    assert "node.json is an old copy" in text


def test_a_log_older_than_its_directory_is_refused() -> None:
    disk = SimDisk()
    begun(disk, 4)
    list(recovery(disk, 9, begun_in=4).records())
    error = refused(disk, 9, begun_in=5)
    assert error.code == "corrupt"
    for part in ("begun in incarnation 4", "incarnation 5 wrote", "old copy", "empty directory"):
        assert part in error.text


def test_an_old_copy_of_a_log_that_was_written_after_its_begin_is_refused() -> None:
    disk = SimDisk()
    written(disk, [vote(1)], [vote(2)])
    assert refused(disk, 3, begun_in=2).code == "corrupt"


def test_a_log_of_a_newer_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimDisk()
    monkeypatch.setattr("quorate.wire.journal.FORMAT", FORMAT + 1)
    written(disk, [vote(1)])
    error = refused(disk)
    assert error.code == "version"
    assert error.text.startswith(
        f"{FIRST} was written by a newer version of Quorate (format {FORMAT + 1}, this one knows "
        f"{FORMAT})"
    )


def test_a_record_of_a_group_that_is_not_here_is_refused() -> None:
    disk = SimDisk()
    journal = written(disk, [vote(1)])
    disk.obey(journal.append([Persist(vote(2), GroupNumber(7))]))
    error = refused(disk)
    assert error.code == "version"
    assert error.text.startswith(f"{FIRST} holds what this version of Quorate does not know")
    assert "a record of group 7: there is only group 0 here" in error.text
    assert "start the version that wrote it, or a newer one" in error.text


@pytest.mark.parametrize("call", ["head_of", "record_of"])
def test_a_record_of_an_unknown_kind_is_from_another_version(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strange(*_: object) -> None:
        raise ValueError("of an unknown kind")

    disk = SimDisk()
    written(disk, [vote(1)])
    monkeypatch.setattr(f"quorate.wire.recovery.{call}", strange)
    error = refused(disk)
    assert error.code == "version"
    assert error.text.startswith(f"{FIRST} holds what this version of Quorate does not know")
    assert "unknown kind" in error.text


def test_the_last_commit_stays_together_however_large_it_is() -> None:
    """Half of it in a segment that counts, half in one that no longer does, would lose some."""
    layout = Layout(segment_bytes=16384, spares_ready=1, spares_max=2)
    disk = SimDisk()
    journal = begun(disk, 1, layout)
    records = [vote(slot, 900) for slot in range(1, 16)]
    disk.obey(journal.append(persists(records)))
    recovered_log = recovery(disk, 2, SMALL)
    assert list(recovered_log.records()) == records
    _, operations = recovered_log.finish()
    assert sum(isinstance(o, Sync) for o in operations) == 1


def test_records_of_old_segments_are_read_one_segment_at_a_time() -> None:
    disk = SimDisk()
    written(disk, *[[vote(slot, 900)] for slot in range(1, 13)])
    whole: list[str] = []

    def read(name: str, offset: int, length: int) -> bytes:
        if length > 4096 // 2:
            whole.append(name)
        return disk.read(name, offset, length)

    records = Recovery(disk.files, read, identity(2), SMALL).records()
    whole.clear()
    next(records)
    assert whole == [FIRST]


def test_a_renamed_spare_with_its_stale_head_is_no_segment() -> None:
    """The name was durable, what the new epoch wrote was not: its old head must not speak."""
    disk = SimDisk()
    journal = written(disk, [promise(3)], *[[vote(slot, 900)] for slot in range(1, 7)])
    disk.obey(journal.truncate(Slot(3)))
    spare = names(disk, "spare-")[0]
    disk.obey([Rename(spare, segment_name(90)), SyncDirectory()])
    assert found(disk) == [promise(3)] + [vote(slot, 900) for slot in range(4, 7)]


def test_the_identity_of_an_incarnation_is_in_its_segments() -> None:
    disk = SimDisk()
    written(disk, [vote(1)])
    header = header_at(disk.read(FIRST, 0, 4096), 0)
    assert header is not None
    assert (header.segment, header.epoch) == (2, 1001)
    assert NODE.encode() in disk.read(FIRST, 0, 200)
    assert Slot(0) == header.slot


# --- the older layout -------------------------------------------------------------------------


def older_log(*commits: Sequence[Record]) -> SimDisk:
    disk = SimDisk()
    with older.writing():
        written(disk, *commits)
    return disk


def test_a_log_of_format_2_is_read_and_goes_on_in_segments_of_today() -> None:
    disk = older_log([BOOTSTRAPPED, promise(3)], *[[vote(slot, 900)] for slot in range(1, 8)])
    before = dict.fromkeys(names(disk, "wal-"))
    journal = begun(disk, 2)
    disk.obey(journal.append(persists([vote(8, 900)])))
    disk.power_cut(RNG)

    expected: list[Record] = [BOOTSTRAPPED, promise(3)]
    assert found(disk) == expected + [vote(slot, 900) for slot in range(1, 9)]
    for name in names(disk, "wal-"):
        data = disk.read(name, 0, 4096)
        header = header_at(data, 0)
        assert header is not None
        assert data.startswith(MAGIC_2 if name in before else MAGIC)
        head = head_of(data[header.body_offset : header.body_offset + header.body_bytes])
        assert head.format == (2 if name in before else FORMAT)


def test_the_promise_of_an_older_log_outlives_its_segments() -> None:
    disk = older_log([BOOTSTRAPPED, promise(3)], *[[vote(slot, 900)] for slot in range(1, 8)])
    journal = begun(disk, 2)
    for slot in range(8, 14):
        disk.obey(journal.append(persists([vote(slot, 900)])))
    disk.obey(journal.truncate(Slot(12)))
    assert not any(disk.read(name, 0, 4) == MAGIC_2 for name in names(disk, "wal-"))
    assert found(disk)[:2] == [promise(3), BOOTSTRAPPED]


def test_a_torn_write_and_corruption_are_distinguished_in_an_older_log() -> None:
    torn = older_log([vote(1)], [vote(2)])
    end = len(torn.read(FIRST, 0, 4096).rstrip(b"\0"))
    torn.flip(FIRST, end - 20, 1)
    assert found(torn) == [vote(1)]

    damaged = older_log([vote(1)], [vote(2)], [vote(3)])
    place = damaged.read(FIRST, 0, 4096).index(b"\2" * 100)
    damaged.flip(FIRST, place, 1)
    assert "slot 2" in refused(damaged).text
