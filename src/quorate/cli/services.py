"""`quorate services`: register services with an agent, and take them out."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from quorate.base.errors import QuorateError
from quorate.cli.commands import CommandGroup
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.flags import About
from quorate.cli.output import advice_on, fail, note, say


@connected("services register", "[FILE_OR_DIR...]", "Error registering service")
def register(
    connection: ConnectionFlags,
    *files: str,
    name: Annotated[str, "Of the service."] = "",
    id_: Annotated[str, "Of this instance; the name if not given."] = "",
    address: Annotated[str, "Where it is; the agent's node if not given."] = "",
    port: Annotated[int, About("Its port.", "", 0, 65535)] = 0,
    tag: Annotated[tuple[str, ...], "A tag; repeatable."] = (),
    meta: Annotated[tuple[str, ...], About("Metadata; repeatable.", "KEY=VALUE")] = (),
) -> None:
    """Register services with the agent at the address, from flags or from files in HCL or JSON.

    A file has blocks `service` or a list `services`, as a configuration file. The agent keeps the
    services until they are taken out.

    Examples:
        quorate services register -name=web -port=80 -tag=v1
        quorate services register web.hcl
    """
    given: dict[str, Any] = {
        "ID": id_,
        "Name": name,
        "Address": address,
        "Port": port,
        "Tags": tag,
        "Meta": meta,
    }
    flags = {key: value for key, value in given.items() if value}
    if files and flags:
        fail("Service registration requires arguments or -id, not both.")
    if not files and not flags:
        fail("Service registration requires at least one argument or flags.")
    if meta:
        flags["Meta"] = dict(_pair(each) for each in meta)
    for definition in _read(files) if files else [flags]:
        body = msgspec.json.encode(definition)
        connection.client.call("PUT", "/v1/agent/service/register", body)
        say(f"Registered service: {_named(definition, 'name')}")


@connected("services deregister", "[FILE_OR_DIR...]", "Error deregistering service")
def deregister(
    connection: ConnectionFlags,
    *files: str,
    id_: Annotated[str, "Of the instance."] = "",
) -> None:
    """Take services out that were registered with the agent, by id or by their files.

    Examples:
        quorate services deregister -id=web
        quorate services deregister web.hcl
    """
    if bool(files) == bool(id_):
        why = "-id, not both" if files else "-id"
        needed = "requires arguments or" if files else "requires at least one argument or"
        fail(f"Service deregistration {needed} {why}.")
    for definition in _read(files) if files else [{"id": id_}]:
        found = _named(definition, "id") or _named(definition, "name")
        try:
            connection.client.call("PUT", f"/v1/agent/service/deregister/{quote(found, safe='')}")
        except QuorateError as error:
            shown = _named(definition, "name")
            note(f'Error deregistering service "{shown}": {error.response or error.text}')
            for sentence in advice_on(error):
                note(sentence)
            raise SystemExit(1) from None
        say(f"Deregistered service: {found}")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        fail(f"Error! -meta is KEY=VALUE, not {text!r}")
    return key, value


def _named(definition: dict[str, Any], field: str) -> str:
    """A text of a definition, however its name is spelled."""
    found = (value for key, value in definition.items() if key.lower() == field)
    return str(next(found, ""))


def _read(files: tuple[str, ...]) -> list[dict[str, Any]]:
    """The definitions of services in configuration files."""
    from quorate.agent.definitions import plain_block
    from quorate.agent.files import read_blocks

    found: list[Any] = []
    for path in files:
        blocks, faults = read_blocks(Path(path))
        if faults:
            fail("\n".join(f"Error: {fault}" for fault in faults))
        for block in blocks:
            for name in ("service", "services"):
                value = block.get(name, [])
                found += value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in found):
        fail("Error: `service` must be a block, and `services` a list of blocks")
    return [plain_block(each) for each in found]


services = CommandGroup("services", register, deregister)
