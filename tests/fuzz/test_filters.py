"""Any text is an expression that decides about any object, or is refused."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quorate.filters.expressions import FilterError
from quorate.filters.predicates import predicate
from tests.unit.filters.test_predicates import EMPTY, FIELDS, A

_WORDS = st.sampled_from(
    [
        "Node", "Service", "Checks", ".", "ID", "Tags", "Port", "Meta", "Status", "[", "]", '"a"',
        "`b`", '"\\ud800"', "\\u", "1", "-0", "==", "!=", "in", "not", "is", "empty",
        "contains", "matches", "and", "or", "(", ")", "x", '"', "\\", "\n", "é",
    ]
)  # fmt: skip
_TEXTS = st.lists(_WORDS, max_size=14).map(" ".join) | st.lists(_WORDS, max_size=9).map("".join)


@given(_TEXTS | st.text(max_size=30), st.sampled_from([A, EMPTY]))
def test_any_text_is_judged(text: str, element: Any) -> None:
    with suppress(FilterError):
        assert predicate(text, FIELDS)(element) in {True, False}


@given(st.text(st.characters(codec=None), max_size=12))
def test_any_value_of_a_comparison_is_judged(text: str) -> None:
    """Also halves of characters, which no library can encode."""
    for quoted in (
        f"`{text}`",
        '"' + "".join(f"\\u{ord(each) & 0xFFFF:04x}" for each in text) + '"',
    ):
        for operator in ("matches", "==", "contains"):
            with suppress(FilterError):
                assert predicate(f"Node.Node {operator} {quoted}", FIELDS)(A) in {True, False}
