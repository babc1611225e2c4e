"""What transactions can do with keys: Consul's verbs.

Each verb gives its results one by one, and `PAUSE` or None where it may pause: see
`base.domain.Operations`.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Iterable

from quorate.base.domain import PAUSE, OperationError, Operations, Step
from quorate.base.ports import Rows, TableRows
from quorate.base.txn import TxnItem, TxnOp
from quorate.kv import locks, trees
from quorate.kv.apply import remove, remove_if, write, write_if
from quorate.kv.tables import KvRow, looked_at, row_of

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
    return [_item(op.key, write(rows, op.key, op.value, op.flags))]


def _cas(rows: Rows, op: TxnOp) -> list[TxnItem]:
    row = write_if(rows, op.key, op.value, op.flags, op.index)
    if row is None:
        raise OperationError(f"failed to set key {quoted(op.key)}, index is stale")
    return [_item(op.key, row)]


def _lock(rows: Rows, op: TxnOp) -> list[TxnItem]:
    failure = locks.refusal(rows, op.session)
    if failure is not None:
        raise OperationError(failure.text)
    if locks.is_delayed(rows, op.key, rows.log_time_ms):
        raise OperationError(f"failed to lock key {quoted(op.key)} due to lock delay")
    row = locks.acquire(rows, op.key, op.value, op.flags, op.session)
    if row is None:
        raise OperationError(f"failed to lock key {quoted(op.key)}, lock is already held")
    return [_item(op.key, row)]


def _unlock(rows: Rows, op: TxnOp) -> list[TxnItem]:
    if not op.session:
        raise OperationError(locks.MISSING_SESSION.text)
    row = locks.release(rows, op.key, op.value, op.flags, op.session)
    if row is None:
        raise OperationError(
            f"failed to unlock key {quoted(op.key)}, lock isn't held, or is held by another session"
        )
    return [_item(op.key, row)]


def _delete(rows: Rows, op: TxnOp) -> list[TxnItem]:
    remove(rows, op.key)
    return []


def _delete_cas(rows: Rows, op: TxnOp) -> list[TxnItem]:
    if not remove_if(rows, op.key, op.index):
        raise OperationError(f"failed to delete key {quoted(op.key)}, index is stale")
    return []


def _delete_tree(rows: Rows, op: TxnOp) -> Iterable[Step]:
    for _ in trees.remove_tree(rows, op.key):
        yield PAUSE


# --- verbs that read --------------------------------------------------------------------------


def _get(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = row_of(rows, op.key)
    if row is None:
        raise OperationError(f"key {quoted(op.key)} doesn't exist")
    return [_item(op.key, row, row.value)]


def _get_or_empty(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = row_of(rows, op.key)
    if row is None:
        return [TxnItem(op.key, None, is_bare=True)]
    return [_item(op.key, row, row.value)]


def _get_tree(rows: TableRows, op: TxnOp) -> Iterable[Step]:
    for entry in looked_at(rows, op.key):
        yield None if entry is None else _item(entry.key, entry.row, entry.row.value)


def _check_index(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = row_of(rows, op.key)
    if row is None:
        raise OperationError(f"failed to check index, key {quoted(op.key)} doesn't exist")
    if row.modify_index != op.index:
        raise OperationError(
            f"failed index check for key {quoted(op.key)}, "
            f"current modify index {row.modify_index} != {op.index}"
        )
    return [_item(op.key, row)]


def _check_session(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    row = row_of(rows, op.key)
    if row is None:
        raise OperationError(f"failed to check session, key {quoted(op.key)} doesn't exist")
    if row.session != op.session:
        raise OperationError(
            f"failed session check for key {quoted(op.key)}, "
            f'current session "{row.session}" != "{op.session}"'
        )
    return [_item(op.key, row)]


def _check_not_exists(rows: TableRows, op: TxnOp) -> list[TxnItem]:
    if row_of(rows, op.key) is not None:
        raise OperationError(f"key {quoted(op.key)} exists")
    return []


_WRITES: dict[str, Callable[[Rows, TxnOp], Iterable[Step]]] = {
    "set": _set,
    "cas": _cas,
    "lock": _lock,
    "unlock": _unlock,
    "delete": _delete,
    "delete-cas": _delete_cas,
    "delete-tree": _delete_tree,
}
_READS: dict[str, Callable[[TableRows, TxnOp], Iterable[Step]]] = {
    "get": _get,
    "get-or-empty": _get_or_empty,
    "get-tree": _get_tree,
    "check-index": _check_index,
    "check-session": _check_session,
    "check-not-exists": _check_not_exists,
}

OPERATIONS = Operations(TxnOp, 1, "KV", _need_key, _WRITES, _READS)
