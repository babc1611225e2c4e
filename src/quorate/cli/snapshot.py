"""`quorate snapshot`: the whole state of a cluster in one file."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from quorate.cli.commands import CommandGroup, command
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.flags import About
from quorate.cli.inventory import SnapshotSummary, read_inventory
from quorate.cli.output import (
    Format,
    Json,
    columns,
    fail,
    is_json,
    progress,
    readable,
    reason,
    say,
    show,
)
from quorate.gateways.http.archive import ArchiveError, verify


@connected("snapshot save", "FILE", "Error saving snapshot", has_progress=True)
def save(connection: ConnectionFlags, file: str = "", *, json: Json = False) -> None:
    """Write the whole state to FILE, which appears only when it is complete.

    Examples:
        quorate snapshot save backup.snap
    """
    path = _path(file)
    client = connection.client
    with progress("saving", None):
        try:
            index = client.snapshot.save(path, stale=connection.stale)
        except OSError as error:
            fail(f"Error writing snapshot file: {path}: {reason(error)}")
    with _reading(path, "Error reading snapshot"):
        _, archive = verify(path)
    made = {"file": str(path), "index": index, "bytes": sum(archive.sizes.values())}
    show(made, [f"Saved and verified snapshot to index {index}"], json)


@connected("snapshot restore", "FILE", "Error restoring snapshot", has_progress=True)
def restore(connection: ConnectionFlags, file: str = "") -> None:
    """Replace the whole state of the cluster by FILE's; what is there now is lost.

    Examples:
        quorate snapshot restore backup.snap
    """
    path = _path(file)
    with _reading(path, "Error restoring snapshot", "\nNothing was changed."):
        verify(path)
    client = connection.client
    with progress("restoring", None):
        client.snapshot.restore(path)
    say("Restored snapshot")


@command("snapshot inspect", "FILE")
def inspect(
    file: str = "",
    *,
    format_: Format = "pretty",
    kvdetails: Annotated[bool, "Count keys by the first parts of their names."] = False,
    kvdepth: Annotated[int, About("With --kvdetails: by so many parts.", "", 1)] = 2,
    kvfilter: Annotated[str, "With --kvdetails: only keys that begin so."] = "",
    json: Json = False,
) -> None:
    """Show what FILE contains, and verify it; needs no cluster.

    Examples:
        quorate snapshot inspect backup.snap
        quorate snapshot inspect -kvdetails -kvdepth=1 backup.snap
    """
    json = is_json(format_) or json
    path = _path(file)
    with _reading(path, "Error reading snapshot"), progress("reading", None):
        shown = read_inventory(path, depth=kvdepth, prefix=kvfilter)
    value = shown.as_json(with_keys=kvdetails)
    show(value, _lines(shown, with_keys=kvdetails), json)


def _lines(shown: SnapshotSummary, *, with_keys: bool) -> Iterator[str]:
    yield from columns([[f" {name}", str(value)] for name, value in shown.facts.items()])
    for heading, stats in [("Type", shown.stats), *([("Key Name", shown.keys)] * with_keys)]:
        if stats:
            yield ""
            total = [" Total", "", readable(sum(stat.bytes for stat in stats))]
            rows = [[f" {stat.name}", str(stat.rows), readable(stat.bytes)] for stat in stats]
            rule = [" ----", "----", "----"]
            yield from columns([[f" {heading}", "Count", "Size"], rule, *rows, rule, total])


def _path(file: str) -> Path:
    if not file:
        fail("Missing FILE argument")
    return Path(file)


@contextmanager
def _reading(path: Path, doing: str, end: str = "") -> Generator[None]:
    """Report errors of a file that the body reads."""
    try:
        yield
    except ArchiveError as error:
        fail(f"{doing}: {error}{end}")
    except OSError as error:
        fail(f"Error opening snapshot file: open {path}: {reason(error)}")


snapshot = CommandGroup("snapshot", save, restore, inspect)
