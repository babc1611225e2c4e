"""Transactions: `/v1/txn`, up to 128 operations on keys and the catalog at once.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from quorate.base.outcomes import Outcome
from quorate.base.txn import TxnItem, TxnOp, TxnResult, TxnRow
from quorate.domains import DOMAINS
from quorate.gateways.http.blocking import confirmed, mode_of
from quorate.gateways.http.bodies import (
    bytes_in,
    fields_of,
    is_list,
    json_of,
    key_in,
    number_in,
    text_in,
)
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.kv import KvShown
from quorate.gateways.http.params import Params, quoted
from quorate.gateways.http.responses import JSON
from quorate.gateways.http.streams import HERE, Batch, send_list
from quorate.gateways.http.txncatalog import (
    check_operation,
    node_operation,
    row_view,
    service_operation,
)
from quorate.httpserver.request import Request
from quorate.kv.queries import BATCH_BYTES, LIST_BYTES, LIST_ROWS
from quorate.machine.commands import Txn
from quorate.machine.queries import Reader
from quorate.machine.txn import is_read_only, mixed, read
from quorate.serving.held import work_through

_KV_FIELDS = ("verb", "key", "value", "flags", "index", "session", "namespace", "partition")
_LINES = b"X-Consul-Knownleader: %b\r\nX-Consul-Lastcontact: %d\r\n"
_CONFLICT = JSON + b"; charset=utf-8"


def put(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Do a transaction."""
    try:
        ops = _operations(context, json_of(request.body))
    except TextError as error:
        raise HttpError(400, f"Failed to parse body: {error}") from error
    if is_read_only(DOMAINS, ops):
        _read(context, request, params, ops)
        return
    context.check_datacenter(params)

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        _answer(context, request, outcome.value, {}, lines)

    is_plain = all(isinstance(op, TxnOp) for op in ops)
    context.submit(request, Txn(tuple(ops)) if is_plain else mixed(DOMAINS, ops), then)


def _read(context: Context, request: Request, params: Params, ops: list[Any]) -> None:
    mode_of(context, request, params, knows_namespaces=False)

    def then(reader: Reader, done: TxnResult) -> None:
        knows, contact_ms = True, 0
        if request.context.is_stale:
            knows, contact_ms = context.contact()
        more = {
            "Index": max(reader.index, 1),
            "LastContact": contact_ms,
            "KnownLeader": knows,
            "ConsistencyLevel": "",
            "NotModified": False,
            "Backend": 0,
            "ResultsFilteredByACLs": False,
        }
        _answer(context, request, done, more, _LINES % (b"true" if knows else b"false", contact_ms))

    def evaluated(reader: Reader) -> Generator[None, None, TxnResult]:
        return read(DOMAINS, reader.rows, ops, context.config.txn_result_bytes_max)

    def step() -> None:
        work_through(context.serving, HttpCaller(context, request), evaluated, then)

    confirmed(context, request, step)


def _answer(
    context: Context, request: Request, done: TxnResult, more: dict[str, Any], lines: bytes
) -> None:
    if done.faults:
        errors = [{"OpIndex": fault.op_index, "What": fault.what} for fault in done.faults]
        body = {"Results": None, "Errors": errors, **more}
        lines += HttpError(409, "").lines()
        context.responses.value(request, body, status=409, kind=_CONFLICT, lines=lines)
        return
    rest: dict[str, Any] = {"Errors": None, **more}
    if _is_long(done.items):
        frame = {"Results": HERE, **rest}
        send_list(context.responses, request, _batches(done.items), frame=frame, lines=lines)
        return
    context.responses.value(request, {"Results": _results(done.items), **rest}, lines=lines)


def _results(items: Iterable[TxnItem | TxnRow]) -> Batch:
    return [{"KV": _shown(item)} if isinstance(item, TxnItem) else row_view(item) for item in items]


def _is_long(items: tuple[TxnItem | TxnRow, ...]) -> bool:
    return len(items) > LIST_ROWS or sum(item.size for item in items) > LIST_BYTES


def _batches(items: tuple[TxnItem | TxnRow, ...]) -> Iterator[Batch]:
    batch: list[TxnItem | TxnRow] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size
        if size >= BATCH_BYTES:
            yield _results(batch)
            batch, size = [], 0
    yield _results(batch)


def _shown(item: TxnItem) -> KvShown:
    return KvShown(
        item.lock_index,
        item.key.decode("utf-8", "replace"),
        item.flags,
        item.value or None,
        item.create_index,
        item.modify_index,
        item.session or msgspec.UNSET,
    )


# --- parsing ----------------------------------------------------------------------------------

Parse = Callable[[HttpConfig, Any], Any]
"""Makes an operation of what stands under the name of its kind."""


def _operations(context: Context, value: Any) -> list[Any]:
    if value is None:
        return []
    if not is_list(value):
        raise TextError("json: a transaction is a list of operations")
    config = context.config
    if len(value) > config.txn_ops_max:
        text = f"Transaction contains too many operations ({len(value)} > {config.txn_ops_max})"
        raise HttpError(413, text)
    ops: list[Any] = []
    for item in value:
        if item is None:
            raise TextError("json: an operation is null")
        fields = fields_of(item, OPERATIONS, "an operation")
        kind = next((kind for kind in OPERATIONS if fields.get(kind) is not None), None)
        if kind is not None:  # else it is an empty object
            ops.append(OPERATIONS[kind](config, fields[kind]))
    return ops


def _key_operation(config: HttpConfig, value: Any) -> TxnOp:
    fields = fields_of(value, _KV_FIELDS, "KV")
    op = TxnOp(
        text_in(fields, "Verb"),
        key_in(fields, "Key", config.key_bytes_max),
        bytes_in(fields, "Value"),
        number_in(fields, "Flags"),
        number_in(fields, "Index"),
        text_in(fields, "Session"),
    )
    size, limit = len(op.value), config.value_bytes_max
    if size > limit:
        key = quoted(op.key.decode("utf-8", "replace"))
        raise HttpError(413, f"Value for key {key} is too large ({size} > {limit} bytes)")
    return op


OPERATIONS: Mapping[str, Parse] = {
    "kv": _key_operation,
    "node": node_operation,
    "service": service_operation,
    "check": check_operation,
}
"""By kind, in Consul's order: of several kinds in one operation the first counts."""
