"""The list of domains: what does not fit together is refused, and facts go through in order."""

import importlib.util
from collections.abc import Generator
from typing import Any

import pytest

from quorate.base.batches import Batch, Bundle, Configuration, Member, encode_batch
from quorate.base.command import Command, encode_command, join_commands
from quorate.base.config import ClusterConfig
from quorate.base.domain import Domain, Table, TimerKind
from quorate.base.errors import InvariantError
from quorate.base.facts import Fact, IsSessionAlive
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.ports import Rows, TableRows
from quorate.catalog.domain import CATALOG_DOMAIN
from quorate.domains import DOMAINS
from quorate.kv.domain import KV_DOMAIN
from quorate.machine.engine import assembled
from quorate.machine.machine import Machine
from quorate.machine.rows import FACT_DEPTH_MAX
from quorate.sessions.domain import SESSIONS_DOMAIN
from quorate.sim.tables import DictTables

ANN = NodeId("ann")
LETTERS = 240


class Ask(Command, frozen=True, array_like=True, tag=240):
    """Emits a fact."""

    depth: int = 0


class Stray(Command, frozen=True, array_like=True, tag=241):
    """Of the same tests."""


class Foreign(Command, frozen=True, array_like=True, tag=1):
    """Has a tag of another domain."""


class Asked(Fact, frozen=True):
    """Somebody asked; `depth` more follow."""

    depth: int


def on_ask(rows: Rows, command: Ask) -> Generator[None, None, bool]:
    rows.put(LETTERS, b"%d" % rows.take_index(), b"asked")
    yield from rows.emit(Asked(command.depth))
    return True


def noting(name: bytes) -> Any:
    """A reaction that appends its name to a row, and yields between two others."""

    def react(rows: Rows, fact: Asked) -> Generator[None, None, None]:
        rows.put(LETTERS, b"order", (rows.get(LETTERS, b"order") or b"") + name)
        yield
        rows.put(LETTERS, b"index", b"%d" % rows.take_index())
        if fact.depth:
            yield from rows.emit(Asked(fact.depth - 1))

    return react


TABLE = Table(LETTERS, "LETTERS", "Letter", bytes)


def asking(**more: Any) -> Domain:
    return Domain(name="example", tables=(TABLE,), long_handlers={Ask: on_ask}, **more)


def reacting(name: bytes) -> Domain:
    return Domain(name=name.decode(), reactions={Asked: noting(name)})


def applied(domains: list[Domain], command: Command) -> dict[bytes, bytes]:
    tables = DictTables()
    machine = Machine(tables, ClusterConfig(), assembled(domains))
    machine.bootstrap("cluster", Configuration(1, 0, (Member(ANN, "ann", "ann:1"),)))
    bundle = Bundle(ANN, 1, 1, 1, join_commands([encode_command(command)]))
    machine.apply(Slot(1), encode_batch(Batch(Ballot(1, ANN), 1, 1, (bundle,))), None, ANN)
    prefix = bytes((machine.generation, LETTERS))
    return {key[2:]: value for key, value in tables.range(prefix) if key[:2] == prefix}


def test_reactions_come_in_the_order_of_the_list_under_one_index() -> None:
    rows = applied([reacting(b"b"), asking(), reacting(b"a")], Ask())

    assert rows == {b"1": b"asked", b"order": b"ba", b"index": b"1"}


def test_reactions_to_reactions_come_before_the_next_domain() -> None:
    rows = applied([asking(), reacting(b"a"), reacting(b"b")], Ask(1))

    assert rows[b"order"] == b"aabbab"


def test_facts_that_call_each_other_for_ever_are_stopped() -> None:
    assert applied([asking(), reacting(b"a")], Ask(FACT_DEPTH_MAX - 1))[b"order"] == (
        b"a" * FACT_DEPTH_MAX
    )
    with pytest.raises(InvariantError, match="facts"):
        applied([asking(), reacting(b"a")], Ask(FACT_DEPTH_MAX))


def no_deadline(_: bytes) -> int | None:
    return None


def no_command(_: TableRows, __: bytes) -> Command | None:
    return None


def short(_: Rows, __: Command) -> None:
    """Do nothing."""


SHORT: Any = short  # for where the types would refuse it already
TIMER = TimerKind("letters", LETTERS, no_deadline, no_command)


@pytest.mark.parametrize(
    ("domains", "why"),
    [
        ([asking(), asking()], "two domains have the command"),
        ([asking(handlers={Ask: short})], "two domains have the command"),
        ([Domain(name="example", handlers={Ask: on_ask})], "on_ask yields"),
        ([Domain(name="example", long_handlers={Ask: SHORT})], "short never yields"),
        ([Domain(name="example", reactions={Asked: SHORT})], "short never yields"),
        ([asking(), Domain(name="example", tables=(TABLE,))], "two tables have the number 240"),
        ([Domain(name="example", handlers={Foreign: short})], "tag 1 is not example's"),
        ([Domain(name="none", handlers={Stray: short})], "tag 241 is not none's"),
        ([Domain(name="kv", tables=(TABLE,))], "number 240 is not kv's"),
        ([KV_DOMAIN], "kv asks IsSessionAlive: no domain answers"),
        (
            [CATALOG_DOMAIN, SESSIONS_DOMAIN, Domain(name="a", subjects={b"s": None})],
            "the subject b's'",
        ),
        ([Domain(name="a", subjects={b"t": None})], "the subject b't'"),
        ([asking(timers=(TIMER,)), Domain(name="a", timers=(TIMER,))], "the timer 'letters'"),
        (
            [asking(resolvers={IsSessionAlive: short}), CATALOG_DOMAIN, SESSIONS_DOMAIN],
            "two domains have the question",
        ),
    ],
)
def test_domains_that_do_not_fit_together_are_refused(domains: list[Domain], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        assembled(domains)


@pytest.mark.parametrize("domain", DOMAINS.all[1:], ids=lambda domain: domain.name)
def test_a_domain_is_a_complete_package_of_its_name(domain: Domain) -> None:
    for part in ("commands", "tables", "apply", "queries", "subjects", "model", "domain"):
        assert importlib.util.find_spec(f"quorate.{domain.name}.{part}") is not None
    package = f"quorate.{domain.name}."
    commands = (*domain.handlers, *domain.long_handlers)
    assert {one.__module__ for one in commands} == {f"{package}commands"}
    functions = (*domain.handlers.values(), *domain.long_handlers.values())
    assert all(one.__module__.startswith(package) for one in functions)
