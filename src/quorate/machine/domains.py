"""The compiled list of domains: what the engine looks up for each command, row and timer.

DOM-1: domains are independent: a tag, a table, a letter of subjects, a kind of timer and a question
    each belong to one domain, and every question that is used has a resolver.
DOM-2: generators are long handlers, and long handlers are generators; so are all reactions.
DOM-3: the order of the list is the order in which reactions, restored tables and upkeep run for all
    domains. It is part of the format: replicas must agree on it.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import isgeneratorfunction
from typing import Any, TypeVar, Union

import msgspec

from quorate.base.command import Command
from quorate.base.domain import (
    Derived,
    Domain,
    Handler,
    LongHandler,
    Operations,
    Table,
    TimerKind,
    Upkeep,
)
from quorate.base.facts import Fact, Question
from quorate.base.numbers import TABLES, TAGS, is_allotted
from quorate.base.ports import Rows

Key = TypeVar("Key")
Value = TypeVar("Value")


class Domains:
    """The capabilities of all domains together.

    Args:
        domains: In order (DOM-3), the engine's own among them.

    Attributes:
        all: The domains.
        handlers, long_handlers: By type of command: applied at once, or in slices.
        decode: The payload of a bundle into commands; raises ValueError.
        tables: By number.
        indexed: Numbers of tables with an index of their own, in order.
        derived: By number of a table: the secondary indexes of its rows, each with its number.
        derived_versions: Of each secondary index, by its number.
        saved: Numbers of tables that a snapshot for users holds, in order.
        restored: Number of each table whose rows are visited once when a snapshot became the
            state, and the function that is applied to each.
        reactions: By type of fact, in order.
        resolvers: By type of question.
        timers: By kind.
        tombstone_tables: By letter of watch keys: the table of their tombstones, if they have one.
        upkeep: In order.
        operations: By type of operation.
        numbered: The same, by number.

    Raises:
        ValueError: They conflict (DOM-1), or use numbers that are not allotted to them.
    """

    def __init__(self, domains: Iterable[Domain]) -> None:
        self.all = tuple(domains)
        handlers: list[Mapping[type[Command], Handler]] = [one.handlers for one in self.all]
        long: list[Mapping[type[Command], LongHandler]] = [one.long_handlers for one in self.all]
        self.handlers: dict[type[Command], Handler] = _merged("command", handlers)
        self.long_handlers: dict[type[Command], LongHandler] = _merged("command", long)
        _merged("command", (self.handlers, self.long_handlers))
        _check_yields(self.all)
        self.decode = _decoder([*self.handlers, *self.long_handlers])
        _check_tags(self.all)
        self.tables = _tables(self.all)
        self.indexed = tuple(n for n, one in sorted(self.tables.items()) if one.is_indexed)
        self.derived = _derived(self.all)
        self.derived_versions = {
            number: one.version for some in self.derived.values() for number, one in some
        }
        self.saved = tuple(n for n, one in sorted(self.tables.items()) if one.decode is not None)
        self.reactions: dict[type[Fact], tuple[LongHandler, ...]] = {}
        for domain in self.all:
            for fact, react in domain.reactions.items():
                self.reactions[fact] = (*self.reactions.get(fact, ()), react)
        self.resolvers: dict[type[Question[Any]], Callable[[Any, Any], Any]] = _merged(
            "question", [one.resolvers for one in self.all]
        )
        self._check_asked()
        self.timers: dict[str, TimerKind] = _merged(
            "timer", [{timer.name: timer for timer in one.timers} for one in self.all]
        )
        self.restored = _restored(self.tables.values(), self.timers.values())
        subjects: dict[bytes, int | None] = _merged("subject", [one.subjects for one in self.all])
        self.tombstone_tables = {
            letter: table for letter, table in subjects.items() if table is not None
        }
        self.upkeep: tuple[Upkeep, ...] = tuple(
            one.upkeep for one in self.all if one.upkeep is not None
        )
        self.operations: dict[type[Any], Operations] = _merged(
            "operation",
            [{one.of: one} for domain in self.all for one in domain.operations],
        )
        self.numbered: dict[int, Operations] = _merged(
            "number of operations",
            [{one.number: one} for one in self.operations.values()],
        )

    def _check_asked(self) -> None:
        for domain in self.all:
            for question in domain.asks:
                if question not in self.resolvers:
                    raise ValueError(f"{domain.name} asks {question.__name__}: no domain answers")


def tag_of(command: type[Command]) -> int:
    """The number that begins an encoded command of this type."""
    tag = command.__struct_config__.tag
    if not isinstance(tag, int):
        raise ValueError(f"{command.__name__} has no tag")  # noqa: TRY004 - it is the value
    return tag


def _merged(what: str, parts: Iterable[Mapping[Key, Value]]) -> dict[Key, Value]:
    merged: dict[Key, Value] = {}
    for part in parts:
        for key, value in part.items():
            if key in merged:
                raise ValueError(f"two domains have the {what} {key!r}")
            merged[key] = value
    return merged


def _decoder(commands: list[type[Command]]) -> Callable[[bytes], list[Command]]:
    union: Any = Union[tuple(commands)]  # noqa: UP007 - its members are not known here
    decoder: msgspec.msgpack.Decoder[list[Command]] = msgspec.msgpack.Decoder(list[union])
    return decoder.decode


def _derived(domains: Iterable[Domain]) -> dict[int, tuple[tuple[int, Derived], ...]]:
    found: dict[int, tuple[tuple[int, Derived], ...]] = {}
    for domain in domains:
        own = {table.number: table for table in domain.tables}
        for number, table in sorted(own.items()):
            derived = table.derived
            if derived is None:
                continue
            source = own.get(derived.source)
            if source is None or source.derived is not None:
                raise ValueError(f"{table.name} follows from no table of {domain.name}")
            if table.is_indexed or table.decode is not None or table.restored is not None:
                raise ValueError(f"{table.name} is a secondary index and more than that")
            found[source.number] = (*found.get(source.number, ()), (number, derived))
    return found


Restored = Callable[[Rows, bytes, bytes], None]


def _restored(
    tables: Iterable[Table], kinds: Iterable[TimerKind]
) -> tuple[tuple[int, Restored], ...]:
    """The function that a table gives, or else one that sets the timers of its rows."""
    timers: dict[int, Restored] = {kind.table: partial(_set_timer, kind) for kind in kinds}
    each = ((table.number, table.restored or timers.get(table.number)) for table in tables)
    return tuple((number, restored) for number, restored in each if restored is not None)


def _set_timer(kind: TimerKind, rows: Rows, key: bytes, value: bytes) -> None:
    due_ms = kind.due_ms(value)
    if due_ms is not None:
        rows.set_timer(kind.name, key, due_ms)


def _check_yields(domains: Iterable[Domain]) -> None:
    """A generator that is listed as a short handler would do nothing, and raise no error."""
    for domain in domains:
        for short in domain.handlers.values():
            if isgeneratorfunction(short):
                raise ValueError(f"{domain.name}: {short.__name__} yields: it is a long handler")
        for long in (*domain.long_handlers.values(), *domain.reactions.values()):
            if not isgeneratorfunction(long):
                raise ValueError(f"{domain.name}: {long.__name__} never yields")


def _check_tags(domains: Iterable[Domain]) -> None:
    for domain in domains:
        for command in (*domain.handlers, *domain.long_handlers):
            tag = tag_of(command)
            if not is_allotted(TAGS.get(domain.name, ()), tag):
                raise ValueError(f"{command.__name__}: tag {tag} is not {domain.name}'s")


def _tables(domains: Iterable[Domain]) -> dict[int, Table]:
    tables: dict[int, Table] = {}
    for domain in domains:
        for table in domain.tables:
            if table.number in tables:
                raise ValueError(f"two tables have the number {table.number}")
            if not is_allotted(TABLES.get(domain.name, ()), table.number):
                raise ValueError(f"{table.name}: number {table.number} is not {domain.name}'s")
            tables[table.number] = table
    return tables
