"""Reads of the catalog, each on one state of the tables: see `base.results`."""

from collections.abc import Iterator
from functools import partial
from itertools import chain

import msgspec

from quorate.base.ports import TableRows
from quorate.base.results import Answer, StateView, T
from quorate.base.schema import SUBJECTS, index_of
from quorate.base.subjects import exactly
from quorate.catalog.fields import Service
from quorate.catalog.subjects import of_hosts, of_node, of_place, of_service
from quorate.catalog.tables import (
    CHECKS,
    NODES,
    SERVICES,
    CheckRow,
    InstanceRow,
    NodeRow,
    all_checks,
    checks_about,
    checks_of_instance,
    checks_of_node,
    hosts_of,
    instances_of,
    instances_on,
    node_of,
    nodes,
    services,
    services_of_node,
)

HOSTS_MAX = 128
"""A read of a service on more nodes waits for a change of any node: see `catalog.subjects`."""


ANY_STATE = "any"
"""Stands for every status of a check."""


class Instance(msgspec.Struct, frozen=True):
    """An instance of a service with its node, and the checks of both."""

    node: NodeRow
    row: InstanceRow
    checks: list[CheckRow]

    @property
    def service(self) -> Service:
        """Its definition."""
        return self.row.service


def each_node(reading: StateView) -> Answer[Iterator[NodeRow]]:
    """All nodes, by name, read one by one."""
    return reading.of_table(nodes(reading.rows), NODES)


def node_get(reading: StateView, name: str) -> Answer[NodeRow | None]:
    """One node by name, in any case."""
    row = node_of(reading.rows, name)
    return _of_node(reading, name, row, is_there=row is not None)


def node_row(reading: StateView, name: str) -> NodeRow | None:
    """As `node_get`, without the indexes."""
    return node_of(reading.rows, name)


def each_service(reading: StateView) -> Answer[Iterator[InstanceRow]]:
    """All instances of all services, by name, node and id, read one by one."""
    return reading.of_table(services(reading.rows), SERVICES)


def each_service_of_node(reading: StateView, name: str) -> Answer[Iterator[InstanceRow]]:
    """The instances on a node, by id, read one by one."""
    row = node_of(reading.rows, name)
    found = services_of_node(reading.rows, name)
    return _of_node(reading, name, found, is_there=row is not None)


def each_check(reading: StateView, name: str) -> Answer[Iterator[CheckRow]]:
    """All checks of a node, by id, read one by one."""
    row = node_of(reading.rows, name)
    found = checks_of_node(reading.rows, name)
    return _of_node(reading, name, found, is_there=row is not None)


def each_check_in_state(reading: StateView, status: str) -> Answer[Iterator[CheckRow]]:
    """The checks with a status, or with `ANY_STATE` all, by node and id. O(checks)."""
    found = all_checks(reading.rows)
    if status != ANY_STATE:
        found = (row for row in found if row.status == status)
    return reading.of_table(found, CHECKS)


def each_check_of_service(reading: StateView, name: str) -> Answer[Iterator[CheckRow]]:
    """The checks of the instances of a service, not those of their nodes, by node and id."""
    subject = of_service(name)
    changed = reading.noted(subject)
    found = _checks_of_instances(reading.rows, name)
    is_there = next(instances_of(reading.rows, name), None) is not None
    header = changed if is_there else reading.table_index(SERVICES)
    return reading.answer(found, changed, header, (exactly(subject),))


def _checks_of_instances(rows: TableRows, name: str) -> Iterator[CheckRow]:
    for row in instances_of(rows, name):
        yield from checks_of_instance(rows, row.node, row.service.id)


def each_instance(reading: StateView, name: str) -> Answer[Iterator[Instance]]:
    """The instances of a service with nodes and checks, by node and id, read one by one.

    Cost: O(nodes that host them), up to `HOSTS_MAX`, before the first is read.
    """
    found = _instances(reading.rows, name)
    first = next(found, None)
    subject = of_service(name)
    changed = reading.noted(subject)
    if first is None:
        header = reading.table_index(SERVICES)
        return reading.answer(found, changed, header, (exactly(subject),))
    hosts = hosts_of(reading.rows, name, HOSTS_MAX)
    subjects = [of_hosts()] if hosts is None else [of_place(place) for place in hosts]
    changed = max(changed, *(_host_changed(reading.rows, host) for host in subjects))
    wait = (exactly(subject), *map(exactly, subjects))
    return reading.answer(chain((first,), found), changed, changed, wait)


def _host_changed(rows: TableRows, subject: bytes) -> int:
    """The index at which a host changed; 0: not since hosts are noted (format 4).

    The node exists, so this index has not been dropped.
    """
    data = rows.get(SUBJECTS, subject)
    return 0 if data is None else index_of(data)


def instances_at_node(reading: StateView, service: str, node: str) -> Iterator[Instance]:
    """The instances of a service on a node with node and checks, by id. Cost: O(those read)."""
    found = instances_on(reading.rows, service, node)
    return filter(None, map(partial(_completed, reading.rows), found))


def _instances(rows: TableRows, name: str) -> Iterator[Instance]:
    return filter(None, map(partial(_completed, rows), instances_of(rows, name)))


def completed(reading: StateView, row: InstanceRow) -> Instance | None:
    """An instance with its node and the checks of both; None if the node is unknown."""
    return _completed(reading.rows, row)


def _completed(rows: TableRows, row: InstanceRow) -> Instance | None:
    node = node_of(rows, row.node)
    if node is None:
        return None
    return Instance(node, row, list(checks_about(rows, row.node, row.service.id)))


def _of_node(reading: StateView, name: str, value: T, *, is_there: bool) -> Answer[T]:
    subject = of_node(name)
    changed = reading.noted(subject)
    header = changed if is_there else reading.table_index(NODES)
    return reading.answer(value, changed, header, (exactly(subject),))
