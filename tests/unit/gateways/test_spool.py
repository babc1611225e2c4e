"""Bodies on their way to disk: bounded in number, in memory and in what they leave of the disk."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quorate.base.errors import InvariantError, StorageError
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.transfers import Snapshots
from quorate.httpserver.spool import (
    LOOK_BYTES,
    WAITING_BYTES_MAX,
    Space,
    SpaceFile,
)


class SlowSpace(Space):
    """Writes wait for a gate, and fail on request."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory), 0)
        self.gate = threading.Event()
        self.failure: StorageError | None = None

    def need(self, size: int) -> None:
        if size:
            assert self.gate.wait(10)
            if self.failure is not None:
                raise self.failure


def played(scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene()

    asyncio.run(run())


def test_files_have_no_names_and_leave_nothing(tmp_path: Path) -> None:
    file = Space(str(tmp_path), 0).file()
    file.write(b"content")
    assert list(tmp_path.iterdir()) == []
    assert file.rewind().read() == b"content"
    file.close()


def test_what_a_killed_process_may_have_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "spool-abc").write_bytes(b"left")
    (tmp_path / "node.json").write_bytes(b"{}")
    Space(str(tmp_path), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["node.json"]


def test_the_space_that_the_log_needs_is_left_alone(tmp_path: Path) -> None:
    space = Space(str(tmp_path), 2**60)
    with pytest.raises(StorageError) as caught:
        space.file()
    assert caught.value.code == "disk_full"


def test_the_space_is_looked_at_while_a_file_grows(tmp_path: Path) -> None:
    space = Space(str(tmp_path), 0)
    looks: list[int] = []
    space.need = looks.append  # type: ignore[method-assign,assignment]
    file = SpaceFile(space.file().file, space)
    looks.clear()
    for _ in range(10):
        file.write(bytes(LOOK_BYTES // 2))
    assert len(looks) == 5
    file.close()


def test_whoever_sends_faster_than_the_disk_takes_is_paused(tmp_path: Path) -> None:
    async def scene() -> None:
        space = SlowSpace(tmp_path)
        spool = Snapshots(space, 1).begin_upload(0)
        changed = asyncio.Event()
        spool.call_on_change(changed.set)
        while not spool.is_full:
            spool.write(bytes(200_000))
        assert WAITING_BYTES_MAX <= spool.waiting_bytes < WAITING_BYTES_MAX + 200_000
        space.gate.set()
        while spool.waiting_bytes:
            changed.clear()
            await changed.wait()
        done = asyncio.Event()
        spool.whole(done.set)
        await done.wait()
        assert spool.error is None
        assert len(spool.rewound().read()) == 1_200_000
        spool.close()

    played(scene)


def test_one_thread_writes_at_a_time_also_at_the_end(tmp_path: Path) -> None:
    async def scene() -> None:
        space = SlowSpace(tmp_path)
        spool = Snapshots(space, 1).begin_upload(0)
        done = asyncio.Event()
        for number in range(100):
            spool.write(b"%06d" % number)
        spool.whole(done.set)  # while the first piece is being written
        await asyncio.sleep(0)
        space.gate.set()
        await done.wait()
        assert spool.rewound().read() == b"".join(b"%06d" % number for number in range(100))
        spool.close()

    played(scene)


def test_a_full_disk_is_reported_and_nothing_more_is_taken(tmp_path: Path) -> None:
    async def scene() -> None:
        space = SlowSpace(tmp_path)
        space.failure = StorageError("disk_full", "no space")
        spool = Snapshots(space, 1).begin_upload(0)
        changed = asyncio.Event()
        spool.call_on_change(changed.set)
        spool.write(b"x")
        space.gate.set()
        await changed.wait()
        assert spool.error is space.failure
        spool.write(b"more")
        assert spool.waiting_bytes == 0
        done = asyncio.Event()
        spool.whole(done.set)
        await done.wait()
        spool.close()

    played(scene)


@pytest.mark.parametrize("error", [MemoryError(), InvariantError("x"), OSError(5, "io")])
def test_whatever_a_write_raises_is_kept_as_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(SpaceFile, "write", fail)

    async def scene() -> None:
        snapshots = Snapshots(Space(str(tmp_path), 0), 2)
        spool = snapshots.begin_upload(0)
        done = asyncio.Event()
        spool.write(b"some")
        spool.whole(done.set)
        await done.wait()
        assert spool.error is error
        spool.close()
        assert snapshots.count == 0

    played(scene)


def test_a_spool_that_is_closed_while_it_is_written_gives_its_place_back(tmp_path: Path) -> None:
    async def scene() -> None:
        space = SlowSpace(tmp_path)
        snapshots = Snapshots(space, 1)
        spool = snapshots.begin_upload(0)
        spool.write(b"x")
        spool.close()
        spool.close()
        assert snapshots.count == 0
        space.gate.set()
        other = snapshots.begin_upload(0)
        other.close()

    played(scene)


def test_only_so_many_come_at_a_time(tmp_path: Path) -> None:
    async def scene() -> None:
        snapshots = Snapshots(Space(str(tmp_path), 0), 2)
        spools = [snapshots.begin_upload(0), snapshots.begin_upload(0)]
        with pytest.raises(HttpError) as caught:
            snapshots.begin_upload(0)
        assert caught.value.status == 429
        assert b"Retry-After" in caught.value.lines()
        spools[0].close()
        snapshots.begin_upload(0).close()
        spools[1].close()

    played(scene)


def test_one_restore_and_few_saves_at_a_time(tmp_path: Path) -> None:
    snapshots = Snapshots(Space(str(tmp_path), 0), 2)
    snapshots.begin_restore()
    with pytest.raises(HttpError, match="another snapshot is being restored"):
        snapshots.begin_restore()
    snapshots.end_restore()
    snapshots.begin_restore()
    snapshots.begin_save()
    snapshots.begin_save()
    with pytest.raises(HttpError, match="2 snapshots are being saved"):
        snapshots.begin_save()
    snapshots.end_save()
    snapshots.begin_save()
