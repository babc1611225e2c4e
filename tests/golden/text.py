"""Messages and effects as text, and back: `Accept(2.n2, slot=4, watermark=3, batch="a")`.

A ballot is `round.node`, a batch of one bundle is its text in double quotes, a configuration is
`change(number, predecessor, voters, learners)`, a batch that says what members have shown is
`report([Shown(…)])`. What has its default value is left out.
"""

import ast
import re
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, get_args

import msgspec

from quorate.base import messages
from quorate.base.batches import (
    NOOP,
    Batch,
    BatchKind,
    Bundle,
    Configuration,
    Member,
    Shown,
    decode_batch,
    encode_batch,
)
from quorate.base.ids import NO_BALLOT, Ballot, NodeId


def member(number: int, name: str = "") -> Member:
    return Member(NodeId(f"n{number}"), name or f"n{number}", f"10.0.0.{number}:8300")


def number_of(node: str) -> int:
    return int(node.removeprefix("n"))


def change(
    number: int, predecessor: int, voters: Sequence[str], learners: Sequence[str] = ()
) -> bytes:
    """The batch that brings a configuration."""
    configuration = Configuration(
        number,
        predecessor,
        tuple(member(number_of(node)) for node in voters),
        tuple(member(number_of(node)) for node in learners),
    )
    return encode_batch(Batch(NO_BALLOT, 0, 0, (), configuration))


def report(shown: tuple[Shown, ...]) -> bytes:
    """The batch that brings what members have shown, and nothing else."""
    return encode_batch(Batch(NO_BALLOT, 0, 0, shown=shown))


def bundle(text: str) -> bytes:
    """A batch that is only this text: what is in it concerns no role of Paxos."""
    return bytes([BatchKind.BUNDLES]) + text.encode()


# --- reading --------------------------------------------------------------------------------------

WORDS: dict[str, Any] = {
    **{kind.__name__: kind for kind in get_args(messages.Message)},
    **{f"n{number}": NodeId(f"n{number}") for number in range(1, 10)},
    "SlotState": messages.SlotState,
    "Shown": Shown,
    "nobody": NO_BALLOT,
    "noop": NOOP,
    "change": change,
    "report": report,
    "member": member,
    "ballot": Ballot,
    "bundle": bundle,
}


def read(text: str) -> Any:
    """What an expression of a script means.

    Raises:
        ValueError: It is none.
    """
    python = re.sub(r"\b(\d+)\.(n\d)\b", r"ballot(\1, \2)", text)
    python = re.sub(r'"([^"]*)"', r"bundle('\1')", python)
    return _value(ast.parse(python, mode="eval").body)


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return WORDS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        made: Callable[..., Any] = WORDS[node.func.id]
        named = {each.arg or "": _value(each.value) for each in node.keywords}
        return made(*map(_value, node.args), **named)
    raise ValueError(f"not part of a script: {ast.unparse(node)}")


# --- writing --------------------------------------------------------------------------------------


@singledispatch
def write(value: object) -> str:
    """The text of a message, a record, an effect or a part of one."""
    return str(value)


@write.register
def _ballot(value: Ballot) -> str:
    return "nobody" if value == NO_BALLOT else f"{value.round}.{value.node}"


@write.register
def _member(value: Member) -> str:
    return value.id


@write.register
def _held(value: messages.SlotState) -> str:
    chosen = ", True" if value.is_chosen else ""
    return f"SlotState({value.slot}, {write(value.ballot)}, {write(value.batch)}{chosen})"


@write.register
def _bundle(value: Bundle) -> str:
    return f"bundle({value.origin} {value.incarnation}.{value.sequence})"


@write.register
def _configuration(value: Configuration) -> str:
    lists = [value.voters, *([value.learners] if value.learners else [])]
    return f"change({value.number}, {value.predecessor}, {', '.join(map(write, lists))})"


@write.register
def _struct(value: msgspec.Struct) -> str:
    return f"{type(value).__name__}({', '.join(_fields(value))})"


@write.register(tuple)
def _tuple(value: tuple[object, ...]) -> str:
    return f"[{', '.join(map(write, value))}]"


@write.register
def _batch(value: bytes) -> str:
    if value == NOOP:
        return "noop"
    try:
        batch = decode_batch(value)
    except ValueError:  # a script's own: no more than its text
        return f'"{value[1:].decode()}"'
    if batch.shown and not batch.bundles:
        return f"report({write(batch.shown)})"
    return write(batch.bundles if batch.configuration is None else batch.configuration)


def _fields(struct: msgspec.Struct) -> list[str]:
    parts: list[str] = []
    for place, field in enumerate(msgspec.structs.fields(struct)):
        value = getattr(struct, field.name)
        if value == field.default:
            continue
        is_plain = isinstance(value, Ballot) and place == 0
        parts.append(write(value) if is_plain else f"{field.name}={write(value)}")
    return parts
