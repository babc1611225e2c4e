"""What a snapshot file contains, as Consul's `snapshot inspect` counts it."""

import mmap
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from quorate.base.errors import RequestError
from quorate.domains import DOMAINS
from quorate.gateways.http.archive import STATE, ArchiveError, verify
from quorate.kv.tables import KV
from quorate.machine.snapshot import MAGIC, Inventory, Share, inventory


class Stat(NamedTuple):
    """How many rows and bytes there are of one kind."""

    name: str
    rows: int
    bytes: int


class SnapshotSummary(NamedTuple):
    """The content of a snapshot file: in all, by kind, by parts of keys."""

    facts: dict[str, Any]
    stats: list[Stat]
    keys: list[Stat]

    def as_json(self, *, with_keys: bool) -> dict[str, Any]:
        """In the form of Consul's JSON."""
        shape: dict[str, Any] = {"Meta": self.facts}
        for suffix, stats in [("", self.stats), *([("KV", self.keys)] * with_keys)]:
            shape[f"Stats{suffix}"] = [
                {"Name": stat.name, "Sum": stat.bytes, "Count": stat.rows} for stat in stats
            ]
            shape[f"TotalSize{suffix}"] = sum(stat.bytes for stat in stats)
        return shape


def read_inventory(path: Path, *, depth: int, prefix: str) -> SnapshotSummary:
    """Read and verify a whole snapshot file; see `verify` for errors.

    Keys that begin with `prefix` are counted by the first `depth` parts of their names.
    """
    with tempfile.TemporaryFile() as state:
        meta, archive = verify(path, state)
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
    facts = {
        "ID": meta.get("ID", "-"),
        "Size": size,
        "Index": info.index,
        "Term": meta.get("Term", "-"),
        "Version": meta.get("Version", "-"),
        "Cluster": info.cluster_id or "-",
        "Date": _date(info.wall_ms) if info.wall_ms else "-",
        "Keys": found.tables.get(KV, Share()).rows,
    }
    plain = {name: value for name, value in meta.items() if not isinstance(value, dict | list)}
    return facts | {name: value for name, value in plain.items() if name not in facts}


def _date(wall_ms: int) -> str:
    try:
        return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # no year that has four digits
        return "-"


def _stats(shares: Mapping[str, Share]) -> list[Stat]:
    found = [Stat(name, share.rows, share.bytes) for name, share in shares.items()]
    return sorted(found, key=lambda stat: (-stat.bytes, stat.name))
