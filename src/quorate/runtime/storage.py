"""Storage: all that a node keeps on disk, opened in the only safe order, and closed again.

```text
<data_dir>/          lock, node.json, tables.json    runtime.datadir
<data_dir>/wal/      the log                         runtime.wal
<data_dir>/tables/   the tables, LMDB                runtime.tables
<data_dir>/snapshots/                                runtime.snapshots
```

First the directory is locked, and the incarnation incremented. Then the log is read, then the
tables are opened as they are, or built again from a snapshot; in doubt they are built again.
"""

import contextlib
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger

from quorate.base.config import ClusterConfig
from quorate.base.errors import StorageError
from quorate.runtime.datadir import open_datadir
from quorate.runtime.fileops import storage_error, sync_directory
from quorate.runtime.mapfile import STEP_BYTES
from quorate.runtime.snapshots import open_tables
from quorate.runtime.tables import FILE_NAME, LmdbTables
from quorate.runtime.wal import Wal, WalSettings
from quorate.runtime.writeback import WriteBack, system_write_out
from quorate.wire.journal import LogIdentity

MANY_ROWS = 500_000
"""Reading so many rows takes long enough to be logged."""


class StorageSettings(msgspec.Struct, frozen=True):
    """Settings of what a node keeps on disk.

    Attributes:
        wal: The settings of the log.
        tables_step_bytes: How much disk the tables reserve at a time.
        snapshot_log_bytes: A snapshot is taken when the log has grown by this much, or by the
            size of the tables if that is more.
    """

    wal: WalSettings = WalSettings()
    tables_step_bytes: int = STEP_BYTES
    snapshot_log_bytes: int = 256 * 1024 * 1024


class Storage:
    """The files of a node. Blocks while it opens and closes.

    Args:
        path: The data directory; made if missing.
        settings: The settings.
        log: The logger.
        cluster: See `open_datadir`.

    Raises:
        StorageError: It cannot be used as it is; the text says what to do.
    """

    def __init__(
        self,
        path: Path,
        settings: StorageSettings,
        log: FilteringBoundLogger,
        cluster: ClusterConfig | None = None,
    ) -> None:
        self.settings = settings
        self.directory = open_datadir(path, cluster=cluster)
        self._cluster = cluster
        self._has_wal_started = False
        self._write_back: WriteBack | None = None
        try:
            identity = LogIdentity(
                self.directory.node_id, self.directory.incarnation, self.directory.nonce
            )
            self.wal = Wal(
                self.directory.wal,
                identity,
                settings.wal,
                is_begun=self.directory.log_begun,
                begun_in=self.directory.log_begun_in,
            )
            self.snapshots = self._folder("snapshots")
            self.tables = self._open_tables(self._folder("tables"), log)
        except BaseException:
            self.directory.close()
            raise

    def _open_tables(self, folder: Path, log: FilteringBoundLogger) -> LmdbTables:
        step_bytes = self.settings.tables_step_bytes
        is_trusted = self.directory.tables_trusted() and (folder / FILE_NAME).exists()
        self.directory.mark_broken()  # until they are known to be complete: see `datadir`

        def opened(path: Path) -> LmdbTables:
            tables = LmdbTables(path, step_bytes=step_bytes)
            if tables.row_count >= MANY_ROWS:
                log.info("checking tables", rows=tables.row_count)
            return tables

        loaded = open_tables(
            folder,
            self.snapshots,
            is_trusted=is_trusted,
            open_file=opened,
        )
        for damage in loaded.damaged:
            log.error("damaged", what=damage)
        if loaded.source != "kept" and self.directory.log_begun:
            log.warning("tables made anew", source=loaded.source, slot=loaded.slot)
        self.directory.mark_running()
        return loaded.tables

    def _folder(self, name: str) -> Path:
        folder = self.directory.path / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.directory.path)
        except OSError as error:
            raise storage_error(error, f"making {folder}") from error
        return folder

    def log_started(self) -> None:
        """The log takes records now: from here on a missing or older log is an error.

        The cluster settings of this run are stored, too: the node has accepted them.

        Raises:
            StorageError: That could not be stored.
        """
        self._has_wal_started = True
        self.directory.mark_log_begun(self._cluster)
        write_out = system_write_out()
        if write_out is not None and self.settings.wal.sync != "none":
            path = self.directory.path / "tables" / FILE_NAME
            self._write_back = WriteBack(path, lambda: self.tables.version, write_out)
            self._write_back.start()

    def close(self, *, is_clean: bool) -> None:
        """Close everything.

        Args:
            is_clean: The node stopped regularly, so the tables are complete once synced.
        """
        if self._write_back is not None:
            self._write_back.close()
        if self._has_wal_started:
            self.wal.close()
        with contextlib.suppress(StorageError):  # then the next start builds them again
            if is_clean:
                self.tables.sync()
                self.directory.mark_clean()
        self.tables.close()
        self.directory.close()

    def distrust_tables(self) -> None:
        """Have the tables built again at the next start: one of their rows is damaged."""
        with contextlib.suppress(StorageError):  # the next start will find the row again
            self.directory.mark_broken()
