"""`quorate version`."""

from typing import Annotated

from quorate.base.versions import BUILD_DATE, CONSUL_VERSION, QUORATE_VERSION
from quorate.cli.commands import command
from quorate.cli.output import fail, show

_REST = {  # fields that clients of Consul may read
    "Revision": "",
    "Prerelease": "",
    "BuildDate": BUILD_DATE,
    "ConsulVersion": CONSUL_VERSION,
    "RPC": {"Default": 2, "Min": 2, "Max": 3},
}


@command("version")
def version(
    *, format_: Annotated[str, "`pretty` for people, `json` for programs."] = "pretty"
) -> None:
    """Show the version of this program, and of the Consul whose API it has.

    Examples:
        quorate version
        quorate version -format=json
    """
    if format_ not in {"pretty", "json"}:
        fail(f"Unknown format: {format_}")
    text = f"Quorate v{QUORATE_VERSION}\nBuild Date {BUILD_DATE}\nConsul's API of {CONSUL_VERSION}"
    show({"Version": QUORATE_VERSION, **_REST}, [text], format_ == "json")
