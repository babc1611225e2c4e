"""`quorate version`."""

from typing import Annotated

import typer

from quorate import __version__
from quorate.cli.flags import application, command
from quorate.cli.output import fail, say, say_json

_REST = {  # what programs that know Consul may look at
    "Revision": "",
    "Prerelease": "",
    "BuildDate": "1970-01-01T00:00:01Z",
    "RPC": {"Default": 2, "Min": 2, "Max": 3},
}

app = application("Show the version.")


@command(app, "version", examples=["quorate version", "quorate version -format=json"])
def version(
    form: Annotated[
        str, typer.Option("--format", help="`pretty` for people, `json` for programs.")
    ] = "pretty",
) -> None:
    """Show the version of this program."""
    if form == "json":
        say_json({"Version": __version__, **_REST})
    elif form == "pretty":
        say(f"Quorate v{__version__}")
    else:
        fail(f"Unknown format: {form}")
