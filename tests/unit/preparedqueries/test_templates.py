"""Templates: interpolation, what is refused, and what stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quorate.preparedqueries.fields import (
    NAME_PREFIX_MATCH,
    Failover,
    FailoverTarget,
    QueryFields,
    ServiceQuery,
    Template,
)
from quorate.preparedqueries.templates import QueryTemplateError, check, rendered


def template(service: str, *, name: str = "geo-db", regexp: str = "") -> QueryFields:
    return QueryFields(name, ServiceQuery(service), template=Template(NAME_PREFIX_MATCH, regexp))


def service_of(text: str, asked: str, regexp: str = "") -> str:
    return rendered(template(text, regexp=regexp), asked).service.service


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${name.full}", "geo-db-Eu-master"),
        ("${name.prefix}", "geo-db"),
        ("${name.suffix}", "-Eu-master"),
        ("a${name.suffix}b${agent.segment}c", "a-Eu-masterbc"),
        ("${match(0)}", "geo-db-Eu-master"),
        ("${match(1)}-x-${match(2)}", "Eu-x-master"),
        ("${match(3)}${match(9)}${match(-1)}", ""),
        ("${ match( 1 ) }", "Eu"),
        ("${match(3 - 2)}", "Eu"),
        ("${match((1 + 5) / 3)}", "master"),
        ('${match("2")}', "master"),
        ("$${name.full}", "${name.full}"),
        ("$${name.full} ${name.prefix}", "${name.full} geo-db"),
        ("$", "$"), ("$$", "$$"), ("a$b {c}", "a$b {c}"), ("x$${", "x${"),
        ("$$$${match(1)}", "$$${match(1)}"),
        ("${1 + 2 * 3}", "7"), ("${7 % 4 - 2}", "1"), ("${-7 / 2}", "-3"), ("${true}", "true"),
        ('${"a"}', "a"), ('${"x${match(1)}y"}', "xEuy"), (r'${"\"\\\n"}', '"\\\n'),
    ],
)  # fmt: skip
def test_what_is_interpolated(text: str, expected: str) -> None:
    assert service_of(text, "geo-db-Eu-master", r"^geo-db-(.*?)-([^\-]+?)(q)?$") == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${nope}", "Bad evaluation for '${nope}' in Service.Service: 1:3: unknown variable acc"),
        ("${nope(1)}", "Bad evaluation for '${nope(1)}' in Service.Service: 1:3: unknown func"),
        ("${match()}", "Bad evaluation"), ("${match(1, 2)}", "Bad evaluation"),
        ("${match(true)}", "Bad evaluation"), ('${match("x")}', "Bad evaluation"),
        ("${1 / 0}", "Bad evaluation"), ("${1 + name.full}", "Bad evaluation"),
        ("${", "Bad format '${' in Service.Service: 1:3: unexpected end of text"),
        ("${}", "Bad format"), ("${name.full", "Bad format"), ("${match(1}", "Bad format"),
        ("${1 +}", "Bad format"), ("${#}", "Bad format"), ('${"a}', "Bad format"),
        (r'${"\q"}', "Bad format"), ("${a b}", "Bad format"), ("${match(1)", "Bad format"),
        ("${" + "(" * 40 + "1" + ")" * 40 + "}", "Bad format"),
    ],
)  # fmt: skip
def test_what_is_refused_before_it_is_stored(text: str, why: str) -> None:
    with pytest.raises(QueryTemplateError) as caught:
        check(template(text))
    assert str(caught.value).startswith(why)


def test_a_type_or_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(QueryTemplateError, match=r"Bad Template.Type 'foo'"):
        check(QueryFields("n", ServiceQuery("a"), template=Template("foo")))
    with pytest.raises(QueryTemplateError, match="Bad Regexp: error parsing regexp: missing"):
        check(template("a", regexp="("))


def test_every_text_of_the_service_is_interpolated_and_the_path_of_a_bad_one_is_said() -> None:
    text = "${name.suffix}"
    fields = QueryFields(
        "p-",
        ServiceQuery(
            text, text, Failover(2, (text, "dc"), ()), True, (text,), text, (text, "!x"),
            {"a": text}, {"b": text}, False, text,
        ),
        template=Template(NAME_PREFIX_MATCH),
    )  # fmt: skip
    made = rendered(fields, "p-q").service
    assert made == ServiceQuery(
        "q", "q", Failover(2, ("q", "dc"), ()), True, ("q",), "q", ("q", "!x"), {"a": "q"},
        {"b": "q"}, False, "q",
    )  # fmt: skip
    target = Failover(targets=(FailoverTarget("${x}"),))
    for service, path in (
        (ServiceQuery("s", tags=("a", "${x}")), "Service.Tags[1]"),
        (ServiceQuery("s", node_meta={"k": "${x}"}), "Service.NodeMeta[k]"),
        (ServiceQuery("s", failover=target), "Service.Failover.Targets[0].Peer"),
    ):
        with pytest.raises(QueryTemplateError, match="Bad evaluation") as caught:
            check(replace(fields, service=service))
        assert f"in {path}:" in str(caught.value)


def test_empty_tags_are_left_out_if_the_template_says_so() -> None:
    fields = QueryFields(
        "", ServiceQuery("s", tags=("${match(1)}", "b")), template=Template(NAME_PREFIX_MATCH)
    )
    assert rendered(fields, "x").service.tags == ("", "b")
    removing = replace(fields, template=replace(fields.template, remove_empty_tags=True))
    assert rendered(removing, "x").service.tags == ("b",)


def test_the_prefix_is_taken_off_in_whichever_case() -> None:
    assert service_of("${name.suffix}", "GEO-DB-X") == "-X"


def test_what_is_no_template_stays_as_it_is() -> None:
    fields = QueryFields("n", ServiceQuery("${name.full}"))
    assert rendered(fields, "n") is fields


def test_what_rendering_makes_is_bounded() -> None:
    fields = template("${name.full}" * 300)
    assert len(rendered(fields, "x" * 200).service.service) == 60_000
    with pytest.raises(QueryTemplateError, match="longer than"):
        rendered(fields, "x" * 1000)
    empty = replace(template("s"), service=ServiceQuery("s", tags=("",) * 9000))
    with pytest.raises(QueryTemplateError, match="longer than"):
        rendered(empty, "x")


@given(st.text(alphabet='${}"()\\+-*/%,. ab1é\n', max_size=40))
def test_no_text_does_anything_but_to_be_parsed_or_refused(text: str) -> None:
    fields = template(text or "s", name="")
    if "${" not in text:
        check(fields)
        assert rendered(fields, "x").service.service == (text or "s")
        return
    try:
        check(fields)
    except QueryTemplateError:
        return
    rendered(fields, "x")  # what was taken once is never refused
