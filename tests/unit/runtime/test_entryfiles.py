import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from quorate.runtime.entryfiles import (
    FILE_BYTES_MAX,
    FileWriter,
    file_name,
    folders,
    is_adopted,
    read_entries,
)
from tests.limits import HANG_S

LOG = structlog.get_logger()
WEB = ("service", "web/ü\0")


def post(call: Callable[[], None]) -> None:
    call()


def wait(writer: FileWriter) -> None:
    done = threading.Event()
    writer.sync(done.set)
    assert done.wait(HANG_S)


def taken(path: Path, kind: str) -> list[bytes]:
    found: list[bytes] = []

    def take(data: bytes) -> None:
        if data == b"damaged" or len(data) > FILE_BYTES_MAX:
            raise ValueError("no entry")
        found.append(data)

    assert read_entries(path, kind, LOG, take) == len(found)
    return sorted(found)


def test_entries_are_there_when_sync_says_so_and_the_last_write_counts(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, post, LOG)
    for number in range(1000):
        writer.write(WEB, b"%d" % number)
    writer.write(("check", "web"), b"c")
    wait(writer)
    assert taken(tmp_path, "service") == [b"999"]
    assert taken(tmp_path, "check") == [b"c"]
    writer.write(WEB, None)
    writer.write(("service", "never there"), None)
    writer.stop()
    assert taken(tmp_path, "service") == []
    assert {path.name for path in (tmp_path / "services").iterdir()} == set()


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, post, LOG)
    for number in range(600):
        writer.write(("service", f"s{number}"), b"%d" % number)
    writer.stop()
    assert len(taken(tmp_path, "service")) == 600


def test_a_damaged_file_is_named_and_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, post, LOG)
    contents = {"a": b"1", "b": b"damaged", "c": b"x" * (FILE_BYTES_MAX + 1), "d": b"2"}
    for name, data in contents.items():
        writer.write(("service", name), data)
    writer.stop()
    with structlog.testing.capture_logs() as lines:
        assert taken(tmp_path, "service") == [b"1", b"2"]
    folder = folders(tmp_path)["service"]
    assert {line["file"] for line in lines} == {str(folder / file_name(name)) for name in "bc"}
    assert len(list(folder.glob("*.bad"))) == 2
    assert taken(tmp_path, "service") == [b"1", b"2"]


def test_a_disk_that_refuses_answers_all_the_same(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, post, LOG)
    folders(tmp_path)["service"].rmdir()
    with structlog.testing.capture_logs() as lines:
        writer.write(WEB, b"1")
        wait(writer)
        writer.stop()
    assert [line["log_level"] for line in lines] == ["error"]


def test_a_directory_without_entries_has_none(tmp_path: Path) -> None:
    assert taken(tmp_path, "service") == []


def test_the_mark_says_that_all_before_it_is_there(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, post, LOG)
    assert not is_adopted(tmp_path)
    for number in range(600):
        writer.write(("service", f"s{number}"), b"%d" % number)
    writer.mark_adopted()
    writer.stop()
    assert is_adopted(tmp_path)
    assert len(taken(tmp_path, "service")) == 600


def test_there_is_no_mark_when_something_before_it_was_not_written(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, post, LOG)
    folders(tmp_path)["check"].rmdir()
    with structlog.testing.capture_logs() as lines:
        writer.write(("check", "c"), b"1")
        wait(writer)
        writer.mark_adopted()
        writer.stop()
    assert ([line["log_level"] for line in lines], is_adopted(tmp_path)) == (["error"], False)
