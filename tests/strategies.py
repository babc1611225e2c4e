"""Hypothesis builders for the structs of `base`, made from their annotations."""

import contextlib
import types
from collections.abc import Generator
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from quorate.base.errors import QuorateError
from quorate.base.messages import ConfigurationDurable, Message
from quorate.base.records import Record

SLOT_MAX = 2**63 - 1


def of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type as it may stand in a struct's field."""
    while hasattr(annotation, "__supertype__"):  # a NewType
        annotation = annotation.__supertype__
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(0, SLOT_MAX),
        bool: st.booleans(),
        str: st.text(max_size=12),
        bytes: st.binary(max_size=40),
    }
    if annotation in simple:
        return simple[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return st.one_of([of(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=3).map(tuple)
    hints = get_type_hints(annotation)
    return st.builds(annotation, **{name: of(hints[name]) for name in struct_fields(annotation)})


def struct_fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


SENT = [kind for kind in get_args(Message) if kind is not ConfigurationDurable]
"""What travels; the other is to oneself."""

messages: st.SearchStrategy[Message] = st.one_of([of(kind) for kind in SENT])
records: st.SearchStrategy[Record] = of(Record)


@contextlib.contextmanager
def may_fail(kind: type[QuorateError], code: str) -> Generator[None, None, None]:
    """What is inside succeeds, or fails by this error and no other."""
    try:
        yield
    except kind as error:
        if error.code != code:
            raise
