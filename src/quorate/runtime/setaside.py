"""Setting a data directory aside: its content is kept for an operator, the node starts empty.

For a directory that must not be used again although nothing in it is damaged: an old copy of itself
has forgotten what the node acknowledged (`docs/protocol/rollback.md`).

ASD-1: after a crash in between, the next start moves the rest before it looks at the directory: a
    node never sees a part of what was set aside.
"""

import os
import time
from pathlib import Path

from quorate.base.errors import StorageError
from quorate.runtime.fileops import storage_error, sync_directory

PREFIX = "set-aside-"
_MOVING = "moving"
_KEPT_MAX = 3
"""With so many, an operator should look at them before another one takes space."""

ENTRIES = ("entries", "services", "checks")
"""Folders of what was registered with this agent (`runtime.entrystore`): the node's next id needs
it as much as the old one did."""

_STAYS = frozenset({"lock", "lost+found", *ENTRIES})


def set_aside(path: Path) -> Path:
    """Move all of a data directory but its entries into a folder in it; the caller holds the lock.

    Returns:
        The folder, `set-aside-TIME`.

    Raises:
        StorageError: `disk_full`, `permission` and others of the file system; `foreign`: too many
            were set aside before and are still there.
    """
    kept = folders(path)
    if len(kept) >= _KEPT_MAX:
        raise StorageError(
            "foreign",
            f"{path} holds {len(kept)} directories that were set aside: look at them, and delete "
            "what nobody needs",
        )
    folder = path / f"{PREFIX}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    try:
        folder.mkdir(mode=0o700)
        (folder / _MOVING).touch()
        sync_directory(folder)
        sync_directory(path)
        _move(path, folder)
    except OSError as error:
        raise storage_error(error, f"setting {path} aside") from error
    return folder


def finish(path: Path) -> None:
    """Go on where a crash ended `set_aside` (ASD-1); the caller holds the lock.

    Raises:
        StorageError: Of the file system.
    """
    try:
        for folder in folders(path):
            if (folder / _MOVING).exists():
                _move(path, folder)
    except OSError as error:
        raise storage_error(error, f"setting {path} aside") from error


def folders(path: Path) -> list[Path]:
    """What was set aside in a data directory, oldest first."""
    return sorted(each for each in path.iterdir() if each.name.startswith(PREFIX))


def _move(path: Path, folder: Path) -> None:
    for entry in sorted(path.iterdir()):
        if entry.name not in _STAYS and not entry.name.startswith(PREFIX):
            os.rename(entry, folder / entry.name)  # noqa: PTH104 - over what is there, as a crash left it
    sync_directory(folder)
    sync_directory(path)
    (folder / _MOVING).unlink()
    sync_directory(folder)
