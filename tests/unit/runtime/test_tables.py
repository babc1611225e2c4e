"""What LMDB adds to the contract: checksums, allocation ahead, restarts, threads."""

import errno
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import lmdb
import pytest

from quorate.base.errors import StorageError
from quorate.runtime.rowformat import described
from quorate.runtime.tables import FILE_NAME, LmdbTables

MIB = 1024 * 1024


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[LmdbTables]:
    body = LmdbTables(tmp_path, step_bytes=MIB)
    yield body
    body.close()


def put(tables: LmdbTables, *rows: tuple[bytes, bytes], tries: int = 3) -> None:
    """As the port says: the file may need to grow between two tries."""
    transaction = tables.begin()
    try:
        for key, value in rows:
            transaction.put(key, value)
        transaction.commit()
    except StorageError:
        transaction.abort()
        if tries == 1:
            raise
        put(tables, *rows, tries=tries - 1)


def flip(directory: Path, needle: bytes) -> None:
    """One bit of the first place in the file that holds these bytes."""
    path = directory / FILE_NAME
    data = bytearray(path.read_bytes())
    place = data.index(needle)
    data[place] ^= 1
    path.write_bytes(data)


# --- checksums --------------------------------------------------------------------------------


def test_a_flipped_bit_in_a_value_is_named_and_never_served(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    put(tables, (b"\1\1good", b"a" * 64), (b"\1\1rotten", b"b" * 64))
    tables.close()
    flip(tmp_path, b"b" * 64)
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    assert tables.get(b"\1\1good") == b"a" * 64
    with pytest.raises(StorageError, match="table KV, key 726f7474656e") as caught:
        tables.get(b"\1\1rotten")
    assert caught.value.code == "corrupt"
    with pytest.raises(StorageError, match="KV"):
        list(tables.range(b""))
    tables.close()


def test_a_value_under_another_key_is_corruption_too(tables: LmdbTables, tmp_path: Path) -> None:
    put(tables, (b"\1\5s", b"value"))
    tables.close()
    flip(tmp_path, b"\1\5s")
    again = LmdbTables(tmp_path, step_bytes=MIB)
    with pytest.raises(StorageError, match="does not match"):
        list(again.range(b""))
    again.close()


def test_rows_are_described_for_people() -> None:
    assert described(b"\2\5abc") == "table SESSIONS, key 616263"
    assert described(b"\0\1") == "table STATE, key "
    assert described(b"\1\xee!") == "table 238, key 21"
    assert described(b"x") == "key 78"


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no tables" * 1_000)
    with pytest.raises(StorageError) as caught:
        LmdbTables(tmp_path, step_bytes=MIB)
    assert caught.value.code == "corrupt"


# --- space ------------------------------------------------------------------------------------


class Disk:
    """Answers `posix_fallocate` as a disk of so many bytes would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, space: int) -> None:
        self.space = space
        self._real = os.posix_fallocate
        monkeypatch.setattr(os, "posix_fallocate", self)

    def __call__(self, descriptor: int, offset: int, length: int) -> None:
        if offset + length > self.space:
            raise OSError(errno.ENOSPC, "no space")
        self._real(descriptor, offset, length)


def fill(tables: LmdbTables, name: bytes) -> int:
    """Transactions of 64 KiB until nothing more fits; how many did."""
    for done in range(1_000):
        rows = ((b"\1\1%s%d-%d" % (name, done, n), b"v" * 4_000) for n in range(16))
        try:
            put(tables, *list(rows))
        except StorageError:
            return done
    return 1_000


def test_a_full_disk_is_an_error_that_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, 4 * MIB)
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    done = fill(tables, b"a")
    assert done > 30
    with pytest.raises(StorageError) as caught:
        put(tables, (b"\1\1more", b"v" * MIB))
    assert caught.value.code == "disk_full"
    assert len(list(tables.range(b""))) == 16 * done
    assert tables.size_bytes <= 4 * MIB
    disk.space = 16 * MIB
    assert fill(tables, b"b") > 100
    assert tables.get(b"\1\1a0-0") == b"v" * 4_000
    tables.close()


def test_a_failed_transaction_fails_at_commit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, MIB)
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    transaction = tables.begin()
    with pytest.raises(StorageError, match="no room"):
        transaction.put(b"\1\1k", b"v" * 2 * MIB)
    with pytest.raises(StorageError, match="no room"):
        transaction.commit()
    transaction.abort()
    assert list(tables.range(b"")) == []
    tables.close()


def test_no_space_for_the_first_step_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, 0)
    with pytest.raises(StorageError) as caught:
        LmdbTables(tmp_path, step_bytes=MIB)
    assert caught.value.code == "disk_full"


def test_every_block_of_the_file_is_allocated(tables: LmdbTables, tmp_path: Path) -> None:
    for number in range(64):
        put(tables, *((b"\1\1%d-%d" % (number, n), b"v" * 4_000) for n in range(16)))
    status = (tmp_path / FILE_NAME).stat()
    assert status.st_size == tables.size_bytes
    assert status.st_blocks * 512 >= status.st_size


def test_overwriting_does_not_grow_the_file_even_while_a_view_is_held(tables: LmdbTables) -> None:
    keys = [b"\1\1%03d" % n for n in range(200)]
    put(tables, *((key, b"0" * 200) for key in keys))
    held = tables.hold()
    for number in range(500):
        put(tables, *((key, b"%d" % number * 60) for key in keys[number % 190 :][:8]))
    assert tables.used_bytes < MIB
    assert [value for _, value in held.range(b"")] == [b"0" * 200] * 200
    held.close()


# --- restarts ---------------------------------------------------------------------------------


def test_tables_opened_again_are_as_they_were(tables: LmdbTables, tmp_path: Path) -> None:
    put(tables, *((b"\1\1%d-%d" % (n, m), b"v" * 4_000) for n in range(12) for m in range(16)))
    put(tables, (b"\1\1" + b"k" * 700, b"long"))
    expected = list(tables.range(b""))
    tables.sync()
    tables.close()
    again = LmdbTables(tmp_path, step_bytes=MIB)
    assert list(again.range(b"")) == expected
    again.close()


def test_an_open_transaction_is_gone_after_a_restart(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    put(tables, (b"\1\1a", b"1"))
    transaction = tables.begin()
    transaction.put(b"\1\1a", b"2")
    transaction.abort()
    tables.close()
    again = LmdbTables(tmp_path, step_bytes=MIB)
    assert again.get(b"\1\1a") == b"1"
    again.close()


def test_an_install_that_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    put(tables, (b"\1\1a", b"1"))
    tables.begin_install()
    tables.install_rows([(b"\1\1b", b"2")])
    tables.close()
    again = LmdbTables(tmp_path, step_bytes=MIB)
    assert list(again.range(b"")) == [(b"\1\1a", b"1")]
    assert [path.name for path in tmp_path.glob("*new*")] == []
    again.close()


def test_a_large_install_grows_its_file(tables: LmdbTables) -> None:
    rows = [(b"\1\1%06d" % n, b"v" * 1_000) for n in range(6_000)]
    tables.begin_install()
    tables.install_rows(iter(rows))
    tables.sync_install()
    tables.finish_install()
    assert list(tables.range(b"")) == rows


# --- reading ----------------------------------------------------------------------------------


def test_a_reader_sees_each_commit_at_once(tables: LmdbTables) -> None:
    for number in range(50):
        put(tables, (b"\1\1a", b"%d" % number))
        assert tables.get(b"\1\1a") == b"%d" % number
        assert list(tables.range(b"")) == [(b"\1\1a", b"%d" % number)]


def test_a_range_that_outlives_a_commit_fails_and_says_so(tables: LmdbTables) -> None:
    put(tables, (b"\1\1a", b"1"), (b"\1\1b", b"1"))
    cursor = tables.range(b"")
    next(cursor)
    put(tables, (b"\1\1c", b"1"))
    with pytest.raises((StorageError, lmdb.Error)):
        next(cursor)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_held_view_has_no_more_in_memory_than_a_slice(
    tables: LmdbTables, is_reversed: bool
) -> None:
    """Who reads slowly holds what was read ahead: 128 of the largest values would be 64 MiB."""
    rows = [(b"\1\1%02d" % number, b"v" * 300_000) for number in range(24)]
    put(tables, *rows)
    held = tables.hold()
    expected = sorted(rows, reverse=is_reversed)
    tracemalloc.start()
    try:
        reading = held.range(b"\1", reverse=is_reversed)
        assert next(reading) == expected[0]
        assert tracemalloc.get_traced_memory()[0] < 2 * MIB
        assert list(reading) == expected[1:]
    finally:
        tracemalloc.stop()
        held.close()


def test_a_held_view_is_read_in_a_thread_while_the_loop_commits(tables: LmdbTables) -> None:
    before = [(b"\1\1%04d" % n, b"old" * 20) for n in range(3_000)]
    put(tables, *before)
    held = tables.hold()
    seen: list[tuple[bytes, bytes]] = []
    thread = Thread(target=lambda: seen.extend(held.range(b"")))
    number = 0
    while number == 0 or (thread.is_alive() and number < 3_000):
        if number == 0:
            put(tables, (b"\1\1%04d" % 5, b"newer"))  # one commit surely precedes the reading
            thread.start()
        put(tables, (b"\1\1%04d" % (number * 7 % 3_000), b"new" * 400), (b"\1\2%d" % number, b"x"))
        transaction = tables.begin()
        transaction.delete(b"\1\1%04d" % (number * 11 % 3_000))
        transaction.commit()
        number += 1
    thread.join()
    assert seen == before
    held.close()
    assert number > 0


def test_a_limit_of_the_size_of_files_is_a_full_disk(
    tables: LmdbTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: int) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "posix_fallocate", too_large)
    rows = [(b"\1\1%d" % number, b"v" * 400_000) for number in range(8)]
    with pytest.raises(StorageError) as caught:
        put(tables, *rows)
    assert caught.value.code == "disk_full"


def test_the_kernel_reads_nothing_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill reserved blocks with zeros, megabytes of them in the write of one row."""
    given: list[dict[str, object]] = []
    opened = lmdb.open

    def noted(path: str, **options: Any) -> lmdb.Environment:
        given.append(options)
        return opened(path, **options)

    monkeypatch.setattr(lmdb, "open", noted)
    LmdbTables(tmp_path, step_bytes=MIB).close()
    assert [options["readahead"] for options in given] == [False]


def test_only_what_is_used_is_asked_for_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = LmdbTables(tmp_path)
    put(tables, *((b"%08d" % number, bytes(1000)) for number in range(1000)))
    used_bytes, size_bytes = tables.used_bytes, tables.size_bytes
    tables.close()
    asked: list[int] = []

    def noted(_file: int, _offset: int, length: int, _advice: int) -> None:
        asked.append(length)

    monkeypatch.setattr(os, "posix_fadvise", noted)
    LmdbTables(tmp_path).close()
    assert asked == [used_bytes]
    assert used_bytes < size_bytes
