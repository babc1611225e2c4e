"""An LMDB file whose blocks are allocated ahead, so that a full disk is an error and no signal.

With a writable map a page without a block kills the process when it is written. So the map is
never larger than what `posix_fallocate` has reserved, and both grow together, in steps, between
transactions. Not taken: LMDB's usual huge sparse map. File systems that copy on write promise
nothing by allocation: there the map is read-only and LMDB writes by itself.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

import lmdb

from quorate.base.errors import StorageError
from quorate.runtime.descriptors import RESERVE, SHORTAGE
from quorate.runtime.fileops import FULL, opened, storage_error

MIB = 1024 * 1024
STEP_BYTES = 64 * MIB
FIRST_BYTES = 8 * MIB
"""An empty file: half of it is kept free, and that is four batches of the largest size."""

_STEP_BYTES_MIN = MIB
_COPY_ON_WRITE = frozenset({"btrfs", "zfs", "bcachefs", "nfs", "nfs4", "cifs", "fuse"})
_LOOK_EVERY = 8
"""Commits between two looks at the room left; a transaction that finds none is tried again."""

_READERS_MAX = 16
_WANTED_MAX = 1024 * MIB
"""So much of a file is read ahead when it is opened: each cold page costs a disk access."""


class MapFile:
    """One LMDB environment in one file.

    Args:
        path: Created if missing.
        step_bytes: How much to allocate at a time, at most: a small file is doubled.
        is_write_map: None: where the file system allows.

    Raises:
        StorageError: `disk_full`, `corrupt` (not an LMDB file), `permission`, `too_many_files`.
    """

    def __init__(
        self, path: Path, *, step_bytes: int = STEP_BYTES, is_write_map: bool | None = None
    ) -> None:
        self.path = path
        self._step_bytes = step_bytes
        self._countdown = 0
        if is_write_map is None:
            is_write_map = file_system_of(path.parent) not in _COPY_ON_WRITE
        size = path.stat().st_size if path.exists() else 0
        self._size_bytes = _rounded(max(size, min(step_bytes, FIRST_BYTES)))
        self._wanted_bytes = self._usual_bytes = self._half()
        self.env = self._opened(is_write_map)
        try:
            self._descriptor = opened(path, os.O_RDWR)  # kept: growing must not need a new one
        except OSError as error:
            self.env.close()
            raise storage_error(error, f"opening {path}") from error
        if size:
            with suppress(OSError):  # only advice
                wanted = min(self.used_bytes, _WANTED_MAX)
                os.posix_fadvise(self._descriptor, 0, wanted, os.POSIX_FADV_WILLNEED)
        if not self._allocate(0, self._size_bytes):
            self.close()
            raise StorageError("disk_full", f"no room for the first {self._size_bytes} bytes")

    def renamed(self, path: Path) -> None:
        """The file has another name now."""
        self.path = path

    def _opened(self, is_write_map: bool) -> lmdb.Environment:
        def opening() -> lmdb.Environment:
            return lmdb.open(
                str(self.path),
                subdir=False,
                map_size=self._size_bytes,
                metasync=False,
                sync=False,
                writemap=is_write_map,
                map_async=is_write_map,
                readahead=False,
                max_readers=_READERS_MAX,
                mode=0o600,
            )

        try:
            return opening()
        except lmdb.Error as error:
            if error.code not in SHORTAGE or not RESERVE.has_given_up():
                raise translated(error, str(self.path)) from error
        try:
            return opening()
        except lmdb.Error as error:
            raise translated(error, str(self.path)) from error

    def _half(self) -> int:
        """What shall be free before a transaction: half of the file, or of a step if that is less.

        A transaction copies each page at most once, so half of a small file is enough.
        """
        return min(self._size_bytes, self._step_bytes) // 2

    @property
    def size_bytes(self) -> int:
        """What is allocated."""
        return self._size_bytes

    @property
    def used_bytes(self) -> int:
        """Up to the last page that was ever used."""
        return (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]

    def begin(self) -> "lmdb.Transaction[bytes]":
        """Open a write transaction, growing first where room is short. No reader may be open."""
        self._countdown -= 1
        if self._countdown < 0:
            self._countdown = _LOOK_EVERY
            self.grow()
        try:
            return self.env.begin(write=True)
        except lmdb.Error as error:
            raise translated(error, str(self.path)) from error

    def has_overflowed(self) -> None:
        """A transaction found no room: try to have much more of it before the next one.

        It copies each page at most once, so twice the file is always enough for small commands.
        """
        most = 2 * max(self._size_bytes, self._step_bytes)
        self._wanted_bytes = min(self._wanted_bytes * 8, most)
        self._countdown = 0

    def has_fitted(self) -> None:
        """A transaction found room."""
        self._wanted_bytes = self._usual_bytes

    def sync(self) -> None:
        """Make everything committed durable. Cost: a sync of all that was changed."""
        try:
            self.env.sync(True)
        except lmdb.Error as error:
            raise translated(error, str(self.path)) from error

    def close(self) -> None:
        """Close the file; open transactions are aborted."""
        self.env.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def grow(self) -> None:
        """Grow if less is free than the next transaction may need. No transaction may be open."""
        lacking = self._wanted_bytes - (self._size_bytes - self.used_bytes)
        if lacking <= 0:
            return
        step_bytes = min(self._step_bytes, self._size_bytes)  # a small file is doubled
        growth = max(lacking, step_bytes, self._size_bytes // 4)
        while growth >= min(_STEP_BYTES_MIN, self._step_bytes):
            size = _rounded(self._size_bytes + growth)
            if self._allocate(self._size_bytes, size):
                self.env.set_mapsize(size)
                self._size_bytes = size
                self._usual_bytes = self._half()
                return
            growth //= 2  # a nearly full disk may still have a little

    def _allocate(self, begin: int, end: int) -> bool:
        """Reserve blocks; False, and everything as before, if there are not enough."""
        try:
            os.posix_fallocate(self._descriptor, begin, end - begin)
        except OSError as error:
            if error.errno not in FULL:
                raise
            if begin > 0:
                os.ftruncate(self._descriptor, begin)  # give back what was reserved
            return False
        return True


def translated(error: lmdb.Error, where: str) -> StorageError:
    """LMDB's error as the error of the port."""
    if isinstance(error, lmdb.MapFullError) or error.code in FULL:
        return StorageError("disk_full", f"{where}: no room for this transaction")
    if error.code in SHORTAGE:
        return storage_error(OSError(error.code, str(error)), where)
    if error.code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError("permission", f"{where}: {error}")
    return StorageError("corrupt", f"{where}: {error}")


def file_system_of(directory: Path) -> str:
    """The type of the file system that holds a directory; "" if unknown.

    Raises:
        StorageError: `too_many_files`.
    """
    place = str(directory.resolve())
    best, kind = "", ""
    try:
        mounts = RESERVE.opened(Path("/proc/self/mounts").read_text)
    except OSError as error:
        if error.errno in SHORTAGE:
            raise storage_error(error, "reading /proc/self/mounts") from error
        return ""  # no such file on other systems: there LMDB may write as it likes
    for line in mounts.splitlines():
        _, point, name, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        is_above = place == point or place.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):
            best, kind = point, name.split(".")[0]
    return kind


def _rounded(size: int) -> int:
    return -(-size // MIB) * MIB if size >= MIB else -(-size // 4096) * 4096
