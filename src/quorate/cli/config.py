"""`quorate config`: configuration entries, written, read, listed and deleted."""

import json as stdlib_json
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from quorate.cli.commands import CommandGroup
from quorate.cli.connect import ConnectionFlags, connected, read_value
from quorate.cli.flags import About
from quorate.cli.output import fail, say, show

Kind = Annotated[str, "Of the entry, as service-defaults."]
Name = Annotated[str, "Of the entry."]
Cas = Annotated[bool, "Only if unchanged; see --modify-index."]
ModifyIndex = Annotated[int, About("With --cas: its index; 0: it must not be there.", "", 0)]


def _path(kind: str, name: str) -> str:
    if not kind:
        fail("Must specify the -kind parameter")
    if not name:
        fail("Must specify the -name parameter")
    return f"/v1/config/{quote(kind, safe='')}/{quote(name, safe='')}"


@connected("config write", "FILE", "Error writing config entry")
def write(
    connection: ConnectionFlags,
    file: str,
    *,
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
) -> None:
    """Write the entry of a file in HCL or JSON, or of standard input (-).

    Examples:
        quorate config write web-defaults.hcl
        quorate config write -cas -modify-index=12 web-defaults.json
    """
    entry = _read(file)
    body = msgspec.json.encode(entry)
    index = modify_index if cas else None
    reply = connection.client.call("PUT", "/v1/config", body, cas=index)
    kind, name = (_named(entry, field) for field in ("kind", "name"))
    shown = f"{kind}/{name}" if name else kind
    if msgspec.json.decode(reply.body) is not True:
        fail(f"Error writing config entry: {shown} is another one by now. Nothing was written.")
    say(f"Config entry written: {shown}")


@connected("config read", "", "Error reading config entry")
def read(connection: ConnectionFlags, *, kind: Kind = "", name: Name = "") -> None:
    """Print an entry as JSON.

    Examples:
        quorate config read -kind service-defaults -name web
    """
    reply = connection.client.call("GET", _path(kind, name), stale=connection.stale)
    say(stdlib_json.dumps(stdlib_json.loads(reply.body), indent=4, ensure_ascii=False))


@connected("config list", "", "Error listing config entries")
def list_(connection: ConnectionFlags, *, kind: Kind = "") -> None:
    """Name the entries of a kind.

    Examples:
        quorate config list -kind service-defaults
    """
    if not kind:
        fail("Must specify the -kind parameter")
    path = f"/v1/config/{quote(kind, safe='')}"
    found: list[dict[str, Any]] = msgspec.json.decode(
        connection.client.call("GET", path, stale=connection.stale).body
    )
    show([], (str(each.get("Name", kind)) for each in found), json=False)


@connected("config delete", "", "Error deleting config entry")
def delete(
    connection: ConnectionFlags,
    *,
    kind: Kind = "",
    name: Name = "",
    cas: Cas = False,
    modify_index: ModifyIndex = 0,
) -> None:
    """Delete an entry; harmless if it is not there.

    Examples:
        quorate config delete -kind service-defaults -name web
    """
    index = modify_index if cas else None
    reply = connection.client.call("DELETE", _path(kind, name), cas=index)
    if cas and msgspec.json.decode(reply.body) is not True:
        fail(f"Error deleting config entry: {kind}/{name} is another one by now.")
    say(f"Config entry deleted: {kind}/{name}")


def _named(entry: dict[str, Any], field: str) -> str:
    return str(next((value for key, value in entry.items() if key.lower() == field), ""))


def _read(file: str) -> dict[str, Any]:
    """The entry in a file. What an HCL block may hold one of, the server takes out of its list."""
    from quorate.agent import hcl
    from quorate.agent.definitions import plain_block

    text = read_value("-" if file == "-" else f"@{file}")
    try:
        entry = hcl.loads(text.decode())
    except (ValueError, RecursionError) as error:
        fail(f"Failed to decode config entry input: {error}")
    return {
        name: plain_block(value) if name.lower() == "config" else value
        for name, value in entry.items()
    }


config = CommandGroup("config", write, read, list_, delete)
