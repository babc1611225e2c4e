"""Operations of transactions in the model of the catalog: see `catalog.model`.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable
from typing import Any

from quorate.base.domain import Model, OperationError
from quorate.base.txn import TxnRow
from quorate.catalog.commands import CheckDeregister, ServiceDeregister
from quorate.catalog.model import (
    CheckSeen,
    NodeSeen,
    ServiceSeen,
    check_seen,
    drop_check,
    drop_node,
    name_node,
    node_seen,
    nodes_of,
    put_check,
    serve,
    serve_no_more,
    service_seen,
)
from quorate.catalog.operations import CheckOp, NodeOp, ServiceOp, lengths

_ROW = 128
"""What a result counts besides its texts."""


class Like:
    """Equal to the result that shows this.

    Attributes:
        size: What it counts of what the results may hold.
    """

    def __init__(self, kind: str, seen: object, texts: int) -> None:
        self._kind, self._seen = kind, seen
        self.size = _ROW + texts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TxnRow):
            return NotImplemented
        return (other.kind, _SEEN[self._kind](other.row)) == (self._kind, self._seen)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self._kind} {self._seen}"


_SEEN: dict[str, Callable[[Any], object]] = {
    "Node": node_seen, "Service": service_seen, "Check": check_seen,
}  # fmt: skip
Results = list[Like]


def _check_index(verb: str, index: int, row: Any, what: str) -> None:
    modify = 0 if row is None else row.modify
    if verb == "cas" and index != modify:
        raise OperationError(f"failed to set {what}, index is stale")
    if verb == "delete-cas" and row is not None and index != modify:
        raise OperationError(f"failed to delete {what}, index is stale")


def _known(verb: str, kind: str) -> None:
    if verb not in {"set", "cas", "get", "delete", "delete-cas"}:
        raise OperationError(f"unknown {kind} operation: {verb}")


def on_node_op(model: Model, op: NodeOp) -> Results:
    """An operation on a node."""
    _known(op.verb, "node")
    mine, name, id_ = nodes_of(model), op.node.lower(), op.details.id
    row = mine.nodes.get(name)
    _check_index(op.verb, op.index, row, f'node "{op.node}"')
    if op.verb.startswith("delete"):
        drop_node(model, name)
        return []
    if op.verb != "get":
        if row is not None and id_ and row.id not in ("", id_):
            check = mine.checks.get((name, "serfHealth"))
            if check is not None and check.said.status != "critical":
                raise OperationError(
                    f"failed inserting node: Node name {op.node} is reserved by node {row.id} "
                    f"with name {row.name} ({row.address})"
                )
        name_node(model, name, op.node, op.details)
    namesakes = [each for _, each in sorted(mine.nodes.items()) if each.id == id_ != ""]
    found = namesakes[0] if namesakes else mine.nodes.get(name)
    if found is None:
        raise OperationError(f'node "{op.node}" doesn\'t exist')
    return [_node(found)]


def _node(row: NodeSeen) -> Like:
    return Like("Node", row, lengths(text for pair in row.meta for text in pair))


def on_service_op(model: Model, op: ServiceOp) -> Results:
    """An operation on an instance."""
    _known(op.verb, "service")
    mine, place = nodes_of(model), (op.node.lower(), op.service.id)
    if op.verb != "get" and not op.service.name:
        raise OperationError(
            "Must provide service name (Service.Service) when service ID is provided"
        )
    what = f'service "{op.service.id}" on node "{op.node}"'
    _check_index(op.verb, op.index, mine.services.get(place), what)
    if op.verb.startswith("delete"):
        serve_no_more(model, ServiceDeregister(op.node, op.service.id))
        return []
    if op.verb != "get":
        _need_node(model, op.node)
        serve(model, mine.nodes[place[0]].name, op.service)
    row = mine.services.get(place)
    if row is None:
        raise OperationError(f"{what} doesn't exist")
    return [_service(row)]


def _service(row: ServiceSeen) -> Like:
    return Like("Service", row, len(row.said.proxy) + lengths(row.said.tags))


def _need_node(model: Model, node: str) -> None:
    if node.lower() not in nodes_of(model).nodes:
        raise OperationError("Missing node registration")


def on_check_op(model: Model, op: CheckOp) -> Results:
    """An operation on a check."""
    _known(op.verb, "check")
    mine, place = nodes_of(model), (op.node.lower(), op.check.id)
    what = f'check "{op.check.id}" on node "{op.node}"'
    _check_index(op.verb, op.index, mine.checks.get(place), what)
    if op.verb.startswith("delete"):
        drop_check(model, CheckDeregister(op.node, op.check.id))
        return []
    if op.verb != "get":
        _need_node(model, op.node)
        service = op.check.service_id
        if service and (place[0], service) not in mine.services:
            raise OperationError("Missing service registration")
        put_check(model, mine.nodes[place[0]].name, op.check, has_tags=True)
    row = mine.checks.get(place)
    if row is None:
        raise OperationError(f"{what} doesn't exist")
    return [_check(row)]


def _check(row: CheckSeen) -> Like:
    return Like("Check", row, lengths((row.said.output, row.said.notes)))
