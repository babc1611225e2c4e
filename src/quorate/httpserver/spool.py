"""Spool: long bodies are written to disk as they arrive.

A thread writes what has arrived since its last call; the connection of a client that sends faster
than the disk writes is not read meanwhile (`is_full`). The files have no names, so that none
remains however the process ends. Their number is limited, and each keeps the reserved disk space
free.
"""

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from quorate.base.errors import StorageError

WAITING_BYTES_MAX = 1024 * 1024
"""The connection is not read while so much waits for the disk."""

CLOSED_BYTES_MAX = 8 * 1024 * 1024
"""A longer file is closed in another thread."""

LOOK_BYTES = 4 * 1024 * 1024
"""The free space is checked again after so many bytes."""

_CODES = {
    errno.EMFILE: "too_many_files",
    errno.ENFILE: "too_many_files",
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
}
_PREFIX = "spool-"  # of names that exist briefly on file systems that need one


class Space:
    """The directory for files without names, and the space that must stay free there.

    Args:
        directory: "": the directory for temporary files of the system.
        free_bytes_min: The space that must stay free.
        what: What the files hold, for error texts: "a snapshot".
    """

    def __init__(self, directory: str, free_bytes_min: int, what: str = "a body") -> None:
        self.what = what
        self._directory = directory or tempfile.gettempdir()
        self._free_bytes_min = free_bytes_min
        if directory:
            for left in Path(directory).glob(f"{_PREFIX}*"):  # of a process that was killed
                left.unlink(missing_ok=True)

    def need(self, size: int) -> None:
        """Check that this much may be written.

        Raises:
            StorageError: `disk_full`: the space would not suffice.
        """
        status = os.statvfs(self._directory)
        if status.f_bavail * status.f_frsize - size < self._free_bytes_min:
            text = (
                f"no space for {self.what}: {size} bytes more would leave less than "
                f"{self._free_bytes_min} bytes free in {self._directory}"
            )
            raise StorageError("disk_full", text)

    def file(self) -> "SpaceFile":
        """An empty file that is deleted when it is closed.

        Raises:
            StorageError: `too_many_files`, `disk_full`.
        """
        self.need(0)
        try:
            file = tempfile.TemporaryFile(dir=self._directory, prefix=_PREFIX)  # noqa: SIM115 - SpaceFile closes it
        except OSError as error:
            code = _CODES.get(error.errno or 0, "permission")
            text = f"no file for {self.what} could be made in {self._directory}: {error.strerror}"
            raise StorageError(code, text) from error
        return SpaceFile(file, self)


class SpaceFile:
    """A file that keeps the reserved disk space free.

    Args:
        file: Empty; closed with this.
        space: The directory that it is in.

    Attributes:
        file: To be read.
        size: The bytes that were written.
    """

    def __init__(self, file: IO[bytes], space: Space) -> None:
        self.file = file
        self.size = 0
        self._space = space
        self._unlooked_bytes = LOOK_BYTES

    def write(self, data: bytes) -> None:
        """Append. Blocks.

        Raises:
            StorageError: `disk_full`.
        """
        self._unlooked_bytes += len(data)
        if self._unlooked_bytes >= LOOK_BYTES:
            self._unlooked_bytes = 0
            self._space.need(LOOK_BYTES)
        try:
            self.file.write(data)
        except OSError as error:
            raise StorageError(
                "disk_full", f"writing {self._space.what}: {error.strerror}"
            ) from error
        self.size += len(data)

    def flush(self) -> None:
        """Does nothing: it is read through the same file object."""

    def rewind(self) -> IO[bytes]:
        """The file, at its start."""
        self.file.seek(0)
        return self.file

    def close(self) -> None:
        """Close and so delete it. Cost: for 1 GiB the system takes some 100 ms."""
        self.file.close()

    def close_soon(self) -> None:
        """Close it, in another thread if it is long; for the loop's thread."""
        if self.size > CLOSED_BYTES_MAX:
            with contextlib.suppress(RuntimeError):  # the system has no thread for it
                asyncio.get_running_loop().run_in_executor(None, self.close)
                return
        self.close()


class Spool:
    """One body on its way to disk; a `sink.BodySink`. All methods are for the loop's thread.

    Args:
        file: Takes the body; closed with this.
        on_closed: Called once, when it is closed.

    Attributes:
        waiting_bytes: The bytes that are not written yet.
        error: Why the rest is not written.
    """

    def __init__(self, file: SpaceFile, on_closed: Callable[[], None]) -> None:
        self._file = file
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._is_writing = False
        self._is_closed = False
        self._then: Callable[[], None] | None = None
        self.waiting_bytes = 0
        self.error: BaseException | None = None
        self._on_change: Callable[[], None] = _nothing

    @property
    def is_full(self) -> bool:
        """Whether the client should wait."""
        return self.waiting_bytes >= WAITING_BYTES_MAX

    def call_on_change(self, on_change: Callable[[], None]) -> None:
        """From now on call this when some of it was written, or failed."""
        self._on_change = on_change

    def write(self, piece: bytes) -> None:
        """Take a piece."""
        if self._is_closed or self.error is not None:
            return
        self._pieces.append(piece)
        self.waiting_bytes += len(piece)
        if not self._is_writing:
            self._begin()

    def whole(self, then: Callable[[], None]) -> None:
        """The body is complete: call `then` when all is written, or has failed (`error`)."""
        self._then = then
        self._go_on()

    def rewound(self) -> IO[bytes]:
        """The body, from its start, once it is whole."""
        return self._file.rewind()

    def close(self) -> None:
        """Close it; a write in progress ends first."""
        if not self._is_closed:
            self._is_closed = True
            self._pieces = []
            self._on_closed()
            if not self._is_writing:
                self._file.close_soon()

    def _begin(self) -> None:
        self._is_writing = True
        pieces, self._pieces = self._pieces, []
        size = sum(map(len, pieces))

        def written(future: asyncio.Future[None]) -> None:
            self._is_writing = False
            self.waiting_bytes -= size
            if self._is_closed:
                self._file.close_soon()
            elif not future.cancelled():
                self.error = future.exception()
                self._go_on()

        def write() -> None:
            for piece in pieces:
                self._file.write(piece)

        try:
            self._loop.run_in_executor(None, write).add_done_callback(written)
        except RuntimeError as error:  # the system has no thread for it
            self._is_writing = False
            self.waiting_bytes -= size
            self.error = error

    def _go_on(self) -> None:
        if self._is_writing:
            return  # one thread at a time; its end calls this again
        if self.error is None and self._pieces:
            self._begin()
        elif self._then is not None:
            then, self._then = self._then, None
            then()
        self._on_change()


def _nothing() -> None:
    pass
