"""What a snapshot file holds, as Consul's `snapshot inspect` counts it."""

import json
import mmap
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from quorate.base.errors import RequestError
from quorate.domains import DOMAINS
from quorate.gateways.http.archive import META, STATE, ArchiveError, Scanned, unpack
from quorate.kv.tables import KV
from quorate.machine.snapshot import MAGIC, Inventory, Share, inventory

BYTES_MAX = 1 << 50
"""No limit: the disk of whoever unpacks it is his."""


class Stat(NamedTuple):
    """How much there is of one kind."""

    name: str
    rows: int
    bytes: int


class SnapshotSummary(NamedTuple):
    """A snapshot file for people and programs: about the whole, by kind, by parts of keys."""

    facts: dict[str, Any]
    stats: list[Stat]
    keys: list[Stat]

    def as_json(self, *, with_keys: bool) -> dict[str, Any]:
        """In the form of Consul's."""
        shape: dict[str, Any] = {"Meta": self.facts}
        for suffix, stats in [("", self.stats), *([("KV", self.keys)] * with_keys)]:
            shape[f"Stats{suffix}"] = [
                {"Name": stat.name, "Sum": stat.bytes, "Count": stat.rows} for stat in stats
            ]
            shape[f"TotalSize{suffix}"] = sum(stat.bytes for stat in stats)
        return shape


def read_archive(path: Path, state: IO[bytes] | None = None) -> tuple[dict[str, Any], Scanned]:
    """Unpack a snapshot file and check every sum in it; returns what it says of itself, and holds.

    Args:
        path: The file.
        state: Where the state that it holds is written; None: nowhere.

    Raises:
        ArchiveError: It is none, or not whole.
        OSError: It cannot be read.

    Cost: unpacks the whole file once, in pieces: memory for a few of them, whatever it holds.
    """
    with path.open("rb") as file:
        found = unpack(file, BYTES_MAX, len if state is None else state.write)
    try:
        return dict(json.loads(found.small[META])), found
    except ValueError as error:
        raise ArchiveError(f"{META} cannot be read") from error


def read_inventory(path: Path, *, depth: int, prefix: str) -> SnapshotSummary:
    """Read a snapshot file from end to end; see `read_archive` for errors.

    Keys that begin with `prefix` are counted by `depth` parts of their names.
    """
    with tempfile.TemporaryFile() as state:
        meta, archive = read_archive(path, state)
        state.flush()
        if not state.tell():
            raise ArchiveError("it holds no state")
        with mmap.mmap(state.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[: len(MAGIC)] != MAGIC:  # a file of Consul's has the same frame
                return SnapshotSummary(meta | {"State": "foreign"}, [], [])
            try:
                found = inventory(DOMAINS, content, depth, prefix)
            except RequestError as error:
                raise ArchiveError(error.text) from error
    tables = {DOMAINS.tables[number].title: each for number, each in found.tables.items()}
    return SnapshotSummary(
        _facts(meta, found, archive.sizes[STATE]), _stats(tables), _stats(found.keys)
    )


def _facts(meta: dict[str, Any], found: Inventory, size: int) -> dict[str, Any]:
    info = found.info
    made = datetime.fromtimestamp(info.wall_ms / 1000, UTC).isoformat(timespec="seconds")
    facts = {
        "ID": meta.get("ID", "-"),
        "Size": size,
        "Index": info.index,
        "Term": meta.get("Term", "-"),
        "Version": meta.get("Version", "-"),
        "Cluster": info.cluster_id or "-",
        "Date": made if info.wall_ms else "-",
        "Keys": found.tables.get(KV, Share()).rows,
    }
    plain = {name: value for name, value in meta.items() if not isinstance(value, dict | list)}
    return facts | {name: value for name, value in plain.items() if name not in facts}


def _stats(shares: Mapping[str, Share]) -> list[Stat]:
    found = [Stat(name, share.rows, share.bytes) for name, share in shares.items()]
    return sorted(found, key=lambda stat: (-stat.bytes, stat.name))
