"""`quorate event`: send a user event."""

import re
from typing import Annotated
from urllib.parse import quote

import msgspec

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.output import fail, say
from quorate.client import bodies


class FiredEvent(msgspec.Struct, rename="pascal"):
    """The answer to it."""

    id: str = msgspec.field(name="ID")


_REFUSED = re.compile(r"Invalid (node|service|tag) filter: (.*)", re.DOTALL)  # by the server
_FIRED = msgspec.json.Decoder(FiredEvent)


@connected("event", "[PAYLOAD]", "Error firing event")
def event(
    connection: ConnectionFlags,
    *words: str,
    name: Annotated[str, "The name of the event."] = "",
    node: Annotated[str, "Only for nodes whose name this regular expression matches."] = "",
    service: Annotated[str, "Only for nodes with a service whose name this one matches."] = "",
    tag: Annotated[str, "With -service: and one of whose tags this one matches."] = "",
) -> None:
    """Send an event with a payload of at most 300 bytes to all nodes.

    Examples:
        quorate event -name=deploy 1609030
        quorate watch -type=event -name=deploy ./deploy.sh
    """
    if not name:
        fail("Event name must be specified")
    if tag and not service:
        fail("Cannot provide tag filter without service filter.")
    if len(words) > 1:
        fail("Too many command line arguments.")
    try:
        reply = connection.client.call(
            "PUT", f"/v1/event/fire/{quote(name, safe='')}", (words[0] if words else "").encode(),
            node=node or None, service=service or None, tag=tag or None,
        )  # fmt: skip
    except QuorateError as error:
        refused = _REFUSED.search(error.text)
        if refused is None:
            raise
        fail(f"Failed to compile {refused[1]} filter regexp: {refused[2]}")
    say(f"Event ID: {bodies.decoded(_FIRED, reply).id}")
