"""Snapshots of the tables on disk: what a node falls back to when its tables are not whole.

A file holds every row as it lay when the view was taken, in key order, in chunks with a checksum
each; a header names the slot, a trailer counts the rows. It is written under another name, synced,
renamed, and the directory synced: a file with the right name is complete, or corrupt. The newest
two are kept, so that corruption of one leaves another (and the log behind it is longer then). What
a frame is, and that peers send the same chunks: `quorate.chunks`.

```text
quorate-00000000000000004711.snapshot
    magic · frame(header) · frame(rows) … · frame("") · frame(trailer)
```
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from quorate.base.errors import StorageError
from quorate.base.formats import SNAPSHOT_FILE
from quorate.base.ids import GROUP, GroupNumber, Slot
from quorate.base.ports import View
from quorate.chunks import HEAD_BYTES, Chunk, Row, cut, head_of, rows_of, sealed
from quorate.machine.state import STATE_KEY, decode_state
from quorate.runtime.descriptors import RESERVE
from quorate.runtime.fileops import storage_error, sync_directory
from quorate.runtime.tables import FILE_NAME, LmdbTables
from quorate.wire.checksum import crc32c

MAGIC = b"quorate-tables-1\n"
KEPT = 2
CHUNK_BYTES = 64 * 1024
_SUFFIX = ".snapshot"
_UNFINISHED = ".unfinished"
_FRAME_BYTES_MAX = 256 * 1024 * 1024
_SYNC_EVERY_BYTES = 16 * 1024 * 1024
"""Synced in pieces, so that the log's own sync never waits behind a gigabyte of ours."""


class SnapshotHeader(msgspec.Struct, array_like=True, frozen=True):
    """What a snapshot begins with; of format 1 that is the slot alone."""

    slot: Slot
    format: int = 1
    group: GroupNumber = GROUP


class SnapshotTrailer(msgspec.Struct, array_like=True, frozen=True):
    """What it ends with."""

    rows: int


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(SnapshotHeader).decode
_decode_trailer = msgspec.msgpack.Decoder(SnapshotTrailer).decode


class SnapshotWriter:
    """One file being written; not there under its name until `finish`.

    Args:
        directory: Of the snapshots; must exist.
        slot: What the rows have applied.

    Raises:
        StorageError: Every method; after one, call `abandon`.
    """

    def __init__(self, directory: Path, slot: Slot) -> None:
        self._directory = directory
        self._path = directory / f"quorate-{slot:020d}{_SUFFIX}"
        self._unfinished = self._path.with_suffix(_UNFINISHED)
        self._unsynced = 0
        self.rows = 0
        self.bytes = 0
        try:
            self._file: BinaryIO = RESERVE.opened(lambda: self._unfinished.open("wb", buffering=0))
        except OSError as error:
            raise storage_error(error, f"writing {self._unfinished}") from error
        self._write(MAGIC)
        self._frame(sealed(_encode(SnapshotHeader(slot, SNAPSHOT_FILE.newest)), crc32c))

    def put(self, chunk: Chunk, rows: int) -> None:
        """Append a chunk as it is.

        Args:
            chunk: Of rows.
            rows: How many.
        """
        if rows:
            self._frame(chunk)
            self.rows += rows

    def finish(self) -> Path:
        """Make it durable under its name. Cost: a sync of what was not yet synced."""
        self._frame(sealed(b"", crc32c))
        self._frame(sealed(_encode(SnapshotTrailer(self.rows)), crc32c))
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._unfinished.replace(self._path)
            sync_directory(self._directory)
        except OSError as error:
            raise storage_error(error, f"writing {self._path}") from error
        return self._path

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def _frame(self, chunk: Chunk) -> None:
        self._write(chunk.frame)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self.bytes += len(data)
            self._unsynced += len(data)
            if self._unsynced >= _SYNC_EVERY_BYTES:
                self._unsynced = 0
                os.fdatasync(self._file.fileno())
        except OSError as error:
            raise storage_error(error, f"writing {self._unfinished}") from error


class Loaded(msgspec.Struct, frozen=True):
    """How tables came to be what they are.

    Attributes:
        tables: Open.
        source: "kept" (as they were), "snapshot", or "nothing": empty, with the log and peers
            to fill them.
        slot: What they have applied.
        damaged: A sentence per snapshot that could not be used.
    """

    tables: LmdbTables
    source: str
    slot: Slot
    damaged: list[str]


def slot_of(view: View) -> Slot:
    """What a view of the tables has applied."""
    data = view.get(STATE_KEY)
    return Slot(0) if data is None else decode_state(data).applied


def rows_in_chunks(view: View) -> Iterator[list[Row]]:
    """Every row of a view, in key order, in chunks of about `CHUNK_BYTES`."""
    return cut(view.range(b""), CHUNK_BYTES)


def snapshots(directory: Path) -> list[Path]:
    """Complete snapshots, newest first."""
    return sorted(directory.glob(f"quorate-*{_SUFFIX}"), reverse=True)


def durable_slot(directory: Path) -> Slot:
    """What the newest complete snapshot holds; 0 if there is none."""
    return Slot(max((_slot_in_name(path) for path in snapshots(directory)), default=0))


def prune(directory: Path, kept: int = KEPT) -> None:
    """Remove all but the newest, and what was left unfinished by a process that died.

    Raises:
        StorageError: Some may still be there; the next call removes them.
    """
    try:
        obsolete = snapshots(directory)[kept:] + sorted(directory.glob(f"quorate-*{_UNFINISHED}"))
        for path in obsolete:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, f"removing old snapshots in {directory}") from error


def read_snapshot(path: Path) -> Iterator[tuple[Row, ...]]:
    """The rows of a snapshot, chunk by chunk, each verified before it is given out.

    Raises:
        StorageError: `corrupt`, naming file and chunk. Chunks given out before are then worth
            nothing: only a snapshot read to its end is whole. `version`: a newer version of
            Quorate wrote it.
    """
    try:
        with RESERVE.opened(lambda: path.open("rb")) as file:
            yield from _read(path, file)
    except OSError as error:
        raise storage_error(error, f"reading {path}") from error


def open_tables(
    directory: Path,
    snapshots_directory: Path,
    *,
    is_trusted: bool,
    open_file: Callable[[Path], LmdbTables] = LmdbTables,
) -> Loaded:
    """Open a node's tables, or build them again from the newest readable snapshot.

    Args:
        directory: Of the tables; must exist.
        snapshots_directory: Must exist; may be the same.
        is_trusted: The file holds all that was committed to it (no crash of the system since).
        open_file: Opens the tables of a directory.

    Raises:
        StorageError: `disk_full`, `permission`; `version`: a newer version of Quorate wrote them.
    """
    damaged: list[str] = []
    if is_trusted and (directory / FILE_NAME).exists():
        try:
            kept = _kept(directory, snapshots_directory, open_file)
        except StorageError as error:
            if error.code != "corrupt":
                raise
            damaged.append(error.text)
        else:
            return Loaded(kept, "kept", slot_of(kept), damaged)
    for name in (FILE_NAME, f"{FILE_NAME}-lock"):
        (directory / name).unlink(missing_ok=True)
    tables = open_file(directory)
    for path in snapshots(snapshots_directory):
        try:
            _load(tables, read_snapshot(path))
        except StorageError as error:
            if error.code != "corrupt":
                raise
            damaged.append(error.text)
        else:
            return Loaded(tables, "snapshot", slot_of(tables), damaged)
    return Loaded(tables, "nothing", Slot(0), damaged)


def _kept(
    directory: Path, snapshots_directory: Path, open_file: Callable[[Path], LmdbTables]
) -> LmdbTables:
    """The tables as they are, unless they are not whole or hold less than a snapshot."""
    tables = open_file(directory)
    try:
        _judge(tables, directory / FILE_NAME, snapshots(snapshots_directory))
    except BaseException:
        tables.close()
        raise
    return tables


def _judge(tables: LmdbTables, path: Path, newest_first: list[Path]) -> None:
    slot = slot_of(tables)
    if newest_first and slot < _slot_in_name(newest_first[0]):
        text = f"{path} ends at slot {slot}, before {newest_first[0].name}"
        raise StorageError("corrupt", text)
    tables.verify()


def _slot_in_name(path: Path) -> int:
    digits = path.name.removeprefix("quorate-").removesuffix(_SUFFIX)
    return int(digits) if digits.isdecimal() else 0


def _load(tables: LmdbTables, chunks: Iterable[tuple[Row, ...]]) -> None:
    tables.begin_install()
    for rows in chunks:
        tables.install_rows(rows)
    tables.finish_install()


def _read(path: Path, file: BinaryIO) -> Iterator[tuple[Row, ...]]:
    if file.read(len(MAGIC)) != MAGIC:
        raise StorageError("corrupt", f"{path} is no snapshot of tables")
    rows = number = 0
    try:
        _judge_header(path, _decode_header(_read_frame(path, file, number)))
        while True:
            number += 1
            frame = _read_frame(path, file, number)
            if not frame:
                break
            chunk = rows_of(frame)
            rows += len(chunk)
            yield chunk
        trailer = _decode_trailer(_read_frame(path, file, number + 1))
    except (ValueError, msgspec.MsgspecError) as error:
        raise StorageError("corrupt", f"{path}: chunk {number} cannot be decoded") from error
    if trailer.rows != rows:
        raise StorageError("corrupt", f"{path} holds {rows} rows and claims {trailer.rows}")


def _judge_header(path: Path, header: SnapshotHeader) -> None:
    SNAPSHOT_FILE.check(str(path), header.format)
    if header.group != GROUP:
        raise StorageError(
            "version",
            f"{path} is of group {header.group}, and there is only group {GROUP} here: start the "
            "version of Quorate that wrote it, or a newer one",
        )


def _read_frame(path: Path, file: BinaryIO, number: int) -> bytes:
    head = file.read(HEAD_BYTES)
    length, crc = head_of(head)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if len(head) < HEAD_BYTES or length > min(left, _FRAME_BYTES_MAX):
        raise StorageError("corrupt", f"{path} ends or is damaged at chunk {number}")
    data = file.read(length)
    if len(data) < length or not Chunk(data, crc).is_whole(crc32c):
        raise StorageError("corrupt", f"{path}: chunk {number} does not match its checksum")
    return data
