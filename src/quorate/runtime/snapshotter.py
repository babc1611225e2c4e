"""Taking snapshots beside the running node, and taking in those of peers.

Both keep away from the node's one thread as far as Python lets them: a snapshot reads a held view
in pieces of some hundred microseconds and rests as long after each, so that it takes at most
half of what one core can do, and the loop waits for no more than one piece.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Event, Thread

from quorate.base.effects import Install
from quorate.base.errors import StorageError
from quorate.base.ids import Slot
from quorate.runtime.heldviews import HeldRows, Row
from quorate.runtime.snapshots import SnapshotWriter, prune, rows_in_chunks, slot_of
from quorate.runtime.tables import LmdbTables

REST_S_MAX = 0.05

_CHUNKS_WAITING_MAX = 16
"""Chunks of a peer's snapshot that wait for the disk, of about 128 KiB each."""

Post = Callable[[Callable[[], None]], object]
"""Has something called in the node's thread: `loop.call_soon_threadsafe`."""

Failed = Callable[[StorageError], None]


class Snapshotter:
    """Takes one snapshot at a time, in a thread.

    Args:
        directory: Of the snapshots; must exist.
        tables: Whose.
        post: Has a callback run in the node's thread.

    Attributes:
        rows, bytes: Progress of the snapshot under way, or of the last one.
    """

    def __init__(self, directory: Path, tables: LmdbTables, post: Post) -> None:
        self._directory = directory
        self._tables = tables
        self._post = post
        self._thread: Thread | None = None
        self._stop = Event()
        self.rows = 0
        self.bytes = 0
        prune(directory)

    @property
    def is_running(self) -> bool:
        """Whether one is under way."""
        return self._thread is not None

    def start(self, on_done: Callable[[Slot], None], on_failed: Failed) -> bool:
        """Begin a snapshot of the tables as they are now; False if that must wait.

        It must while another one is under way, and while a batch is half applied.

        Args:
            on_done: Called in the node's thread: a durable snapshot of that slot exists.
            on_failed: The same, if it does not; nothing is left behind.
        """
        if self._thread is not None or self._tables.is_writing:
            return False
        self._stop.clear()
        slot, view = slot_of(self._tables), self._tables.hold()
        self.rows = self.bytes = 0

        def run() -> None:
            try:
                is_whole = self._take(slot, view)
            except StorageError as error:
                failure = error
                self._post(lambda: self._end(lambda: on_failed(failure)))
            else:
                self._post(lambda: self._end(lambda: on_done(slot) if is_whole else None))
            finally:
                view.close()

        self._thread = Thread(target=run, name="snapshot", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> None:
        """Give up the snapshot under way and wait for its thread; at most a piece's time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _end(self, tell: Callable[[], None]) -> None:
        self._thread = None
        tell()

    def _take(self, slot: Slot, view: HeldRows) -> bool:
        writer = SnapshotWriter(self._directory, slot)
        try:
            began_s = time.monotonic()
            for rows in rows_in_chunks(view):
                writer.put(rows)
                self.rows, self.bytes = writer.rows, writer.bytes
                if self._stop.wait(min(time.monotonic() - began_s, REST_S_MAX)):
                    writer.abandon()
                    return False
                began_s = time.monotonic()
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        with contextlib.suppress(StorageError):  # the next snapshot removes what is too much
            prune(self._directory)
        return True


class _Copy:
    """One copy being written, in a thread of its own.

    Args:
        tables: What the copy will replace.
        directory: Of the snapshots.
        slot: Of the copy.
        ended: Called in the thread: None if the copy is durable, else what broke it.
    """

    def __init__(
        self,
        tables: LmdbTables,
        directory: Path,
        slot: Slot,
        ended: Callable[[StorageError | None], None],
    ) -> None:
        self._tables = tables
        self._directory = directory
        self._slot = slot
        self._ended = ended
        self._chunks: Queue[tuple[tuple[Row, ...], bool] | None] = Queue(_CHUNKS_WAITING_MAX)
        self._is_given_up = False
        self._thread = Thread(target=self._run, name="install", daemon=True)
        self._thread.start()

    def put(self, rows: tuple[Row, ...], *, is_last: bool) -> None:
        """Take a chunk. Blocks while the disk is far behind the peer."""
        self._chunks.put((rows, is_last))

    def give_up(self) -> None:
        """Forget it, and wait for its thread; at most a chunk's time."""
        self._is_given_up = True
        self._chunks.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            is_whole = self._write()
        except StorageError as error:
            self._ended(error)
            while self._chunks.get() is not None:  # until somebody gives it up
                pass
        else:
            if is_whole:
                self._ended(None)

    def _write(self) -> bool:
        self._tables.begin_install()
        writer = SnapshotWriter(self._directory, self._slot)
        try:
            while (chunk := self._chunks.get()) is not None:
                rows, is_last = chunk
                if self._is_given_up:
                    continue
                self._tables.install_rows(rows)
                writer.put(list(rows))
                if is_last:
                    writer.finish()
                    self._tables.sync_install()
                    return True
        except BaseException:
            writer.abandon()
            raise
        writer.abandon()
        return False


class Copies:
    """Takes rows of a peer's snapshot into a fresh copy of the tables; fills the driver's port.

    The same rows are written as a snapshot of this node, so that after a power cut it need not
    ask again for what its log no longer tells. All of it happens in a thread; the loop only puts
    the new file in the place of the old one.

    Args:
        directory: Of the snapshots; must exist.
        tables: What the copy replaces.
        post: Has a callback run in the node's thread.
        on_failed: Called when a copy can not be taken in; the node asks anew by and by.
    """

    def __init__(self, directory: Path, tables: LmdbTables, post: Post, on_failed: Failed) -> None:
        self._directory = directory
        self._tables = tables
        self._post = post
        self._on_failed = on_failed
        self._copy: _Copy | None = None

    def install(self, effect: Install, done: Callable[[], None]) -> None:
        """Take a chunk; `done` is called in the node's thread when the last one is durable."""
        if effect.is_first:
            self.close()
            self._begin(effect.slot, done)
        if self._copy is not None:  # else the rest of a copy that failed
            self._copy.put(effect.rows, is_last=effect.is_last)

    def close(self) -> None:
        """Forget a copy that is not complete."""
        if self._copy is not None:
            self._copy.give_up()
            self._copy = None

    def _begin(self, slot: Slot, done: Callable[[], None]) -> None:
        def ended(error: StorageError | None) -> None:
            self._post(lambda: self._end(copy, error, done))

        copy = self._copy = _Copy(self._tables, self._directory, slot, ended)

    def _end(self, copy: _Copy, error: StorageError | None, done: Callable[[], None]) -> None:
        if copy is not self._copy:
            return  # another one was begun meanwhile
        self.close()
        try:
            if error is not None:
                raise error
            self._tables.finish_install()
        except StorageError as broken:
            self._on_failed(broken)
            return
        with contextlib.suppress(StorageError):  # the next snapshot removes what is too much
            prune(self._directory)
        done()
