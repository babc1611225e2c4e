"""Every struct that is stored or sent can grow at its end (FMT-2 in `base.formats`).

`data/stored.txt` names the fields of each struct, in order, as they stood when format 4 of the log
was made. A field that is added stands behind those, with a default; none goes, moves or is renamed.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as types
import pytest

import quorate
from quorate.base.command import Command
from quorate.base.ids import NodeId
from quorate.runtime.datadir import Identification, TablesMark

KNOWN = Path(__file__).parent / "data" / "stored.txt"
PACKAGES = (
    "base",
    "wire",
    "paxos",
    "kv",
    "sessions",
    "catalog",
    "events",
    "machine",
    "node",
    "runtime",
)
LATER = ["a field of a later version", {"with": [1, None]}]


def subclasses(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in struct.__subclasses__():
        yield each
        yield from subclasses(each)


def stored_structs() -> dict[str, type[msgspec.Struct]]:
    """All that are encoded as arrays: what is stored or sent is."""
    for package in PACKAGES:
        path = importlib.import_module(f"quorate.{package}").__path__
        for module in pkgutil.walk_packages(path, f"quorate.{package}."):
            importlib.import_module(module.name)
    own = tuple(f"{quorate.__name__}.{package}." for package in PACKAGES)
    return {
        f"{each.__module__}.{each.__qualname__}": each
        for each in subclasses(msgspec.Struct)
        if each.__struct_config__.array_like and each.__module__.startswith(own)
    }


STRUCTS = stored_structs()


SIMPLE: dict[type[types.Type], Any] = {
    types.AnyType: 1,
    types.IntType: 1,
    types.FloatType: 1.5,
    types.BoolType: True,
    types.StrType: "x",
    types.BytesType: b"x",
}


def sample(info: types.Type, later: list[Any]) -> Any:
    """A value of a type as msgpack has it; every struct in it has `later` behind its fields."""
    make = partial(sample, later=later)
    match info:
        case types.StructType(cls=cls):
            return [*tag_of(cls), *(make(field.type) for field in info.fields), *later]
        case types.VarTupleType(item_type=item) | types.ListType(item_type=item):
            return [make(item)]
        case types.TupleType(item_types=items):
            return [make(item) for item in items]
        case types.DictType(key_type=key, value_type=value):
            return {make(key): make(value)}
        case types.UnionType(types=options):
            return make(next(each for each in options if not isinstance(each, types.NoneType)))
        case _:
            return SIMPLE[type(info)]


def tag_of(cls: type[msgspec.Struct]) -> list[int | str]:
    tag = cls.__struct_config__.tag
    return [] if tag is None else [tag]


def required(cls: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    return [field for field in msgspec.structs.fields(cls) if field.required]


def decoded(cls: type[msgspec.Struct], value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=cls)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_fields_of_a_later_version_are_skipped_in_it_and_in_all_that_it_holds(name: str) -> None:
    cls = STRUCTS[name]
    info = types.type_info(cls)
    assert decoded(cls, sample(info, LATER)) == decoded(cls, sample(info, []))


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_fields_with_a_default_stand_at_the_end_and_may_be_missing(name: str) -> None:
    cls = STRUCTS[name]
    fields = msgspec.structs.fields(cls)
    count = len(required(cls))
    assert [field.required for field in fields] == [place < count for place in range(len(fields))]
    info = types.type_info(cls)
    short = sample(info, [])[: len(tag_of(cls)) + count]
    assert decoded(cls, short) is not None


def known() -> dict[str, list[str]]:
    lines = KNOWN.read_text().splitlines()
    pairs = (line.split(": ", 1) for line in lines if line)
    return {name: words.split() for name, words in pairs}


def described(cls: type[msgspec.Struct]) -> list[str]:
    """Tag and fields, as a line of `data/stored.txt` has them."""
    tag = [f"tag={each}" for each in tag_of(cls)]
    return [*(tag or ["-"]), *(field.encode_name for field in msgspec.structs.fields(cls))]


@pytest.mark.parametrize("name", sorted(known()))
def test_no_field_went_moved_or_became_required(name: str) -> None:
    words = known()[name]
    cls = STRUCTS[name]
    assert described(cls)[: len(words)] == words
    assert len(required(cls)) < len(words)


def test_every_tag_is_that_of_one_struct() -> None:
    messages = [cls for name, cls in STRUCTS.items() if name.startswith("quorate.base.messages.")]
    commands = [cls for cls in STRUCTS.values() if issubclass(cls, Command)]
    for structs in (messages, commands):
        tags = [tag for cls in structs for tag in tag_of(cls)]
        assert len(tags) == len(set(tags)) > 10


@pytest.mark.parametrize(
    "found",
    [Identification(3, NodeId("ann"), 7, "today", log_begun=True), TablesMark("clean", "boot")],
)
def test_the_files_of_a_directory_may_say_more(found: msgspec.Struct) -> None:
    fields = msgspec.to_builtins(found) | {"later": [1]}
    assert msgspec.json.decode(msgspec.json.encode(fields), type=type(found)) == found
