"""Commands about one node: `members`, `info`, `monitor`, `reload`, `leave`."""

import http.client
import re
import socket
from operator import attrgetter
from typing import Annotated, Any
from urllib.parse import quote

from quorate.cli.connect import ConnectionFlags, connected, report_of
from quorate.cli.flags import About
from quorate.cli.output import Json, columns, fail, note, progress, say, say_json, show
from quorate.client import bodies, endpoints
from quorate.client.structs import MemberInfo
from quorate.client.sync.operator import Operator

EXIT_NONE = 2  # Consul's


@connected("members", "", "Error retrieving members")
def members(
    connection: ConnectionFlags,
    *,
    status: Annotated[str, About("Only nodes with such a status.", "REGEX")] = ".*",
    filter_: Annotated[str, "Only nodes for which this holds: Name == n1."] = "",
    segment: Annotated[str, "Accepted for Consul's sake: there are none."] = "",
    detailed: Annotated[bool, "Show every tag."] = False,
    wan: Annotated[bool, "Names with their data center."] = False,
    json: Json = False,
) -> None:
    """List the nodes as one of them sees them; exit code 2 if there is none to list.

    Examples:
        quorate members
        quorate members -status=failed -json
    """
    try:
        wanted = re.compile(status)
    except re.error as error:
        fail(f"Failed to compile status regexp: {error}")
    client = connection.client
    if filter_ or segment:
        parameters: dict[str, Any] = {"filter": filter_ or None, "segment": segment or None}
        listed = bodies.members(client.call("GET", "/v1/agent/members", **parameters))
    else:
        listed = client.status.members()
    found = sorted((each for each in listed if wanted.search(each.status)), key=attrgetter("name"))
    kinds = ["Tags"] if detailed else ["Type", "Build", "Protocol", "DC"]
    rows = (_row(each, wan=wan, detailed=detailed) for each in found)
    if found or json:
        show(found, columns([["Node", "Address", "Status", *kinds], *rows]), json)
    if not found:
        raise SystemExit(EXIT_NONE)


def _row(member: MemberInfo, *, wan: bool, detailed: bool) -> list[str]:
    tags = member.tags
    name = f"{member.name}.{tags.get('dc', 'dc1')}" if wan else member.name
    row = [name, f"{member.address}:{member.port}", member.status]
    if detailed:
        return [*row, ",".join(f"{name}={value}" for name, value in sorted(tags.items()))]
    kind = "server" if tags.get("role", "consul") == "consul" else "client"
    build = tags.get("build", "-").partition(":")[0]
    return [*row, kind, build, tags.get("vsn", "2"), tags.get("dc", "dc1")]


@connected("info")
def info(connection: ConnectionFlags, *, json: Json = False) -> None:
    """Show the statistics of a node, by section.

    Examples:
        quorate info
        quorate info -http-addr=10.0.0.2:8500 -json
    """
    stats = report_of(connection.client).stats
    if json:
        say_json(stats)
        return
    for section, figures in sorted(stats.items()):
        say(f"{section}:")
        for name, figure in sorted(figures.items()):
            say(f"\t{name} = {figure}")


@connected("monitor", "", "Error starting monitor", takes_time=True)
def monitor(
    connection: ConnectionFlags,
    *,
    log_level: Annotated[str, "trace, debug, info, warn or err, and what is worse."] = "info",
    log_json: Annotated[bool, "JSON objects, one a line."] = False,
) -> None:
    """Print what a node logs from now on, until Ctrl-C or its end, at any level.

    Examples:
        quorate monitor
        quorate monitor -log-level=debug -log-json
    """
    connection.client.close()  # it has reported an unreachable node
    endpoint = endpoints.parse(connection.node)
    line = http.client.HTTPConnection(endpoint.host or "localhost", endpoint.port)
    target = f"/v1/agent/monitor?loglevel={quote(log_level, safe='')}"
    try:
        if endpoint.path:
            line.sock = socket.socket(socket.AF_UNIX)
            line.sock.connect(endpoint.path)
        line.request("GET", target + "&logjson" * log_json, headers=connection.headers)
        reply = line.getresponse()
        if reply.status != http.client.OK:
            text = reply.read().decode("utf-8", "replace").strip()
            fail(f"Error starting monitor: Unexpected response code: {reply.status} ({text})")
        for row in reply:
            say(row.decode("utf-8", "replace").rstrip("\n"))
    except (OSError, http.client.HTTPException) as error:
        fail(f"Error reading from monitor: {error}")
    finally:
        line.close()
    note("The node ended the monitor: it stops.")


@connected("reload", "", "Error reloading")
def reload(connection: ConnectionFlags) -> None:
    """Make a node read its files again; it logs which changes need a restart.

    Examples:
        quorate reload
        quorate reload -http-addr=10.0.0.2:8500
    """
    connection.client.call("PUT", "/v1/agent/reload")
    say("Configuration reload triggered")


@connected("leave", "", "Error leaving", takes_time=True)
def leave(connection: ConnectionFlags) -> None:
    """Make a node leave its cluster for good, and stop.

    It transfers leadership first. It is refused, and nothing is done, if fewer than a majority of
    the others would be alive. Its data directory cannot be used again; to restart a node later,
    only stop it. The last member only stops: the cluster continues when it starts again.

    Examples:
        quorate leave
        quorate leave -http-addr=10.0.0.2:8500
    """
    client = connection.client
    with progress("leaving", None):
        is_last = len(Operator(client).overview().members) == 1
        client.call("PUT", "/v1/agent/leave")
    if is_last:
        note(
            "It was the last member: it only stopped. Nothing was removed; the cluster goes on "
            "when it starts again on its data directory."
        )
    say("Graceful leave complete")
