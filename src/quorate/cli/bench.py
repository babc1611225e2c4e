"""`quorate bench`: how fast a running cluster answers, seen from here."""

from typing import Annotated

import typer

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import fail, note, say_columns, say_json

app = application("Measure a running cluster.")


@command(
    app,
    "bench",
    examples=["quorate bench", "quorate bench -seconds=10 -concurrency=256 -value-bytes=4096"],
)
@connected("Error! Not measured", takes_time=True)
def bench(
    connection: Connection,
    *,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each part.")] = 3.0,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Calls at once.")] = 64,
    value_bytes: Annotated[int, typer.Option("--value-bytes", help="Size of a value.")] = 256,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Keys are written, and deleted, below it.")
    ] = "quorate-bench/",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Write, read and read stale for some seconds each, with our own client; then clean up."""
    if not prefix.strip("/"):
        fail("Error! -prefix must not be empty: all keys below it are deleted at the end")
    if seconds <= 0 or concurrency < 1 or value_bytes < 0:
        fail("Error! -seconds, -concurrency and -value-bytes must be positive")
    with connection.client() as client:
        if client.kv.keys(prefix):
            fail(f"Error! There are keys below {prefix} already; choose another -prefix")
    from quorate.cli.benchrun import measured

    note(f"{concurrency} calls at once, values of {value_bytes} bytes, {seconds:g} s each")
    found = measured(
        connection.node(), connection.secret(), prefix, seconds, concurrency, value_bytes
    )
    if as_json:
        say_json([each._asdict() for each in found])
        return
    heading = ["", "per s", "p50 ms", "p99 ms", "longest ms", "errors"]
    rows = [
        [
            each.name,
            f"{each.per_s:,.0f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            f"{each.max_ms:.2f}",
            str(each.errors),
        ]
        for each in found
    ]
    say_columns([heading, *rows])
