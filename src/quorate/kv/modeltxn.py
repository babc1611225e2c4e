"""Transactions of the model: try on a copy, keep it only if nothing failed.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from quorate.base.domain import Model
from quorate.base.txn import TxnItem, TxnOp, TxnOpFailure, TxnResult


class _Row(Protocol):
    @property
    def create(self) -> int: ...
    @property
    def modify(self) -> int: ...
    @property
    def lock_index(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def session(self) -> str: ...
    @property
    def value(self) -> bytes: ...


class _State(Protocol):
    """What a transaction needs of the keys."""

    kv: Any
    dirty: dict[bytes, None]

    def set(self, key: bytes, value: bytes, flags: int) -> _Row: ...
    def lock(self, key: bytes, value: bytes, flags: int, session: str) -> _Row | None: ...
    def unlock(self, key: bytes, value: bytes, flags: int, session: str) -> _Row | None: ...
    def is_alive(self, session: str) -> bool: ...
    def is_delayed(self, key: bytes) -> bool: ...
    def remove(self, key: bytes) -> None: ...
    def note_effect(self, value: bytes) -> None: ...
    def put_back(self, kv: Any, dirty: dict[bytes, None]) -> None: ...


class _Failed(NamedTuple):
    what: str


_Result = list[TxnItem] | _Failed


def transact(model: Model, state: _State, ops: Sequence[TxnOp]) -> TxnResult:
    """All operations, or none of them."""
    kv, dirty, index = dict(state.kv), dict(state.dirty), model.index
    items: list[TxnItem] = []
    faults: list[TxnOpFailure] = []
    most, size = model.txn_result_bytes_max, 0
    for number, op in enumerate(ops):
        verb = _VERBS.get(op.verb)
        if verb is None:
            faults.append(TxnOpFailure(number, f"unknown KV operation: {op.verb}"))
            continue
        result = verb(state, op, _name(op)) if op.key else _Failed("Must provide key")
        if isinstance(result, _Failed):
            faults.append(TxnOpFailure(number, result.what))
            continue
        items += result
        size += sum(_size(item) for item in result)
        if size > most:
            faults.append(
                TxnOpFailure(
                    number,
                    f"the results of a transaction must not exceed {most} bytes "
                    "(txn_result_bytes_max): read less in one transaction",
                )
            )
            break  # nothing more is tried
    if faults:
        state.put_back(kv, dirty)
        model.untake(index)
        return TxnResult(faults=tuple(faults))
    for op in ops:
        if op.verb in {"set", "cas"}:
            state.note_effect(op.value)
    return TxnResult(items=tuple(items))


def _size(item: TxnItem) -> int:
    """What a result counts: its key, its value, and 128 for the rest."""
    return 128 + len(item.key) + len(item.value or b"")


def _name(op: TxnOp) -> str:
    return f'"{op.key.decode("ascii")}"'


def _item(key: bytes, row: _Row, *, with_value: bool = False) -> list[TxnItem]:
    value = row.value if with_value else None
    return [TxnItem(key, value, row.flags, row.lock_index, row.session, row.create, row.modify)]


def _set(state: _State, op: TxnOp, name: str) -> _Result:
    return _item(op.key, state.set(op.key, op.value, op.flags))


def _cas(state: _State, op: TxnOp, name: str) -> _Result:
    old = state.kv.get(op.key)
    if op.index != (old.modify if old else 0):
        return _Failed(f"failed to set key {name}, index is stale")
    return _set(state, op, name)


def _lock(state: _State, op: TxnOp, name: str) -> _Result:
    if not op.session:
        return _Failed("missing session")
    if not state.is_alive(op.session):
        return _Failed(f'invalid session "{op.session}"')
    if state.is_delayed(op.key):
        return _Failed(f"failed to lock key {name} due to lock delay")
    row = state.lock(op.key, op.value, op.flags, op.session)
    if row is None:
        return _Failed(f"failed to lock key {name}, lock is already held")
    return _item(op.key, row)


def _unlock(state: _State, op: TxnOp, name: str) -> _Result:
    if not op.session:
        return _Failed("missing session")
    row = state.unlock(op.key, op.value, op.flags, op.session)
    if row is None:
        return _Failed(
            f"failed to unlock key {name}, lock isn't held, or is held by another session"
        )
    return _item(op.key, row)


def _delete(state: _State, op: TxnOp, name: str) -> _Result:
    state.remove(op.key)
    return []


def _delete_cas(state: _State, op: TxnOp, name: str) -> _Result:
    old = state.kv.get(op.key)
    if old is not None and old.modify != op.index:
        return _Failed(f"failed to delete key {name}, index is stale")
    return _delete(state, op, name)


def _delete_tree(state: _State, op: TxnOp, name: str) -> _Result:
    for key in sorted(k for k in state.kv if k.startswith(op.key)):
        state.remove(key)
    return []


def _get(state: _State, op: TxnOp, name: str) -> _Result:
    row = state.kv.get(op.key)
    if row is None:
        return _Failed(f"key {name} doesn't exist")
    return _item(op.key, row, with_value=True)


def _get_or_empty(state: _State, op: TxnOp, name: str) -> _Result:
    if op.key not in state.kv:
        return [TxnItem(op.key, None, is_bare=True)]
    return _get(state, op, name)


def _get_tree(state: _State, op: TxnOp, name: str) -> _Result:
    items: list[TxnItem] = []
    for key in sorted(k for k in state.kv if k.startswith(op.key)):
        items += _item(key, state.kv[key], with_value=True)
    return items


def _check_index(state: _State, op: TxnOp, name: str) -> _Result:
    row = state.kv.get(op.key)
    if row is None:
        return _Failed(f"failed to check index, key {name} doesn't exist")
    if row.modify != op.index:
        return _Failed(
            f"failed index check for key {name}, current modify index {row.modify} != {op.index}"
        )
    return _item(op.key, row)


def _check_session(state: _State, op: TxnOp, name: str) -> _Result:
    row = state.kv.get(op.key)
    if row is None:
        return _Failed(f"failed to check session, key {name} doesn't exist")
    if row.session != op.session:
        return _Failed(
            f"failed session check for key {name}, "
            f'current session "{row.session}" != "{op.session}"'
        )
    return _item(op.key, row)


def _check_not_exists(state: _State, op: TxnOp, name: str) -> _Result:
    return _Failed(f"key {name} exists") if op.key in state.kv else []


_VERBS: dict[str, Callable[[_State, TxnOp, str], _Result]] = {
    "set": _set,
    "cas": _cas,
    "lock": _lock,
    "unlock": _unlock,
    "delete": _delete,
    "delete-cas": _delete_cas,
    "delete-tree": _delete_tree,
    "get": _get,
    "get-or-empty": _get_or_empty,
    "get-tree": _get_tree,
    "check-index": _check_index,
    "check-session": _check_session,
    "check-not-exists": _check_not_exists,
}
