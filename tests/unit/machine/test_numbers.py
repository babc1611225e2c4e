"""Numbers that stored formats hold: what each was ever given to. Append; never change a line."""

from collections.abc import Iterable, Mapping
from itertools import combinations

import pytest

from quorate.base.command import Command
from quorate.base.domain import Domain, Table
from quorate.base.numbers import TABLES, TAGS, is_allotted
from quorate.domains import DOMAINS
from quorate.machine.domains import tag_of

TAGS_GIVEN = {
    1: "KvSet",
    2: "KvCas",
    3: "KvAcquire",
    4: "KvRelease",
    5: "KvDelete",
    6: "KvDeleteCas",
    7: "KvDeleteTreeByRow",
    8: "TombstonesReap",
    9: "KvDeleteTree",
    20: "SessionCreate",
    21: "SessionDestroy",
    22: "SessionRenew",
    23: "SessionExpire",
    30: "NodeRegister",
    31: "NodeHealth",
    32: "ServiceRegister",
    33: "ServiceDeregister",
    34: "NodeDeregister",
    35: "CatalogRegister",
    36: "CheckUpdate",
    37: "CheckDeregister",
    38: "CheckOutput",
    39: "CatalogPut",
    40: "TxnUnlimited",
    41: "Txn",
    42: "TxnMixed",
    50: "RestoreBegin",
    51: "RestoreRows",
    52: "RestoreCommit",
    53: "SweepAll",
    54: "Sweep",
    130: "EntrySet",
    131: "EntryDelete",
    132: "IntentionSet",
    133: "IntentionDelete",
    120: "PreparedQueryCreate",
    121: "PreparedQueryUpdate",
    122: "PreparedQueryDelete",
    140: "EventFire",
}
"""All tags that a command of a release ever had."""

TABLES_GIVEN = {
    1: "KV",
    2: "KV_TOMBSTONES",
    3: "KV_LOCKS",
    4: "KV_DELAY",
    5: "SESSIONS",
    6: "NODES",
    7: "SERVICES",
    8: "CHECKS",
    9: "SUBJECTS",
    10: "TOMBSTONES",
    11: "NODE_SERVICES",
    24: "NODE_SESSIONS",
    32: "NODE_IDS",
    33: "SERVICE_CHECKS",
    34: "NODE_ADDRESSES",
    35: "SERVICE_ADDRESSES",
    118: "CONFIG_ENTRIES",
    112: "PREPARED_QUERIES",
    113: "PREPARED_QUERY_NAMES",
    114: "PREPARED_QUERY_TEMPLATES",
    115: "PREPARED_QUERY_SESSIONS",
    124: "EVENTS",
    125: "EVENT_RING",
}
"""All numbers that a table of a release ever had."""


OPERATIONS_GIVEN = {1: "TxnOp", 2: "NodeOp", 3: "ServiceOp", 4: "CheckOp"}
"""All numbers that a type of operations in transactions ever had."""


def commands_of(domains: Iterable[Domain]) -> list[tuple[Domain, type[Command]]]:
    return [
        (domain, command)
        for domain in domains
        for command in (*domain.handlers, *domain.long_handlers)
    ]


def tables_of(domains: Iterable[Domain]) -> list[tuple[Domain, Table]]:
    return [(domain, table) for domain in domains for table in domain.tables]


def reused(used: Mapping[int, str], given: Mapping[int, str]) -> list[str]:
    """What is used and was not given, or given to something else."""
    return [
        f"{number} is {name}; it was given to {given.get(number, 'nothing: append it')}"
        for number, name in sorted(used.items())
        if given.get(number) != name
    ]


def test_no_tag_of_a_command_is_ever_reused() -> None:
    used = {tag_of(command): command.__name__ for _, command in commands_of(DOMAINS.all)}

    assert len(used) == len(commands_of(DOMAINS.all))
    assert reused(used, TAGS_GIVEN) == []


def test_no_number_of_operations_is_ever_reused() -> None:
    used = {number: one.of.__name__ for number, one in DOMAINS.numbered.items()}

    assert len(used) == len(DOMAINS.operations)
    assert reused(used, OPERATIONS_GIVEN) == []


def test_no_number_of_a_table_is_ever_reused() -> None:
    used = {table.number: table.name for _, table in tables_of(DOMAINS.all)}

    assert len(used) == len(tables_of(DOMAINS.all))
    assert reused(used, TABLES_GIVEN) == []


def test_a_number_that_is_reused_or_not_recorded_is_found() -> None:
    assert reused({1: "KvPut"}, TAGS_GIVEN) == ["1 is KvPut; it was given to KvSet"]
    assert reused({19: "KvTouch"}, TAGS_GIVEN) == [
        "19 is KvTouch; it was given to nothing: append it"
    ]


@pytest.mark.parametrize("ranges", [TAGS, TABLES], ids=["tags", "tables"])
def test_no_two_domains_share_a_range(ranges: Mapping[str, tuple[range, ...]]) -> None:
    whole = [(name, one) for name, some in ranges.items() for one in some]

    for (name, one), (other, two) in combinations(whole, 2):
        assert not set(one) & set(two), (name, other)
    assert all(0 < number < 256 for _, one in whole for number in one)


def test_what_was_ever_given_lies_in_a_range() -> None:
    for ranges, given in ((TAGS, TAGS_GIVEN), (TABLES, TABLES_GIVEN)):
        whole = [one for some in ranges.values() for one in some]
        assert all(is_allotted(whole, number) for number in given)
