"""`quorate version`."""

from quorate.base.versions import BUILD_DATE, CONSUL_VERSION, QUORATE_VERSION
from quorate.cli.commands import command
from quorate.cli.output import Format, Json, is_json, show

_REST = {  # fields that clients of Consul may read
    "Revision": "",
    "Prerelease": "",
    "BuildDate": BUILD_DATE,
    "ConsulVersion": CONSUL_VERSION,
    "RPC": {"Default": 2, "Min": 2, "Max": 3},
}


@command("version")
def version(*, format_: Format = "pretty", json: Json = False) -> None:
    """Show the version of this program, and of the Consul whose API it has.

    Examples:
        quorate version
        quorate version -json
    """
    text = f"Quorate v{QUORATE_VERSION}\nBuild Date {BUILD_DATE}\nConsul's API of {CONSUL_VERSION}"
    show({"Version": QUORATE_VERSION, **_REST}, [text], is_json(format_) or json)
