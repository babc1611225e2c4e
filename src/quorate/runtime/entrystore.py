"""Entry store: services and checks of this agent, in a database of SQLite in its data directory.

ENT-1: what waits is written in one transaction with one sync: thousands of registrations a second
    wait for a few syncs. Whoever waits for `sync` finds all of it after a power cut, unless the log
    says that it could not be stored.
ENT-2: an entry that cannot be read is named in the log and kept in the table `damaged`; the others
    are read all the same. A database that cannot be read is renamed to `entries.bad-TIME`.
ENT-3: the mark of adoption is written with or after everything that was written before it: a
    database with the mark has all of it.
ENT-4: what could not be written is tried again with whatever is written next.

One thread writes, so that the event loop never waits for the disk. Of several writes of one entry
that wait, only the last is written.
"""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from quorate.base.errors import StorageError
from quorate.base.formats import ENTRIES
from quorate.runtime.fileops import sync_directory

FOLDER = "entries"
"""In the data directory."""

BATCH_MAX = 1024
"""Entries of one transaction."""

ENTRIES_MAX = 100_000
"""Entries of one kind that are read; more are left alone."""

_NAME = "entries.sqlite"
_MARK = ("mark", b"adopted")
_SCHEMA = """
    CREATE TABLE entries (kind TEXT, name BLOB, data BLOB, PRIMARY KEY (kind, name)) WITHOUT ROWID;
    CREATE TABLE damaged (kind TEXT, name BLOB, data BLOB, why TEXT);
"""
_OLDER = {"service": "services", "check": "checks"}

_REMEDIES = {
    "disk_full": "nothing is lost: free some space and start again",
    "permission": "nothing is lost: make it writable, and let nothing else use it",
    "corrupt": "move its folder away: what the catalog has is then taken from there",
}

Key = tuple[str, str]
Post = Callable[[Callable[[], None]], object]


class EntryStore:
    """Keeps entries. Fills `localstate.ports.EntryFiles`.

    What is called before `begin` raises `StorageError` when the database cannot be used:
    `disk_full`, `permission` or `corrupt`. Files of older versions are then where they were.

    Args:
        path: The data directory; the folder is made in it.
        post: Runs a call in the event loop's thread.
        log: The logger.

    Raises:
        OSError: The folder cannot be made.
        StorageError: `version`: a newer version wrote it; `disk_full` or `corrupt`: it cannot be
            made or opened.
    """

    def __init__(self, path: Path, post: Post, log: FilteringBoundLogger) -> None:
        folder = path / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(path)
        self._database = _opened(folder, log)
        self._path = path
        self._post = post
        self._log = log
        self._waiting: dict[Key, bytes | None] = {}
        self._unwritten: dict[Key, bytes | None] = {}  # ENT-4; of the writing thread
        self._done: list[Callable[[], None]] = []
        self._condition = threading.Condition()
        self._is_stopped = False
        self._is_to_mark = False
        self._is_unmarked = False  # as `_unwritten`
        self._thread = threading.Thread(target=self._run, name="entry store", daemon=True)

    # --- at the start --------------------------------------------------------------------------

    @property
    def is_adopted(self) -> bool:
        """Whether it has the mark."""
        query = "SELECT 1 FROM entries WHERE kind = ? AND name = ?"
        with _translated(self._path / FOLDER / _NAME):
            return self._database.execute(query, _MARK).fetchone() is not None

    def read(self, kind: str, take: Callable[[bytes], None]) -> int:
        """Read the entries of one kind, in the order of their names, before `begin`. Blocks.

        Args:
            kind: "service" or "check".
            take: Gets each; a `ValueError` of it sets the entry aside (ENT-2).

        Returns:
            How many were taken.
        """
        count = 0
        query = "SELECT name, data FROM entries WHERE kind = ? ORDER BY name LIMIT ?"
        with _translated(self._path / FOLDER / _NAME):
            with closing(self._database.execute(query, (kind, ENTRIES_MAX))) as rows:
                damaged: list[tuple[bytes, str]] = []
                for name, data in rows:
                    try:
                        take(data)
                    except ValueError as error:
                        damaged.append((name, str(error)))
                    else:
                        count += 1
            for name, why in damaged:
                self._set_aside(kind, name, why)
        return count

    def take_over(self, key_of: Callable[[bytes], Key]) -> None:
        """Take the files in which older versions kept entries, before `read`. Blocks.

        Args:
            key_of: The key of the content of a file; a `ValueError` of it leaves the file there.
        """
        for kind, name in _OLDER.items():
            folder = self._path / name
            if folder.is_dir():
                with _translated(self._path / FOLDER / _NAME):
                    self._take_folder(kind, folder, key_of)

    def _take_folder(self, kind: str, folder: Path, key_of: Callable[[bytes], Key]) -> None:
        found: list[tuple[str, bytes, bytes]] = []
        for file in sorted(folder.glob("*.json")):
            try:
                data = file.read_bytes()
                found.append((kind, _encoded(key_of(data)[1]), data))
            except (OSError, ValueError) as error:
                self._log.warning("a stored service or check is damaged: renamed to .bad",
                                  file=str(file), why=str(error))  # fmt: skip
                file.replace(file.with_suffix(".bad"))
        if (folder / "adopted").exists():
            found.append((*_MARK, b""))
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", found)
        if any(folder.glob("*.bad")):
            for file in folder.glob("*.json"):
                file.unlink()
        else:
            shutil.rmtree(folder)

    def _set_aside(self, kind: str, name: bytes, why: str) -> None:
        shown = name.decode("utf-8", "replace")
        self._log.warning("a stored service or check is damaged: set aside",
                          kind=kind, id=shown, why=why)  # fmt: skip
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(
                "INSERT INTO damaged SELECT kind, name, data, ? FROM entries "
                "WHERE kind = ? AND name = ?",
                (why, kind, name),
            )
            self._database.execute("DELETE FROM entries WHERE kind = ? AND name = ?", (kind, name))

    # --- writing -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to write: from now on the database belongs to its thread."""
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
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join()

    def _run(self) -> None:
        with closing(self._database):
            while self._write_next():
                pass
            if self._unwritten:
                self._write(self._unwritten, marks=self._is_unmarked)

    def _write_next(self) -> bool:
        """Write what waits; False: it is stopped, and nothing waits."""
        with self._condition:
            while not (self._waiting or self._done or self._is_to_mark or self._is_stopped):
                self._condition.wait()
            if not self._waiting and not self._done and not self._is_to_mark:
                return False
            batch = dict(list(self._waiting.items())[:BATCH_MAX])
            for key in batch:
                del self._waiting[key]
            done: list[Callable[[], None]] = []
            marks = False
            if not self._waiting:
                done, self._done = self._done, []
                marks, self._is_to_mark = self._is_to_mark, False
        for key, data in self._unwritten.items():
            batch.setdefault(key, data)
        self._write(batch, marks=marks or self._is_unmarked)
        if done:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._post(partial(_call_all, done))
        return True

    def _write(self, batch: dict[Key, bytes | None], *, marks: bool) -> None:
        rows = [(kind, _encoded(name), data) for (kind, name), data in batch.items()]
        removed = [(kind, name) for kind, name, data in rows if data is None]
        written = [row for row in rows if row[2] is not None]
        if marks:
            written.append((*_MARK, b""))
        try:
            with self._database:
                self._database.execute("BEGIN")
                self._database.executemany(
                    "DELETE FROM entries WHERE kind = ? AND name = ?", removed
                )
                self._database.executemany("REPLACE INTO entries VALUES (?, ?, ?)", written)
        except sqlite3.Error as error:
            self._unwritten, self._is_unmarked = batch, marks
            self._log.error("services and checks could not be stored", why=str(error))
        else:
            self._unwritten, self._is_unmarked = {}, False


def _call_all(done: list[Callable[[], None]]) -> None:
    for call in done:
        call()


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


@contextmanager
def _translated(path: Path) -> Generator[None]:
    """Errors of the database as those of the data directory."""
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error):
            code = "disk_full"
        else:
            is_content = not isinstance(error, sqlite3.OperationalError)
            code = "corrupt" if is_content else "permission"
        raise StorageError(code, f"{path} cannot be used: {error}; {_REMEDIES[code]}") from error


def _opened(folder: Path, log: FilteringBoundLogger) -> sqlite3.Connection:
    """The database of a folder; one that is damaged is set aside (ENT-2)."""
    path = folder / _NAME
    try:
        with _translated(path):
            return _connected(path)
    except StorageError as error:
        if error.code != "corrupt" or not isinstance(error.__cause__, sqlite3.DatabaseError):
            raise  # no space, no rights, a newer format: not the content
        why = str(error.__cause__)
    kept = folder.with_name(f"{FOLDER}.bad-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    folder.rename(kept)
    folder.mkdir(mode=0o700)
    sync_directory(folder.parent)
    log.error("the services and checks of this agent are damaged: what is in the catalog is "
              "taken from there, the rest has to be registered again",
              kept=str(kept), why=why)  # fmt: skip
    with _translated(path):
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    path.chmod(0o600)
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        database.execute(f"PRAGMA {pragma}").fetchall()
    (fault,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if fault != "ok":
        raise sqlite3.DatabaseError(fault)
    (number,) = database.execute("PRAGMA user_version").fetchone()
    if number:
        ENTRIES.check(str(path), number)
    else:
        database.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {ENTRIES.newest};COMMIT;")
