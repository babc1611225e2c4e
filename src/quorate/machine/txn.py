"""Transactions: up to 128 operations on keys, all or nothing, one command, one index.

Every operation is evaluated, and every failing one is listed, in order. A transaction that fails
is undone from the old values that `Rows` kept. One of reads only runs on any view and is never
logged.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Iterable

from quorate.base.commands.txn import Txn, TxnDone, TxnFault, TxnItem, TxnOp
from quorate.base.ports import TableRows
from quorate.kv import locks, store
from quorate.kv.store import KvRow
from quorate.machine import ownership
from quorate.machine.rows import Rows

READS = frozenset(
    {"get", "get-or-empty", "get-tree", "check-index", "check-session", "check-not-exists"}
)
"""Verbs that change nothing; a transaction of these alone is a read."""

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


class OperationError(Exception):
    """One operation failed; the text says why, in Consul's words."""


def is_read_only(ops: Iterable[TxnOp]) -> bool:
    """Whether no operation can change anything, so that none need be logged."""
    return all(op.verb in READS for op in ops)


def on_txn(rows: Rows, command: Txn) -> TxnDone:
    """Apply `Txn`."""
    rows.open_undo()
    done = _evaluate(command.ops, lambda op: _apply(rows, op))
    if done.faults:
        rows.undo()
    else:
        rows.close_undo()
    return done


def read(rows: TableRows, ops: Iterable[TxnOp]) -> TxnDone:
    """Evaluate a transaction of reads only; other verbs fail as unknown."""
    return _evaluate(ops, lambda op: _read(rows, op))


def quoted(key: bytes) -> str:
    """A key between double quotes, with escapes for what cannot be shown."""
    text = key.decode("utf-8", "surrogateescape")
    return '"' + "".join(_shown(char) for char in text) + '"'


def _shown(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char


def _evaluate(ops: Iterable[TxnOp], run: Callable[[TxnOp], list[TxnItem]]) -> TxnDone:
    items: list[TxnItem] = []
    faults: list[TxnFault] = []
    for number, op in enumerate(ops):
        try:
            items += run(op)
        except OperationError as fault:  # an answer, listed; the others are evaluated all the same
            faults.append(TxnFault(number, str(fault)))
    return TxnDone(faults=tuple(faults)) if faults else TxnDone(items=tuple(items))


def _apply(rows: Rows, op: TxnOp) -> list[TxnItem]:
    writer = _WRITERS.get(op.verb)
    if writer is None:
        return _read(rows, op)
    _need_key(op)
    return writer(rows, op)


def _read(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    reader = _READERS.get(op.verb)
    if reader is None:
        raise OperationError(f"unknown KV operation: {op.verb}")
    _need_key(op)
    return reader(rows, op)


def _need_key(op: TxnOp) -> None:
    if not op.key:
        raise OperationError("Must provide key")


def _item(key: bytes, row: KvRow, value: bytes | None = None) -> TxnItem:
    return TxnItem(
        key,
        value,
        row.flags,
        row.lock_index,
        row.session,
        row.create_index,
        row.modify_index,
    )


# --- verbs that write -------------------------------------------------------------------------


def _set(rows: Rows, op: TxnOp) -> list[TxnItem]:
    return [_item(op.key, store.write(rows, op.key, op.value, op.flags))]


def _cas(rows: Rows, op: TxnOp) -> list[TxnItem]:
    row = store.write_if(rows, op.key, op.value, op.flags, op.index)
    if row is None:
        raise OperationError(f"failed to set key {quoted(op.key)}, index is stale")
    return [_item(op.key, row)]


def _lock(rows: Rows, op: TxnOp) -> list[TxnItem]:
    failure = ownership.refusal(rows, op.session)
    if failure is not None:
        raise OperationError(failure.text)
    if locks.is_delayed(rows, op.key, rows.stamp_ms):
        raise OperationError(f"failed to lock key {quoted(op.key)} due to lock delay")
    row = locks.acquire(rows, op.key, op.value, op.flags, op.session)
    if row is None:
        raise OperationError(f"failed to lock key {quoted(op.key)}, lock is already held")
    return [_item(op.key, row)]


def _unlock(rows: Rows, op: TxnOp) -> list[TxnItem]:
    if not op.session:
        raise OperationError(ownership.MISSING_SESSION.text)
    row = locks.release(rows, op.key, op.value, op.flags, op.session)
    if row is None:
        raise OperationError(
            f"failed to unlock key {quoted(op.key)}, lock isn't held, or is held by another session"
        )
    return [_item(op.key, row)]


def _delete(rows: Rows, op: TxnOp) -> list[TxnItem]:
    store.remove(rows, op.key)
    return []


def _delete_cas(rows: Rows, op: TxnOp) -> list[TxnItem]:
    if not store.remove_if(rows, op.key, op.index):
        raise OperationError(f"failed to delete key {quoted(op.key)}, index is stale")
    return []


def _delete_tree(rows: Rows, op: TxnOp) -> list[TxnItem]:
    store.remove_tree(rows, op.key)
    return []


# --- verbs that read --------------------------------------------------------------------------


def _get(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = store.row_of(rows, op.key)
    if row is None:
        raise OperationError(f"key {quoted(op.key)} doesn't exist")
    return [_item(op.key, row, row.value)]


def _get_or_empty(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = store.row_of(rows, op.key)
    if row is None:
        return [TxnItem(op.key, None, is_bare=True)]
    return [_item(op.key, row, row.value)]


def _get_tree(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    return [_item(entry.key, entry.row, entry.row.value) for entry in store.entries(rows, op.key)]


def _check_index(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = store.row_of(rows, op.key)
    if row is None:
        raise OperationError(f"failed to check index, key {quoted(op.key)} doesn't exist")
    if row.modify_index != op.index:
        raise OperationError(
            f"failed index check for key {quoted(op.key)}, "
            f"current modify index {row.modify_index} != {op.index}"
        )
    return [_item(op.key, row)]


def _check_session(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = store.row_of(rows, op.key)
    if row is None:
        raise OperationError(f"failed to check session, key {quoted(op.key)} doesn't exist")
    if row.session != op.session:
        raise OperationError(
            f"failed session check for key {quoted(op.key)}, "
            f'current session "{row.session}" != "{op.session}"'
        )
    return [_item(op.key, row)]


def _check_not_exists(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    if store.row_of(rows, op.key) is not None:
        raise OperationError(f"key {quoted(op.key)} exists")
    return []


_WRITERS: dict[str, Callable[[Rows, TxnOp], list[TxnItem]]] = {
    "set": _set,
    "cas": _cas,
    "lock": _lock,
    "unlock": _unlock,
    "delete": _delete,
    "delete-cas": _delete_cas,
    "delete-tree": _delete_tree,
}
_READERS: dict[str, Callable[[TableRows, TxnOp], list[TxnItem]]] = {
    "get": _get,
    "get-or-empty": _get_or_empty,
    "get-tree": _get_tree,
    "check-index": _check_index,
    "check-session": _check_session,
    "check-not-exists": _check_not_exists,
}
