"""Reads of the catalog, each on one state of the tables: see `base.answers`."""

from collections.abc import Iterator
from itertools import chain

import msgspec

from quorate.base.answers import Answer, Reading, T
from quorate.base.subjects import exactly
from quorate.catalog.subjects import of_node, of_service
from quorate.catalog.tables import (
    NODES,
    SERVICES,
    CheckRow,
    NodeRow,
    ServiceRow,
    checks_of_node,
    instances_of,
    node_of,
    nodes,
    services,
    services_of_node,
)


class Instance(msgspec.Struct, frozen=True):
    """An instance of a service with its node, and the checks of both."""

    node: NodeRow
    service: ServiceRow
    checks: list[CheckRow]


def each_node(reading: Reading) -> Answer[Iterator[NodeRow]]:
    """All nodes, by name, read one by one."""
    return reading.of_table(nodes(reading.rows), NODES)


def node_get(reading: Reading, name: str) -> Answer[NodeRow | None]:
    """One node by name, in any case."""
    row = node_of(reading.rows, name)
    return _of_node(reading, name, row, is_there=row is not None)


def node_row(reading: Reading, name: str) -> NodeRow | None:
    """As `node_get`, for who has its indexes already."""
    return node_of(reading.rows, name)


def each_service(reading: Reading) -> Answer[Iterator[ServiceRow]]:
    """All instances of all services, by name, node and id, read one by one."""
    return reading.of_table(services(reading.rows), SERVICES)


def each_service_of_node(reading: Reading, name: str) -> Answer[Iterator[ServiceRow]]:
    """The instances on a node, by id, read one by one."""
    row = node_of(reading.rows, name)
    found = services_of_node(reading.rows, name)
    return _of_node(reading, name, found, is_there=row is not None)


def each_check(reading: Reading, name: str) -> Answer[Iterator[CheckRow]]:
    """All checks of a node, by id, read one by one."""
    row = node_of(reading.rows, name)
    found = checks_of_node(reading.rows, name)
    return _of_node(reading, name, found, is_there=row is not None)


def each_instance(reading: Reading, name: str) -> Answer[Iterator[Instance]]:
    """The instances of a service with nodes and checks, by node and id, read one by one."""
    found = _instances(reading, name)
    first = next(found, None)
    subject = of_service(name)
    changed = reading.noted(subject)
    header = changed if first is not None else reading.table_index(SERVICES)
    rows = found if first is None else chain((first,), found)
    return reading.answer(rows, changed, header, (exactly(subject),))


def _instances(reading: Reading, name: str) -> Iterator[Instance]:
    for service in instances_of(reading.rows, name):
        node = node_of(reading.rows, service.node)
        if node is not None:
            checks = [
                check
                for check in checks_of_node(reading.rows, service.node)
                if check.service_id in ("", service.id)
            ]
            yield Instance(node, service, checks)


def _of_node(reading: Reading, name: str, value: T, *, is_there: bool) -> Answer[T]:
    subject = of_node(name)
    changed = reading.noted(subject)
    header = changed if is_there else reading.table_index(NODES)
    return reading.answer(value, changed, header, (exactly(subject),))
