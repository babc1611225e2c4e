"""The store of an agent's entries, on a real disk."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from quorate.base.errors import StorageError
from quorate.runtime import entrystore
from quorate.runtime.entrystore import FOLDER, EntryStore, Key
from tests.limits import HANG_S

LOG = structlog.get_logger()
WEB = ("service", "web/ü\0\ud800")
FILE = "entries.sqlite"


def post(call: Callable[[], None]) -> None:
    call()


def opened(path: Path) -> EntryStore:
    return EntryStore(path, post, LOG)


def begun(path: Path) -> EntryStore:
    store = opened(path)
    store.begin()
    return store


def wait(store: EntryStore) -> None:
    done = threading.Event()
    store.sync(done.set)
    assert done.wait(HANG_S)


def take(found: list[bytes]) -> Callable[[bytes], None]:
    def taken(data: bytes) -> None:
        if data == b"damaged":
            raise ValueError("no entry")
        found.append(data)

    return taken


def stored(path: Path, kind: str) -> list[bytes]:
    store, found = opened(path), list[bytes]()
    assert store.read(kind, take(found)) == len(found)
    store.stop()
    return sorted(found)


def is_adopted(path: Path) -> bool:
    store = opened(path)
    found = store.is_adopted
    store.stop()
    return found


def test_entries_are_there_when_sync_says_so_and_the_last_write_counts(tmp_path: Path) -> None:
    store = begun(tmp_path)
    for number in range(1000):
        store.write(WEB, b"%d" % number)
    store.write(("check", "web"), b"c")
    wait(store)
    copy = tmp_path / "copy"  # as a power cut leaves it
    copy.mkdir()
    shutil.copytree(tmp_path / FOLDER, copy / FOLDER)
    assert stored(copy, "service") == [b"999"]
    assert stored(copy, "check") == [b"c"]
    store.write(WEB, None)
    store.write(("service", "never there"), None)
    store.stop()
    assert stored(tmp_path, "service") == []
    assert stored(tmp_path, "check") == [b"c"]


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    store = begun(tmp_path)
    for number in range(3 * entrystore.BATCH_MAX):
        store.write(("service", f"s{number}"), b"%d" % number)
    store.stop()
    assert len(stored(tmp_path, "service")) == 3 * entrystore.BATCH_MAX


def test_many_that_wait_share_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    class Counted(sqlite3.Connection):
        def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
            begun.extend(["BEGIN"] if sql == "BEGIN" else [])
            return super().execute(sql, *given)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Counted))
    store = opened(tmp_path)
    for number in range(500):
        store.write(("service", f"s{number}"), b"x")
    store.begin()
    store.stop()
    assert begun == ["BEGIN"]
    assert len(stored(tmp_path, "service")) == 500


def test_a_damaged_entry_is_named_and_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    store = begun(tmp_path)
    for name, data in {"a": b"1", "b": b"damaged", "d": b"2"}.items():
        store.write(("service", name), data)
    store.stop()
    with capture_logs() as lines:
        assert stored(tmp_path, "service") == [b"1", b"2"]
    assert [(line["id"], line["why"]) for line in lines] == [("b", "no entry")]
    with capture_logs() as lines:
        assert stored(tmp_path, "service") == [b"1", b"2"]
    assert lines == []
    database = sqlite3.connect(tmp_path / FOLDER / FILE)
    assert database.execute("SELECT name, data FROM damaged").fetchall() == [(b"b", b"damaged")]
    database.close()


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_database_is_kept_and_another_one_begun(tmp_path: Path, content: bytes) -> None:
    begun(tmp_path).stop()
    (tmp_path / FOLDER / FILE).write_bytes(content)
    with capture_logs() as lines:
        store = begun(tmp_path)
    assert [line["log_level"] for line in lines] == ["error"]
    assert not store.is_adopted  # so the catalog is asked
    store.write(WEB, b"1")
    store.stop()
    assert stored(tmp_path, "service") == [b"1"]
    (kept,) = tmp_path.glob("entries.bad-*")
    assert (kept / FILE).read_bytes() == content


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    begun(tmp_path).stop()
    database = sqlite3.connect(tmp_path / FOLDER / FILE)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageError, match="newer version"):
        opened(tmp_path)
    assert list(tmp_path.glob("entries.bad-*")) == []


def with_full_disk(path: Path) -> None:
    """Refuse entries while there is no check, as SQLite does on a disk without space."""
    begun(path).stop()
    database = sqlite3.connect(path / FOLDER / FILE)
    database.execute(
        "CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.kind != 'check' AND NOT EXISTS "
        "(SELECT 1 FROM entries WHERE kind = 'check') "
        "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )
    database.close()


def test_what_a_full_disk_refused_is_written_with_the_next(tmp_path: Path) -> None:
    with_full_disk(tmp_path)
    store = begun(tmp_path)
    with capture_logs() as lines:
        store.write(WEB, b"1")
        store.mark_adopted()
        wait(store)  # who waits is answered all the same
    assert {line["log_level"] for line in lines} == {"error"}
    assert "full" in lines[0]["why"]
    store.write(("check", "c"), b"1")
    wait(store)
    store.stop()
    assert stored(tmp_path, "service") == [b"1"]
    assert stored(tmp_path, "check") == [b"1"]
    assert is_adopted(tmp_path)


def taken_over(path: Path) -> None:
    (path / "services").mkdir()
    (path / "services" / "1.json").write_bytes(b"web")
    opened(path).take_over(key_of)


def set_aside(path: Path) -> None:
    store = opened(path)
    store.write(WEB, b"damaged")
    store.begin()
    store.stop()
    opened(path).read("service", take([]))


def asked_for_its_mark(path: Path) -> None:
    assert opened(path).is_adopted


@pytest.mark.parametrize(
    ("begin", "damage", "code"),
    [
        (taken_over, "TRIGGER t BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END",
         "disk_full"),
        (set_aside, "TRIGGER t BEFORE INSERT ON damaged BEGIN SELECT RAISE(ABORT, 'full'); END",
         "disk_full"),
        (asked_for_its_mark, "VIEW entries AS SELECT 1 AS one", "permission"),
    ],
)  # fmt: skip
def test_what_the_database_refuses_at_a_start_is_an_error_of_the_directory(
    tmp_path: Path, begin: Callable[[Path], None], damage: str, code: str
) -> None:
    opened(tmp_path).stop()
    database = sqlite3.connect(tmp_path / FOLDER / FILE)
    if "VIEW" in damage:
        database.execute("DROP TABLE entries")
    database.execute(f"CREATE {damage}")
    database.close()
    with pytest.raises(StorageError, match=r"entries\.sqlite cannot be used: .+; .+") as refused:
        begin(tmp_path)
    assert refused.value.code == code


def test_a_directory_without_entries_has_none(tmp_path: Path) -> None:
    assert stored(tmp_path, "service") == []
    assert not is_adopted(tmp_path)


def test_the_mark_says_that_all_before_it_is_there(tmp_path: Path) -> None:
    store = begun(tmp_path)
    for number in range(600):
        store.write(("service", f"s{number}"), b"%d" % number)
    store.mark_adopted()
    store.stop()
    assert is_adopted(tmp_path)
    assert len(stored(tmp_path, "service")) == 600


def test_there_is_no_mark_when_something_before_it_was_not_written(tmp_path: Path) -> None:
    with_full_disk(tmp_path)
    store = begun(tmp_path)
    with capture_logs() as lines:
        store.write(WEB, b"1")
        wait(store)
        store.mark_adopted()
        store.stop()
    assert {line["log_level"] for line in lines} == {"error"}
    assert not is_adopted(tmp_path)


def key_of(data: bytes) -> Key:
    if data == b"damaged":
        raise ValueError("no entry")
    return "service", data.decode()


def test_files_of_older_versions_are_taken_once_and_newer_entries_stay(tmp_path: Path) -> None:
    store = begun(tmp_path)
    store.write(("service", "web"), b"newer")
    store.stop()
    folder = tmp_path / "services"
    folder.mkdir()
    for name, data in {"1": b"web", "2": b"api", "3": b"damaged"}.items():
        (folder / f"{name}.json").write_bytes(data)
    (folder / "adopted").touch()
    (tmp_path / "checks").mkdir()
    for _ in range(2):
        store = opened(tmp_path)
        store.take_over(key_of)
        assert store.is_adopted
        store.stop()
    assert stored(tmp_path, "service") == [b"api", b"newer"]
    assert [file.name for file in folder.iterdir() if file.suffix != ""] == ["3.bad"]
    assert not (tmp_path / "checks").exists()
