"""Filter expressions: what passes, and what is refused with which text."""

from typing import Any

import pytest

from quorate.filters.expressions import DEPTH_MAX, EXPRESSION_CHARS_MAX, FilterError
from quorate.filters.fields import FLAG, LABELS, NUMBER, TEXT, TEXTS, Entries, Objects, fields
from quorate.filters.predicates import predicate

FIELDS = fields(
    Node=fields(Node=TEXT, Meta=LABELS),
    Service=fields(
        ID=TEXT,
        Tags=TEXTS,
        Port=NUMBER,
        Meta=LABELS,
        EnableTagOverride=FLAG,
        Weights=fields(Passing=NUMBER),
        TaggedAddresses=Entries(fields(Address=TEXT, Port=NUMBER)),
    ),
    Checks=Objects(fields(Status=TEXT, CheckID=TEXT)),
)
A: Any = {
    "Node": {"Node": "fi-1", "Meta": {"os": "linux", "a.b": "c"}},
    "Service": {
        "ID": "a",
        "Tags": ["v1", "blue"],
        "Port": 80,
        "Meta": {"env": "prod", "num": "5"},
        "EnableTagOverride": True,
        "Weights": {"Passing": 10},
        "TaggedAddresses": {"lan": {"Address": "10.0.0.1", "Port": 8080}},
    },
    "Checks": [{"Status": "passing", "CheckID": "c"}, {"Status": "critical", "CheckID": "d"}],
}
EMPTY: Any = {"Node": {"Node": "fi-3", "Meta": None}, "Service": {"ID": "d"}, "Checks": []}


@pytest.mark.parametrize(
    ("text", "passes", "empty_passes"),
    [
        ('Node.Node == "fi-1"', True, False),
        ("Node.Node == `fi-1`", True, False),
        ("Service.ID==a", True, False),
        ("Service.ID != a", False, True),
        ('Node.Node == "FI-1"', False, False),
        ('Service.ID == "\\x61"', True, False),
        ("Service.Port == 80", True, False),
        ('Service.Port == "0x50"', True, False),
        ("Service.Port == 0", False, True),
        ("Service.Port != -1", True, True),
        ("Service.EnableTagOverride == 1", True, False),
        ("Service.EnableTagOverride != true", False, True),
        ("Service.Weights.Passing == 10", True, False),
        ("Service.TaggedAddresses.lan.Port == 8080", True, False),
        ("Service.TaggedAddresses.wan.Port != 8080", True, True),
        ("env in Service.Meta", True, False),
        ('"env" not in Service.Meta', False, True),
        ('Service.Meta contains "env"', True, False),
        ("Service.Meta.num == 5", True, False),
        ('Service.Meta["env"] == "prod"', True, False),
        ('Node.Meta["a.b"] == c', True, False),
        ('Service.Meta.nope == ""', False, False),
        ("Service.Meta.nope != x", True, True),
        ('Service.Meta.nope matches "."', True, True),
        ('Service.Meta.nope not matches "."', True, True),
        ("x in Service.Meta.nope", False, False),
        ("x not in Service.Meta.nope", True, True),
        ("Service.Tags is empty", False, True),
        ("Service.Tags is not empty", True, False),
        ("Service.Meta is empty", False, True),
        ("Checks is empty", False, True),
        ('v1 in Service.Tags and not "red" in Service.Tags', True, False),
        ('Node.Node matches "^fi-[12]$"', True, False),
        ('Node.Node not matches "1"', False, True),
        ('Node.Node matches "(?i)^FI"', True, True),
        ('"fi" in Node.Node', True, True),
        ('Checks.Status == "passing"', True, False),
        ('Checks.Status != "passing"', True, False),
        ('not Checks.Status == "passing"', False, True),
        ('Checks.Status == "passing" and Checks.Status == "critical"', True, False),
        ('"crit" in Checks.Status', True, False),
        ('Checks.Status not contains "crit"', True, False),
        ("Service.ID == a or Service.ID == d and Service.Port == 1", True, False),
        ("(Service.ID == a or Service.ID == d) and Service.Port == 0", False, True),
        ("not not Service.ID == a", True, False),
        (" (\tService.ID\n==a ) ", True, False),
    ],
)
def test_what_passes(text: str, passes: bool, empty_passes: bool) -> None:
    decide = predicate(text, FIELDS)
    assert (decide(A), decide(EMPTY)) == (passes, empty_passes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", '1:1 (0): no match found, expected: a selector, a value, "not" or "("'),
        ("Service.ID == ", "1:15 (14): no match found, expected: a value"),
        ("Service.ID ==\n_a", "2:1 (14): no match found, expected: a value"),
        ("Service.ID", "no match found, expected: "),
        ("== a", "no match found"),
        ("Service.ID = a", "no match found"),
        ("Service.ID === a", "no match found"),
        ("Service.ID == a AND Service.ID == b", 'expected: "and", "or" or the end'),
        ("Service.ID == a and", "no match found"),
        ("(Service.ID == a", 'expected: "and", "or" or ")"'),
        ('Service.ID == "a', "expected: a value"),
        ("Service.ID == 'a'", "expected: a value"),
        ("Service.ID == 80abc", "expected: a value"),
        ("Service.ID is full", 'expected: "empty" or "not"'),
        ("Service.ID is not full", 'expected: "empty"'),
        ("Service.Port > 80", "no match found"),
        ("Service.Port in 80", "expected: a selector"),
        ("not", "no match found"),
        ("Service.ID == a b", "no match found"),
        ('"a" == Service.ID', "no match found"),
        ('any Service.Tags as t { t == "a" }', "no match found"),
        ("Service..ID == a", "expected: a name"),
        ("Node.Node == fi.1", "expected: a name"),
        ("Node.Node == fi-1", "no match found"),
        ('Service.Meta["env] == x', "no match found"),
        (
            'Node.Node matches "\\ud800"',
            "1:19 (18): no match found, expected: a text without halves",
        ),
        ('Service.Port == "\\udfff"', "expected: a text without halves of characters"),
        ('Service.Meta["\\ud800"] == x', "expected: a text without halves of characters"),
        ("Nope == x", 'Selector "Nope" is not valid'),
        ("Service.Id == x", 'Selector "Service.Id" is not valid'),
        ("Service.ID.x == x", 'Selector "Service.ID.x" is not valid'),
        ("Service == x", 'Invalid match operator "Equal" for selector "Service"'),
        ("Service.Tags == v1", 'Invalid match operator "Equal" for selector "Service.Tags"'),
        ("Service.Meta != x", 'Invalid match operator "Not Equal" for selector "Service.Meta"'),
        ("Service.ID is empty", 'Invalid match operator "Is Empty" for selector "Service.ID"'),
        ("Service.Weights is not empty", 'Invalid match operator "Is Not Empty"'),
        ("Service.Tags matches v", 'Invalid match operator "Matches" for selector "Service.Tags"'),
        ("x in Checks", 'Invalid match operator "In" for selector "Checks"'),
        ("Service.Port == abc", 'Failed to coerce value "abc" for selector "Service.Port": '),
        ("Service.Port == 1.5", 'Failed to coerce value "1.5" for selector "Service.Port": '),
        ("Service.Port == 9223372036854775808", "Failed to coerce value"),
        ("Service.EnableTagOverride == maybe", 'Failed to coerce value "maybe" for selector'),
        ('Node.Node matches "["', 'Failed to compile regular expression "[": '),
        ('Node.Node matches "(?=x)"', "Failed to compile regular expression"),
        ('Node.Node matches "((a{1000}){1000}){1000}"', "Failed to compile regular expression"),
        ("not " * (DEPTH_MAX + 1) + "Service.ID == a", "brackets and negations"),
        ("(" * 5_000, "brackets and negations"),
        ("Service.ID == " + "a" * EXPRESSION_CHARS_MAX, f"longer than {EXPRESSION_CHARS_MAX}"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        predicate(text, FIELDS)
    assert said in str(caught.value)


def test_no_regular_expression_goes_back_in_its_input() -> None:
    decide = predicate('Node.Node matches "^(a+)+$"', FIELDS)
    assert decide({"Node": {"Node": "a" * 100_000 + "!"}}) is False
