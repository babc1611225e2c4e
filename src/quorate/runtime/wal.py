"""The log on disk: executes the operations of `wire.journal`, one commit for all that waits.

The caller is the loop's thread. While syncs are short it writes and syncs itself: passing records
to a thread and back costs about 100 µs of CPU under load, as both need the interpreter's lock, and
the other nodes sync at the same time anyway. While they are long, records go through a queue to one
thread that writes and syncs, and reports by `post`: the loop must not block.

A second thread, for maintenance, makes segments ahead, checks the free space, removes recycled
segments that are not needed, and closes the last commit when nothing is written any more. Journal
and files are used under one lock.

A failed sync is fatal: it is reported once, and nothing is written or synced again. A full disk and
a lack of file descriptors are not: the records wait, and are written when there is space. The disk
reserve is the segments made ahead: when the second of them cannot be made any more, the first is
still there for ballots.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple

import msgspec

from quorate.base.effects import Persist
from quorate.base.errors import InvariantError, StorageError, invariant
from quorate.base.ids import Slot
from quorate.base.metrics import Histogram
from quorate.base.records import Record
from quorate.runtime.fileops import Files
from quorate.wire.fileops import FileOp, Sync
from quorate.wire.journal import Journal, Layout, LogIdentity
from quorate.wire.recovery import Recovery

SyncMode = Literal["auto", "thread", "inline", "none"]


class WalSettings(msgspec.Struct, frozen=True):
    """Settings of the log. May differ between nodes.

    Attributes:
        layout: Sizes of its files.
        sync: Where syncs run. "auto": as the module says; "thread", "inline": always there;
            "none": nowhere, for development.
        inline_below_s: "auto" syncs in the caller only while the disk needs less than this: a
            loop that stands still longer misses more than it saves.
        free_bytes_min: Less free space than this counts as full: other files (tables,
            snapshots) need some, too. It is enough again at twice this.
        poll_s: How often the maintenance thread checks the free space, and whether the log is idle.
        quiet_polls: After so many checks without a new segment, recycled ones beyond those made
            ahead are removed: making one that rarely costs little.
    """

    layout: Layout = Layout()
    sync: SyncMode = "auto"
    inline_below_s: float = 0.0005
    free_bytes_min: int = 128 * 1024 * 1024
    poll_s: float = 1.0
    quiet_polls: int = 60


class WalStats(msgspec.Struct):
    """Counters since start, for the metrics; written under the lock.

    `sync_s` is a moving average, of writes too; for `quickest_s` see `QUICKEST_FADES`.
    """

    commits: int = 0
    records: int = 0
    inline_commits: int = 0
    sync_s: float = 0.0
    quickest_s: float = 0.0
    durations: Histogram = msgspec.field(default_factory=Histogram)


class _Rest(NamedTuple):
    """Operations of a commit that the caller left to the thread."""

    operations: Sequence[FileOp]
    records: int


WAITED_FOR = frozenset({"disk_full", "too_many_files"})
"""Errors after which an operation is repeated until it succeeds: nothing was lost by them."""

QUICKEST_FADES = 1.05
"""The quickest recent sync shows what the disk needs: others waited for a processor, too. It
counts for less with each commit, so a disk that became slow is noticed after some dozen commits."""

STALLED_S = 0.01
"""A sync that took so long waited for the disk: the next one is not done in the caller."""

_STOP = None
_Job = Sequence[Persist] | _Rest | int | None
Post = Callable[..., Any]
"""`loop.call_soon_threadsafe`, or what does the same in a test."""


class Wal:
    """The log of one run of a node: read `records` to the end, `start`, then append.

    Args:
        directory: The directory of the log alone; made if missing.
        identity: Identifies this run.
        settings: The settings.
        is_begun: There was a log before: a missing one is an error.
        begun_in: The newest incarnation that is known to have begun the log; 0: unknown.
        files: Accesses the disk; tests inject faults here.

    Raises:
        StorageError: The log cannot be used; nothing was changed.
    """

    def __init__(
        self,
        directory: Path,
        identity: LogIdentity,
        settings: WalSettings,
        *,
        is_begun: bool = False,
        begun_in: int = 0,
        files: Files | None = None,
    ) -> None:
        self._settings = settings
        self._files = files or Files(directory, is_durable=settings.sync != "none")
        self._recovery = Recovery(
            self._files.files(),
            self._files.read,
            identity,
            settings.layout,
            is_begun=is_begun,
            begun_in=begun_in,
        )
        self.warnings = self._recovery.warnings
        self.stats = WalStats()
        self._journal: Journal | None = None
        self._lock = threading.Lock()  # held while journal and files are used
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._maintenance_wake = threading.Event()
        self._asked = 0  # by the loop's thread alone
        self._durable = 0  # likewise
        self._written = 0  # under the lock
        self._is_full = False  # by the loop's thread alone
        self._has_rest = False  # the journal is ahead of the files; by whoever holds the lock
        self._has_failed = False  # set under the lock
        self._has_reported_failure = False  # by the loop's thread alone
        self._post: Post = _nowhere
        self._on_durable: Callable[[int], None] = _nowhere
        self._on_failure: Callable[[BaseException], None] = _nowhere
        self._on_space: Callable[[bool], None] = _nowhere

    def records(self) -> Iterator[Record]:
        """The records of the log, oldest first; see `wire.recovery`. Once, and to the end."""
        return self._recovery.records()

    def start(
        self,
        post: Post,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        on_space: Callable[[bool], None],
    ) -> None:
        """Make durable what was recovered, and begin to take records. Blocks meanwhile.

        Args:
            post: Runs a function in the loop's thread, soon: `loop.call_soon_threadsafe`.
            on_durable: Gets the mark: how many records are durable of those appended.
            on_failure: Gets, once, the error after which nothing is durable any more. The node
                must end.
            on_space: Gets True when the disk has become full, False when it is no longer.

        Raises:
            StorageError: It could not be begun.
        """
        self._post, self._on_durable = post, on_durable
        self._on_failure, self._on_space = on_failure, on_space
        self._journal, operations = self._recovery.finish()
        for operation in operations:
            began_s = time.perf_counter()
            self._files.do(operation)
            if isinstance(operation, Sync):
                self.stats.sync_s = self.stats.quickest_s = time.perf_counter() - began_s
        for name, work in (("wal", self._run), ("wal-maintenance", self._maintain)):
            thread = threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def append(self, asked: Sequence[Persist]) -> bool:
        """Have records written in this order, behind all earlier ones.

        Args:
            asked: The records; not to be changed afterwards.

        Returns:
            True if they are durable already; `on_durable` is not called for them then. The
            mark is the number of records appended so far.
        """
        self._asked += len(asked)
        if self._has_failed:
            return False
        if self._durable + len(asked) == self._asked and self._may_block():
            return self._append_inline(asked)
        self._jobs.put(asked)
        return False

    def truncate(self, slot: Slot) -> None:
        """Let the log forget slots up to this one, when it next has time; never any other."""
        self._jobs.put(slot)

    @property
    def log_bytes(self) -> int:
        """The bytes that a restart would have to read."""
        return 0 if self._journal is None else self._journal.log_bytes

    @property
    def segments(self) -> int:
        """How many files hold records."""
        return 0 if self._journal is None else self._journal.segments

    @property
    def spares(self) -> int:
        """How many segments are ready ahead."""
        return 0 if self._journal is None else self._journal.spares

    @property
    def mark(self) -> int:
        """How many records are durable, as far as reported to the loop."""
        return self._durable

    def close(self) -> None:
        """Write what waits, close the log cleanly, end the threads. Blocks meanwhile.

        What `post` was given before may still run afterwards.
        """
        self._stopping.set()
        self._maintenance_wake.set()
        self._jobs.put(_STOP)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._files.close()

    def _may_block(self) -> bool:
        match self._settings.sync:
            case "auto":
                return self.stats.quickest_s < self._settings.inline_below_s
            case "thread":
                return False
            case "inline" | "none":
                return True

    def _append_inline(self, asked: Sequence[Persist]) -> bool:
        if not self._lock.acquire(blocking=False):  # another thread uses the journal
            self._jobs.put(asked)
            return False
        try:
            if self._has_failed:
                return False
            rest = self._do_at_once(self._opened.append(asked), len(asked))
            if rest:
                self._has_rest = True
                self._jobs.put(_Rest(rest, len(asked)))
                return False
        except BaseException as error:  # noqa: BLE001 - bugs too: the loop ends the node
            self._fail(error)
            return False
        finally:
            self._lock.release()
        self._durable = self._written
        self.stats.inline_commits += 1
        return True

    def _do_at_once(self, operations: Sequence[FileOp], records: int) -> Sequence[FileOp]:
        """Write and sync; what is left if that would take long. The lock is held."""
        if len(operations) > _WRITE_AND_SYNC:  # a new segment begins
            return operations
        began_s = time.perf_counter()
        for done, operation in enumerate(operations):
            try:
                self._files.do(operation)
            except StorageError as error:
                if error.code not in WAITED_FOR:
                    raise
                return operations[done:]
        self._count(records, time.perf_counter() - began_s)
        return ()

    @property
    def _opened(self) -> Journal:
        journal = self._journal
        if journal is None:
            raise InvariantError("the log is started before it is written")
        return journal

    def _count(self, records: int, took_s: float) -> None:
        self._written += records
        self.stats.commits += 1
        self.stats.records += records
        self.stats.durations.note(took_s)
        self.stats.sync_s += 0.1 * (took_s - self.stats.sync_s)
        if took_s < STALLED_S:
            took_s = min(took_s, self.stats.quickest_s * QUICKEST_FADES)
        self.stats.quickest_s = took_s

    @contextlib.contextmanager
    def _held(self) -> Generator[None, None, None]:
        """Hold the lock; a failure is noted before it is released."""
        with self._lock:
            if self._has_failed:
                raise _EndedError
            try:
                yield
            except BaseException as error:
                self._fail(error)
                raise

    # --- the thread that syncs -------------------------------------------------------------------

    def _run(self) -> None:
        is_stopping = False
        while not is_stopping:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            is_stopping = self._do(jobs)

    def _do(self, jobs: Sequence[_Job]) -> bool:
        """One commit for all records; then the rest. True if it was the last."""
        asked: list[Persist] = []
        slot = -1
        is_stopping = False
        with self._held():
            for job in jobs:
                match job:
                    case _Rest(operations, count):  # alone on the way: it was the first
                        self._obey(operations, count)
                        self._has_rest = False
                    case int():
                        slot = max(slot, job)
                    case None:
                        is_stopping = True
                    case _:
                        asked += job
            if asked:
                self._obey(self._opened.append(asked), len(asked))
            if slot >= 0 and self._has_rest:  # it came between; a commit must not overtake it
                self._jobs.put(slot)
            elif slot >= 0:
                self._obey(self._opened.truncate(Slot(slot)))
            if is_stopping:
                self._obey(self._opened.close_idle())
            if self._opened.spares < self._settings.layout.spares_ready:
                self._maintenance_wake.set()
        return is_stopping

    def _obey(self, operations: Sequence[FileOp], records: int = 0) -> None:
        began_s = time.perf_counter()
        for operation in operations:
            self._do_when_there_is_space(operation)
        if records:
            self._count(records, time.perf_counter() - began_s)
            self._tell(self._became_durable, self._written)

    def _do_when_there_is_space(self, operation: FileOp) -> None:
        while True:
            try:
                return self._files.do(operation)
            except StorageError as error:
                if error.code not in WAITED_FOR or self._stopping.is_set():
                    raise
                is_full = error.code == "disk_full"
            if is_full:
                self._tell(self._space_became, True)
                self._obey(self._opened.release())  # the other thread waits for the lock
            self._stopping.wait(self._settings.poll_s)

    # --- maintenance -----------------------------------------------------------------------------

    def _maintain(self) -> None:
        asked_before = newest_before = -1
        quiet_polls = 0
        while not self._stopping.is_set():
            has_made = self._prepare()
            is_short = self._tell_space(has_made)
            newest = self._opened.newest
            quiet_polls = quiet_polls + 1 if newest == newest_before else 0
            newest_before = newest
            if is_short or quiet_polls >= self._settings.quiet_polls:
                self._release()
            asked = self._asked
            if asked == asked_before:  # else do not even take the lock
                self._close_if_idle(asked)
            asked_before = asked
            self._maintenance_wake.wait(self._settings.poll_s)
            self._maintenance_wake.clear()

    def _close_if_idle(self, asked: int) -> None:
        with self._held():
            if asked == self._written:
                self._obey(self._opened.close_idle())

    def _release(self) -> None:
        """Remove one recycled segment that is not needed; one, as others wait for the lock."""
        with self._held():
            self._obey(self._opened.release())

    def _prepare(self) -> bool:
        """Make segments until enough are ready; False if the disk has no space for one."""
        while not (self._stopping.is_set() or self._has_failed):
            with self._held():
                operations = self._opened.prepare()
            if not operations:
                break
            has_succeeded = is_full = False
            try:
                for operation in operations:
                    if self._has_failed:
                        raise _EndedError
                    self._files.do(operation, is_gentle=True)
                has_succeeded = True
            except StorageError as error:
                if error.code not in WAITED_FOR:
                    raise
                is_full = error.code == "disk_full"
            with self._held():
                self._opened.prepared(has_succeeded)
            if not has_succeeded:
                return not is_full
        return True

    def _tell_space(self, has_made: bool) -> bool:
        """Tell the loop whether the disk is full, and return it."""
        needed = self._settings.free_bytes_min * (2 if self._is_full else 1)
        is_full = not has_made or self._files.free_bytes() < needed
        self._tell(self._space_became, is_full)
        return is_full

    # --- back in the loop's thread ---------------------------------------------------------------

    def _became_durable(self, mark: int) -> None:
        if not self._has_failed:
            self._durable = mark
            self._on_durable(mark)

    def _space_became(self, is_full: bool) -> None:
        if is_full != self._is_full:
            self._is_full = is_full
            self._on_space(is_full)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread; any error that ends it is reported, or it would not be noticed."""
        try:
            work()
        except _EndedError:
            pass  # reported where it failed
        except BaseException as error:  # noqa: BLE001  # bugs too: the loop ends the node
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._has_failed = True
        self._tell(self._failed, error)

    def _failed(self, error: BaseException) -> None:
        if not self._has_reported_failure:
            self._has_reported_failure = True
            self._on_failure(error)

    def _tell(self, function: Callable[..., None], argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no callback waits any more
            self._post(function, argument)


class _EndedError(Exception):
    """The log has failed before; the thread ends."""


_WRITE_AND_SYNC = 2


def _nowhere(*_: object) -> None:
    invariant(False, "the log is started before it is written")
