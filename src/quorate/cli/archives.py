"""Snapshot files as the HTTP API gives them: a gzipped tar whose parts are listed with sums."""

import json
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from quorate.gateways.http import archive

META, STATE, SUMS = archive.META, archive.STATE, archive.SUMS
BYTES_MAX = 1 << 50
"""No limit: the disk of whoever unpacks it is his."""


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

    Cost: unpacks the whole file once, in pieces: memory for a few of them, whatever it holds.
    """
    write = _nowhere if state is None else state.write
    try:
        with path.open("rb") as file:
            found = archive.scan(file, BYTES_MAX, write)
    except archive.ArchiveError as error:
        raise ArchiveError(str(error)) from error
    listed = _listed(found.small.get(SUMS, b""))
    for name in (META, STATE, *listed):
        if name not in listed:
            raise ArchiveError(f"{SUMS} does not list {name}")
        if found.digests.get(name) != listed[name]:
            raise ArchiveError(f"{name} is missing or its sum is wrong")
    try:
        meta = json.loads(found.small[META])
    except (KeyError, ValueError) as error:
        raise ArchiveError(f"{META} is missing or cannot be read") from error
    return Archive(cast(dict[str, Any], meta), found.sizes)


def _nowhere(_: bytes) -> None:
    pass


def _listed(sums: bytes) -> dict[str, str]:
    """The parts and their sums as the file lists them; it must list at least one."""
    listed: dict[str, str] = {}
    for line in sums.decode(errors="replace").splitlines():
        expected, _, name = line.partition(" ")
        listed[name.strip(" *")] = expected
    if not listed:
        raise ArchiveError(f"{SUMS} is missing or empty")
    return listed
