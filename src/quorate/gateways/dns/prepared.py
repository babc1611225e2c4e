"""Prepared queries by DNS: `<name>.query`.

Source: https://developer.hashicorp.com/consul/docs/services/discovery/dns-dynamic-lookups.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any

import msgspec

from quorate.base.durations import SECOND_NS
from quorate.base.results import Answer, StateView
from quorate.base.subjects import name_part
from quorate.catalog.queries import Instance, completed, each_service
from quorate.catalog.tables import nodes_at
from quorate.gateways.dns.questions import DnsQuestion
from quorate.gateways.http.errors import TextError
from quorate.gateways.http.meshbodies import is_mesh_of
from quorate.gateways.http.params import duration_ns
from quorate.preparedqueries.choosing import AGENT, IP, chosen, is_on, with_first
from quorate.preparedqueries.fields import QueryFields, ServiceQuery
from quorate.preparedqueries.queries import QueryLookupError, resolved
from quorate.preparedqueries.templates import QueryTemplateError, rendered

MESH_ROWS_MAX = 10_000
"""For a query of a mesh, so many instances of all services are examined at most."""

_SUBNET_BYTES = {b"\0\1": 4, b"\0\2": 16}  # of an address of each family


class Asker(msgspec.Struct, frozen=True):
    """Who asks.

    Attributes:
        address: Of the client, as it says by EDNS, or as its query came; "": unknown.
        own_node: Gives the name of this node.
    """

    address: str
    own_node: Callable[[], str]


NOBODY = Asker("", lambda: "")


class Prepared(msgspec.Struct, frozen=True):
    """What a prepared query gives.

    Attributes:
        service: The name of its service.
        instances: Those that it chooses.
        ordered: So many of the first ones come first in every reply.
        ttl_s: Of the records; None: that of the service.
        changed: The index of the newest change of what was read, by `subjects`.
        subjects: The watch keys that cover it; empty: any change may change it.
        is_of_client: Another client may get another result.
    """

    service: str = ""
    instances: Sequence[Instance] = ()
    ordered: int = 0
    ttl_s: float | None = None
    changed: int = 0
    subjects: tuple[bytes, ...] = ()
    is_of_client: bool = False


Instances = Callable[[str], Answer[Sequence[Instance]]]
"""Finds the first instances of a service."""


def asker_of(question: DnsQuestion, client: str, own_node: Callable[[], str]) -> Asker:
    """Who asks a question that came from this address."""
    subnet = b"" if question.edns is None else question.edns.subnet
    size = _SUBNET_BYTES.get(subnet[:2])
    if size is not None and len(subnet) <= 4 + size:
        return Asker(str(ip_address(subnet[4:].ljust(size, b"\0"))), own_node)
    return Asker(client, own_node)


def prepared(reading: StateView, instances: Instances, name: str, asker: Asker) -> Prepared:
    """What a query gives, by its name or id; without a service if there is none."""
    try:
        answer = resolved(reading, name)
        if answer.value is None:
            return _with(Prepared(), answer)
        fields = rendered(answer.value.fields, name)
    except (QueryLookupError, QueryTemplateError):  # DNS has no other way to say so
        return Prepared()
    service = fields.service
    near, is_of_client = _near(reading, service, asker)
    found: Answer[Any]
    if service.peer:
        found = answer
        rows: Sequence[Instance] = ()
    elif service.is_connect:
        found = Answer([], 0, 0, ())
        rows = _of_mesh(reading, service.service)
    else:
        found = instances(service.service)
        rows = found.value
    kept = with_first(list(chosen(service, rows)), near)
    made = Prepared(
        service.service,
        kept,
        sum(bool(near) and is_on(one, near) for one in kept),
        _ttl_s(fields),
        is_of_client=is_of_client,
    )
    return _with(made, answer, found) if found.subjects else made


def _with(made: Prepared, *answers: Answer[Any]) -> Prepared:
    subjects = tuple(subject[1:] for answer in answers for subject in answer.subjects)
    changed = max(answer.changed for answer in answers)
    return msgspec.structs.replace(made, changed=changed, subjects=subjects)


def _near(reading: StateView, service: ServiceQuery, asker: Asker) -> tuple[str, bool]:
    """The node whose instances come first, and whether that follows from who asks."""
    if service.near == AGENT:
        return asker.own_node(), False
    if service.near == IP:
        node = next(nodes_at(reading.rows, asker.address), None) if asker.address else None
        return "" if node is None else node.name, True
    return service.near, False


def _of_mesh(reading: StateView, service: str) -> list[Instance]:
    wanted = name_part(service)
    rows = islice(each_service(reading).value, MESH_ROWS_MAX)
    found = (completed(reading, row) for row in rows if is_mesh_of(row.service, wanted))
    return [one for one in found if one is not None]


def _ttl_s(fields: QueryFields) -> float | None:
    if not fields.dns_ttl:
        return None
    try:
        return duration_ns(fields.dns_ttl) / SECOND_NS
    except TextError:  # no gateway stores one: see `querybodies.check`
        return None
