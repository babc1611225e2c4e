"""Executions of prepared queries, as clients read them: a query and the catalog, of one state.

It is the one read of more than one domain, so no domain can offer it.
"""

from typing import Any

from msgspec.structs import replace

from quorate.base.domain import Model, SimulatedRead
from quorate.base.results import StateView
from quorate.catalog.model import expect_instances, see_instances
from quorate.catalog.queries import each_instance
from quorate.machine.domains import Domains
from quorate.preparedqueries.choosing import chosen
from quorate.preparedqueries.fields import QueryFields
from quorate.preparedqueries.model import expect_resolved, name_drawn, see_resolved
from quorate.preparedqueries.templates import rendered


def _see(reading: StateView, name: bytes) -> Any:
    """The instances that a query chooses, by node and id."""
    fields = see_resolved(reading, name)
    if not isinstance(fields, QueryFields):
        return fields
    service = rendered(fields, name.decode()).service
    kept = chosen(service, each_instance(reading, service.service).value)
    places = {(one.row.node, one.service.id) for one in kept}
    seen = see_instances(reading, service.service.encode())
    return [one for one in seen if (one[0].node, one[0].said.id) in places]


def _expect(model: Model, slot: int, name: bytes) -> Any:
    """The same by the models of both domains."""
    fields = expect_resolved(model, slot, name)
    if not isinstance(fields, QueryFields):
        return fields
    service = fields.service
    if fields.is_template:
        service = replace(service, service=_interpolated(fields, name.decode()))
    found: list[Any] = []
    for instance in expect_instances(model, slot, service.service.encode()):
        _, node, checks = instance
        statuses = {one.said.status for one in checks if one.said.id not in service.ignored_checks}
        is_healthy = statuses <= ({"passing"} if service.only_passing else {"passing", "warning"})
        if is_healthy and set(service.node_meta.items()) <= set(node.meta):
            found.append(instance)
    return found


def _interpolated(fields: QueryFields, name: str) -> str:
    """The service of a template, which uses no more of the language than this."""
    text = fields.service.service.replace("${name.full}", name)
    return text.replace("${name.suffix}", name[len(fields.name) :])


def executions_of(domains: Domains) -> dict[str, SimulatedRead]:
    """The read, by its name, if these domains have both."""
    names = {domain.name for domain in domains.all}
    if not {"catalog", "preparedqueries"} <= names:
        return {}
    return {"execution": SimulatedRead(_see, _expect, name_drawn)}
