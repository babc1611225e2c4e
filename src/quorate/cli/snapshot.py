"""`quorate snapshot`: the whole state of a cluster in one file."""

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.archives import Archive, ArchiveError, read_archive
from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import fail, progress, readable, say, say_columns, say_json

app = application("Save, restore and look at snapshots.")

File = Annotated[list[str] | None, typer.Argument(metavar="FILE", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@command(app, "save", examples=["quorate snapshot save backup.snap"])
@connected("Error saving snapshot", takes_time=True)
def save(connection: Connection, file: File = None, as_json: Json = False) -> None:
    """Write the whole state into FILE, which appears only when it is complete."""
    path = _path(file)
    with connection.client() as client, progress("saving", None):
        try:
            index = client.snapshot.save(path, stale=connection.stale)
        except OSError as error:
            fail(f"Error writing snapshot file: {path}: {_reason(error)}")
    archive = _read(path)
    if as_json:
        say_json({"file": str(path), "index": index, "bytes": sum(archive.sizes.values())})
    else:
        say(f"Saved and verified snapshot to index {index}")


@command(app, "restore", examples=["quorate snapshot restore backup.snap"])
@connected("Error restoring snapshot", takes_time=True)
def restore(connection: Connection, file: File = None) -> None:
    """Replace the whole state of the cluster by FILE's; what is there now is lost."""
    path = _path(file)
    try:
        path.open("rb").close()
    except OSError as error:
        fail(f"Error opening snapshot file: open {path}: {_reason(error)}")
    try:
        read_archive(path)
    except ArchiveError as error:
        fail(f"Error restoring snapshot: {error}\nNothing was changed.")
    with connection.client() as client, progress("restoring", None):
        client.snapshot.restore(path)
    say("Restored snapshot")


@command(
    app,
    "inspect",
    examples=[
        "quorate snapshot inspect backup.snap",
        "quorate snapshot inspect -kvdetails -kvdepth=1 backup.snap",
    ],
)
def inspect(
    file: File = None,
    form: Annotated[
        str, typer.Option("--format", help="`pretty` for people, `json` for programs.")
    ] = "pretty",
    kvdetails: Annotated[
        bool, typer.Option("--kvdetails", help="Count keys by the first parts of their names.")
    ] = False,
    kvdepth: Annotated[
        int, typer.Option("--kvdepth", min=1, help="With --kvdetails: by so many parts.")
    ] = 2,
    kvfilter: Annotated[
        str, typer.Option("--kvfilter", help="With --kvdetails: only keys that begin so.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show what FILE holds, and check that it is whole; needs no cluster."""
    if form not in {"pretty", "json"}:
        fail(f"Unknown format: {form}")
    path = _path(file)
    from quorate.cli.inventory import Shown, read_inventory

    try:
        with progress("reading", None):
            shown: Shown = read_inventory(path, depth=kvdepth, prefix=kvfilter)
    except ArchiveError as error:
        fail(f"Error reading snapshot: {error}")
    except OSError as error:
        fail(f"Error opening snapshot file: open {path}: {_reason(error)}")
    if as_json or form == "json":
        say_json(shown.as_json(with_keys=kvdetails))
        return
    say_columns([[f" {name}", str(value)] for name, value in shown.facts.items()])
    for heading, stats in [("Type", shown.stats), *([("Key Name", shown.keys)] * kvdetails)]:
        if not stats:
            continue
        say("")
        total = sum(stat.bytes for stat in stats)
        rows = [[f" {stat.name}", str(stat.rows), readable(stat.bytes)] for stat in stats]
        rule = [" ----", "----", "----"]
        say_columns(
            [[f" {heading}", "Count", "Size"], rule, *rows, rule, [" Total", "", readable(total)]]
        )


def _path(file: list[str] | None) -> Path:
    given = file or []
    if not given:
        fail("Missing FILE argument")
    if len(given) > 1:
        fail(f"Too many arguments (expected 1, got {len(given)})")
    return Path(given[0])


def _read(path: Path) -> Archive:
    try:
        return read_archive(path)
    except ArchiveError as error:
        fail(f"Error reading snapshot: {error}")
    except OSError as error:
        fail(f"Error opening snapshot file: open {path}: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
