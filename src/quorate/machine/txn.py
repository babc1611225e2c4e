"""Transactions: up to 128 operations, all or nothing, one command, one index.

The operations are those of the domains: each offers its verbs (`base.domain.Operations`), and this
module executes them together and undoes them. Every operation is evaluated, and every failing one
is listed, in order. A transaction that fails is undone from the old values that `BatchRows` kept.
One of reads only runs on any view and is never logged. The size of the results of one transaction
is limited: the operation that exceeds the limit fails, and those after it are not evaluated.

Handlers here yield when their turn's share of work is done; so does each verb that may read or
remove many keys.

Source: https://developer.hashicorp.com/consul/api-docs/txn.
"""

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any

import msgspec

from quorate.base.command import encode_command
from quorate.base.domain import PAUSE, OperationError, Operations, Step
from quorate.base.ports import TableRows
from quorate.base.removals import NO_LIMIT
from quorate.base.txn import TxnItem, TxnOpFailure, TxnResult, TxnRow
from quorate.machine.commands import Txn, TxnMixed, TxnUnlimited
from quorate.machine.domains import Domains
from quorate.machine.rows import READ_UNITS, WRITE_UNITS, BatchRows, Bounds

TURN_UNITS = Bounds().turn_units

VALUE_BYTES = 4_096
"""This many bytes of a value that is read count as one more unit of work."""


class _TooLargeError(OperationError):
    """The results are too large; nothing more is evaluated."""


def is_read_only(domains: Domains, ops: Iterable[Any]) -> bool:
    """Whether no operation can change anything, so that none needs to be logged."""
    return all(op.verb in _offered(domains, op).reads for op in ops)


def on_txn(rows: BatchRows, command: Txn) -> Generator[None, None, TxnResult]:
    """Apply `Txn`."""
    return (yield from _run(rows, command.ops, rows.result_bytes_max))


def mixed(domains: Domains, ops: Iterable[Any]) -> TxnMixed:
    """The command of a transaction with operations of any type."""
    numbered = ((_offered(domains, op).number, op) for op in ops)
    return TxnMixed(tuple((number, encode_command(op)) for number, op in numbered))


def on_txn_mixed(rows: BatchRows, command: TxnMixed) -> Generator[None, None, TxnResult]:
    """Apply `TxnMixed`."""
    ops = operations_of(rows.domains, command)
    return (yield from _run(rows, ops, rows.result_bytes_max))


class UnreadableOperation(msgspec.Struct, frozen=True):
    """An operation that no version makes: it fails when it is applied, the same on all nodes."""

    verb: str = "unreadable"


def operations_of(domains: Domains, command: TxnMixed) -> list[Any]:
    """The operations of a command."""
    return [_decoded(domains.numbered.get(number, _NONE), data) for number, data in command.ops]


def _decoded(offered: Operations, data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data, type=offered.of)
    except msgspec.MsgspecError:  # it is found in all nodes alike
        return UnreadableOperation()


def on_txn_unlimited(rows: BatchRows, command: TxnUnlimited) -> Generator[None, None, TxnResult]:
    """Apply `TxnUnlimited`."""
    left = rows.limit_removals(NO_LIMIT)
    done = yield from _run(rows, command.ops, NO_LIMIT)
    rows.limit_removals(left)
    return done


def _run(
    rows: BatchRows, ops: Iterable[Any], result_bytes_max: int
) -> Generator[None, None, TxnResult]:
    rows.open_undo()
    results = _Results(result_bytes_max)
    done = yield from _evaluate(ops, partial(_apply, rows), results, rows.spend)
    if done.faults:
        rows.undo()
    else:
        rows.close_undo()
    return done


def read(
    domains: Domains, rows: TableRows, ops: Iterable[Any], result_bytes_max: int
) -> Generator[None, None, TxnResult]:
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

    return _evaluate(ops, partial(_read, domains, rows), _Results(result_bytes_max), spend)


def _units_of(step: Step) -> int:
    return READ_UNITS + (
        step.value_bytes // VALUE_BYTES if isinstance(step, TxnItem | TxnRow) else 0
    )


class _Results:
    """The results so far, and how many bytes they may still take."""

    def __init__(self, bytes_max: int) -> None:
        self.items: list[TxnItem | TxnRow] = []
        self._bytes_max = bytes_max
        self._bytes_left = bytes_max

    def add(self, item: TxnItem | TxnRow) -> None:
        """Add one.

        Raises:
            _TooLargeError: It would be too much.
        """
        self._bytes_left -= item.size
        if self._bytes_left < 0:
            raise _TooLargeError(
                f"the results of a transaction must not exceed {self._bytes_max} bytes "
                "(txn_result_bytes_max): read less in one transaction"
            )
        self.items.append(item)


def _evaluate(
    ops: Iterable[Any],
    run: Callable[[Any], Iterable[Step]],
    results: _Results,
    spend: Callable[[int], bool],
) -> Generator[None, None, TxnResult]:
    faults: list[TxnOpFailure] = []
    for number, op in enumerate(ops):
        if spend(WRITE_UNITS):
            yield
        try:
            for step in run(op):
                if isinstance(step, TxnItem | TxnRow):
                    results.add(step)
                if step is PAUSE or spend(_units_of(step)):
                    yield
        except (
            OperationError
        ) as fault:  # part of the result; the other operations are still evaluated
            faults.append(TxnOpFailure(number, str(fault)))
            if isinstance(fault, _TooLargeError):
                break
    return TxnResult(faults=tuple(faults)) if faults else TxnResult(items=tuple(results.items))


def _apply(rows: BatchRows, op: Any) -> Iterable[Step]:
    offered = _offered(rows.domains, op)
    write = offered.writes.get(op.verb)
    if write is None:
        return _read(rows.domains, rows, op)
    offered.check(op)
    return write(rows, op)


def _read(domains: Domains, rows: TableRows, op: Any) -> Iterable[Step]:
    offered = _offered(domains, op)
    read_verb = offered.reads.get(op.verb)
    if read_verb is None:
        raise OperationError(f"unknown {offered.name} operation: {op.verb}")
    offered.check(op)
    return read_verb(rows, op)


def _offered(domains: Domains, op: Any) -> Operations:
    return domains.operations.get(op.__class__, _NONE)


def _check_nothing(_: Any) -> None:
    """The check of an operation that no domain offers."""


_NONE = Operations(UnreadableOperation, 0, "", _check_nothing, {}, {})
