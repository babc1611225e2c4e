"""What transactions can do with nodes, services and checks: Consul's verbs.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any

from quorate.base.domain import PAUSE, OperationError, Operations, Pause, Step
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.base.txn import TxnRow
from quorate.catalog.apply import (
    NO_CHECK_ID,
    NO_NODE,
    NO_SERVICE,
    drop_check,
    put_check,
    put_instance,
    put_node,
    remove_instance,
    remove_node,
)
from quorate.catalog.operations import (
    CheckOp,
    NodeOp,
    ServiceOp,
    check_result,
    node_result,
    service_result,
)
from quorate.catalog.tables import check_of, instance_of, node_by_id, node_of

Steps = Generator[Step, None, None]
NO_NAME = "Must provide node"


def _paused(work: Generator[None, None, Any]) -> Generator[Pause, None, Any]:
    """Work of the catalog as a part of a verb."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value
        yield PAUSE


def quoted(name: str) -> str:
    """A name between double quotes."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- nodes ------------------------------------------------------------------------------------


def _check_node(op: NodeOp) -> None:
    if not op.node and op.verb != "get":
        raise OperationError(NO_NAME)


def _node_get(rows: TableRows, op: NodeOp) -> list[TxnRow]:
    row = (node_by_id(rows, op.details.id) if op.details.id else None) or node_of(rows, op.node)
    if row is None:
        raise OperationError(f"node {quoted(op.node)} doesn't exist")
    return [node_result(row)]


def _node_set(rows: Rows, op: NodeOp) -> Steps:
    failure = yield from _paused(put_node(rows, op.node, op.details))
    if isinstance(failure, Failure):
        raise OperationError(f"failed inserting node: {failure.text}")
    yield from _node_get(rows, op)


def _node_cas(rows: Rows, op: NodeOp) -> Steps:
    row = node_of(rows, op.node)
    if op.index != (0 if row is None else row.modify_index):
        raise OperationError(f"failed to set node {quoted(op.node)}, index is stale")
    yield from _node_set(rows, op)


def _node_delete(rows: Rows, op: NodeOp) -> Steps:
    yield from _paused(remove_node(rows, op.node))


def _node_delete_cas(rows: Rows, op: NodeOp) -> Steps:
    row = node_of(rows, op.node)
    if row is not None and op.index != row.modify_index:
        raise OperationError(f"failed to delete node {quoted(op.node)}, index is stale")
    yield from _node_delete(rows, op)


# --- services ---------------------------------------------------------------------------------


def _check_service(op: ServiceOp) -> None:
    if op.verb != "get" and not op.service.name:
        text = "Must provide service name (Service.Service) when service ID is provided"
        raise OperationError(text)


def _service(op: ServiceOp) -> str:
    return f"service {quoted(op.service.id)} on node {quoted(op.node)}"


def _service_get(rows: TableRows, op: ServiceOp) -> list[TxnRow]:
    row = instance_of(rows, op.node, op.service.id)
    if row is None:
        raise OperationError(f"{_service(op)} doesn't exist")
    return [service_result(row)]


def _service_set(rows: Rows, op: ServiceOp) -> Steps:
    node = node_of(rows, op.node)
    if node is None:
        raise OperationError(NO_NODE.text)
    yield from _paused(put_instance(rows, node.name, op.service))
    yield from _service_get(rows, op)


def _service_cas(rows: Rows, op: ServiceOp) -> Steps:
    row = instance_of(rows, op.node, op.service.id)
    if op.index != (0 if row is None else row.modify_index):
        raise OperationError(f"failed to set {_service(op)}, index is stale")
    yield from _service_set(rows, op)


def _service_delete(rows: Rows, op: ServiceOp) -> Steps:
    yield from _paused(remove_instance(rows, op.node, op.service.id))


def _service_delete_cas(rows: Rows, op: ServiceOp) -> Steps:
    row = instance_of(rows, op.node, op.service.id)
    if row is not None and op.index != row.modify_index:
        raise OperationError(f"failed to delete {_service(op)}, index is stale")
    yield from _service_delete(rows, op)


# --- checks -----------------------------------------------------------------------------------


def _check_nothing(_: CheckOp) -> None:
    """What an operation on a check lacks is found when it is applied."""


def _check(op: CheckOp) -> str:
    return f"check {quoted(op.check.id)} on node {quoted(op.node)}"


def _check_get(rows: TableRows, op: CheckOp) -> list[TxnRow]:
    row = check_of(rows, op.node, op.check.id)
    if row is None:
        raise OperationError(f"{_check(op)} doesn't exist")
    return [check_result(row)]


def _check_set(rows: Rows, op: CheckOp) -> Steps:
    node, service = node_of(rows, op.node), op.check.service_id
    if node is None:
        raise OperationError(NO_NODE.text)
    if not op.check.id:
        raise OperationError(NO_CHECK_ID.text)
    if service and instance_of(rows, op.node, service) is None:
        raise OperationError(NO_SERVICE.text)
    yield from _paused(put_check(rows, node.name, op.check, has_tags=True))
    yield from _check_get(rows, op)


def _check_cas(rows: Rows, op: CheckOp) -> Steps:
    row = check_of(rows, op.node, op.check.id)
    if op.index != (0 if row is None else row.modify_index):
        raise OperationError(f"failed to set {_check(op)}, index is stale")
    yield from _check_set(rows, op)


def _check_delete(rows: Rows, op: CheckOp) -> Steps:
    row = check_of(rows, op.node, op.check.id)
    if row is not None:
        rows.take_index()
        yield from _paused(drop_check(rows, row))


def _check_delete_cas(rows: Rows, op: CheckOp) -> Steps:
    row = check_of(rows, op.node, op.check.id)
    if row is not None and op.index != row.modify_index:
        raise OperationError(f"failed to delete {_check(op)}, index is stale")
    yield from _check_delete(rows, op)


Writes = dict[str, Callable[[Rows, Any], Iterable[Step]]]

_NODE: Writes = {
    "set": _node_set, "cas": _node_cas, "delete": _node_delete, "delete-cas": _node_delete_cas,
}  # fmt: skip
_SERVICE: Writes = {
    "set": _service_set, "cas": _service_cas, "delete": _service_delete,
    "delete-cas": _service_delete_cas,
}  # fmt: skip
_CHECK: Writes = {
    "set": _check_set, "cas": _check_cas, "delete": _check_delete,
    "delete-cas": _check_delete_cas,
}  # fmt: skip
OPERATIONS = (
    Operations(NodeOp, 2, "node", _check_node, _NODE, {"get": _node_get}),
    Operations(ServiceOp, 3, "service", _check_service, _SERVICE, {"get": _service_get}),
    Operations(CheckOp, 4, "check", _check_nothing, _CHECK, {"get": _check_get}),
)
