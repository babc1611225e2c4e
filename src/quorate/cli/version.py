"""`quorate version`."""

from typing import Annotated

import typer

from quorate.base.versions import BUILD_DATE, CONSUL_VERSION, QUORATE_VERSION
from quorate.cli.flags import application, command
from quorate.cli.output import fail, say, say_json

_REST = {  # what programs that know Consul may look at
    "Revision": "",
    "Prerelease": "",
    "BuildDate": BUILD_DATE,
    "ConsulVersion": CONSUL_VERSION,
    "RPC": {"Default": 2, "Min": 2, "Max": 3},
}

app = application("Show the version.")


@command(app, "version", examples=["quorate version", "quorate version -format=json"])
def version(
    form: Annotated[
        str, typer.Option("--format", help="`pretty` for people, `json` for programs.")
    ] = "pretty",
) -> None:
    """Show the version of this program, and of the Consul whose API it has."""
    if form == "json":
        say_json({"Version": QUORATE_VERSION, **_REST})
    elif form == "pretty":
        say(
            f"Quorate v{QUORATE_VERSION}\nBuild Date {BUILD_DATE}\nConsul's API of {CONSUL_VERSION}"
        )
    else:
        fail(f"Unknown format: {form}")
