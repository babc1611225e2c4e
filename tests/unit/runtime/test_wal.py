import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from quorate.base.errors import InvariantError, StorageError
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.records import Record, Vote
from quorate.runtime.fileops import Files
from quorate.runtime.wal import STALLED_S, SyncMode, Wal, WalSettings
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write
from quorate.wire.journal import Layout, LogIdentity
from tests.limits import HANG_S
from tests.unit.wire.journals import persists

NODE = NodeId("6ec57f84-c680-4a3a-878b-0123456789ab")
LAYOUT = Layout(segment_bytes=16384, spares_ready=1, spares_max=2)


def vote(slot: int, size: int = 100) -> Vote:
    return Vote(Ballot(1, NODE), Slot(slot), Slot(slot - 1), bytes([slot % 256]) * size)


class BrokenFiles(Files):
    """Files that notes what it does, waits, and fails, as a test wants it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.done: list[FileOp] = []
        self.gate = threading.Event()
        self.gate.set()
        self.refuse: Callable[[FileOp], StorageError | None] = lambda _: None
        self.free = 2**40

    def do(self, operation: FileOp, *, is_gentle: bool = False) -> None:
        if not isinstance(operation, Create):
            assert self.gate.wait(HANG_S)
        error = self.refuse(operation)
        if error is not None:
            raise error
        super().do(operation, is_gentle=is_gentle)
        self.done.append(operation)

    def free_bytes(self) -> int:
        return self.free


class Body:
    """Plays the loop: what is posted runs when `until` is called."""

    def __init__(
        self,
        directory: Path,
        *,
        sync: SyncMode = "thread",
        incarnation: int = 1,
        poll_s: float = 1000.0,
        quiet_polls: int = 10**9,
        is_begun: bool = False,
        inline_below_s: float = 0.0005,
    ) -> None:
        self.files = BrokenFiles(directory)
        self.marks: list[int] = []
        self.failures: list[BaseException] = []
        self.space: list[bool] = []
        self._posted: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = SimpleQueue()
        self.wal = Wal(
            directory,
            LogIdentity(NODE, incarnation, 1000 + incarnation),
            WalSettings(
                LAYOUT,
                sync=sync,
                inline_below_s=inline_below_s,
                poll_s=poll_s,
                quiet_polls=quiet_polls,
            ),
            is_begun=is_begun,
            files=self.files,
        )
        self.recovered: list[Record] = []
        self.rounds = 0  # of the maintenance thread; between them it leaves the lock alone

    def start(self, *, has_maintenance: bool = True) -> "Body":
        self.recovered = list(self.wal.records())
        self.wal.start(
            self._post,
            self.marks.append,
            self.failures.append,
            self.space.append,
        )
        if has_maintenance:
            self.until(lambda: self.rounds > 0)
        return self

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        self.rounds += function.__name__ == "_space_became"
        self._posted.put((function, arguments))

    def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            function, arguments = self._posted.get(timeout=HANG_S)
            function(*arguments)

    def durable(self, mark: int) -> None:
        self.until(lambda: self.wal.mark >= mark)


def recovered(directory: Path, incarnation: int = 9) -> list[Record]:
    wal = Wal(directory, LogIdentity(NODE, incarnation, 5), WalSettings(LAYOUT))
    return list(wal.records())


def test_what_was_reported_durable_is_there_in_the_next_incarnation(tmp_path: Path) -> None:
    body = Body(tmp_path).start()
    assert not body.wal.append(persists([vote(1), vote(2)]))
    assert not body.wal.append(persists([vote(3)]))
    body.durable(3)

    assert body.marks[-1] == 3
    assert recovered(tmp_path) == [vote(1), vote(2), vote(3)]
    body.wal.close()


def test_lives_follow_each_other(tmp_path: Path) -> None:
    for incarnation in range(1, 6):
        body = Body(tmp_path, incarnation=incarnation, is_begun=incarnation > 1).start()
        assert body.recovered == [vote(slot) for slot in range(1, incarnation)]
        body.wal.append(persists([vote(incarnation)]))
        body.durable(1)
        body.wal.close()


def test_all_that_waits_is_one_group_commit(tmp_path: Path) -> None:
    body = Body(tmp_path).start()
    body.files.gate.clear()
    body.wal.append(persists([vote(1)]))
    for slot in range(2, 12):
        body.wal.append(persists([vote(slot)]))
    body.files.gate.set()
    body.durable(11)

    assert body.wal.stats.commits <= 3
    assert body.wal.stats.records == 11
    assert body.marks[-1] == 11
    body.wal.close()


def test_nothing_is_reported_durable_before_its_sync_returned(tmp_path: Path) -> None:
    body = Body(tmp_path).start()
    body.files.gate.clear()
    body.wal.append(persists([vote(1)]))
    assert body.wal.mark == 0
    assert body.marks == []
    body.files.gate.set()
    body.durable(1)
    assert isinstance([op for op in body.files.done if isinstance(op, Write | Sync)][-1], Sync)
    body.wal.close()


def test_inline_is_durable_at_once_and_calls_nobody(tmp_path: Path) -> None:
    body = Body(tmp_path, sync="inline").start()
    assert body.wal.append(persists([vote(1)]))
    assert body.wal.mark == 1
    assert body.marks == []
    assert body.wal.stats.inline_commits == 1
    assert recovered(tmp_path) == [vote(1)]
    body.wal.close()


def test_auto_syncs_inline_while_the_disk_is_quick(tmp_path: Path) -> None:
    body = Body(tmp_path, sync="auto", inline_below_s=3600.0).start()
    assert body.wal.append(persists([vote(1)]))
    body.wal.stats.quickest_s = 2 * 3600.0  # as after many slow syncs
    assert not body.wal.append(persists([vote(2)]))
    body.durable(2)
    assert body.wal.append(persists([vote(3)]))  # that one was quick
    body.wal.close()


def test_a_disk_that_became_slow_is_noticed_but_not_by_one_slow_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = Body(tmp_path, sync="auto", inline_below_s=0.001).start()
    body.wal.stats.quickest_s = 0.0005
    monkeypatch.setattr(time, "perf_counter", count(step=0.005).__next__)
    modes = [body.wal.append(persists([vote(slot)])) for slot in range(1, 20)]
    assert modes[:10] == [True] * 10
    assert modes[-1] is False
    monkeypatch.undo()
    body.durable(19)
    body.wal.close()


def test_a_sync_that_waits_for_a_busy_disk_is_the_last_one_in_the_caller_until_one_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = Body(tmp_path, sync="auto", inline_below_s=STALLED_S).start()
    body.wal.stats.quickest_s = STALLED_S / 2
    monkeypatch.setattr(time, "perf_counter", count(step=2 * STALLED_S).__next__)
    assert body.wal.append(persists([vote(1)]))
    assert not body.wal.append(persists([vote(2)]))
    body.durable(2)
    monkeypatch.setattr(time, "perf_counter", count(step=STALLED_S / 4).__next__)
    assert not body.wal.append(persists([vote(3)])), "the thread finds out that it is quick again"
    body.durable(3)
    assert body.wal.append(persists([vote(4)]))
    monkeypatch.undo()
    body.wal.close()


def test_a_disk_that_is_slow_from_the_start_is_never_taken_for_quick(tmp_path: Path) -> None:
    body = Body(tmp_path, sync="auto", inline_below_s=0.005)
    body.files.refuse = lambda operation: time.sleep(0.02 * isinstance(operation, Sync))
    body.start()
    assert not body.wal.append(persists([vote(1)]))
    body.durable(1)
    body.wal.close()


def test_inline_never_overtakes_what_is_on_the_way(tmp_path: Path) -> None:
    body = Body(tmp_path, sync="auto", inline_below_s=3600.0).start()
    body.files.gate.clear()
    body.wal.stats.quickest_s = 2 * 3600.0
    assert not body.wal.append(persists([vote(1)]))
    body.wal.stats.quickest_s = 0.0
    assert not body.wal.append(persists([vote(2)]))
    body.files.gate.set()
    body.durable(2)
    assert recovered(tmp_path) == [vote(1), vote(2)]
    body.wal.close()


def test_a_new_segment_is_not_begun_in_the_loop(tmp_path: Path) -> None:
    body = Body(tmp_path, sync="inline").start()
    sizes = [body.wal.append(persists([vote(slot, 4000)])) for slot in range(1, 4)]
    assert sizes == [True, True, True]
    assert not body.wal.append(persists([vote(4, 6000)]))
    assert not body.wal.append(persists([vote(5, 10)]))  # behind it
    body.durable(5)
    body.until(lambda: body.rounds > 1)
    assert body.wal.append(persists([vote(6, 10)]))
    assert [r.slot for r in recovered(tmp_path) if isinstance(r, Vote)] == [1, 2, 3, 4, 5, 6]
    body.wal.close()


def test_a_truncation_never_overtakes_what_the_loop_left_to_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have to close the newest group, which must not be written before that group is."""
    monkeypatch.setattr(threading.Thread, "start", do_nothing)  # the test is the thread
    monkeypatch.setattr(threading.Thread, "join", do_nothing)
    body = Body(tmp_path, sync="inline").start(has_maintenance=False)
    wal = body.wal
    assert wal.append(persists([vote(1, 9000)]))
    assert not wal.append(persists([vote(2, 9000)]))  # the thread shall begin a segment
    rest = wal._jobs.get()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    count = len(body.files.done)

    wal._do([1])  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert len(body.files.done) == count
    wal._do([rest])  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    body.durable(2)
    wal._do([wal._jobs.get()])  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    assert any(isinstance(op, Rename) and op.old.startswith("wal-") for op in body.files.done)
    assert [r.slot for r in recovered(tmp_path) if isinstance(r, Vote)] == [2]


def test_nothing_appended_changes_nothing(tmp_path: Path) -> None:
    body = Body(tmp_path, sync="inline").start()
    assert body.wal.append([])
    assert body.wal.mark == 0
    body.wal.close()


@pytest.mark.parametrize("sync", ["thread", "inline"])
def test_a_failed_sync_is_reported_once_and_nothing_is_synced_again(
    tmp_path: Path, sync: SyncMode
) -> None:
    """M28."""
    body = Body(tmp_path, sync=sync).start()
    tried: list[FileOp] = []

    def refuse(operation: FileOp) -> StorageError | None:
        if isinstance(operation, Create | SyncDirectory):
            return None  # of the maintenance thread, for a segment that nobody wrote to
        tried.append(operation)
        return StorageError("corrupt", "EIO") if is_ill and isinstance(operation, Sync) else None

    is_ill = True
    body.files.refuse = refuse
    assert not body.wal.append(persists([vote(1)]))
    body.until(lambda: bool(body.failures))
    count = len(tried)
    is_ill = False  # says the disk
    for slot in range(2, 5):
        assert not body.wal.append(persists([vote(slot)]))
    body.wal.truncate(Slot(1))
    body.wal.close()

    assert len(tried) == count
    assert len(body.failures) == 1
    assert body.wal.mark == 0


@pytest.mark.parametrize("sync", ["inline", "thread"])
@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "io"), InvariantError("x")])
def test_whatever_a_write_raises_is_reported_once_and_nothing_is_written_again(
    tmp_path: Path, sync: SyncMode, error: BaseException
) -> None:
    body = Body(tmp_path, sync=sync).start()

    def fail(operation: FileOp) -> None:
        if isinstance(operation, Write):
            raise error

    body.files.refuse = fail
    assert not body.wal.append(persists([vote(1)]))
    body.until(lambda: bool(body.failures))
    body.files.refuse = lambda _: None
    body.files.done.clear()
    assert not body.wal.append(persists([vote(2)]))
    body.wal.close()
    assert body.failures == [error]
    assert [each for each in body.files.done if isinstance(each, Write | Sync)] == []


@pytest.mark.parametrize("sync", ["inline", "thread"])
def test_a_sync_that_failed_is_not_tried_until_it_succeeds(tmp_path: Path, sync: SyncMode) -> None:
    """After a failure the pages count as clean: the next sync succeeds and writes nothing."""
    body = Body(tmp_path, sync=sync).start()
    tried: list[Sync] = []

    def refuse(operation: FileOp) -> StorageError | None:
        if not isinstance(operation, Sync):
            return None
        tried.append(operation)
        return StorageError("corrupt", "EIO") if len(tried) == 1 else None

    body.files.refuse = refuse
    assert not body.wal.append(persists([vote(1)]))
    body.until(lambda: bool(body.failures) or body.wal.mark > 0)
    body.wal.close()

    assert len(tried) == 1
    assert body.wal.mark == 0


def test_a_bug_in_a_thread_is_reported_too(tmp_path: Path) -> None:
    body = Body(tmp_path).start()

    body.files.refuse = buggy
    body.wal.append(persists([vote(1)]))
    body.until(lambda: bool(body.failures))
    assert isinstance(body.failures[0], InvariantError)
    body.wal.close()


def do_nothing(_: threading.Thread) -> None:
    pass


def buggy(_: FileOp) -> StorageError | None:
    raise InvariantError("a bug")


def full(kind: type[FileOp]) -> Callable[[FileOp], StorageError | None]:
    return lambda op: StorageError("disk_full", "full") if isinstance(op, kind) else None


def test_a_full_disk_is_reported_while_there_is_still_space_for_ballots(tmp_path: Path) -> None:
    body = Body(tmp_path, poll_s=0.01).start()
    body.until(lambda: body.wal.spares == 1)
    body.files.refuse = full(Create)
    for slot in range(1, 4):
        body.wal.append(persists([vote(slot, 4000)]))
        body.durable(slot)
    body.wal.append(persists([vote(4, 8000)]))  # into the segment made ahead
    body.durable(4)
    body.until(lambda: body.space == [True])
    body.wal.append(persists([vote(5, 100)]))
    body.durable(5)
    body.files.refuse = lambda _: None
    body.until(lambda: body.space == [True, False])
    body.wal.close()


@pytest.mark.parametrize("sync", ["thread", "inline"])
def test_what_finds_no_space_waits_and_goes_on_when_there_is_some(
    tmp_path: Path, sync: SyncMode
) -> None:
    body = Body(tmp_path, sync=sync, poll_s=0.01).start()
    body.files.refuse = full(Write)
    assert not body.wal.append(persists([vote(1)]))
    assert not body.wal.append(persists([vote(2)]))
    body.until(lambda: body.space == [True])
    assert body.wal.mark == 0
    body.files.refuse = lambda _: None
    body.durable(2)
    body.until(lambda: body.space == [True, False])
    assert recovered(tmp_path) == [vote(1), vote(2)]
    body.wal.close()


def test_little_free_space_counts_as_full_until_there_is_twice_as_much(tmp_path: Path) -> None:
    body = Body(tmp_path, poll_s=0.01).start()
    least = WalSettings().free_bytes_min
    body.files.free = least - 1
    body.until(lambda: body.space == [True])
    body.files.free = 2 * least
    body.until(lambda: body.space == [True, False])
    body.wal.close()


def test_truncation_shrinks_the_log(tmp_path: Path) -> None:
    body = Body(tmp_path).start()
    for slot in range(1, 30):
        body.wal.append(persists([vote(slot, 4000)]))
        body.durable(slot)
    before = body.wal.log_bytes
    body.wal.truncate(Slot(25))
    body.wal.append(persists([vote(30)]))
    body.durable(30)
    body.wal.close()
    assert body.wal.log_bytes < before / 2
    slots = [r.slot for r in recovered(tmp_path) if isinstance(r, Vote)]
    assert slots[-5:] == [26, 27, 28, 29, 30]
    assert len(list(tmp_path.iterdir())) <= 6


def with_surplus(body: Body) -> Body:
    """A log that has recycled one segment more than are made ahead."""
    for slot in range(1, 30):
        body.wal.append(persists([vote(slot, 4000)]))
        body.durable(slot)
    body.wal.truncate(Slot(29))
    body.wal.append(persists([vote(30)]))  # behind it, or before it in one turn of the thread
    body.durable(30)
    return body


def released(body: Body) -> bool:
    removed = [op.name for op in list(body.files.done) if isinstance(op, Remove)]
    return any(name.startswith("spare-") for name in removed)


def test_recycled_segments_go_when_none_was_begun_for_a_while(tmp_path: Path) -> None:
    body = with_surplus(Body(tmp_path, poll_s=0.001, quiet_polls=5).start())
    body.until(lambda: released(body))
    body.until(lambda: body.wal.spares == LAYOUT.spares_ready)
    body.wal.close()
    assert recovered(tmp_path)[-1] == vote(30)


def test_recycled_segments_stay_while_others_are_begun_and_go_when_space_is_short(
    tmp_path: Path,
) -> None:
    body = with_surplus(Body(tmp_path, poll_s=0.001).start())
    body.until(lambda: body.wal.spares == LAYOUT.spares_max)
    rounds = body.rounds
    body.until(lambda: body.rounds > rounds + 20)
    assert not released(body)
    body.files.free = 1
    body.until(lambda: released(body))
    assert body.wal.spares == LAYOUT.spares_ready
    body.wal.close()


def test_what_finds_no_space_takes_that_of_a_recycled_segment(tmp_path: Path) -> None:
    body = with_surplus(Body(tmp_path, poll_s=0.001).start())
    body.until(lambda: body.wal.spares == LAYOUT.spares_max)
    body.files.refuse = lambda op: None if released(body) else full(Write)(op)
    body.wal.append(persists([vote(31)]))
    body.durable(31)
    body.wal.close()
    assert recovered(tmp_path)[-1] == vote(31)


def test_an_idle_log_is_closed_by_the_maintenance_thread(tmp_path: Path) -> None:
    body = Body(tmp_path, poll_s=0.01).start()
    body.wal.append(persists([vote(1)]))
    body.durable(1)
    body.until(lambda: sum(isinstance(op, Sync) for op in list(body.files.done)) >= 3)
    body.wal.close()
    assert recovered(tmp_path) == [vote(1)]


def test_a_clean_stop_closes_the_last_group_so_that_corruption_is_noticed(tmp_path: Path) -> None:
    body = Body(tmp_path).start()
    body.wal.append(persists([vote(1)]))
    body.durable(1)
    body.wal.close()
    path = max(tmp_path.glob("wal-*"))
    data = bytearray(path.read_bytes())
    data[data.index(vote(1).batch)] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="slot 1"):
        recovered(tmp_path)


def test_what_waits_at_a_stop_is_written_first(tmp_path: Path) -> None:
    body = Body(tmp_path).start()
    for slot in range(1, 20):
        body.wal.append(persists([vote(slot)]))
    body.wal.close()
    assert recovered(tmp_path) == [vote(slot) for slot in range(1, 20)]


def test_a_log_that_is_not_started_is_closed_by_nobody_and_written_by_none(
    tmp_path: Path,
) -> None:
    body = Body(tmp_path)
    assert body.wal.log_bytes == 0
    body.wal.close()
    with pytest.raises(InvariantError):
        Body(tmp_path, sync="inline").wal.append(persists([vote(1)]))


def test_without_syncs_it_still_survives_a_kill(tmp_path: Path) -> None:
    wal = Wal(tmp_path, LogIdentity(NODE, 1, 7), WalSettings(LAYOUT, sync="none"))
    assert list(wal.records()) == []
    wal.start(lambda *_: None, lambda _: None, lambda _: None, lambda _: None)
    assert wal.append(persists([vote(1)]))
    assert recovered(tmp_path) == [vote(1)]
    wal.close()


def test_a_missing_log_that_was_begun_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Body(tmp_path, is_begun=True)
