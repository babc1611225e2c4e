"""Taking snapshots beside the running node, and taking in those of peers.

Both keep away from the node's one thread as far as Python lets them: a snapshot reads a held view
in pieces of some hundred microseconds and rests as long after each, so that it takes at most
half of what one core can do, and the loop waits for no more than one piece. It rests no more when
it pins much of what changes meanwhile.
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

from quorate.base.effects import Install
from quorate.base.errors import StorageError, invariant
from quorate.base.ids import Slot
from quorate.chunks import Chunk, chunk_of, rows_of
from quorate.runtime.heldviews import HeldRows
from quorate.runtime.snapshots import SnapshotWriter, prune, rows_in_chunks, slot_of
from quorate.runtime.tables import LmdbTables
from quorate.wire.checksum import crc32c

REST_S_MAX = 0.05

Post = Callable[[Callable[[], None]], object]
"""Has something called in the node's thread: `loop.call_soon_threadsafe`."""

Failed = Callable[[BaseException], None]
"""Gets what a thread raised: a `StorageError`, or another error, which is a bug or a shortage."""


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
            except BaseException as error:  # noqa: BLE001 - reported in the node's thread
                failure = error
                self._post(lambda: self._end(lambda: on_failed(failure)))
            else:
                self._post(lambda: self._end(lambda: on_done(slot) if is_whole else None))
            finally:
                view.close()

        thread = Thread(target=run, name="snapshot", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread for it
            view.close()
            on_failed(error)
            return True
        self._thread = thread
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
                writer.put(chunk_of(rows, crc32c), len(rows))
                self.rows, self.bytes = writer.rows, writer.bytes
                rest_s = 0.0 if view.is_pressed else time.monotonic() - began_s
                if self._stop.wait(min(rest_s, REST_S_MAX)):
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


def _nothing() -> None:
    pass


_Waiting = tuple[Chunk, Callable[[], object] | None]
"""A chunk, and what is called when it is stored; None: it is the last one."""


class _Copy:
    """One copy being written, in a thread of its own.

    What the thread raises is reported by `ended`, and chunks are taken (and dropped) until `end`
    or `give_up`. Nothing here blocks the caller: who sends chunks waits until some are stored
    (`node.catchup`), so few are here at a time.

    Args:
        tables: What the copy will replace.
        directory: Of the snapshots.
        slot: Of the copy.
        before: The copy in whose place this one comes; its thread ends first.
        ended: Called in the thread: None if the copy is durable, else what broke it.

    Raises:
        RuntimeError: The system has no thread for it.
    """

    def __init__(
        self,
        tables: LmdbTables,
        directory: Path,
        slot: Slot,
        before: "_Copy | None",
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._tables = tables
        self._directory = directory
        self._slot = slot
        self._before = before
        self._ended = ended
        self._chunks: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._is_given_up = False
        self._is_in_place = False
        self._replaced: Callable[[], None] = _nothing
        self._thread = Thread(target=self._run, name="install", daemon=True)
        self._thread.start()

    def put(self, chunk: Chunk, stored: Callable[[], object] | None) -> None:
        """Take a chunk; `stored` is called in the thread when it is; None: the last one."""
        self._chunks.put((chunk, stored))

    def end(self, replaced: Callable[[], None] = _nothing) -> None:
        """Nothing more comes. Does not wait.

        Args:
            replaced: Called in the thread, to close what the copy has replaced.
        """
        self._replaced = replaced
        self._chunks.put(None)

    def give_up(self) -> None:
        """Forget it. Does not wait.

        Raises:
            InvariantError: It is in the place of the tables already.
        """
        invariant(not self._is_in_place, "no snapshot is asked for while one replaces the tables")
        self.stop()

    def stop(self) -> None:
        """As `give_up`, because the node stops: what is in place already stays there."""
        self._is_given_up = True
        self._chunks.put(None)

    def join(self) -> None:
        """Wait for its thread."""
        self._thread.join()

    def _run(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before.join()  # it has the same files
        try:
            is_whole = self._write()
        except BaseException as error:  # noqa: BLE001 - reported in the node's thread
            self._ended(error)
        else:
            if not is_whole:
                return
            self._ended(None)
        while self._chunks.get() is not None:
            pass
        self._replaced()

    def _write(self) -> bool:
        self._tables.begin_install()
        writer = SnapshotWriter(self._directory, self._slot)
        try:
            while (waiting := self._chunks.get()) is not None:
                chunk, stored = waiting
                if self._is_given_up:
                    continue
                rows = rows_of(chunk.data)
                self._tables.install_rows(rows)
                writer.put(chunk, len(rows))
                if stored is not None:
                    stored()
                else:
                    self._tables.sync_install()
                    writer.finish()
                    self._is_in_place = True
                    self._tables.place_install()
                    with contextlib.suppress(StorageError):  # the next snapshot removes the rest
                        prune(self._directory)
                    return True
        except BaseException:
            writer.abandon()
            raise
        writer.abandon()
        return False


class SnapshotInstaller:
    """Takes rows of a peer's snapshot into a fresh copy of the tables; fills the driver's port.

    The same chunks are written as a snapshot of this node, so that after a power cut it need not
    ask again for what its log no longer has. All of it happens in a thread, also renaming, and
    closing what was replaced; the loop only reads from the other file from then on.

    Args:
        directory: Of the snapshots; must exist.
        tables: What the copy replaces.
        post: Has a callback run in the node's thread.
        on_failed: Called when a snapshot cannot be installed; the node asks again later.
    """

    def __init__(self, directory: Path, tables: LmdbTables, post: Post, on_failed: Failed) -> None:
        self._directory = directory
        self._tables = tables
        self._post = post
        self._on_failed = on_failed
        self._copy: _Copy | None = None
        self._done: Callable[[], None] = _nothing  # of the last chunk
        self._newest: _Copy | None = None  # whose thread may not have ended

    def install(self, effect: Install, done: Callable[[], None]) -> None:
        """Take a chunk; `done` is called in the node's thread when it is stored.

        The last one is when the copy is durable, and in the place of the tables.
        """
        if effect.is_first:
            self._begin(effect.slot)
        if effect.is_last:
            self._done = done
        if self._copy is not None:  # else the rest of a copy that failed
            stored = None if effect.is_last else partial(self._post, done)
            self._copy.put(Chunk(effect.data, effect.crc), stored)

    def close(self) -> None:
        """Forget a copy that is not complete, and wait for its thread, as for earlier ones."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.stop()
        if self._newest is not None:
            self._newest.join()
            self._newest = None

    def _begin(self, slot: Slot) -> None:
        before, self._copy = self._copy, None
        if before is not None:
            before.give_up()

        def ended(error: BaseException | None) -> None:
            self._post(lambda: self._end(copy, error))

        try:
            copy = _Copy(self._tables, self._directory, slot, self._newest, ended)
        except RuntimeError as error:  # the system has no thread for it
            self._on_failed(error)
            return
        self._copy = self._newest = copy

    def _end(self, copy: _Copy, error: BaseException | None) -> None:
        if copy is not self._copy:
            copy.end()  # another one was begun meanwhile
            return
        self._copy = None
        if error is not None:
            copy.end()
            self._on_failed(error)
            return
        copy.end(self._tables.adopt_install())
        self._done()
