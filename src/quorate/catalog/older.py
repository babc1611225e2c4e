"""Commands of format 3 and older, applied as ever: some replicas have applied them already.

They store the definition of an instance as JSON, and note a change of a node under the watch key of
every service it hosts, one by one. They are not proposed any more.
"""

from collections.abc import Generator

import msgspec

from quorate.base.facts import CheckStatusChanged
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows
from quorate.catalog.apply import (
    NO_NODE,
    begin_instance,
    make_room,
    rename_checks,
    reserved,
    serf_health,
    store_check,
    store_instance,
    store_node,
)
from quorate.catalog.commands import NodeHealth, NodeRegister, ServiceRegister
from quorate.catalog.fields import PASSING, SERF_HEALTH, SERVER_SERVICE, NodeFields, Service
from quorate.catalog.subjects import of_node, of_service
from quorate.catalog.tables import (
    CHECKS,
    NODES,
    CheckRow,
    InstanceRow,
    ServiceRow,
    check_of,
    decode_instance,
    decode_older_instance,
    encode_row,
    node_of,
    service_of,
    services_of_node,
    stored_instance,
)

_READ_UNITS = 2
_WRITE_UNITS = 24


def on_node_register(rows: Rows, command: NodeRegister) -> Generator[None, None, bool | Failure]:
    """Apply `NodeRegister`: an id under a new name loses the old one, with all of it."""
    name = command.name
    holder = node_of(rows, name)
    if holder is not None and holder.id not in ("", command.id):
        failure = reserved(rows, holder, name)
        if failure is not None:
            return failure
    yield from make_room(rows, name, command.id)
    details = NodeFields(
        command.id, command.address, command.datacenter, command.tagged_addresses, command.meta
    )
    if store_node(rows, name, details) is not None:
        yield from _node_changed(rows, NODES, name)
    if check_of(rows, name, SERF_HEALTH) is None:
        yield from _put_health(rows, name, PASSING, None)
    if command.service:
        service = ServiceRegister(name, SERVER_SERVICE, SERVER_SERVICE, command.service)
        yield from on_service_register(rows, service)
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


def on_service_register(
    rows: Rows, command: ServiceRegister
) -> Generator[None, None, bool | Failure]:
    """Apply `ServiceRegister`."""
    node = node_of(rows, command.node)
    if node is None:
        return NO_NODE
    data = stored_instance(rows, command.node, command.id)
    if data is not None and _is_same(data, command):
        return True
    old = None if data is None else decode_instance(data)
    created = begin_instance(rows, old, command.name)
    index = rows.take_index()
    row = ServiceRow(
        node.name, command.id, command.name, command.definition, created or index, index
    )
    service = service_of(command.id, command.name, command.definition)
    now = InstanceRow(node.name, service, row.create_index, row.modify_index)
    store_instance(rows, old if created else None, now, encode_row(row))
    if old is not None and not created:
        yield from rename_checks(rows, node.name, Service(command.id, command.name))
    return True


def _is_same(data: bytes, command: ServiceRegister) -> bool:
    """Whether the stored instance is equal; two definitions in JSON are compared as bytes."""
    try:
        old = decode_older_instance(data)
    except msgspec.ValidationError:  # a row of the current format
        return decode_instance(data).service == service_of(
            command.id, command.name, command.definition
        )
    return old.name == command.name and old.definition == command.definition


def _put_health(
    rows: Rows, node: str, status: str, old: CheckRow | None
) -> Generator[None, None, None]:
    index = rows.take_index()
    check = serf_health(status)
    created = index if old is None else old.create_index
    store_check(
        rows,
        CheckRow(node, check.id, check.name, status, "", check.output, "", "", "", created, index),
    )
    yield from _node_changed(rows, CHECKS, node)


def _node_changed(rows: Rows, table: int, node: str) -> Generator[None, None, None]:
    """Note a change of a node and of every service it hosts."""
    rows.note_subject(table, of_node(node))
    names: set[str] = set()
    for instance in services_of_node(rows, node):
        names.add(instance.service.name)
        if rows.spend(_READ_UNITS):
            yield
    for name in sorted(names):
        rows.note_subject(table, of_service(name))
        if rows.spend(_WRITE_UNITS):
            yield
