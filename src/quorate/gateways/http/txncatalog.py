"""Operations of transactions on nodes, services and checks, in bodies and in answers.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Mapping
from typing import Any

from quorate.base.txn import TxnRow
from quorate.catalog.fields import NodeFields
from quorate.catalog.operations import CheckOp, NodeOp, ServiceOp
from quorate.gateways.http.bodies import Fields, fields_of, names_in, number_in, text_in
from quorate.gateways.http.catalogbodies import (
    CHECK_FIELDS,
    SERVICE_FIELDS,
    check_in,
    node_id_fault,
    service_fault,
    service_in,
)
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.views import JsonView, check_view, node_view, service_view

_NODE = (
    "id", "node", "address", "datacenter", "taggedaddresses", "meta", "locality", "peername",
    "createindex", "modifyindex",
)  # fmt: skip
_WRITES = ("set", "cas")


def node_operation(config: HttpConfig, value: Any) -> NodeOp:
    """An operation on a node.

    Raises:
        HttpError: 400: it makes no sense.
        TextError: It cannot be read.
    """
    outer = fields_of(value, ("verb", "node"), "Node")
    fields, verb = fields_of(outer.get("node"), _NODE, "Node"), text_in(outer, "Verb")
    details = NodeFields(
        text_in(fields, "ID"),
        text_in(fields, "Address"),
        config.datacenter,
        names_in(fields, "TaggedAddresses"),
        names_in(fields, "Meta"),
    )
    _refuse(verb, node_id_fault(details.id))
    return NodeOp(verb, text_in(fields, "Node"), details, _index(fields))


def service_operation(_: HttpConfig, value: Any) -> ServiceOp:
    """An operation on an instance of a service; as `node_operation`."""
    outer = fields_of(value, ("verb", "node", "service"), "Service")
    fields = fields_of(outer.get("service"), SERVICE_FIELDS, "Service")
    node, verb = text_in(outer, "Node"), text_in(outer, "Verb")
    said = service_in(fields)
    if said.name:
        _refuse(verb, service_fault(fields, said, node))
    return ServiceOp(verb, node, said, _index(fields))


def check_operation(_: HttpConfig, value: Any) -> CheckOp:
    """An operation on a check; as `node_operation`."""
    outer = fields_of(value, ("verb", "check"), "Check")
    fields = fields_of(outer.get("check"), CHECK_FIELDS, "Check")
    said = check_in(fields)
    return CheckOp(text_in(outer, "Verb"), text_in(fields, "Node"), said, _index(fields))


def _index(fields: Fields) -> int:
    return number_in(fields, "ModifyIndex")


def _refuse(verb: str, fault: str) -> None:
    if fault and verb in _WRITES:
        raise HttpError(400, f"Failed to parse body: {fault}")


def _service(row: Any) -> JsonView:
    view = service_view(row)
    return {**view, "Tags": view["Tags"] or None}


def _check(row: Any) -> JsonView:
    view = check_view(row, ())
    return {**view, "ServiceTags": view["ServiceTags"] or None}


_VIEWS: Mapping[str, Callable[[Any], JsonView]] = {
    "Node": node_view, "Service": _service, "Check": _check,
}  # fmt: skip


def row_view(item: TxnRow) -> JsonView:
    """A result that is a row of the catalog."""
    return {item.kind: _VIEWS[item.kind](item.row)}
