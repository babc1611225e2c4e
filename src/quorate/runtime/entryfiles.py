"""Entry files: services and checks of this agent in its data directory, one file each.

```text
services/NAME.json   a service; NAME is the SHA-256 of its id
checks/NAME.json     a check, with its last status and output
services/adopted     what an older version registered was taken from the catalog, or there was none
```

ENT-1: a file is replaced atomically and synced, and so is its directory: whoever waits for `sync`
    finds it after a power cut.
ENT-2: a file that cannot be read, or has no entry in it, is named in the log and renamed to
    `NAME.bad`; the others are read all the same.
ENT-3: the mark `adopted` is written after everything that was written before it, and only if none
    of that failed: a directory with the mark has all of it.

One thread writes, so that the event loop never waits for the disk. Of several writes of one entry
that wait, only the last is written.
"""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from quorate.runtime.fileops import opened, sync_directory, write_all

BATCH_MAX = 256
"""Files that are written before their directories are synced."""

FILES_MAX = 100_000
"""Files of a folder that are read; more are left alone."""

FILE_BYTES_MAX = 8 * 1024 * 1024
"""The longest file; see `localstate.entries`."""

ADOPTED = "adopted"
"""The file in `services/` that says: rows of the catalog were taken (ENT-3)."""

Key = tuple[str, str]
Post = Callable[[Callable[[], None]], object]


class FileWriter:
    """Writes entries. Fills `localstate.ports.EntryFiles`.

    Args:
        path: The data directory; the folders are made in it.
        post: Runs a call in the event loop's thread.
        log: The logger.

    Raises:
        OSError: The folders cannot be made.
    """

    def __init__(self, path: Path, post: Post, log: FilteringBoundLogger) -> None:
        self._folders = folders(path)
        for folder in self._folders.values():
            folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(path)
        self._post = post
        self._log = log
        self._waiting: dict[Key, bytes | None] = {}
        self._done: list[Callable[[], None]] = []
        self._condition = threading.Condition()
        self._is_stopped = False
        self._is_to_mark = False
        self._has_failed = False  # some file was not written, ever
        self._thread = threading.Thread(target=self._run, name="entry files", daemon=True)
        self._thread.start()

    def write(self, key: Key, data: bytes | None) -> None:
        """See `localstate.ports.EntryFiles.write`."""
        with self._condition:
            self._waiting[key] = data
            self._condition.notify()

    def sync(self, done: Callable[[], None]) -> None:
        """See `localstate.ports.EntryFiles.sync`."""
        with self._condition:
            self._done.append(done)
            self._condition.notify()

    def mark_adopted(self) -> None:
        """Write the mark when all that was written so far is on disk; see ENT-3."""
        with self._condition:
            self._is_to_mark = True
            self._condition.notify()

    def stop(self) -> None:
        """Write what waits, and end. Blocks until then."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._waiting or self._done or self._is_to_mark or self._is_stopped):
                    self._condition.wait()
                if not self._waiting and not self._done and not self._is_to_mark:
                    return
                batch = list(self._waiting.items())[:BATCH_MAX]
                for key, _ in batch:
                    del self._waiting[key]
                done: list[Callable[[], None]] = []
                marks = False
                if not self._waiting:
                    done, self._done = self._done, []
                    marks, self._is_to_mark = self._is_to_mark, False
            try:
                self._write(batch)
                if marks and not self._has_failed:
                    mark_adopted(self._folders["service"])
            except OSError as error:
                self._has_failed = True
                self._log.error("services and checks could not be stored", why=str(error))
            if done:
                self._call(done)

    def _call(self, done: list[Callable[[], None]]) -> None:
        try:
            self._post(partial(_call_all, done))
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _write(self, batch: list[tuple[Key, bytes | None]]) -> None:
        touched: set[Path] = set()
        fault: OSError | None = None
        for (kind, name), data in batch:
            folder = self._folders[kind]
            touched.add(folder)
            try:
                _write_file(folder, name, data)
            except OSError as error:  # the others may be written
                fault = error
        for folder in touched:
            sync_directory(folder)
        if fault is not None:
            raise fault


def _write_file(folder: Path, name: str, data: bytes | None) -> None:
    path = folder / file_name(name)
    if data is None:
        path.unlink(missing_ok=True)
        return
    new = path.with_suffix(".new")
    descriptor = opened(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(descriptor, 0, [data])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)


def mark_adopted(folder: Path) -> None:
    """Write the mark into the folder of services, durably.

    Raises:
        OSError: It could not be written.
    """
    os.close(opened(folder / ADOPTED, os.O_WRONLY | os.O_CREAT))
    sync_directory(folder)


def is_adopted(path: Path) -> bool:
    """Whether a data directory has the mark."""
    return (folders(path)["service"] / ADOPTED).exists()


def _call_all(done: list[Callable[[], None]]) -> None:
    for call in done:
        call()


def folders(path: Path) -> dict[str, Path]:
    """The folder of each kind of entry in a data directory."""
    return {"service": path / "services", "check": path / "checks"}


def file_name(name: str) -> str:
    """The file of an entry, whatever characters are in its id."""
    return f"{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}.json"


def read_entries(
    path: Path, kind: str, log: FilteringBoundLogger, take: Callable[[bytes], None]
) -> int:
    """Read the files of one kind, in the order of their names. Blocks.

    Args:
        path: The data directory.
        kind: "service" or "check".
        log: The logger.
        take: Gets the content of each; a `ValueError` of it sets the file aside (ENT-2).

    Returns:
        How many were taken.
    """
    count = 0
    for file in _files_of(folders(path)[kind], log):
        try:
            with file.open("rb") as stream:
                data = stream.read(FILE_BYTES_MAX + 1)
            take(data)
        except (OSError, ValueError) as error:
            why = str(error)
            log.warning("a stored service or check is damaged: set aside", file=str(file), why=why)
            _set_aside(file, log)
        else:
            count += 1
    return count


def _files_of(folder: Path, log: FilteringBoundLogger) -> Iterator[Path]:
    if not folder.is_dir():
        return
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".json")
    if len(names) > FILES_MAX:
        log.error("too many stored services or checks: the rest is left out", folder=str(folder),
                  files=len(names), read=FILES_MAX)  # fmt: skip
    for name in names[:FILES_MAX]:
        yield folder / name


def _set_aside(file: Path, log: FilteringBoundLogger) -> None:
    try:
        file.replace(file.with_suffix(".bad"))
    except OSError as error:
        log.warning("a damaged file could not be renamed", file=str(file), why=str(error))
