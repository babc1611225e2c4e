"""Nodes with their checks, and services without checks of their own.

Names of nodes and services are found without regard to case and shown as they were given.
A change of a node or of its checks is a change of every service it hosts.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from collections.abc import Generator, Iterator
from operator import itemgetter

import msgspec

from quorate.base import subjects
from quorate.base.commands.registry import (
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import Table, prefix_end
from quorate.base.subjects import key_part, name_part
from quorate.base.versions import NODE_ID_META

NODES = int(Table.NODES)
SERVICES = int(Table.SERVICES)
CHECKS = int(Table.CHECKS)
NODE_SERVICES = int(Table.NODE_SERVICES)

_VALUE = itemgetter(1)  # of a row: its key is in the value, too

SERF_HEALTH = "serfHealth"
SERVER_SERVICE = "consul"
"""The service that the servers themselves are, and the id of each one's instance."""

PASSING = "passing"
CRITICAL = "critical"
OUTPUTS = {PASSING: "Agent alive and reachable", CRITICAL: "Agent not live or unreachable"}

NO_NODE = Failure("precondition", "Missing node registration")

_READ_UNITS = 2
_WRITE_UNITS = 24


class NodeRow(msgspec.Struct, array_like=True, frozen=True):
    """A node of the catalog."""

    id: str
    name: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]
    create_index: int
    modify_index: int

    @property
    def shown_id(self) -> str:
        """The id that the API shows: the configured one, if any."""
        return self.meta.get(NODE_ID_META) or self.id


class CheckRow(msgspec.Struct, array_like=True, frozen=True):
    """A health check of a node, or of a service on it."""

    node: str
    id: str
    name: str
    status: str
    notes: str
    output: str
    service_id: str
    service_name: str
    type: str
    create_index: int
    modify_index: int


class ServiceRow(msgspec.Struct, array_like=True, frozen=True):
    """An instance of a service. `definition` is JSON, see `ServiceRegister`."""

    node: str
    id: str
    name: str
    definition: bytes
    create_index: int
    modify_index: int


encode_row = msgspec.msgpack.Encoder().encode
decode_node = msgspec.msgpack.Decoder(NodeRow).decode
decode_check = msgspec.msgpack.Decoder(CheckRow).decode
decode_service = msgspec.msgpack.Decoder(ServiceRow).decode


# --- reading ----------------------------------------------------------------------------------


def node_of(rows: TableRows, name: str) -> NodeRow | None:
    """A node by name, or None."""
    data = rows.get(NODES, name_part(name))
    return None if data is None else decode_node(data)


def nodes(rows: TableRows) -> Iterator[NodeRow]:
    """All nodes, by name."""
    return map(decode_node, map(_VALUE, rows.range(NODES, b"")))


def check_of(rows: TableRows, node: str, check: str) -> CheckRow | None:
    """A check of a node by id, or None."""
    data = rows.get(CHECKS, _check_key(node, check))
    return None if data is None else decode_check(data)


def checks_of_node(rows: TableRows, node: str) -> Iterator[CheckRow]:
    """All checks of a node, those of its services too, by id."""
    prefix = name_part(node) + b"\0"
    return map(decode_check, map(_VALUE, rows.range(CHECKS, prefix, prefix_end(prefix))))


def instances_of(rows: TableRows, service: str) -> Iterator[ServiceRow]:
    """The instances of a service, by node and id."""
    prefix = name_part(service) + b"\0"
    return map(decode_service, map(_VALUE, rows.range(SERVICES, prefix, prefix_end(prefix))))


def services(rows: TableRows) -> Iterator[ServiceRow]:
    """All instances, by service, node and id."""
    return map(decode_service, map(_VALUE, rows.range(SERVICES, b"")))


def services_of_node(rows: TableRows, node: str) -> Iterator[ServiceRow]:
    """The instances on a node, by id."""
    prefix = name_part(node) + b"\0"
    for key, name in rows.range(NODE_SERVICES, prefix, prefix_end(prefix)):
        data = rows.get(SERVICES, name + b"\0" + key)
        if data is not None:
            yield decode_service(data)


# --- commands ---------------------------------------------------------------------------------


def on_node_register(rows: Rows, command: NodeRegister) -> Generator[None, None, bool]:
    """Apply `NodeRegister` to a name that is free or the same node's (`machine` has seen to it)."""
    old = node_of(rows, command.name)
    created = 0 if old is None else old.create_index
    modified = 0 if old is None else old.modify_index
    row = NodeRow(
        command.id,
        command.name,
        command.address,
        command.datacenter,
        command.tagged_addresses,
        command.meta,
        created,
        modified,
    )
    if row != old:
        index = rows.take_index()
        row = msgspec.structs.replace(row, create_index=created or index, modify_index=index)
        rows.put(NODES, name_part(row.name), encode_row(row))
        yield from _node_changed(rows, NODES, row.name)
    if check_of(rows, row.name, SERF_HEALTH) is None:
        yield from _put_health(rows, row.name, PASSING, None)
    if command.service:
        definition = command.service
        on_service_register(
            rows, ServiceRegister(row.name, SERVER_SERVICE, SERVER_SERVICE, definition)
        )
    return True


def on_node_health(rows: Rows, command: NodeHealth) -> Generator[None, None, bool]:
    """Apply `NodeHealth` to the check alone; `machine` ends the sessions bound to it."""
    node = node_of(rows, command.name)
    if node is None:
        return False
    old = check_of(rows, command.name, SERF_HEALTH)
    if old is None or old.status != command.status:
        yield from _put_health(rows, node.name, command.status, old)
    return True


def remove_node(rows: Rows, name: str) -> Generator[None, None, bool]:
    """Remove a node with its services and checks; False if unknown. Sessions are gone already."""
    row = node_of(rows, name)
    if row is None:
        return False
    rows.take_index()
    for service in (yield from _hosted(rows, name)):
        _remove_service(rows, service)
        if rows.spend(_WRITE_UNITS):
            yield
    for check in list(checks_of_node(rows, name)):
        rows.delete(CHECKS, _check_key(name, check.id))
        rows.touch(CHECKS, subjects.of_node(name))
        if rows.spend(_WRITE_UNITS):
            yield
    rows.delete(NODES, name_part(name))
    rows.note_subject(NODES, subjects.of_node(name))
    rows.bury(subjects.of_node(name))
    return True


def on_service_register(rows: Rows, command: ServiceRegister) -> bool | Failure:
    """Apply `ServiceRegister`."""
    node = node_of(rows, command.node)
    if node is None:
        return NO_NODE
    place = name_part(command.node) + b"\0" + key_part(command.id)
    known = rows.get(NODE_SERVICES, place)
    data = None if known is None else rows.get(SERVICES, known + b"\0" + place)
    old = None if data is None else decode_service(data)
    created = 0
    if old is not None:
        if old.name == command.name and old.definition == command.definition:
            return True
        if name_part(old.name) == name_part(command.name):
            created = old.create_index
        else:
            rows.take_index()
            _remove_service(rows, old)
    index = rows.take_index()
    row = ServiceRow(
        node.name, command.id, command.name, command.definition, created or index, index
    )
    rows.put(SERVICES, name_part(row.name) + b"\0" + place, encode_row(row))
    rows.put(NODE_SERVICES, place, name_part(row.name))
    rows.note_subject(SERVICES, subjects.of_service(row.name))
    rows.note_subject(SERVICES, subjects.of_node(row.node))
    return True


def on_service_deregister(rows: Rows, command: ServiceDeregister) -> bool:
    """Apply `ServiceDeregister`."""
    place = name_part(command.node) + b"\0" + key_part(command.id)
    known = rows.get(NODE_SERVICES, place)
    data = None if known is None else rows.get(SERVICES, known + b"\0" + place)
    if data is None:
        return False
    rows.take_index()
    _remove_service(rows, decode_service(data))
    return True


# --- helpers ----------------------------------------------------------------------------------


def _check_key(node: str, check: str) -> bytes:
    return name_part(node) + b"\0" + key_part(check)


def _put_health(
    rows: Rows, node: str, status: str, old: CheckRow | None
) -> Generator[None, None, None]:
    index = rows.take_index()
    row = CheckRow(
        node,
        SERF_HEALTH,
        "Serf Health Status",
        status,
        "",
        OUTPUTS.get(status, ""),
        "",
        "",
        "",
        index if old is None else old.create_index,
        index,
    )
    rows.put(CHECKS, _check_key(node, SERF_HEALTH), encode_row(row))
    return _node_changed(rows, CHECKS, node)


def _node_changed(rows: Rows, table: int, node: str) -> Generator[None, None, None]:
    """The node is another one now, and with it every service that it hosts."""
    rows.note_subject(table, subjects.of_node(node))
    names = {service.name for service in (yield from _hosted(rows, node))}
    for name in sorted(names):
        rows.note_subject(table, subjects.of_service(name))
        if rows.spend(_WRITE_UNITS):
            yield


def _hosted(rows: Rows, node: str) -> Generator[None, None, list[ServiceRow]]:
    """As `services_of_node`; yields whenever this turn's share of work is done."""
    prefix = name_part(node) + b"\0"
    found: list[ServiceRow] = []
    for key, name in rows.range(NODE_SERVICES, prefix, prefix_end(prefix)):
        data = rows.get(SERVICES, name + b"\0" + key)
        if data is not None:
            found.append(decode_service(data))
        if rows.spend(_READ_UNITS):
            yield
    return found


def _remove_service(rows: Rows, row: ServiceRow) -> None:
    place = name_part(row.node) + b"\0" + key_part(row.id)
    rows.delete(SERVICES, name_part(row.name) + b"\0" + place)
    rows.delete(NODE_SERVICES, place)
    subject = subjects.of_service(row.name)
    rows.note_subject(SERVICES, subject)
    rows.note_subject(SERVICES, subjects.of_node(row.node))
    if next(instances_of(rows, row.name), None) is None:
        rows.bury(subject)
