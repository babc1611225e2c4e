"""`quorate info`: the figures a node keeps about itself."""

from typing import Annotated, Any

import msgspec
import typer

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import say, say_json

app = application("Show the figures a node keeps about itself.")


class Self(msgspec.Struct, rename="pascal"):
    """What `/v1/agent/self` says, as far as it is shown."""

    stats: dict[str, dict[str, Any]] = {}


@command(app, "info", examples=["quorate info", "quorate info -http-addr=10.0.0.2:8500 -json"])
@connected()
def info(
    connection: Connection,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show a node's figures, by section."""
    with connection.client() as client:
        reply = client.call("GET", "/v1/agent/self")
    stats = msgspec.json.decode(reply.body, type=Self).stats
    if as_json:
        say_json(stats)
        return
    for section, figures in sorted(stats.items()):
        say(f"{section}:")
        for name, figure in sorted(figures.items()):
            say(f"\t{name} = {figure}")
