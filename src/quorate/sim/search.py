"""Search: a linearizability checker that does not use slots.

Wing and Gong's search with Lowe's cache: try to order the operations of one key so that each takes
effect between its beginning and its end and the results fit a single key. States already reached
with the same set of operations done are not tried again. Operations whose outcome is unknown stay
open for ever: they may take effect at any time after they began, or never.

Source: Wing, Gong, "Testing and Verifying Concurrent Objects" (1993); Lowe, "Testing for
linearizability" (2017).
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from quorate.kv.commands import KvCas, KvDelete, KvSet
from quorate.machine.commands import RestoreCommit
from quorate.sim.operations import Operation, OperationKind, OperationStatus
from quorate.sim.world import ViolationError

STEPS_MAX = 1_000_000
"""A search longer than this proves nothing; the caller must use shorter histories."""

ANY_INDEX = -1
"""The index of a write whose outcome is unknown to its client."""

ABSENT: "Content" = (None, 0)
Content = tuple[bytes | None, int]
"""Value and ModifyIndex of the key."""


class Call(NamedTuple):
    """One operation on one key. `result` None: unknown.

    `verb` "set": value; "cas": value, index; "restore": value and index that it brings; "delete";
    "get". The result of a write is (succeeded, index); of a get the content.
    """

    began: float
    ended: float
    verb: str
    value: bytes | None
    index_seen: int
    result: tuple[bool, int] | Content | None


class TooLongError(Exception):
    """The search gave up; that is a failure of the checker, not a result."""


def calls_of(operations: Sequence[Operation], key: bytes) -> list[Call]:
    """The calls of one key's operations, and all ends of restores.

    Refused ones did not happen, open reads say nothing.
    """
    calls: list[Call] = []
    for operation in operations:
        is_known = operation.end is OperationStatus.DONE
        ended = operation.ended if is_known else inf
        if operation.is_linearizable:
            if is_known:
                seen = operation.value
                content = (seen[0][1].value, seen[0][1].modify) if seen else ABSENT
                calls.append(Call(operation.began, ended, "get", None, 0, content))
            continue
        if operation.end is OperationStatus.REFUSED or operation.kind is not OperationKind.WRITE:
            continue
        outcome = operation.value
        result = (outcome.value is True, outcome.index) if is_known else None
        match operation.command:
            case KvSet(_, value):
                calls.append(Call(operation.began, ended, "set", value, 0, result))
            case KvCas(_, value, _, index):
                calls.append(Call(operation.began, ended, "cas", value, index, result))
            case RestoreCommit():
                content = operation.restored.get(key, ABSENT)
                calls.append(Call(operation.began, ended, "restore", *content, result))
            case KvDelete():
                calls.append(Call(operation.began, ended, "delete", None, 0, result))
            case _:
                raise ViolationError("the linearizability checker takes plain writes only")
    return calls


def is_linearizable(calls: Sequence[Call]) -> bool:
    """Whether there is an order that explains all results.

    Raises:
        TooLongError: The history has too many concurrent calls.
    """
    order = sorted(calls)
    full = (1 << len(order)) - 1
    must = sum(1 << place for place, call in enumerate(order) if call.result is not None)
    seen: set[tuple[int, Content]] = set()
    stack: list[tuple[int, Content]] = [(0, ABSENT)]
    steps = 0
    while stack:
        done, content = stack.pop()
        if done & must == must:
            return True
        for place in _minimal(order, done, full):
            steps += 1
            if steps > STEPS_MAX:
                raise TooLongError(f"{len(order)} calls")
            for after in _effects(order[place], content):
                state = (done | 1 << place, after)
                if state not in seen:
                    seen.add(state)
                    stack.append(state)
    return False


def _minimal(order: Sequence[Call], done: int, full: int) -> list[int]:
    """Calls that may come next: not done, and begun before any other not done has ended."""
    first_end = inf
    places: list[int] = []
    rest = full & ~done
    place = (rest & -rest).bit_length() - 1
    while 0 <= place < len(order):
        call = order[place]
        if call.began > first_end:
            break
        if not done >> place & 1:
            places.append(place)
            first_end = min(first_end, call.ended)
        place += 1
    return [p for p in places if order[p].began <= first_end]


def _effects(call: Call, content: Content) -> list[Content]:
    """What the key may hold after this call on this content; empty if its result does not fit."""
    if call.verb == "get":
        return _got(call, content)
    if call.verb == "cas":
        return _compared(call, content)
    if call.verb == "delete":
        return [ABSENT]
    if call.verb == "restore":
        return _restored(call, content)
    return [(call.value, _index(call))]


def _restored(call: Call, content: Content) -> list[Content]:
    after: Content = (call.value, call.index_seen)
    if call.result is None:
        return [after, content]
    return [after] if call.result[0] else [content]


def _got(call: Call, content: Content) -> list[Content]:
    value, index = call.result if call.result is not None else content
    if value != content[0]:
        return []
    if content[1] == ANY_INDEX and value is not None:
        return [(content[0], int(index))]
    return [content] if index == content[1] else []


def _compared(call: Call, content: Content) -> list[Content]:
    held = content[1]
    written: Content = (call.value, _index(call))
    may_match = held in (ANY_INDEX, call.index_seen)
    may_differ = held == ANY_INDEX or held != call.index_seen
    if call.result is None:
        return [written, content] if may_match else [content]
    if call.result[0]:
        return [written] if may_match else []
    return [content] if may_differ else []


def _index(call: Call) -> int:
    return ANY_INDEX if call.result is None else int(call.result[1])


def until_quiescent(calls: Sequence[Call], calls_max: int) -> Sequence[Call]:
    """All of a short history; of a longer one what precedes a late quiescent point.

    Calls with an unknown outcome stay open for ever, also beyond the point: nothing is lost.
    """
    order = sorted(calls)
    if len(order) <= calls_max:
        return order
    quiescent, last_end = 0, 0.0
    for place, call in enumerate(order[:calls_max]):
        if call.began > last_end:
            quiescent = place
        if call.result is not None:
            last_end = max(last_end, call.ended)
    return order[:quiescent]


def check_keys(operations: Sequence[Operation], prefix: bytes, calls_max: int) -> int:
    """Check each key below a prefix separately; returns how many.

    Args:
        operations: Of all clients.
        prefix: Of keys that see plain writes and reads only.
        calls_max: Of a longer history the part before a quiescent point is checked.
    """
    by_key: dict[bytes, list[Operation]] = {}
    restores = [one for one in operations if isinstance(one.command, RestoreCommit)]
    for operation in operations:
        key: bytes = getattr(operation.command, "key", operation.key)
        is_read_of_key = not (operation.is_list or operation.session or operation.query)
        if key.startswith(prefix) and is_read_of_key:
            by_key.setdefault(key, []).append(operation)
    for key, some in sorted(by_key.items()):
        if not is_linearizable(until_quiescent(calls_of([*some, *restores], key), calls_max)):
            raise ViolationError(f"the history of {key!r} is not linearizable")
    return len(by_key)
