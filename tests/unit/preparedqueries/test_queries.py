"""Prepared queries in the machine: names, sessions, what a name means, and what wakes a reader."""

from random import Random

import pytest

from quorate.base.outcomes import Failure
from quorate.base.results import Answer
from quorate.machine.snapshot import content, restore_commands
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.fields import NAME_PREFIX_MATCH, QueryFields, ServiceQuery, Template
from quorate.preparedqueries.queries import QueryLookupError, each_query, query_get, resolved
from quorate.preparedqueries.tables import QueryRow
from quorate.sessions.commands import SessionDestroy
from tests.unit.machine.lab import Lab

WEB = ServiceQuery("web")
PREFIX = Template(NAME_PREFIX_MATCH)


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.add_shadow()
    return lab


def create(lab: Lab, id_: str, name: str, *, session: str = "", template: bool = False) -> object:
    fields = QueryFields(name, WEB, session, template=PREFIX if template else Template())
    return lab.do(PreparedQueryCreate(id_, fields))


def ids(lab: Lab) -> list[str]:
    return [row.id for row in each_query(lab.read).value]


def meant(lab: Lab, name: str) -> str | None:
    row = resolved(lab.read, name).value
    return None if row is None else row.id


def refused(text: str) -> Failure:
    return Failure("already_exists", text)


# --- names ------------------------------------------------------------------------------------


def test_a_name_is_given_once_in_whichever_case(lab: Lab) -> None:
    assert create(lab, "i1", "web") == "i1"
    assert create(lab, "i2", "Web") == refused("name 'Web' aliases an existing query name")
    assert create(lab, "i2", "I1") == refused("name 'I1' aliases an existing query ID")
    assert create(lab, "i2", "other") == "i2"
    again = PreparedQueryUpdate("i2", QueryFields("WEB", WEB))
    assert lab.do(again) == refused("name 'WEB' aliases an existing query name")
    assert lab.do(PreparedQueryUpdate("i1", QueryFields("WEB", WEB))) is True
    assert meant(lab, "web") == "i1"
    assert lab.do(PreparedQueryDelete("i1")) is True
    assert lab.do(again) is True
    assert (meant(lab, "web"), meant(lab, "other")) == ("i2", None)


def test_names_that_are_prefixes_of_each_other_are_different(lab: Lab) -> None:
    for id_, name in (("i1", "a"), ("i2", "a\1b"), ("i3", "a-"), ("i4", "ab")):
        create(lab, id_, name)
    assert [meant(lab, name) for name in ("a", "a\1b", "A-", "ab")] == ["i1", "i2", "i3", "i4"]


def test_one_template_takes_all_other_names(lab: Lab) -> None:
    assert create(lab, "i1", "", template=True) == "i1"
    second = refused("a query template with an empty name already exists")
    assert create(lab, "i2", "", template=True) == second
    assert lab.do(PreparedQueryUpdate("i1", QueryFields("", WEB, template=PREFIX))) is True
    assert (meant(lab, "whatever"), meant(lab, "")) == ("i1", None)


def test_queries_without_a_name_are_many(lab: Lab) -> None:
    session = lab.session("s")
    assert create(lab, "i1", "", session=session) == "i1"
    assert create(lab, "i2", "", session=session) == "i2"
    assert (meant(lab, "I1"), meant(lab, "i2"), meant(lab, "i3")) == ("i1", "i2", None)


def test_the_longest_template_is_meant_and_a_name_goes_before() -> None:
    """Against the definition: the templates that a name begins with, tried one by one."""
    chance = Random(7)
    for _ in range(200):
        lab = Lab()
        letters = ("a", "b", "-", "A")
        names = {
            "".join(chance.choice(letters) for _ in range(chance.randrange(5))).lower()
            for _ in range(chance.randrange(12))
        }
        for name in names:
            create(lab, f"id of {name}", name, template=True)
        for _ in range(20):
            asked = "".join(chance.choice(letters) for _ in range(1 + chance.randrange(6)))
            begins = [name for name in names if asked.lower().startswith(name)]
            expected = f"id of {max(begins, key=len)}" if begins else None
            assert meant(lab, asked) == expected, (names, asked)


def test_the_id_of_a_template_is_refused(lab: Lab) -> None:
    create(lab, "i1", "web-", template=True)
    with pytest.raises(QueryLookupError, match="can only be resolved up by name, not by ID"):
        resolved(lab.read, "i1")


def test_no_name_that_is_too_long_is_looked_for(lab: Lab) -> None:
    create(lab, "i1", "", template=True)
    assert (meant(lab, "x" * 1024), meant(lab, "x" * 1025)) == ("i1", None)


# --- writing ----------------------------------------------------------------------------------


def test_what_is_unknown_is_not_changed(lab: Lab) -> None:
    text = "Cannot modify non-existent prepared query: 'i1'"
    for command in (PreparedQueryUpdate("i1", QueryFields("n", WEB)), PreparedQueryDelete("i1")):
        index = lab.machine.index
        assert lab.do(command) == Failure("not_found", text)
        assert lab.machine.index == index


def test_an_update_keeps_the_index_of_creation_and_an_equal_one_takes_none(lab: Lab) -> None:
    create(lab, "i1", "n")
    made = lab.machine.index
    fields = QueryFields("m", ServiceQuery("db"))
    lab.do(PreparedQueryUpdate("i1", fields))
    row = query_get(lab.read, "i1").value
    assert row == QueryRow("i1", fields, made, made + 1)
    lab.do(PreparedQueryUpdate("i1", fields))
    assert lab.machine.index == made + 1
    assert (meant(lab, "n"), meant(lab, "m")) == (None, "i1")
    assert create(lab, "i1", "z") == refused("Prepared query 'i1' exists already")


def test_a_query_is_deleted_with_its_session_under_one_index(lab: Lab) -> None:
    first, second = lab.session("s1"), lab.session("s2")
    for number in range(70):  # more than one piece
        create(lab, f"a{number:02}", f"n{number}", session=first)
    create(lab, "b", "kept", session=second)
    create(lab, "c", "unbound")
    index = lab.machine.index
    lab.do(SessionDestroy(first))
    assert ids(lab) == ["b", "c"]
    assert lab.machine.index == index + 1
    assert query_get(lab.read, "a00").changed == index + 1
    assert create(lab, "d", "n0", session=first) == Failure("precondition", 'invalid session "s1"')
    lab.do(PreparedQueryUpdate("b", QueryFields("kept", WEB)))  # bound no more
    lab.do(SessionDestroy(second))
    assert ids(lab) == ["b", "c"]


# --- reading ----------------------------------------------------------------------------------


def test_a_reader_of_one_query_is_woken_by_that_alone(lab: Lab) -> None:
    create(lab, "i1", "n")
    answer: Answer[QueryRow | None] = query_get(lab.read, "i1")
    (subject,) = answer.subjects
    create(lab, "i2", "m")
    assert subject[1:] not in lab.changed_subjects
    assert query_get(lab.read, "i1").changed == answer.changed
    lab.do(PreparedQueryDelete("i1"))
    assert subject[1:] in lab.changed_subjects
    gone = query_get(lab.read, "i1")
    assert (gone.value, gone.changed) == (None, lab.machine.index)


def test_a_list_and_what_a_name_means_change_with_every_query(lab: Lab) -> None:
    for command in (
        PreparedQueryCreate("i1", QueryFields("n", WEB)),
        PreparedQueryUpdate("i1", QueryFields("m", WEB)),
        PreparedQueryDelete("i1"),
    ):
        lab.do(command)
        assert each_query(lab.read).changed == lab.machine.index
        assert resolved(lab.read, "n").changed == lab.machine.index


def test_a_snapshot_holds_queries_and_their_names(lab: Lab) -> None:
    create(lab, "i1", "n", session=lab.session("s"))
    create(lab, "i2", "web-", template=True)
    data = b"".join(content(lab.domains, lab.tables))
    other = Lab()
    create(other, "i9", "n")
    for command in restore_commands(other.domains, data, "r"):
        assert other.do(command) is not False
    assert ids(other) == ["i1", "i2"]
    assert (meant(other, "N"), meant(other, "web-1"), meant(other, "i9")) == ("i1", "i2", None)
    other.do(SessionDestroy("s"))
    assert ids(other) == ["i2"]
