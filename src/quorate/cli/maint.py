"""`quorate maint`: take a node, or a service of its agent, out of service for a while."""

from typing import Annotated
from urllib.parse import quote

import msgspec

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected, report_of
from quorate.cli.output import Json, fail, fail_with, say, say_json
from quorate.client import bodies

OF_NODE = "_node_maintenance"
OF_SERVICE = "_service_maintenance:"
"""How the ids of the checks are, or begin, that maintenance puts on a node or a service."""


class MaintenanceCheck(msgspec.Struct, rename="pascal"):
    """A check, as `/v1/agent/checks` shows it."""

    notes: str = ""
    service_id: str = msgspec.field(default="", name="ServiceID")


_CHECKS = msgspec.json.Decoder(dict[str, MaintenanceCheck])


@connected("maint", "", "Error querying Consul agent")
def maint(
    connection: ConnectionFlags,
    *,
    enable: Annotated[bool, "Begin maintenance."] = False,
    disable: Annotated[bool, "End it."] = False,
    service: Annotated[str, "The id of a service of this agent; else its whole node."] = "",
    reason: Annotated[str, "With -enable: why, for people."] = "",
    json: Json = False,
) -> None:
    """Show what is in maintenance at the agent; begin or end it.

    What is in maintenance has a critical check: DNS and `?passing` leave it out. It lasts over
    restarts, until it is ended.

    Examples:
        quorate maint -enable -reason="new disks"
        quorate maint -disable -service=web
        quorate maint
    """
    if enable and disable:
        fail("Only one of -enable or -disable may be provided")
    if reason and not enable:
        fail("Reason may only be provided with -enable")
    if service and not (enable or disable):
        fail("Service requires either -enable or -disable")
    if not (enable or disable):
        _show(connection, json=json)
        return
    what = "service" if service else "node"
    path = f"/v1/agent/service/maintenance/{quote(service, safe='')}" if service else ""
    given = "true" if enable else "false"
    try:
        connection.client.call(
            "PUT", path or "/v1/agent/maintenance", enable=given, reason=reason or None
        )
    except QuorateError as error:
        fail_with(error, f"Error {'en' if enable else 'dis'}abling {what} maintenance")
    state = f"is now {'en' if enable else 'dis'}abled"
    if service:
        say(f'Service maintenance {state} for "{service}"')
    else:
        say(f"Node maintenance {state}")


def _show(connection: ConnectionFlags, *, json: bool) -> None:
    found = bodies.decoded(_CHECKS, connection.client.call("GET", "/v1/agent/checks"))
    node = found.get(OF_NODE)
    services = {
        check.service_id: check.notes
        for name, check in sorted(found.items())
        if name.startswith(OF_SERVICE)
    }
    if json:
        say_json({"node": None if node is None else node.notes, "services": services})
        return
    if node is not None:
        name = report_of(connection.client).config.get("NodeName", "")
        say(f"Node:\n  Name:   {name}\n  Reason: {node.notes}\n")
    for id_, notes in services.items():
        say(f"Service:\n  ID:     {id_}\n  Reason: {notes}\n")
