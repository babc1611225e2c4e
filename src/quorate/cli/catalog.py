"""`quorate catalog`: what is registered."""

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from quorate.cli.commands import CommandGroup
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.flags import About
from quorate.cli.output import Json, columns, fail, note, show
from quorate.client import bodies

ID_LENGTH = 8
"""So much of a node's id is shown, unless all is."""

_META = Annotated[str, About("Only nodes with this metadata.", "KEY=VALUE")]


class CatalogNode(msgspec.Struct, rename="pascal"):
    """A node, as `/v1/catalog/nodes` and `/v1/catalog/service/:service` show it."""

    node: str
    id: str = msgspec.field(default="", name="ID")
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None


_NODES = msgspec.json.Decoder(list[CatalogNode])
_NAMES = msgspec.json.Decoder(list[str])
_TAGS = msgspec.json.Decoder(dict[str, list[str]])


class CatalogService(msgspec.Struct, rename="pascal"):
    """An instance, as `/v1/catalog/node/:node` shows it."""

    service: str
    tags: list[str] | None = None


class CatalogNodeServices(msgspec.Struct, rename="pascal"):
    """The answer of that read."""

    services: dict[str, CatalogService] | None = None


_NODE_SERVICES = msgspec.json.Decoder(CatalogNodeServices | None)


@connected("catalog datacenters", "", "Error listing datacenters")
def datacenters(connection: ConnectionFlags, *, json: Json = False) -> None:
    """List the data centers that the node knows: its own.

    Examples:
        quorate catalog datacenters
    """
    names = bodies.decoded(_NAMES, connection.client.call("GET", "/v1/catalog/datacenters"))
    show(names, names, json)


@connected("catalog nodes", "", "Error listing nodes")
def nodes(
    connection: ConnectionFlags,
    *,
    service: Annotated[str, "Only nodes with an instance of this service."] = "",
    node_meta: _META = "",
    filter_: Annotated[str, "Only nodes for which this holds: Node == n1."] = "",
    near: Annotated[str, "Sort by the round-trip time from this node, if that is known."] = "",
    detailed: Annotated[bool, "Show whole ids, addresses and metadata."] = False,
    json: Json = False,
) -> None:
    """List the nodes that are registered.

    Examples:
        quorate catalog nodes
        quorate catalog nodes -service=web -detailed
    """
    path = f"/v1/catalog/service/{quote(service, safe='')}" if service else "/v1/catalog/nodes"
    found = bodies.decoded(
        _NODES,
        connection.client.call(
            "GET", path, filter=filter_ or None, near=near or None, stale=connection.stale,
            **_of_meta(node_meta),
        ),
    )  # fmt: skip
    listed = list({each.node: each for each in found}.values())
    if not listed and not json:
        note("No nodes match the given query - try expanding your search.")
        return
    more = ["TaggedAddresses", "Meta"] if detailed else []
    rows = (_row(each, detailed=detailed) for each in listed)
    show(listed, columns([["Node", "ID", "Address", "DC", *more], *rows]), json)


def _row(node: CatalogNode, *, detailed: bool) -> list[str]:
    shown = node.id if detailed else node.id[:ID_LENGTH]
    row = [node.node, shown, node.address, node.datacenter]
    if not detailed:
        return row
    return [*row, _pairs(node.tagged_addresses), _pairs(node.meta or node.node_meta)]


def _pairs(values: dict[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((values or {}).items()))


@connected("catalog services", "", "Error listing services")
def services(
    connection: ConnectionFlags,
    *,
    node: Annotated[str, "Only services with an instance on this node."] = "",
    node_meta: _META = "",
    tags: Annotated[bool, "Show their tags."] = False,
    json: Json = False,
) -> None:
    """List the services that are registered.

    Examples:
        quorate catalog services -tags
        quorate catalog services -node=n1
    """
    found = _of_node(connection, node) if node else _all(connection, node_meta)
    if not found and not json:
        note("No services match the given query - try expanding your search.")
        return
    rows = [[name, ",".join(sorted(own))] for name, own in sorted(found.items())]
    lines: Iterable[str] = (name for name, _ in rows) if not tags else _wide(rows)
    show({name: sorted(own) for name, own in found.items()}, lines, json)


def _wide(rows: list[list[str]]) -> Iterable[str]:
    width = max((len(name) for name, _ in rows), default=0) + 6  # Consul's space between
    return (f"{name.ljust(width)}{own}".rstrip() for name, own in rows)


def _all(connection: ConnectionFlags, node_meta: str) -> dict[str, list[str]]:
    reply = connection.client.call(
        "GET", "/v1/catalog/services", stale=connection.stale, **_of_meta(node_meta)
    )
    return bodies.decoded(_TAGS, reply)


def _of_node(connection: ConnectionFlags, node: str) -> dict[str, list[str]]:
    path = f"/v1/catalog/node/{quote(node, safe='')}"
    reply = connection.client.call("GET", path, stale=connection.stale)
    found = bodies.decoded(_NODE_SERVICES, reply) or CatalogNodeServices()
    tags: dict[str, list[str]] = {}
    for each in (found.services or {}).values():
        tags.setdefault(each.service, []).extend(each.tags or [])
    return {name: list(dict.fromkeys(own)) for name, own in tags.items()}


def _of_meta(pair: str) -> dict[str, Any]:
    if pair and not pair.partition("=")[0]:
        fail(f"Error! -node-meta is KEY=VALUE, not {pair!r}")
    return {"node-meta": pair.replace("=", ":", 1) or None}


catalog = CommandGroup("catalog", datacenters, nodes, services)
