"""Comparing the local state with the catalog: which rows differ, and the commands that mend them.

LST-6: `serfHealth` and the service of the servers belong to the node, not to its local state: they
    are never touched here.
LST-7: with `EnableTagOverride` the tags of the catalog are kept: they are taken into the local
    state by a full comparison.
LST-8: an adopted check follows its row: whoever reported its status to the catalog goes on so.
LST-9: where the output alone differs the command takes no index (CTG-4), unless a setting wants
    watchers to wake.
"""

from collections.abc import Iterator
from itertools import chain, islice
from operator import attrgetter

import msgspec

from quorate.base.command import Command
from quorate.base.durations import NO_DURATION
from quorate.base.results import StateView
from quorate.catalog.commands import (
    CatalogPut,
    CheckDeregister,
    CheckOutput,
    ServiceDeregister,
)
from quorate.catalog.fields import SERF_HEALTH, SERVER_SERVICE
from quorate.catalog.tables import (
    CheckRow,
    InstanceRow,
    check_of,
    checks_of_node,
    instance_of,
    node_of,
    services_of_node,
)
from quorate.localstate.entries import LocalCheck, LocalService, catalog_check
from quorate.localstate.pending import Key, check_key, service_key
from quorate.localstate.state import LocalState
from quorate.monitoring.checks import STATUSES

_COMPARED = attrgetter("name", "status", "notes", "service_id", "type")
_DURATIONS = attrgetter("interval", "timeout")

PIECE = 64
"""Entries that one step compares."""


def command_for(
    state: LocalState, reading: StateView, node: str, key: Key
) -> tuple[Command, list[Key]]:
    """The command that makes the row of an entry right, and the entries that it covers.

    Args:
        state: The local state.
        reading: The newest state of the tables.
        node: The name of this node.
        key: The entry.
    """
    kind, name = key
    if kind == "service":
        return _for_service(state, node, name)
    check = state.checks.get(name)
    if check is None:
        return CheckDeregister(node, name), [key]
    service = check.definition.service_id
    if service and state.pending.is_ready(service_key(service)) and service in state.services:
        return _for_service(state, node, service)
    row = None if state.wakes_on_output else check_of(reading.rows, node, name)
    if row is not None and _is_equal(check, row, ignores_output=True):
        return CheckOutput(node, name, check.state.output), [key]
    return CatalogPut(node, checks=(catalog_check(check),)), [key]


def _for_service(state: LocalState, node: str, name: str) -> tuple[Command, list[Key]]:
    key, found = service_key(name), state.services.get(name)
    if found is None:
        return ServiceDeregister(node, name), [key]
    ready = [
        check
        for check in state.checks_of(name)
        if state.pending.is_ready(check_key(check.definition.id))
    ]
    command = CatalogPut(node, service=found.service, checks=tuple(map(catalog_check, ready)))
    return command, [key, *(check_key(check.definition.id) for check in ready)]


class FullComparison:
    """A full comparison, in steps; each looks at the newest state of the tables."""

    def __init__(self, state: LocalState, node: str) -> None:
        self._state = state
        self._node = node
        services, checks = list(state.services), list(state.checks)
        self._keys = chain(map(service_key, services), map(check_key, checks))
        self._is_at_rows = False
        self._service: str | None = ""  # the last row that was looked at; None: all were
        self._check: str | None = ""

    def step(self, reading: StateView, now_s: float) -> bool:
        """Compare a piece; True: everything has been compared."""
        if node_of(reading.rows, self._node) is None:
            return True  # nothing can be registered yet
        piece = list(islice(self._keys, PIECE))
        for key in piece:
            if key not in self._state.pending:
                self._compare(reading, key, now_s)
        if piece:
            return False
        if self._service is not None:
            self._service = self._unknown_services(reading, self._service)
        elif self._check is not None:
            self._check = self._unknown_checks(reading, self._check)
        return self._service is None and self._check is None

    def _compare(self, reading: StateView, key: Key, now_s: float) -> None:
        kind, name = key
        state = self._state
        if kind == "service":
            found = state.services.get(name)
            if found is not None:
                self._compare_service(found, instance_of(reading.rows, self._node, name))
            return
        check = state.checks.get(name)
        if check is None:
            return
        row = check_of(reading.rows, self._node, name)
        is_adopted = check.definition.adopted_type is not None
        if row is not None and is_adopted and row.status in STATUSES:
            state.follow(name, row.status, row.output, now_s)
        if not _is_equal(check, row):
            state.pending.mark(key)

    def _compare_service(self, found: LocalService, row: InstanceRow | None) -> None:
        state, service = self._state, found.service
        if row is not None and service.enable_tag_override and row.service.tags != service.tags:
            state.take_tags(service.id, row.service.tags)
            service = msgspec.structs.replace(service, tags=row.service.tags)
        if row is None or row.service != service:
            state.pending.mark(service_key(service.id))

    def _unknown_services(self, reading: StateView, after: str) -> str | None:
        rows = services_of_node(reading.rows, self._node, after)
        last: str | None = None
        for row in islice(rows, PIECE):
            last = row.service.id
            is_ours = last in self._state.services or last == SERVER_SERVICE
            if not is_ours and service_key(last) not in self._state.pending:
                self._state.pending.mark(service_key(last))
        return last

    def _unknown_checks(self, reading: StateView, after: str) -> str | None:
        rows: Iterator[CheckRow] = checks_of_node(reading.rows, self._node, after)
        last: str | None = None
        for row in islice(rows, PIECE):
            last = row.id
            is_ours = last in self._state.checks or last == SERF_HEALTH
            is_gone = bool(row.service_id) and row.service_id not in self._state.services
            if not is_ours and not is_gone and check_key(last) not in self._state.pending:
                self._state.pending.mark(check_key(last))
        return last


def _is_equal(check: LocalCheck, row: CheckRow | None, *, ignores_output: bool = False) -> bool:
    """Whether the row says the same; an output that waits to be sent may differ.

    Rows of format 5 and older have no durations: that they are zero need not be written into each.
    """
    if row is None:
        return False
    want = catalog_check(check)
    return (
        _COMPARED(row) == _COMPARED(want)
        and all(map(_is_same_duration, _DURATIONS(row), _DURATIONS(want)))
        and row.service_name == check.service_name
        and (ignores_output or check.is_output_due or row.output == want.output)
    )


def _is_same_duration(one: str, other: str) -> bool:
    return one == other or {one, other} == {"", NO_DURATION}
