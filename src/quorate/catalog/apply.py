"""Nodes with their checks, and services without checks of their own.

Names of nodes and services are found without regard to case and shown as they were given.
A change of a node or of its checks is a change of every service it hosts.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from collections.abc import Generator

import msgspec

from quorate.base.facts import (
    CRITICAL,
    CheckStatus,
    CheckStatusChanged,
    IsNodeKnown,
    NodeLeaving,
    NodeRemoved,
)
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part, name_part
from quorate.catalog.commands import (
    NodeDeregister,
    NodeHealth,
    NodeRegister,
    ServiceDeregister,
    ServiceRegister,
)
from quorate.catalog.subjects import of_node, of_service
from quorate.catalog.tables import (
    CHECKS,
    NODE_SERVICES,
    NODES,
    SERVICES,
    CheckRow,
    NodeRow,
    ServiceRow,
    check_key,
    check_of,
    checks_of_node,
    decode_service,
    encode_row,
    instances_of,
    node_of,
    nodes,
)

SERF_HEALTH = "serfHealth"
SERVER_SERVICE = "consul"
"""The service that the servers themselves are, and the id of each one's instance."""

PASSING = "passing"
OUTPUTS = {PASSING: "Agent alive and reachable", CRITICAL: "Agent not live or unreachable"}

NO_NODE = Failure("precondition", "Missing node registration")

_READ_UNITS = 2
_WRITE_UNITS = 24


# --- commands ---------------------------------------------------------------------------------


def on_node_register(rows: Rows, command: NodeRegister) -> Generator[None, None, bool | Failure]:
    """Apply `NodeRegister`: an id under a new name leaves the old one, with all that hung on it.

    Another node's name is free only when that node's `serfHealth` is critical or absent.
    """
    holder = node_of(rows, command.name)
    if holder is not None and holder.id != command.id and holder.id:
        health = check_of(rows, command.name, SERF_HEALTH)
        if health is not None and health.status != CRITICAL:
            return Failure(
                "already_exists",
                f"Node name {command.name} is reserved by node {holder.id} "
                f"with name {holder.name} ({holder.address})",
            )
        yield from _remove_node(rows, holder.name)
    if command.id:
        name = name_part(command.name)
        others = [row for row in nodes(rows) if row.id == command.id]
        for row in others:
            if name_part(row.name) != name:
                yield from _remove_node(rows, row.name)
    return (yield from _put_node(rows, command))


def _put_node(rows: Rows, command: NodeRegister) -> Generator[None, None, bool]:
    """Register a node under a name that is free or its own."""
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
    """Apply `NodeHealth`."""
    node = node_of(rows, command.name)
    if node is None:
        return False
    old = check_of(rows, command.name, SERF_HEALTH)
    if old is None or old.status != command.status:
        yield from _put_health(rows, node.name, command.status, old)
    yield from rows.emit(CheckStatusChanged(command.name, SERF_HEALTH, command.status))
    return True


def on_node_deregister(rows: Rows, command: NodeDeregister) -> Generator[None, None, bool]:
    """Apply `NodeDeregister`."""
    yield from _remove_node(rows, command.name)
    return True


def _remove_node(rows: Rows, name: str) -> Generator[None, None, None]:
    """Remove a node with its services and checks, if it is known."""
    yield from rows.emit(NodeLeaving(name))
    if node_of(rows, name) is None:
        return
    rows.take_index()
    for service in (yield from _hosted(rows, name)):
        _remove_service(rows, service)
        if rows.spend(_WRITE_UNITS):
            yield
    for check in list(checks_of_node(rows, name)):
        rows.delete(CHECKS, check_key(name, check.id))
        rows.touch(CHECKS, of_node(name))
        if rows.spend(_WRITE_UNITS):
            yield
    rows.delete(NODES, name_part(name))
    rows.note_subject(NODES, of_node(name))
    rows.bury(of_node(name))
    yield from rows.emit(NodeRemoved(name))


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
    rows.note_subject(SERVICES, of_service(row.name))
    rows.note_subject(SERVICES, of_node(row.node))
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
    rows.put(CHECKS, check_key(node, SERF_HEALTH), encode_row(row))
    return _node_changed(rows, CHECKS, node)


def _node_changed(rows: Rows, table: int, node: str) -> Generator[None, None, None]:
    """The node is another one now, and with it every service that it hosts."""
    rows.note_subject(table, of_node(node))
    names = {service.name for service in (yield from _hosted(rows, node))}
    for name in sorted(names):
        rows.note_subject(table, of_service(name))
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
    subject = of_service(row.name)
    rows.note_subject(SERVICES, subject)
    rows.note_subject(SERVICES, of_node(row.node))
    if next(instances_of(rows, row.name), None) is None:
        rows.bury(subject)


# --- answers ----------------------------------------------------------------------------------


def is_known(rows: TableRows, question: IsNodeKnown) -> bool:
    """Answer `IsNodeKnown`."""
    return node_of(rows, question.name) is not None


def check_status(rows: TableRows, question: CheckStatus) -> str | None:
    """Answer `CheckStatus`."""
    row = check_of(rows, question.node, question.check)
    return None if row is None else row.status
