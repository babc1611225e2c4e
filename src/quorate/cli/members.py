"""`quorate members`: who belongs to the cluster, and who is alive."""

import re
from typing import Annotated

import typer

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import fail, say_columns, say_json
from quorate.client import bodies
from quorate.client.structs import MemberInfo
from quorate.client.sync.client import Client

EXIT_NOBODY = 2  # Consul's

app = application("List the nodes of the cluster.")


@command(app, "members", examples=["quorate members", "quorate members -status=failed -json"])
@connected("Error retrieving members")
def members(
    connection: Connection,
    status: Annotated[
        str, typer.Option("--status", metavar="REGEX", help="Only nodes with such a status.")
    ] = ".*",
    only: Annotated[
        str, typer.Option("--filter", help="Only nodes for which this holds: Name == n1.")
    ] = "",
    segment: Annotated[
        str, typer.Option("--segment", help="Accepted for Consul's sake: there are none.")
    ] = "",
    detailed: Annotated[bool, typer.Option("--detailed", help="Show every tag.")] = False,
    wan: Annotated[bool, typer.Option("--wan", help="Names with their data center.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the nodes as the asked one sees them; exit code 2 if there is none to list."""
    try:
        wanted = re.compile(status)
    except re.error as error:
        fail(f"Failed to compile status regexp: {error}")
    with connection.client() as client:
        found = [each for each in _asked(client, only, segment) if wanted.search(each.status)]
    found.sort(key=lambda each: each.name)
    if as_json:
        say_json(found)
    elif found and detailed:
        heading = ["Node", "Address", "Status", "Tags"]
        say_columns([heading, *([*_place(each, wan), _tags(each)] for each in found)])
    elif found:
        heading = ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC"]
        say_columns([heading, *([*_place(each, wan), *_facts(each)] for each in found)])
    if not found:
        raise typer.Exit(EXIT_NOBODY)


def _asked(client: Client, only: str, segment: str) -> list[MemberInfo]:
    if not (only or segment):
        return client.status.members()
    reply = client.call("GET", "/v1/agent/members", filter=only or None, segment=segment or None)
    return bodies.members(reply)


def _place(member: MemberInfo, wan: bool) -> list[str]:
    suffix = f".{member.tags.get('dc', 'dc1')}" if wan else ""
    return [f"{member.name}{suffix}", f"{member.address}:{member.port}", member.status]


def _facts(member: MemberInfo) -> list[str]:
    tags = member.tags
    kind = "server" if tags.get("role", "consul") == "consul" else "client"
    build = tags.get("build", "-").partition(":")[0]
    return [kind, build, tags.get("vsn", "2"), tags.get("dc", "dc1")]


def _tags(member: MemberInfo) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(member.tags.items()))
