"""Write-back: changed pages of the tables go to disk a few at a time: no burst delays a sync.

The tables are not synced while a node runs (TAB-2). Left to itself, the kernel writes all pages
that were changed half a minute ago at once, and each sync of the log waits for the disk meanwhile:
around a large restore for 50 to 400 ms. So a thread goes through the file again and again, and has
one piece of it after another written. That makes nothing durable, and nothing depends on it.

Source: sync_file_range(2); RocksDB does so with its setting bytes_per_sync.
"""

import ctypes
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

PIECE_BYTES = 8 * 1024 * 1024
"""The disk needs some 20 ms for so much."""

ROUND_S, ROUND_S_MAX = 2.0, 25.0
"""Seconds in which the file is gone through; the kernel writes what is older than 30 s."""

PAUSE_S_MIN = 0.02
"""Between two pieces: so often the thread takes the interpreter from the event loop at most."""

_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin to write, do not wait for the end

WriteOut = Callable[[int, int, int], object]
"""Begins to write the changed pages of a descriptor, from an offset on, so many bytes."""


class WritePlan(NamedTuple):
    """How one pass through the file is made: so many bytes at a time, with a pause after each."""

    piece_bytes: int
    pause_s: float


def round_through(size_bytes: int) -> WritePlan:
    """The pieces for a file of this size: a large file takes longer, then larger pieces."""
    pieces_max = int(ROUND_S_MAX / PAUSE_S_MIN)
    piece_bytes = max(PIECE_BYTES, math.ceil(size_bytes / pieces_max))
    pieces = max(math.ceil(size_bytes / piece_bytes), 1)
    return WritePlan(piece_bytes, max(ROUND_S / pieces, PAUSE_S_MIN))


def system_write_out() -> WriteOut | None:
    """The system's call; None: it has none."""
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return None

    def write_out(descriptor: int, offset: int, size: int) -> None:
        call(descriptor, ctypes.c_int64(offset), ctypes.c_int64(size), _WRITE)

    return write_out


class WriteBack:
    """Has the changed pages of a file written back, in a thread.

    Args:
        path: The file. It may be replaced at any time.
        version: Changes with every change of the file; without one, nothing is done.
        write_out: See `system_write_out`.
    """

    def __init__(self, path: Path, version: Callable[[], int], write_out: WriteOut) -> None:
        self._path = path
        self._version = version
        self._write_out = write_out
        self._stopping = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin; without a thread, if the system has none left, the kernel does as it would."""
        thread = Thread(target=self._run, name="write-back", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def close(self) -> None:
        """End the thread. Blocks while one piece is begun."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        seen = self._version()
        while not self._stopping.wait(ROUND_S):
            version = self._version()
            if version != seen:
                seen = version
                with suppress(OSError):  # replaced, or no descriptor left: there is a next round
                    self.go_through()

    def go_through(self) -> None:
        """Go once through the file.

        Raises:
            OSError: It cannot be opened.
        """
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            piece_bytes, pause_s = round_through(size)
            for offset in range(0, size, piece_bytes):
                self._write_out(descriptor, offset, piece_bytes)
                if self._stopping.wait(pause_s):
                    break
        finally:
            os.close(descriptor)
