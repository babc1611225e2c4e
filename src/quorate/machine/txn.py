"""Transactions: up to 128 operations on keys, all or nothing, one command, one index.

Every operation is evaluated, and every failing one is listed, in order. A transaction that fails
is undone from the old values that `Rows` kept. One of reads only runs on any view and is never
logged. What the results of one transaction hold is limited: the operation that goes over the limit
fails, and those behind it are not evaluated.

Handlers here yield when their turn's share of work is done; so does each verb that may read or
remove many keys.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Generator, Iterable
from enum import Enum
from functools import partial

from quorate.base.commands.txn import Txn, TxnDone, TxnFault, TxnItem, TxnOp, TxnUnlimited
from quorate.base.ports import TableRows
from quorate.kv import locks, store, trees
from quorate.kv.store import KvRow
from quorate.machine import ownership
from quorate.machine.rows import READ_UNITS, WRITE_UNITS, Bounds, Rows

READS = frozenset(
    {"get", "get-or-empty", "get-tree", "check-index", "check-session", "check-not-exists"}
)
"""Verbs that change nothing; a transaction of these alone is a read."""

ITEM_BYTES = 128
"""What a result counts besides its key and value: about what its other fields take as JSON."""

TURN_UNITS = Bounds().turn_units

VALUE_BYTES = 4_096
"""So many bytes of a value that is read count as one more unit of work."""


class _Pause(Enum):
    """A verb's turn did its share of work."""

    PAUSE = "pause"


_PAUSE = _Pause.PAUSE
_Step = TxnItem | _Pause | None
"""A result, or a pause, or a row that was looked at in vain."""

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


class _TooLargeError(OperationError):
    """The results hold too much; nothing more is evaluated."""


def is_read_only(ops: Iterable[TxnOp]) -> bool:
    """Whether no operation can change anything, so that none need be logged."""
    return all(op.verb in READS for op in ops)


def on_txn(rows: Rows, command: Txn) -> Generator[None, None, TxnDone]:
    """Apply `Txn`."""
    return (yield from _run(rows, command.ops, rows.result_bytes_max))


def on_txn_unlimited(rows: Rows, command: TxnUnlimited) -> Generator[None, None, TxnDone]:
    """Apply `TxnUnlimited`."""
    work = _run(rows, command.ops, trees.NO_LIMIT)
    return (yield from trees.without_limit(rows, work))


def _run(rows: Rows, ops: Iterable[TxnOp], result_bytes_max: int) -> Generator[None, None, TxnDone]:
    rows.open_undo()
    results = _Results(result_bytes_max)
    done = yield from _evaluate(ops, partial(_apply, rows), results, rows.spend)
    if done.faults:
        rows.undo()
    else:
        rows.close_undo()
    return done


def read(
    rows: TableRows, ops: Iterable[TxnOp], result_bytes_max: int
) -> Generator[None, None, TxnDone]:
    """Evaluate a transaction of reads only; other verbs fail as unknown.

    Yields after each piece of `TURN_UNITS`.
    """
    left = TURN_UNITS

    def spend(units: int) -> bool:
        nonlocal left
        left -= units
        if left > 0:
            return False
        left = TURN_UNITS
        return True

    return _evaluate(ops, partial(_read, rows), _Results(result_bytes_max), spend)


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


def _units_of(step: _Step) -> int:
    value = step.value if isinstance(step, TxnItem) else None
    return READ_UNITS + len(value or b"") // VALUE_BYTES


class _Results:
    """The results so far, and how much they may still hold."""

    def __init__(self, bytes_max: int) -> None:
        self.items: list[TxnItem] = []
        self._bytes_max = bytes_max
        self._bytes_left = bytes_max

    def add(self, item: TxnItem) -> None:
        """Add one.

        Raises:
            _TooLargeError: It would be too much.
        """
        self._bytes_left -= ITEM_BYTES + len(item.key) + len(item.value or b"")
        if self._bytes_left < 0:
            raise _TooLargeError(
                f"the results of a transaction must not exceed {self._bytes_max} bytes "
                "(txn_result_bytes_max): read less in one transaction"
            )
        self.items.append(item)


def _evaluate(
    ops: Iterable[TxnOp],
    run: Callable[[TxnOp], Iterable[_Step]],
    results: _Results,
    spend: Callable[[int], bool],
) -> Generator[None, None, TxnDone]:
    faults: list[TxnFault] = []
    for number, op in enumerate(ops):
        if spend(WRITE_UNITS):
            yield
        try:
            for step in run(op):
                if isinstance(step, TxnItem):
                    results.add(step)
                if step is _PAUSE or spend(_units_of(step)):
                    yield
        except OperationError as fault:  # an answer, listed; the others are evaluated all the same
            faults.append(TxnFault(number, str(fault)))
            if isinstance(fault, _TooLargeError):
                break
    return TxnDone(faults=tuple(faults)) if faults else TxnDone(items=tuple(results.items))


def _apply(rows: Rows, op: TxnOp) -> Iterable[_Step]:
    writer = _WRITERS.get(op.verb)
    if writer is None:
        return _read(rows, op)
    _need_key(op)
    return writer(rows, op)


def _read(rows: TableRows, op: TxnOp) -> Iterable[_Step]:
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


def _delete_tree(rows: Rows, op: TxnOp) -> Iterable[_Step]:
    for _ in trees.remove_tree(rows, op.key):
        yield _PAUSE


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


def _get_tree(rows: TableRows, op: TxnOp) -> Iterable[_Step]:
    for entry in store.looked_at(rows, op.key):
        yield None if entry is None else _item(entry.key, entry.row, entry.row.value)


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


_WRITERS: dict[str, Callable[[Rows, TxnOp], Iterable[_Step]]] = {
    "set": _set,
    "cas": _cas,
    "lock": _lock,
    "unlock": _unlock,
    "delete": _delete,
    "delete-cas": _delete_cas,
    "delete-tree": _delete_tree,
}
_READERS: dict[str, Callable[[TableRows, TxnOp], Iterable[_Step]]] = {
    "get": _get,
    "get-or-empty": _get_or_empty,
    "get-tree": _get_tree,
    "check-index": _check_index,
    "check-session": _check_session,
    "check-not-exists": _check_not_exists,
}
