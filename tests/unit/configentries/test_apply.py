"""Commands on configuration entries, applied."""

import json

import pytest

from quorate.base.outcomes import Failure
from quorate.configentries.apply import SOURCES_MAX
from quorate.configentries.commands import EntryDelete, EntrySet, IntentionDelete, IntentionSet
from quorate.configentries.queries import each_entry, entry_get
from quorate.configentries.tables import EntryRow, checked_entry, encode_entry, fields_of_entry
from quorate.machine.queries import Reader
from tests.unit.machine.lab import Lab


def entry(kind: str, name: str = "web", index: int | None = None, **fields: object) -> EntrySet:
    return EntrySet(kind, name, json.dumps(fields).encode(), index)


def done(lab: Lab, *commands: object) -> list[object]:
    return [lab.outcomes(command)[0].value for command in commands]  # type: ignore[arg-type]


def found(lab: Lab, kind: str, name: str = "web") -> EntryRow | None:
    return entry_get(Reader(lab.tables), kind, name).value


def test_an_equal_write_takes_no_index_and_another_one_keeps_the_first() -> None:
    lab = Lab()
    assert done(lab, entry("mesh", "mesh", A=1)) == [True]
    first = found(lab, "mesh", "mesh")
    assert first is not None
    assert done(lab, entry("mesh", "mesh", A=1)) == [True]
    assert found(lab, "mesh", "mesh") == first
    assert done(lab, entry("mesh", "mesh", A=2)) == [True]
    second = found(lab, "mesh", "mesh")
    assert second is not None
    assert (second.create_index, second.modify_index) == (
        first.modify_index,
        first.modify_index + 1,
    )


def test_an_index_that_is_not_the_newest_changes_nothing() -> None:
    lab = Lab()
    now = lab.machine.index
    given = [
        entry("mesh", "a", now + 5, A=1), entry("mesh", "a", 0, A=1), entry("mesh", "a", 0, A=2),
        entry("mesh", "a", now + 1, A=2), EntryDelete("mesh", "a", now + 1),
        EntryDelete("mesh", "a", now + 2), EntryDelete("mesh", "a", now + 2),
        EntryDelete("mesh", "a"),
    ]  # fmt: skip
    assert done(lab, *given) == [False, True, False, True, False, True, True, True]
    assert found(lab, "mesh", "a") is None


@pytest.mark.parametrize("kind", ["service-router", "service-splitter"])
@pytest.mark.parametrize("protocol", ["http", "http2", "grpc", "HTTP"])
def test_a_router_needs_a_protocol_that_permits_it_for_as_long_as_it_is_there(
    kind: str, protocol: str
) -> None:
    lab = Lab()
    (refused,) = done(lab, entry(kind))
    assert isinstance(refused, Failure)
    assert refused.text == (
        'discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or '
        "splitting behavior"
    )
    assert done(lab, entry("service-defaults", Protocol=protocol), entry(kind)) == [True, True]
    changes = [entry("service-defaults", Protocol="tcp"), EntryDelete("service-defaults", "web")]
    assert all(isinstance(each, Failure) for each in done(lab, *changes))
    assert done(lab, entry("service-defaults", "db", Protocol="tcp")) == [True]
    everywhere = entry("proxy-defaults", "global", Config={"protocol": "grpc"})
    assert done(lab, everywhere, EntryDelete("service-defaults", "web")) == [True, True]
    assert isinstance(done(lab, EntryDelete("proxy-defaults", "global"))[0], Failure)
    assert (
        done(lab, EntryDelete(kind, "web"), EntryDelete("proxy-defaults", "global")) == [True] * 2
    )


def source(name: str, precedence: int, **fields: object) -> bytes:
    return json.dumps({"Name": name, "Precedence": precedence, **fields}).encode()


def test_sources_of_an_intention_are_in_order_and_the_last_one_takes_the_entry_with_it() -> None:
    lab = Lab()
    for each in (source("*", 8), source("b", 9), source("a", 9), source("b", 9, Action="deny")):
        assert done(lab, IntentionSet("db", each)) == [True]
    row = found(lab, "service-intentions", "db")
    assert row is not None
    sources = fields_of_entry(row)["Sources"]
    assert [each["Name"] for each in sources] == ["a", "b", "*"]
    assert sources[1]["Action"] == "deny"
    before = lab.machine.index
    assert done(lab, IntentionSet("db", source("a", 9)), IntentionDelete("db", "c")) == [True] * 2
    assert lab.machine.index == before
    for name in ("a", "b", "*", "*"):
        assert done(lab, IntentionDelete("db", name)) == [True]
    assert found(lab, "service-intentions", "db") is None


def test_an_intention_has_a_limit() -> None:
    lab = Lab()
    content = {"Sources": [{"Name": f"s{n}", "Precedence": 9} for n in range(SOURCES_MAX)]}
    done(lab, EntrySet("service-intentions", "db", json.dumps(content).encode()))
    (refused,) = done(lab, IntentionSet("db", source("more", 9)))
    assert isinstance(refused, Failure)
    assert refused.code == "too_large"
    assert done(lab, IntentionSet("db", source("s1", 9, Action="deny"))) == [True]


def test_entries_are_listed_by_kind_and_name() -> None:
    lab = Lab()
    done(lab, entry("mesh", "mesh"), *(entry("service-resolver", name) for name in "cab"))
    reader = Reader(lab.tables)
    assert [row.name for row in each_entry(reader, "service-resolver").value] == ["a", "b", "c"]
    assert [row.name for row in each_entry(reader).value] == ["mesh", "a", "b", "c"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("mesh", b"{"),
        ("mesh", b"[]"),
        ("mesh", b"\xff"),
        ("service-defaults", b'{"Protocol": 1}'),
        ("proxy-defaults", b'{"Config": 1}'),
        ("service-intentions", b'{"Sources": [{"Name": "a"}]}'),
        ("service-intentions", b'{"Sources": [{"Name": 1, "Precedence": 9}]}'),
        ("service-intentions", b'{"Sources": {}}'),
    ],
)
def test_a_snapshot_with_an_entry_that_cannot_be_applied_is_refused(
    kind: str, content: bytes
) -> None:
    """Else the next command on it would end every node."""
    with pytest.raises(ValueError):  # noqa: PT011 - of msgspec, whichever
        checked_entry(encode_entry(EntryRow(kind, "x", content, 1, 1)))


def test_entries_that_commands_wrote_are_read_from_a_snapshot() -> None:
    lab = Lab()
    done(lab, entry("service-defaults", Protocol="http"), entry("service-router", Routes=[]),
         entry("proxy-defaults", "global", Config={"protocol": "grpc"}),
         IntentionSet("db", source("a", 9, Action="deny")))  # fmt: skip
    rows = list(each_entry(Reader(lab.tables)).value)
    assert [checked_entry(encode_entry(row)) for row in rows] == rows
    assert len(rows) == 4
