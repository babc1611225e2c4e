"""What is asked of one node: `members`, `info`, `monitor`, `reload`, `leave`."""

import http.client
import re
import socket
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from quorate.cli.cluster import overview
from quorate.cli.connect import Connection, connected
from quorate.cli.flags import About
from quorate.cli.output import Json, fail, note, progress, say, say_columns, say_json
from quorate.client import bodies, endpoints
from quorate.client.structs import MemberInfo
from quorate.client.sync.client import Client

EXIT_NOBODY = 2  # Consul's

# --- who is there -----------------------------------------------------------------------------


@connected("members", "", "Error retrieving members")
def members(
    connection: Connection,
    *,
    status: Annotated[str, About("Only nodes with such a status.", "REGEX")] = ".*",
    filter_: Annotated[str, "Only nodes for which this holds: Name == n1."] = "",
    segment: Annotated[str, "Accepted for Consul's sake: there are none."] = "",
    detailed: Annotated[bool, "Show every tag."] = False,
    wan: Annotated[bool, "Names with their data center."] = False,
    json: Json = False,
) -> None:
    """List the nodes as the asked one sees them; exit code 2 if there is none to list.

    Examples:
        quorate members
        quorate members -status=failed -json
    """
    try:
        wanted = re.compile(status)
    except re.error as error:
        fail(f"Failed to compile status regexp: {error}")
    with connection.client() as client:
        found = [each for each in _asked(client, filter_, segment) if wanted.search(each.status)]
    found.sort(key=lambda each: each.name)
    if json:
        say_json(found)
    elif found:
        kinds = ["Tags"] if detailed else ["Type", "Build", "Protocol", "DC"]
        facts = _tags if detailed else _facts
        heading = ["Node", "Address", "Status", *kinds]
        say_columns([heading, *([*_place(each, wan), *facts(each)] for each in found)])
    if not found:
        raise SystemExit(EXIT_NOBODY)


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


def _tags(member: MemberInfo) -> list[str]:
    return [",".join(f"{name}={value}" for name, value in sorted(member.tags.items()))]


# --- what it says of itself -------------------------------------------------------------------


class Self(msgspec.Struct, rename="pascal"):
    """What `/v1/agent/self` says, as far as it is shown."""

    stats: dict[str, dict[str, Any]] = {}


@connected("info")
def info(connection: Connection, *, json: Json = False) -> None:
    """Show a node's figures, by section.

    Examples:
        quorate info
        quorate info -http-addr=10.0.0.2:8500 -json
    """
    with connection.client() as client:
        reply = client.call("GET", "/v1/agent/self")
    stats = msgspec.json.decode(reply.body, type=Self).stats
    if json:
        say_json(stats)
        return
    for section, figures in sorted(stats.items()):
        say(f"{section}:")
        for name, figure in sorted(figures.items()):
            say(f"\t{name} = {figure}")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@connected("monitor", "", "Error starting monitor", takes_time=True)
def monitor(
    connection: Connection,
    *,
    log_level: Annotated[str, "trace, debug, info, warn or err, and what is worse."] = "info",
    log_json: Annotated[bool, "JSON objects, one a line."] = False,
) -> None:
    """Print what a node logs from now on, until Ctrl-C or its end, whatever its own level is.

    Examples:
        quorate monitor
        quorate monitor -log-level=debug -log-json
    """
    connection.client().close()  # speaks up at once if nobody is there
    endpoint = endpoints.parse(connection.node())
    line = (
        _UnixConnection(endpoint.path)
        if endpoint.path
        else http.client.HTTPConnection(endpoint.host, endpoint.port)
    )
    target = f"/v1/agent/monitor?loglevel={quote(log_level, safe='')}"
    try:
        line.request("GET", target + "&logjson" * log_json, headers=connection.headers())
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


# --- what it is to do -------------------------------------------------------------------------


@connected("reload", "", "Error reloading")
def reload(connection: Connection) -> None:
    """Have the asked node read its files again; what needs a new start is in its log.

    Examples:
        quorate reload
        quorate reload -http-addr=10.0.0.2:8500
    """
    with connection.client() as client:
        client.call("PUT", "/v1/agent/reload")
    say("Configuration reload triggered")


@connected("leave", "", "Error leaving", takes_time=True)
def leave(connection: Connection) -> None:
    """Have the asked node leave its cluster for good, and stop.

    It hands leadership over first. It is refused, and nothing is done, if fewer than a majority of
    the others would be alive. Its data directory cannot come back; one that shall is only stopped.
    The last member only stops: its data directory is the cluster, and goes on when it starts again.

    Examples:
        quorate leave
        quorate leave -http-addr=10.0.0.2:8500
    """
    with connection.client() as client, progress("leaving", None):
        is_last = len(overview(client).members) == 1
        client.call("PUT", "/v1/agent/leave")
    if is_last:
        note(
            "It was the last member: it only stopped. Nothing was removed; the cluster goes on "
            "when it starts again on its data directory."
        )
    say("Graceful leave complete")
