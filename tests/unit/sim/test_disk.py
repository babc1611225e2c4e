import random

import pytest

from quorate.base.errors import InvariantError, StorageError
from quorate.sim.disk import SECTOR_BYTES, SimDisk
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write

SEEDS = range(40)
MADE: list[FileOp] = [Create("a", 4096), SyncDirectory()]


def disk() -> SimDisk:
    made = SimDisk()
    made.obey(MADE)
    return made


def after_a_power_cut(*operations: FileOp) -> list[SimDisk]:
    """One disk per seed, so that "some" and "all" can be asked of them."""
    disks: list[SimDisk] = []
    for seed in SEEDS:
        cut = disk()
        cut.obey(operations)
        cut.power_cut(random.Random(seed))
        disks.append(cut)
    return disks


def test_a_new_file_is_zeros() -> None:
    assert disk().read("a", 0, 9999) == bytes(4096)
    assert disk().files == {"a": 4096}


def test_what_is_written_is_seen_at_once_and_after_a_kill() -> None:
    made = disk()
    made.obey([Write("a", 10, [b"one", b"two"])])
    made.kill()
    assert made.read("a", 10, 6) == b"onetwo"


def test_what_is_synced_survives_every_power_cut() -> None:
    for cut in after_a_power_cut(Write("a", 10, [b"one"]), Sync("a")):
        assert cut.read("a", 10, 3) == b"one"


def test_of_what_is_not_synced_any_subset_of_sectors_may_survive() -> None:
    data = b"x" * (3 * SECTOR_BYTES)
    outcomes = {
        tuple(cut.read("a", sector * SECTOR_BYTES, 1) for sector in range(3))
        for cut in after_a_power_cut(Write("a", 0, [data]))
    }
    assert (b"\0", b"\0", b"\0") in outcomes
    assert (b"x", b"x", b"x") in outcomes
    assert (b"\0", b"x", b"\0") in outcomes or (b"x", b"\0", b"x") in outcomes


def test_a_sector_goes_back_to_what_was_synced_there() -> None:
    for cut in after_a_power_cut(
        Write("a", 0, [b"old"]), Sync("a"), Write("a", 0, [b"new"]), Write("a", 1, [b"?"])
    ):
        assert cut.read("a", 0, 3) in {b"old", b"n?w"}


def test_names_are_durable_only_after_a_sync_of_the_directory() -> None:
    renamed = [sorted(cut.files) for cut in after_a_power_cut(Rename("a", "b"))]
    assert ["a"] in renamed
    assert ["b"] in renamed
    synced = after_a_power_cut(Rename("a", "b"), SyncDirectory())
    assert {tuple(cut.files) for cut in synced} == {("b",)}


def test_a_new_file_may_vanish_and_a_removed_one_may_come_back() -> None:
    cuts = after_a_power_cut(Create("b", 10), Remove("a"))
    assert {tuple(cut.files) for cut in cuts} == {(), ("a",), ("b",), ("a", "b")}


def test_a_rename_cannot_survive_without_the_file_it_renames() -> None:
    cuts = after_a_power_cut(Create("b", 10), Rename("b", "c"))
    assert {tuple(cut.files) for cut in cuts} == {("a",), ("a", "b"), ("a", "c")}


def test_after_a_power_cut_what_is_there_is_durable() -> None:
    for cut in after_a_power_cut(Write("a", 0, [b"x"]), Create("b", 10)):
        files, content = cut.files, cut.read("a", 0, 1)
        cut.power_cut(random.Random(99))
        assert (cut.files, cut.read("a", 0, 1)) == (files, content)


def test_a_failed_sync_marks_clean_what_it_lost() -> None:
    for seed in SEEDS:
        cut = disk()
        cut.obey([Write("a", 0, [b"x"])])
        cut.sync_failures = 1
        with pytest.raises(StorageError) as caught:
            cut.do(Sync("a"))
        assert caught.value.code == "corrupt"
        assert cut.read("a", 0, 1) == b"x"  # the page cache shows it
        cut.do(Sync("a"))  # and has nothing left to write
        cut.power_cut(random.Random(seed))
        assert cut.read("a", 0, 1) == b"\0"


def test_what_is_written_again_after_a_failed_sync_can_be_synced() -> None:
    made = disk()
    made.obey([Write("a", 0, [b"x"])])
    made.sync_failures = 1
    with pytest.raises(StorageError):
        made.do(Sync("a"))
    made.obey([Write("a", 0, [b"x"]), Sync("a")])
    made.power_cut(random.Random(1))
    assert made.read("a", 0, 1) == b"x"
    assert made.syncs == 1


def test_a_full_disk_makes_no_file_and_changes_nothing() -> None:
    made = SimDisk(capacity_bytes=5000)
    made.obey(MADE)
    with pytest.raises(StorageError) as caught:
        made.do(Create("b", 1000))
    assert caught.value.code == "disk_full"
    assert made.files == {"a": 4096}
    made.capacity_bytes = None
    made.do(Create("b", 1000))


def test_a_flipped_bit_is_durable() -> None:
    made = disk()
    name, offset = made.bit_flip(random.Random(1))
    flipped = made.read(name, offset, 1)
    assert flipped != b"\0"
    made.power_cut(random.Random(1))
    assert made.read(name, offset, 1) == flipped


def test_a_flipped_bit_of_an_unsynced_sector_stays_flipped_whatever_survives() -> None:
    for seed in SEEDS:
        made = disk()
        made.obey([Write("a", 0, [b"\xff"])])
        made.flip("a", 0, 3)
        made.power_cut(random.Random(seed))
        assert made.read("a", 0, 1) in {b"\xf7", b"\x08"}


def test_a_write_past_the_end_is_a_bug_and_so_is_a_name_twice() -> None:
    with pytest.raises(InvariantError):
        disk().do(Write("a", 4090, [b"1234567"]))
    made = disk()
    made.obey([Create("b", 1)])
    with pytest.raises(InvariantError):
        made.do(Rename("a", "b"))
