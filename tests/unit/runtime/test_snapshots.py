"""Snapshots on disk: complete or not there, corruption named and skipped, taken beside the node."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Event, Thread, current_thread
from typing import Any

import msgspec
import pytest

from quorate.base.effects import Install
from quorate.base.errors import InvariantError, StorageError
from quorate.base.ids import Slot
from quorate.chunks import chunk_of, rows_of, sealed
from quorate.machine.state import STATE_KEY, State, encode_state
from quorate.runtime import snapshots
from quorate.runtime.mapfile import MapFile
from quorate.runtime.snapshots import SnapshotWriter, open_tables, prune, read_snapshot
from quorate.runtime.snapshotter import SnapshotInstaller, Snapshotter
from quorate.runtime.tables import LmdbTables
from quorate.sim.tables import DictTables
from quorate.wire.checksum import crc32c
from tests.limits import HANG_S

MIB = 1024 * 1024
Row = tuple[bytes, bytes]


def opened(directory: Path) -> LmdbTables:
    return LmdbTables(directory, step_bytes=MIB)


def some_rows(slot: int) -> list[Row]:
    state = (STATE_KEY, encode_state(State(applied=Slot(slot))))
    return [state, *((b"\1\1%05d" % n, b"value %d" % slot) for n in range(2_000))]


def filled(directory: Path, slot: int) -> LmdbTables:
    tables = opened(directory)
    transaction = tables.begin()
    for key, value in some_rows(slot):
        transaction.put(key, value)
    transaction.commit()
    return tables


def write(directory: Path, slot: int) -> Path:
    writer = SnapshotWriter(directory, Slot(slot))
    rows = some_rows(slot)
    for begin in range(0, len(rows), 300):
        piece = rows[begin : begin + 300]
        writer.put(chunk_of(piece, crc32c), len(piece))
    return writer.finish()


def install(
    transfer: int, slot: Slot, rows: Iterable[tuple[bytes, bytes]], is_first: bool, is_last: bool
) -> Install:
    return Install(transfer, slot, *chunk_of(rows, crc32c), is_first, is_last)


def unexpected(what: object) -> None:
    raise AssertionError(what)


def never() -> None:
    raise AssertionError


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def damage(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


class Loop:
    """Stands for the node's thread: callbacks run when the test says so."""

    def __init__(self) -> None:
        self._calls: Queue[Callable[[], None]] = Queue()

    def post(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def run(self) -> None:
        self._calls.get(timeout=HANG_S)()


# --- files ------------------------------------------------------------------------------------


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    assert [row for rows in read_snapshot(path) for row in rows] == some_rows(7)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_unfinished_one_is_no_snapshot_and_is_swept(tmp_path: Path) -> None:
    (tmp_path / "quorate-00000000000000000005.unfinished").write_bytes(b"quorate-tables-1")
    assert snapshots.snapshots(tmp_path) == []
    prune(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for slot in (9, 10, 100, 11):
        write(tmp_path, slot)
    prune(tmp_path)
    assert [path.name[-15:] for path in snapshots.snapshots(tmp_path)] == [
        "000100.snapshot",
        "000011.snapshot",
    ]


@pytest.mark.parametrize("place", [3, 25, 40, 5_000, -3])
def test_any_flipped_bit_is_found_and_the_file_named(tmp_path: Path, place: int) -> None:
    path = write(tmp_path, 7)
    damage(path, place)
    with pytest.raises(StorageError, match=path.name) as caught:
        list(read_snapshot(path))
    assert caught.value.code == "corrupt"


@pytest.mark.parametrize("length", [0, 10, 20, 300, 20_000])
def test_one_cut_short_is_found(tmp_path: Path, length: int) -> None:
    path = write(tmp_path, 7)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StorageError):
        list(read_snapshot(path))


# --- opening tables ---------------------------------------------------------------------------


def test_trusted_tables_are_kept(tmp_path: Path) -> None:
    filled(tmp_path, 9).close()
    write(tmp_path, 7)
    loaded = open_tables(tmp_path, tmp_path, is_trusted=True, open_file=opened)
    assert (loaded.source, loaded.slot, loaded.damaged) == ("kept", 9, [])
    loaded.tables.close()


def test_tables_not_trusted_are_made_anew_from_the_newest_snapshot(tmp_path: Path) -> None:
    filled(tmp_path, 9).close()
    write(tmp_path, 6)
    write(tmp_path, 7)
    loaded = open_tables(tmp_path, tmp_path, is_trusted=False, open_file=opened)
    assert (loaded.source, loaded.slot) == ("snapshot", 7)
    assert list(loaded.tables.range(b"")) == some_rows(7)
    loaded.tables.close()


def test_a_corrupt_snapshot_is_named_and_the_older_one_taken(tmp_path: Path) -> None:
    write(tmp_path, 6)
    damage(write(tmp_path, 7), -40)
    loaded = open_tables(tmp_path, tmp_path, is_trusted=False, open_file=opened)
    assert (loaded.source, loaded.slot) == ("snapshot", 6)
    assert "07.snapshot" in loaded.damaged[0]
    assert list(loaded.tables.range(b"")) == some_rows(6)
    loaded.tables.close()


def test_without_any_snapshot_the_tables_are_empty(tmp_path: Path) -> None:
    filled(tmp_path, 9).close()
    loaded = open_tables(tmp_path, tmp_path, is_trusted=False, open_file=opened)
    assert (loaded.source, loaded.slot) == ("nothing", 0)
    assert list(loaded.tables.range(b"")) == []
    loaded.tables.close()


def test_a_file_that_is_no_table_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "tables.mdb").write_bytes(b"rubbish" * 5_000)
    write(tmp_path, 7)
    loaded = open_tables(tmp_path, tmp_path, is_trusted=True, open_file=opened)
    assert (loaded.source, loaded.slot) == ("snapshot", 7)
    assert len(loaded.damaged) == 1
    loaded.tables.close()


@pytest.mark.parametrize("slot", [0, 6])
def test_tables_that_end_before_a_snapshot_are_not_whole(tmp_path: Path, slot: int) -> None:
    filled(tmp_path, slot).close() if slot else (tmp_path / "tables.mdb").touch()
    write(tmp_path, 7)
    loaded = open_tables(tmp_path, tmp_path, is_trusted=True, open_file=opened)
    assert (loaded.source, loaded.slot) == ("snapshot", 7)
    assert f"ends at slot {slot}, before" in loaded.damaged[0]
    assert list(loaded.tables.range(b"")) == some_rows(7)
    loaded.tables.close()


# --- beside the node --------------------------------------------------------------------------


def codes(error: BaseException) -> str:
    return error.code if isinstance(error, StorageError) else type(error).__name__


@pytest.mark.parametrize("error", [MemoryError(), InvariantError("x"), OSError(5, "io")])
def test_whatever_breaks_a_snapshot_is_reported_and_the_next_one_may_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    tables, loop = filled(tmp_path, 7), Loop()
    failures, done = list[BaseException](), list[Slot]()
    snapshotter = Snapshotter(tmp_path, tables, loop.post)
    with monkeypatch.context() as patched:
        patched.setattr(SnapshotWriter, "put", raising(error))
        assert snapshotter.start(unexpected, failures.append)
        loop.run()
    assert failures == [error]
    assert list(tmp_path.glob("*.unfinished")) == []
    assert snapshotter.start(done.append, unexpected)
    loop.run()
    assert done == [7]
    tables.close()


def test_a_snapshot_without_a_thread_is_reported_and_holds_no_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, loop, failures = filled(tmp_path, 7), Loop(), list[BaseException]()
    snapshotter = Snapshotter(tmp_path, tables, loop.post)
    monkeypatch.setattr(Thread, "start", raising(RuntimeError("can't start new thread")))
    snapshotter.start(unexpected, failures.append)
    assert [codes(error) for error in failures] == ["RuntimeError"]
    assert not snapshotter.is_running
    assert tables.held_views == 0
    tables.close()


@pytest.mark.parametrize("broken", ["begin_install", "install_rows", "sync_install"])
@pytest.mark.parametrize("error", [MemoryError(), InvariantError("x"), OSError(5, "io")])
def test_whatever_breaks_a_copy_is_reported_and_its_chunks_never_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    tables, loop, failures = filled(tmp_path, 7), Loop(), list[BaseException]()
    before = list(tables.range(b""))
    copies = SnapshotInstaller(tmp_path, tables, loop.post, failures.append)
    rows = ((b"\1\1x", b"1"),)
    with monkeypatch.context() as patched:
        patched.setattr(tables, broken, raising(error))
        copies.install(install(1, Slot(30), rows, True, broken == "sync_install"), never)
        for _ in range(100):  # more than may wait
            copies.install(install(1, Slot(30), rows, False, False), never)
        loop.run()
        copies.install(install(1, Slot(30), rows, False, True), never)
    assert failures == [error]
    assert list(tables.range(b"")) == before
    done: list[bool] = []
    whole = tuple(some_rows(31))
    copies.install(install(2, Slot(31), whole, True, True), lambda: done.append(True))
    loop.run()
    assert done == [True]
    assert list(tables.range(b"")) == some_rows(31)
    copies.close()
    tables.close()


def test_a_copy_without_a_thread_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, loop, failures = filled(tmp_path, 7), Loop(), list[BaseException]()
    copies = SnapshotInstaller(tmp_path, tables, loop.post, failures.append)
    monkeypatch.setattr(Thread, "start", raising(RuntimeError("can't start new thread")))
    copies.install(install(1, Slot(30), ((b"\1\1x", b"1"),), True, False), never)
    copies.install(install(1, Slot(30), ((b"\1\1y", b"1"),), False, True), never)
    assert [codes(error) for error in failures] == ["RuntimeError"]
    copies.close()
    tables.close()


def test_the_loop_renames_syncs_and_closes_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, loop, done = filled(tmp_path, 7), Loop(), list[bool]()
    threads: list[tuple[str, str]] = []

    def noting(name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            threads.append((name, current_thread().name))
            return action(*arguments)

        return noted

    monkeypatch.setattr(Path, "replace", noting("rename", Path.replace))
    monkeypatch.setattr(MapFile, "close", noting("close", MapFile.close))
    monkeypatch.setattr(MapFile, "sync", noting("sync", MapFile.sync))
    copies = SnapshotInstaller(tmp_path, tables, loop.post, unexpected)
    rows = tuple(some_rows(30))
    copies.install(install(1, Slot(30), rows, True, True), lambda: done.append(True))
    loop.run()
    copies.close()
    assert done == [True]
    assert {name for name, _ in threads} == {"rename", "close", "sync"}
    assert {thread for _, thread in threads} == {"install"}
    transaction = tables.begin()
    transaction.put(b"\1\1later", b"kept")
    transaction.commit()
    tables.close()
    again = opened(tmp_path)
    assert again.get(b"\1\1later") == b"kept"
    again.close()


def test_a_snapshot_is_of_the_moment_it_was_begun(tmp_path: Path) -> None:
    tables, loop, done = filled(tmp_path, 7), Loop(), list[Slot]()
    snapshotter = Snapshotter(tmp_path, tables, loop.post)
    assert snapshotter.start(done.append, unexpected)
    assert not snapshotter.start(done.append, unexpected)
    for number in range(20):
        transaction = tables.begin()
        transaction.put(b"\1\1%05d" % (number * 91), b"later")
        transaction.commit()
    loop.run()
    assert done == [7]
    assert not snapshotter.is_running
    assert snapshotter.rows == 2_001
    (path,) = snapshots.snapshots(tmp_path)
    assert [row for rows in read_snapshot(path) for row in rows] == some_rows(7)
    tables.close()


def test_a_stopped_snapshot_leaves_nothing(tmp_path: Path) -> None:
    tables, loop = filled(tmp_path, 7), Loop()
    snapshotter = Snapshotter(tmp_path, tables, loop.post)
    snapshotter.start(lambda _: None, unexpected)
    snapshotter.stop()
    left = [path.name for path in tmp_path.glob("*.unfinished")]
    assert left == []
    tables.close()


def test_corruption_in_the_tables_fails_the_snapshot_and_is_reported(tmp_path: Path) -> None:
    filled(tmp_path, 7).close()
    path = tmp_path / "tables.mdb"
    path.write_bytes(path.read_bytes().replace(b"value 7", b"vbluf 7"))
    tables, loop, failures = opened(tmp_path), Loop(), list[BaseException]()
    Snapshotter(tmp_path, tables, loop.post).start(unexpected, failures.append)
    loop.run()
    assert [codes(error) for error in failures] == ["corrupt"]
    assert snapshots.snapshots(tmp_path) == []
    tables.close()


def test_a_peers_snapshot_replaces_the_tables_and_is_kept_as_ours(tmp_path: Path) -> None:
    tables, loop, done = filled(tmp_path, 7), Loop(), list[int]()
    copies = SnapshotInstaller(tmp_path, tables, loop.post, unexpected)
    rows = tuple(some_rows(30))
    pieces = [rows[:700], rows[700:1_400], rows[1_400:]]
    for number, piece in enumerate(pieces):
        piece_of_it = install(1, Slot(30), piece, number == 0, number == 2)
        copies.install(piece_of_it, partial(done.append, number))
    assert done == []
    while len(done) < 3:
        loop.run()
    assert done == [0, 1, 2]
    assert list(tables.range(b"")) == some_rows(30)
    tables.close()
    loaded = open_tables(tmp_path, tmp_path, is_trusted=False, open_file=opened)
    assert (loaded.source, loaded.slot) == ("snapshot", 30)
    loaded.tables.close()


def test_the_chunks_of_a_peer_are_on_disk_as_they_came(tmp_path: Path) -> None:
    tables, loop, done = filled(tmp_path, 7), Loop(), list[bool]()
    copies = SnapshotInstaller(tmp_path, tables, loop.post, unexpected)
    rows = some_rows(30)
    came = sealed(b"\xdd" + len(rows).to_bytes(4, "big") + chunk_of(rows, crc32c).data[3:], crc32c)
    assert rows_of(came.data) == tuple(rows)
    assert came.data != chunk_of(rows, crc32c).data  # whoever encoded them anew would write others
    copies.install(Install(1, Slot(30), *came, True, True), lambda: done.append(True))
    while not done:
        loop.run()
    copies.close()
    (path,) = tmp_path.glob("*30.snapshot")
    assert came.frame in path.read_bytes()
    tables.close()


def test_a_transfer_begun_anew_forgets_the_first(tmp_path: Path) -> None:
    tables, loop, done = filled(tmp_path, 7), Loop(), list[int]()
    copies = SnapshotInstaller(tmp_path, tables, loop.post, unexpected)
    copies.install(install(1, Slot(30), ((b"\1\1x", b"1"),), True, False), lambda: done.append(1))
    rows = tuple(some_rows(31))
    copies.install(install(2, Slot(31), rows, True, True), lambda: done.append(2))
    while 2 not in done:  # the chunk of the first may have been stored before
        loop.run()
    assert list(tables.range(b"")) == some_rows(31)
    tables.close()


def test_the_rows_of_a_peers_snapshot_are_written_in_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, loop, done = filled(tmp_path, 7), Loop(), list[bool]()
    threads: list[str] = []
    write, sync = tables.install_rows, tables.sync_install

    def write_rows(rows: Iterable[tuple[bytes, bytes]]) -> None:
        threads.append(current_thread().name)
        write(rows)

    def sync_rows() -> None:
        threads.append(current_thread().name)
        sync()

    monkeypatch.setattr(tables, "install_rows", write_rows)
    monkeypatch.setattr(tables, "sync_install", sync_rows)
    copies = SnapshotInstaller(tmp_path, tables, loop.post, unexpected)
    copies.install(
        install(1, Slot(30), tuple(some_rows(30)), True, True), lambda: done.append(True)
    )
    loop.run()
    assert done == [True]
    assert set(threads) == {"install"}
    tables.close()


def test_a_peers_snapshot_that_finds_no_space_is_reported_and_the_rest_of_it_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, loop, failures = filled(tmp_path, 7), Loop(), list[BaseException]()
    before = list(tables.range(b""))

    def full(_: object) -> None:
        raise StorageError("disk_full", "no room")

    monkeypatch.setattr(tables, "install_rows", full)
    copies = SnapshotInstaller(tmp_path, tables, loop.post, failures.append)
    copies.install(install(1, Slot(30), ((b"\1\1x", b"1"),), True, False), lambda: None)
    loop.run()
    assert [codes(error) for error in failures] == ["disk_full"]
    copies.install(install(1, Slot(30), ((b"\1\1y", b"1"),), False, True), lambda: None)
    copies.close()
    assert list(tables.range(b"")) == before
    tables.close()


def test_a_disk_that_is_far_behind_blocks_nobody_and_tells_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, loop, stored = filled(tmp_path, 7), Loop(), list[int]()
    goes_on, write = Event(), tables.install_rows

    def write_rows(rows: Iterable[tuple[bytes, bytes]]) -> None:
        assert goes_on.wait(HANG_S)
        write(rows)

    monkeypatch.setattr(tables, "install_rows", write_rows)
    copies = SnapshotInstaller(tmp_path, tables, loop.post, unexpected)
    for number in range(100):  # with a bound they would block this thread for ever
        row = (b"\1\1%03d" % number, b"1")
        piece_of_it = install(1, Slot(30), (row,), number == 0, False)
        copies.install(piece_of_it, partial(stored.append, number))
    assert stored == []
    goes_on.set()
    rows = tuple(some_rows(30))
    copies.install(install(1, Slot(30), rows, False, True), partial(stored.append, 100))
    while 100 not in stored:
        loop.run()
    assert stored == list(range(101))
    copies.close()
    tables.close()


def test_any_view_can_be_written() -> None:
    rows = some_rows(3)
    view = DictTables(dict(rows))
    assert [row for chunk in snapshots.rows_in_chunks(view) for row in chunk] == rows
    assert snapshots.slot_of(view) == 3


# --- formats ----------------------------------------------------------------------------------


def with_header(path: Path, fields: list[Any]) -> None:
    """Give a file another header."""
    data = path.read_bytes()
    place = len(snapshots.MAGIC)
    rest = data[place + 8 + int.from_bytes(data[place : place + 4], "big") :]
    header = msgspec.msgpack.encode(fields)
    head = len(header).to_bytes(4, "big") + crc32c(header).to_bytes(4, "big")
    path.write_bytes(snapshots.MAGIC + head + header + rest)


def test_a_file_says_its_format_and_group_and_one_without_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    place = len(snapshots.MAGIC) + 8
    assert path.read_bytes()[place : place + 4] == msgspec.msgpack.encode([7, 2, 0])
    for fields in ([7], [7, 1], [7, 2, 0, "later"]):
        with_header(path, fields)
        assert [row for chunk in read_snapshot(path) for row in chunk] == some_rows(7)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([7, 3], r"was written by a newer version of Quorate \(format 3, this one knows 2\)"),
        ([7, 2, 5], "is of group 5, and there is only group 0 here: start the version of Quorate"),
    ],
)
def test_a_file_of_a_newer_format_or_another_group_ends_the_start(
    tmp_path: Path, fields: list[Any], why: str
) -> None:
    """It is no damage: an older file behind it would do, and what the newer one holds be lost."""
    write(tmp_path, 5)
    with_header(write(tmp_path, 7), fields)
    with pytest.raises(StorageError, match=why) as caught:
        open_tables(tmp_path, tmp_path, is_trusted=False, open_file=opened)
    assert caught.value.code == "version"
