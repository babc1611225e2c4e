"""No descriptor left: refused, bridged or waited for; never called corruption."""

import errno
import os
import resource
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Queue

import lmdb
import pytest

from quorate.base.errors import StorageError
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.records import Vote
from quorate.chunks import chunk_of
from quorate.runtime import descriptors
from quorate.runtime.datadir import open_datadir
from quorate.runtime.descriptors import RESERVE, for_clients, raise_limit
from quorate.runtime.fileops import Files
from quorate.runtime.mapfile import MapFile, translated
from quorate.runtime.snapshots import SnapshotWriter, open_tables, prune, read_snapshot
from quorate.runtime.snapshotter import Snapshotter
from quorate.runtime.tables import LmdbTables
from quorate.runtime.wal import Wal, WalSettings
from quorate.wire.checksum import crc32c
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write
from quorate.wire.journal import Layout, LogIdentity
from tests.limits import HANG_S
from tests.unit.wire.journals import persists

MIB = 1024 * 1024
NODE = NodeId("6ec57f84-c680-4a3a-878b-0123456789ab")


@contextmanager
def none_left() -> Generator[None]:
    """This process gets no further descriptor meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def reserve() -> Generator[None]:
    RESERVE.fill()
    yield
    RESERVE.empty()


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(StorageError) as caught, none_left():
        action()
    return caught.value.code


def vote(slot: int) -> Vote:
    return Vote(Ballot(1, NODE), Slot(slot), Slot(slot - 1), b"x" * 1000)


# --- the limit --------------------------------------------------------------------------------


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        before, now = raise_limit()
        assert before == min(soft, 256)
        assert now == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert now == min(hard, descriptors.LIMIT_MAX) or hard == resource.RLIM_INFINITY
        assert raise_limit() == (now, now)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("limit", "clients"), [(1024, 768), (20_000, 19_744), (64, 32), (1, 1)])
def test_clients_never_get_all_descriptors(limit: int, clients: int) -> None:
    assert for_clients(limit) == clients


# --- the log ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        Create("new", 10), Write("a", 0, [b"1"]), Sync("a"), SyncDirectory(),
    ],
    ids=lambda operation: type(operation).__name__,
)  # fmt: skip
def test_every_operation_of_the_log_may_be_repeated_after_a_shortage(
    operation: FileOp, tmp_path: Path
) -> None:
    files = Files(tmp_path)
    files.do(Create("a", 10))
    assert code_of(lambda: files.do(operation)) == "too_many_files"
    assert files.files() == {"a": 10}
    files.do(operation)
    files.close()


def test_names_need_no_descriptor(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.do(Create("a", 10))
    with none_left():
        files.do(Rename("a", "b"))
        files.do(Remove("b"))


def test_reading_the_log_in_a_shortage_finds_no_corruption(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.do(Create("a", 10))
    assert code_of(lambda: files.read("a", 0, 1)) == "too_many_files"
    assert code_of(files.files) == "too_many_files"


@pytest.mark.usefixtures("reserve")
def test_the_reserve_bridges_a_shortage(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with none_left():
        for number in range(4):
            files.do(Create(f"a{number}", 10))
            files.do(Write(f"a{number}", 0, [b"1"]))
            files.do(Sync(f"a{number}"))
            files.do(SyncDirectory())
            RESERVE.refill()
    files.close()


@pytest.mark.usefixtures("reserve")
def test_the_reserve_is_taken_back_when_there_are_descriptors_again() -> None:
    before = RESERVE.shortages
    with none_left():
        descriptor = RESERVE.opened(lambda: os.open(os.devnull, os.O_RDONLY))
    assert RESERVE.shortages == before + 1
    assert not RESERVE.has_given_up()
    RESERVE.refill()
    assert RESERVE.has_given_up()
    os.close(descriptor)


def test_the_log_waits_for_descriptors_and_goes_on(tmp_path: Path) -> None:
    durable: Queue[int] = Queue()
    failures: list[BaseException] = []
    waits = threading.Event()
    wal = Wal(
        tmp_path,
        LogIdentity(NODE, 1, 1001),
        WalSettings(Layout(segment_bytes=4096, spares_ready=0), sync="thread", poll_s=0.001),
        files=Reporting(tmp_path, waits),
    )
    assert list(wal.records()) == []
    wal.start(at_once, durable.put, failures.append, lambda _: None)
    with none_left():
        wal.append(persists([vote(slot) for slot in range(1, 12)]))  # three new segments
        assert waits.wait(HANG_S)
        assert durable.empty()
    assert durable.get(timeout=HANG_S) == 11
    assert failures == []
    wal.close()


def at_once(call: Callable[[object], None], argument: object) -> None:
    call(argument)


class Reporting(Files):
    """Says when an operation failed for lack of descriptors."""

    def __init__(self, directory: Path, waits: threading.Event) -> None:
        super().__init__(directory)
        self._waits = waits

    def do(self, operation: FileOp, *, is_gentle: bool = False) -> None:
        try:
            super().do(operation, is_gentle=is_gentle)
        except StorageError as error:
            if error.code == "too_many_files":
                self._waits.set()
            raise


# --- tables and snapshots ---------------------------------------------------------------------


def test_tables_that_cannot_be_opened_are_not_called_damaged(tmp_path: Path) -> None:
    LmdbTables(tmp_path, step_bytes=MIB).close()
    assert code_of(lambda: LmdbTables(tmp_path, step_bytes=MIB)) == "too_many_files"
    opening = [True, False]  # whether LMDB writes through its map
    for is_write_map in opening:
        tables = partial(LmdbTables, tmp_path, step_bytes=MIB, is_write_map=is_write_map)
        assert code_of(tables) == "too_many_files"
    assert code_of(lambda: open_tables(tmp_path, tmp_path, is_trusted=True)) == "too_many_files"
    LmdbTables(tmp_path, step_bytes=MIB).close()


def test_tables_grow_without_a_new_descriptor(tmp_path: Path) -> None:
    tables = MapFile(tmp_path / "t", step_bytes=MIB)
    before = tables.size_bytes
    with none_left():
        for number in range(40):
            with tables.begin() as transaction:
                transaction.put(b"%d" % number, b"v" * 100_000)
        assert tables.size_bytes > before
    tables.close()


@pytest.mark.usefixtures("reserve")
def test_tables_are_replaced_in_a_shortage_with_the_reserve(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    with none_left():
        tables.begin_install()
        tables.install_rows([(b"\1\1key", b"value")])
        RESERVE.refill()
        tables.finish_install()
    assert tables.get(b"\1\1key") == b"value"
    tables.close()


def test_every_error_of_lmdb_for_a_shortage_is_reported_as_one() -> None:
    for number in (errno.EMFILE, errno.ENFILE):
        error = lmdb.Error("place")
        vars(error)["code"] = number
        assert translated(error, "tables").code == "too_many_files"


def test_a_snapshot_is_neither_begun_nor_passed_over_in_a_shortage(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, Slot(1))
    writer.put(chunk_of([(b"\1\1key", b"value")], crc32c), 1)
    path = writer.finish()
    assert code_of(lambda: SnapshotWriter(tmp_path, Slot(2))) == "too_many_files"
    assert code_of(lambda: list(read_snapshot(path))) == "too_many_files"
    assert code_of(lambda: prune(tmp_path)) == "too_many_files"


def test_a_snapshot_that_lacked_descriptors_is_reported_as_failed(tmp_path: Path) -> None:
    tables = LmdbTables(tmp_path, step_bytes=MIB)
    posted: Queue[Callable[[], None]] = Queue()
    snapshotter = Snapshotter(tmp_path, tables, posted.put)
    failures: list[str] = []

    def code(error: BaseException) -> str:
        assert isinstance(error, StorageError)
        return error.code

    with none_left():
        snapshotter.start(lambda _: None, lambda error: failures.append(code(error)))
        posted.get(timeout=HANG_S)()
    assert failures == ["too_many_files"]
    assert not snapshotter.is_running
    snapshotter.stop()
    tables.close()


# --- the data directory -----------------------------------------------------------------------


def test_a_data_directory_is_not_opened_in_a_shortage_and_nothing_is_changed(
    tmp_path: Path,
) -> None:
    home = open_datadir(tmp_path, boot_id="b")
    home.mark_running()
    home.close()
    before = (tmp_path / "node.json").read_bytes()
    assert code_of(lambda: open_datadir(tmp_path, boot_id="b")) == "too_many_files"
    assert (tmp_path / "node.json").read_bytes() == before
    home = open_datadir(tmp_path, boot_id="b")
    assert home.tables_trusted()
    home.close()
