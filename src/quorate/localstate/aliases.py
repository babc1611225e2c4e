"""Aliases: checks whose status is that of another service, or of a node.

ALI-1: a critical check of the target decides, else one in warning; checks of its node count, too.
ALI-2: an alias never counts itself, and one event evaluates it once: aliases of each other cannot
    go on for ever.

Source: https://developer.hashicorp.com/consul/docs/reference/service/health-check, alias checks.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from quorate.base.context import OWN
from quorate.base.ports import WatchHandle
from quorate.base.subjects import exactly, name_part
from quorate.catalog.subjects import of_node
from quorate.catalog.tables import checks_of_instance, checks_of_node, instance_of
from quorate.localstate.entries import LocalCheck
from quorate.localstate.ports import Catalog
from quorate.machine.queries import Reader
from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.monitoring.definitions import CheckDefinition


class SeenCheck(NamedTuple):
    """What an alias sees of a check."""

    name: str
    status: str
    output: str


def aliased(
    definition: CheckDefinition, seen: Iterable[SeenCheck], *, is_known: bool
) -> tuple[str, str]:
    """Status and output of an alias (ALI-1).

    Args:
        definition: Of the alias.
        seen: The checks of its target, and of the node of that.
        is_known: Its service is there; True if it names none.
    """
    status, output = PASSING, "No checks found."
    for check in seen:
        if check.status in (CRITICAL, WARNING):
            status, output = check.status, f'Aliased check "{check.name}" failing: {check.output}'
            if check.status == CRITICAL:
                break
        elif status == PASSING:
            output = "All checks passing."
    if not is_known:
        where = f"on node {definition.alias_node}"
        return CRITICAL, f"Service {definition.alias_service} could not be found {where}"
    return status, output


class AliasIndex:
    """The aliases of an agent by their target, and which of them may be out of date."""

    def __init__(self) -> None:
        self._by_service: dict[str, dict[str, None]] = {}
        self._stale: dict[str, None] = {}
        self.remote: dict[str, CheckDefinition] = {}
        """Those that name a node."""

    def add(self, definition: CheckDefinition) -> None:
        """An alias was registered."""
        if definition.alias_node:
            self.remote[definition.id] = definition
        else:
            self._by_service.setdefault(definition.alias_service, {})[definition.id] = None
            self._stale[definition.id] = None

    def discard(self, definition: CheckDefinition) -> None:
        """An alias was removed."""
        self.remote.pop(definition.id, None)
        self._stale.pop(definition.id, None)
        listed = self._by_service.get(definition.alias_service, {})
        listed.pop(definition.id, None)
        if not listed:
            self._by_service.pop(definition.alias_service, None)

    def touch(self, service: str) -> None:
        """A check of a service changed, or the service itself; "": a check of the node."""
        if not self._by_service:
            return
        if service:
            self._stale.update(self._by_service.get(service, {}))
        else:
            for listed in self._by_service.values():
                self._stale.update(listed)

    def take_stale(self) -> list[str]:
        """Those that may be out of date, once."""
        stale, self._stale = list(self._stale), {}
        return stale


def local_alias(
    alias: LocalCheck, checks: Iterable[LocalCheck], services: Mapping[str, object]
) -> tuple[str, str]:
    """Status and output of an alias of a service of this agent."""
    seen = (
        SeenCheck(each.definition.name, each.status, each.state.output)
        for each in checks
        if each is not alias
    )
    target = alias.definition.alias_service
    return aliased(alias.definition, seen, is_known=target in services)


Mirror = Callable[[str, str, str], None]
"""Gets the id of an alias, and its status and output."""


class RemoteAliases:
    """Aliases that name a node: they follow its rows in the catalog.

    Args:
        catalog: The node.
        own: Its name.
        mirror: Called with each result, in later turns too.
    """

    def __init__(self, catalog: Catalog, own: str, mirror: Mirror) -> None:
        self._catalog = catalog
        self._own = name_part(own)
        self._mirror = mirror
        self._watched: dict[str, tuple[CheckDefinition, WatchHandle]] = {}

    def follow(self, wanted: Mapping[str, CheckDefinition]) -> None:
        """Follow these aliases, and no others."""
        for alias, (definition, handle) in list(self._watched.items()):
            if wanted.get(alias) != definition:
                handle.cancel()
                del self._watched[alias]
        for alias, definition in wanted.items():
            if alias not in self._watched:
                self._evaluate(definition)

    def stop(self) -> None:
        """Follow none."""
        self.follow({})

    def _evaluate(self, definition: CheckDefinition) -> None:
        """Watch the node, then read its rows."""
        subject = exactly(of_node(definition.alias_node))
        changed = partial(self._changed, definition)
        self._watched[definition.id] = definition, self._catalog.watch(OWN, (subject,), changed)
        rows = Reader(self._catalog.tables).rows
        node, service = definition.alias_node, definition.alias_service
        own = [row for row in checks_of_node(rows, node) if not row.service_id]
        if service:
            own += checks_of_instance(rows, node, service)
        itself = definition.id if name_part(node) == self._own else None
        seen = (SeenCheck(row.name, row.status, row.output) for row in own if row.id != itself)
        is_known = not service or instance_of(rows, node, service) is not None
        self._mirror(definition.id, *aliased(definition, seen, is_known=is_known))

    def _changed(self, definition: CheckDefinition) -> None:
        found = self._watched.get(definition.id)
        if found is not None and found[0] is definition:
            self._evaluate(definition)
