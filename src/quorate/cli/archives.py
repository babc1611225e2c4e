"""Snapshot files as the HTTP API gives them: a gzipped tar whose parts are listed with sums."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

META = "meta.json"
STATE = "state.bin"
SUMS = "SHA256SUMS"
CHUNK_BYTES = 1024 * 1024


class ArchiveError(Exception):
    """The file is no whole snapshot; the text says in what."""


class Archive(NamedTuple):
    """What a snapshot file says of itself.

    Attributes:
        meta: As it stands in the file.
        sizes: Bytes of each part.
    """

    meta: dict[str, Any]
    sizes: dict[str, int]


def read_archive(path: Path, state: IO[bytes] | None = None) -> Archive:
    """Read a snapshot file and check every sum in it.

    Args:
        path: The file.
        state: Where the state that it holds is written; None: nowhere.

    Raises:
        ArchiveError: It is none, or not whole.
        OSError: It cannot be read.

    Cost: unpacks the whole file once, in pieces.
    """
    sums: dict[str, str] = {}
    sizes: dict[str, int] = {}
    small: dict[str, bytes] = {}
    try:
        with gzip.open(path) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            for part in tar:
                file = tar.extractfile(part)
                if file is None:
                    continue
                kept = io.BytesIO() if part.name in {META, SUMS} else None
                target = state if part.name == STATE else kept
                sums[part.name], sizes[part.name] = _copied(file, target), part.size
                small[part.name] = b"" if kept is None else kept.getvalue()
            while raw.read(CHUNK_BYTES):
                pass  # to its end: only there gzip checks its own sum
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ArchiveError(f"failed to decompress snapshot: {error}") from error
    for name, expected in _listed(small.get(SUMS, b"")).items():
        if sums.get(name) != expected:
            raise ArchiveError(f"{name} is missing or its sum is wrong")
    try:
        meta = json.loads(small[META])
    except (KeyError, ValueError) as error:
        raise ArchiveError(f"{META} is missing or cannot be read") from error
    return Archive(cast(dict[str, Any], meta), sizes)


def _copied(file: IO[bytes], target: IO[bytes] | None) -> str:
    """Read a part to its end, and return its sum."""
    digest = hashlib.sha256()
    while piece := file.read(CHUNK_BYTES):
        digest.update(piece)
        if target is not None:
            target.write(piece)
    return digest.hexdigest()


def _listed(sums: bytes) -> dict[str, str]:
    """The parts and their sums as the file lists them; it must list at least one."""
    listed: dict[str, str] = {}
    for line in sums.decode(errors="replace").splitlines():
        expected, _, name = line.partition(" ")
        listed[name.strip(" *")] = expected
    if not listed:
        raise ArchiveError(f"{SUMS} is missing or empty")
    return listed
