"""Unix sockets to listen on: a file each, with an owner, that a dead process may leave behind."""

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from quorate.net.listening import BACKLOG

_OWNER_ONLY = 0o177  # as umask: until the owner and mode are set


class SocketSettings(msgspec.Struct, frozen=True):
    """Owner and mode of the files of Unix sockets; empty: the system's defaults."""

    user: str = ""
    group: str = ""
    mode: int | None = None


class UnixListener:
    """A bound and listening Unix socket, with its file; missing folders are created.

    A file that a dead process left behind is replaced.

    Raises:
        OSError: It cannot be created; `EADDRINUSE` if a process listens there.
    """

    def __init__(self, path: Path, settings: SocketSettings) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = path
        self._inode = 0
        has_owner = settings != SocketSettings()
        try:
            before = os.umask(_OWNER_ONLY) if has_owner else -1
            try:
                self.socket.bind(str(path))
            finally:
                if has_owner:
                    os.umask(before)
            self._inode = path.stat().st_ino
            user = _id_of(settings.user, lambda name: pwd.getpwnam(name).pw_uid)
            group = _id_of(settings.group, lambda name: grp.getgrnam(name).gr_gid)
            if user != -1 or group != -1:
                os.chown(path, user, group)
            if settings.mode is not None:
                path.chmod(settings.mode)
            self.socket.listen(BACKLOG)
        except BaseException:
            self.socket.close()
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there."""
        with contextlib.suppress(OSError):  # it has been removed
            if self._inode and self._path.stat().st_ino == self._inode:
                self._path.unlink()


def _remove_left_over(path: Path) -> None:
    """Remove the file of a process that has ended, and no other file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _id_of(name: str, find: Callable[[str], int]) -> int:
    """The number of a user or group, by name or number; -1, which changes nothing, if empty."""
    if not name or name.isdigit():
        return int(name or -1)
    try:
        return find(name)
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no user or group {name!r}") from None
