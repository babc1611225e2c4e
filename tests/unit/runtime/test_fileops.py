import errno
import os
from pathlib import Path

import pytest

from quorate.base.errors import StorageError
from quorate.runtime.fileops import BUFFERS_MAX, Files, storage_error, write_all
from quorate.wire.fileops import Create, Remove, Rename, Sync, SyncDirectory, Write


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_the_operations_do_what_they_say(files: Files, tmp_path: Path) -> None:
    files.do(Create("a", 3_000_000))
    files.do(Write("a", 10, [b"one", b"two"]))
    files.do(Sync("a"))
    assert files.files() == {"a": 3_000_000}
    assert files.read("a", 8, 9) == b"\0\0onetwo\0"
    assert files.read("a", 2_999_999, 10) == b"\0"

    files.do(Rename("a", "b"))
    files.do(Create("a", 10))
    files.do(SyncDirectory())
    files.do(Write("a", 0, [b"new"]))  # not into the renamed one
    files.do(Write("b", 0, [b"old"]))
    assert (tmp_path / "a").read_bytes()[:3] == b"new"
    assert (tmp_path / "b").read_bytes()[:3] == b"old"

    files.do(Remove("b"))
    files.close()
    assert files.files() == {"a": 10}


def test_a_new_file_is_written_to_its_end_and_not_only_promised(
    files: Files, tmp_path: Path
) -> None:
    files.do(Create("a", 3_000_001))
    assert (tmp_path / "a").stat().st_blocks * 512 >= 3_000_001
    assert (tmp_path / "a").read_bytes() == bytes(3_000_001)


def test_what_is_left_under_a_name_is_replaced_by_a_new_file(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"leftover" * 10)
    files.do(Create("a", 16))
    assert (tmp_path / "a").read_bytes() == bytes(16)


def test_directories_are_no_files_of_the_log(files: Files, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    assert files.files() == {}


def test_more_buffers_than_the_system_takes_are_written(files: Files) -> None:
    parts = [bytes([i % 251]) for i in range(3 * BUFFERS_MAX)]
    files.do(Create("a", len(parts)))
    files.do(Write("a", 0, parts))
    assert files.read("a", 0, len(parts)) == b"".join(parts)


def test_a_write_that_stops_short_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = os.pwritev

    def short(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return whole(descriptor, [b"".join(buffers)[:3]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    with (tmp_path / "a").open("w+b") as file:
        write_all(file.fileno(), 0, [b"", b"1", b"23456", b"", b"789"])
        assert file.read() == b"123456789"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EFBIG, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EACCES, "permission"),
        (errno.EROFS, "permission"),
        (errno.EIO, "corrupt"),
    ],
)
def test_what_the_system_says_gets_a_code_of_ours(number: int, code: str) -> None:
    error = storage_error(OSError(number, os.strerror(number)), "writing /x")
    assert error.code == code
    assert "writing /x" in error.text


def failing(number: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_that_found_no_space_is_not_left_behind(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(StorageError) as caught:
        files.do(Create("a", 4096))
    assert caught.value.code == "disk_full"
    assert files.files() == {}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_is_never_a_full_disk(
    files: Files, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A full disk may be tried again; a sync may not."""
    files.do(Create("a", 4096))
    monkeypatch.setattr(os, "fdatasync", failing(number))
    monkeypatch.setattr(os, "fsync", failing(number))
    for operation in (Sync("a"), SyncDirectory()):
        with pytest.raises(StorageError) as caught:
            files.do(operation)
        assert caught.value.code == "corrupt"


def test_without_durability_nothing_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO))
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    files = Files(tmp_path, is_durable=False)
    for operation in (Create("a", 4096), Write("a", 0, [b"x"]), Sync("a"), SyncDirectory()):
        files.do(operation)
    assert files.read("a", 0, 1) == b"x"


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    files = Files(tmp_path / "none")
    for attempt in (files.files, files.free_bytes, lambda: files.read("a", 0, 1)):
        with pytest.raises(StorageError):
            attempt()


def test_the_free_space_is_that_of_the_file_system(files: Files) -> None:
    assert files.free_bytes() > 0


def test_what_was_removed_is_not_blamed_on_the_disk() -> None:
    gone = storage_error(FileNotFoundError(errno.ENOENT, "No such file or directory"), "a sync")
    assert gone.code == "corrupt"
    assert "whether somebody removed it" in gone.text
    assert "disk" not in gone.text
    assert "disk may be failing" in storage_error(OSError(errno.EIO, "I/O error"), "a sync").text
