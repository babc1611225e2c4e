"""What a snapshot file holds, as Consul's `snapshot inspect` counts it."""

import mmap
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from quorate.base.errors import RequestError
from quorate.cli.archives import ArchiveError, read_archive
from quorate.domains import DOMAINS
from quorate.kv.tables import KV
from quorate.machine.snapshot import MAGIC, Inventory, Share, inventory


class Stat(NamedTuple):
    """How much there is of one kind."""

    name: str
    rows: int
    bytes: int


class Shown(NamedTuple):
    """A snapshot file for people and programs.

    Attributes:
        facts: About the whole.
        stats: By kind, the largest first.
        keys: By parts of their names, the largest first.
    """

    facts: dict[str, Any]
    stats: list[Stat]
    keys: list[Stat]

    def as_json(self, *, with_keys: bool) -> dict[str, Any]:
        """In the form of Consul's."""
        shape: dict[str, Any] = {"Meta": self.facts, "Stats": _shapes(self.stats)}
        shape["TotalSize"] = sum(stat.bytes for stat in self.stats)
        if with_keys:
            shape["StatsKV"] = _shapes(self.keys)
            shape["TotalSizeKV"] = sum(stat.bytes for stat in self.keys)
        return shape


def read_inventory(path: Path, *, depth: int, prefix: str) -> Shown:
    """Read a snapshot file from end to end.

    Args:
        path: The file.
        depth: Keys are counted by so many parts of their names.
        prefix: Only keys that begin so are counted by parts.

    Raises:
        ArchiveError: It is none, or not whole.
        OSError: It cannot be read.
    """
    with tempfile.TemporaryFile() as state:
        archive = read_archive(path, state)
        state.flush()
        if not state.tell():
            raise ArchiveError("it holds no state")
        with mmap.mmap(state.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[: len(MAGIC)] != MAGIC:  # a file of Consul's has the same frame
                return Shown(archive.meta | {"State": "foreign"}, [], [])
            try:
                found = inventory(DOMAINS, content, depth, prefix)
            except RequestError as error:
                raise ArchiveError(error.text) from error
    tables = {DOMAINS.tables[number].title: each for number, each in found.tables.items()}
    size = archive.sizes.get("state.bin", 0)
    return Shown(
        _facts(archive.meta, found, size), _stats(tables.items()), _stats(found.keys.items())
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


def _stats(shares: Iterable[tuple[str, Share]]) -> list[Stat]:
    found = [Stat(name, share.rows, share.bytes) for name, share in shares]
    return sorted(found, key=lambda stat: (-stat.bytes, stat.name))


def _shapes(stats: list[Stat]) -> list[dict[str, Any]]:
    return [{"Name": stat.name, "Sum": stat.bytes, "Count": stat.rows} for stat in stats]
