"""Does on a real disk what `wire.journal` asks for. Holds no opinion about the log."""

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from quorate.base.errors import StorageError
from quorate.runtime.descriptors import RESERVE, SHORTAGE
from quorate.wire.fileops import Create, FileOp, Remove, Rename, Sync, SyncDirectory, Write

FILL_BYTES = 1024 * 1024
BUFFERS_MAX = min(os.sysconf("SC_IOV_MAX"), 1024)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No room: on the disk, in a quota, or within the limit of a file's size (`ulimit -f`)."""
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def storage_error(error: OSError, what: str) -> StorageError:
    """The error of our tree for what the system said while doing `what`."""
    if error.errno in FULL:
        return StorageError("disk_full", f"{what}: no space is left on the disk; make some")
    if error.errno in SHORTAGE:
        return StorageError(
            "too_many_files",
            f"{what}: no file descriptor is left. Raise the limit of open files (LimitNOFILE, "
            "ulimit -n), or lower quorate.limits.http_connections_max",
        )
    if error.errno in _FORBIDDEN:
        return StorageError(
            "permission",
            f"{what}: {error.strerror}. Give the user that runs Quorate the right to read and "
            "write there, and check that the file system is mounted for writing",
        )
    if error.errno == errno.ENOENT:
        return StorageError(
            "corrupt",
            f"{what}: {error.strerror}. See whether somebody removed it while it was in use, or "
            "whether files can be made at that place at all",
        )
    return StorageError(
        "corrupt",
        f"{what}: {error.strerror}. The disk may be failing: look at the system's log",
    )


def opened(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file; a shortage of descriptors is bridged by the reserve.

    Raises:
        OSError: As the system says.
    """
    return RESERVE.opened(lambda: os.open(path, flags | os.O_CLOEXEC, mode))


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: As the system says.
    """
    descriptor = opened(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Files:
    """The directory of one log.

    Writes and syncs come from one thread at a time; a Create may run beside them.

    Args:
        directory: Must exist.
        is_durable: False leaves out every sync: for development, where a power cut may cost
            everything.
    """

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        self._directory = directory
        self._is_durable = is_durable
        self._name: str = ""  # of the one file kept open: the newest segment
        self._descriptor = -1

    def files(self) -> dict[str, int]:
        """Name and size of every file.

        Raises:
            StorageError: As `storage_error` says.
        """
        try:
            entries = sorted(self._directory.iterdir())
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError as error:
            raise storage_error(error, f"reading {self._directory}") from error

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file, fewer at its end.

        Raises:
            StorageError: As `storage_error` says.
        """
        try:
            with RESERVE.opened(lambda: (self._directory / name).open("rb")) as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise storage_error(error, f"reading {self._directory / name}") from error

    def do(self, operation: FileOp, *, is_gentle: bool = False) -> None:
        """Do one operation.

        Args:
            operation: Which.
            is_gentle: A Create may take twice as long, so that others get at the disk meanwhile.

        Raises:
            StorageError: `disk_full`: a Create left nothing behind, a Write may be repeated.
                `too_many_files`: nothing was done; the operation may be repeated, whichever.
                After any other error, and after every error of Sync, nothing may be written or
                synced any more: the system may have marked as clean what it could not write.
        """
        try:
            self._do(operation, is_gentle=is_gentle)
        except OSError as error:
            what = f"{type(operation).__name__.lower()} in {self._directory}"
            is_sync = isinstance(operation, Sync | SyncDirectory)
            if is_sync and error.errno not in SHORTAGE:  # a shortage comes before any sync
                raise StorageError(
                    "corrupt",
                    f"{what}: {error.strerror}. What was written may be lost, so the node ends; "
                    "look at the system's log and at the disk, then start it again",
                ) from error
            raise storage_error(error, what) from error

    def free_bytes(self) -> int:
        """What the file system still offers to this user.

        Raises:
            StorageError: As `storage_error` says.
        """
        try:
            status = os.statvfs(self._directory)
        except OSError as error:
            raise storage_error(error, f"asking for space in {self._directory}") from error
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Let go of the open file, without a sync."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._name, self._descriptor = "", -1

    def _do(self, operation: FileOp, *, is_gentle: bool) -> None:
        if isinstance(operation, Write):
            write_all(self._opened(operation.name), operation.offset, operation.buffers)
            return
        if isinstance(operation, Sync):
            if self._is_durable:
                os.fdatasync(self._opened(operation.name))
            return
        match operation:
            case SyncDirectory():
                if self._is_durable:
                    sync_directory(self._directory)
            case Create(name, size):
                self._create(self._directory / name, size, is_gentle=is_gentle)
            case Rename(old, new):
                self._forget(old)
                (self._directory / old).rename(self._directory / new)
            case Remove(name):
                self._forget(name)
                (self._directory / name).unlink()

    def _forget(self, name: str) -> None:
        if name == self._name:
            self.close()

    def _opened(self, name: str) -> int:
        if name != self._name:
            self.close()
            self._descriptor = opened(self._directory / name, os.O_RDWR)
            self._name = name
        return self._descriptor

    def _create(self, path: Path, size: int, *, is_gentle: bool) -> None:
        """Allocated and written: a sync of what is written there later changes no metadata."""
        descriptor = opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            os.posix_fallocate(descriptor, 0, size)
            if self._is_durable:
                _fill(descriptor, size, is_gentle=is_gentle)
                os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one that is reported
                path.unlink()
            raise
        finally:
            os.close(descriptor)


def _fill(descriptor: int, size: int, *, is_gentle: bool) -> None:
    """Write zeros; if gently, piece by piece to the disk, and half of the time nothing.

    All at once would hold up every sync of this disk until the last byte is written.
    """
    zeros = bytes(min(FILL_BYTES, size))
    for offset in range(0, size, len(zeros)):
        began_s = time.perf_counter()
        write_all(descriptor, offset, [zeros[: size - offset]])
        if is_gentle:
            os.fdatasync(descriptor)
            time.sleep(time.perf_counter() - began_s)


def write_all(descriptor: int, offset: int, buffers: Sequence[bytes]) -> None:
    """Write buffers one behind the other, gathered, however often the system stops short.

    Raises:
        OSError: As the system says.
    """
    if len(buffers) <= BUFFERS_MAX and os.pwritev(descriptor, buffers, offset) == sum(
        map(len, buffers)
    ):
        return  # nearly always all are written at once
    waiting: list[bytes | memoryview] = list(buffers)
    while waiting:
        written = os.pwritev(descriptor, waiting[:BUFFERS_MAX], offset)
        offset += written
        done = 0
        while done < len(waiting) and written >= len(waiting[done]):
            written -= len(waiting[done])
            done += 1
        del waiting[:done]
        if written:
            waiting[0] = memoryview(waiting[0])[written:]
