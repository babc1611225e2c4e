"""Predicates: an expression, checked against fields, as a function of one object.

Source: https://developer.hashicorp.com/consul/api-docs/features/filtering.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from quorate.filters.expressions import (
    AllOf,
    AnyOf,
    Comparison,
    Expression,
    FilterError,
    Negation,
    Operator,
    parse,
)
from quorate.filters.fields import FLAG, TEXT, Entries, Field, Fields, Objects, Simple, Texts
from quorate.filters.regex import Regex, compiled

Predicate = Callable[[Any], bool]

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT64 = range(-(2**63), 2**63)
_NEGATIVE = frozenset(
    {Operator.NOT_EQUAL, Operator.NOT_IN, Operator.NOT_MATCHES, Operator.IS_NOT_EMPTY}
)
_ABSENT_IS_TRUE = frozenset(
    {Operator.NOT_EQUAL, Operator.NOT_IN, Operator.MATCHES, Operator.NOT_MATCHES}
)


def predicate(text: str, of: Fields) -> Predicate:
    """What decides whether an object passes an expression.

    A call costs as much as the comparisons in the expression, times the lists that they select.
    Regular expressions are those of RE2: linear in the length of the text.

    Args:
        text: The expression, not empty.
        of: The fields of the objects.

    Raises:
        FilterError: See `expressions.parse`; an unknown field, an operator or a value that does
            not suit its field, or a regular expression that cannot be compiled.
    """
    return _compiled(parse(text), of)


def _compiled(expression: Expression, of: Fields) -> Predicate:
    match expression:
        case AnyOf(parts):
            return partial(_is_any, [_compiled(part, of) for part in parts])
        case AllOf(parts):
            return partial(_is_all, [_compiled(part, of) for part in parts])
        case Negation(inner):
            return partial(_is_not, _compiled(inner, of))
        case Comparison():
            return _compared(expression, of, 0)


def _is_any(parts: list[Predicate], element: Any) -> bool:
    return any(part(element) for part in parts)


def _is_all(parts: list[Predicate], element: Any) -> bool:
    return all(part(element) for part in parts)


def _is_not(inner: Predicate, element: Any) -> bool:
    return not inner(element)


def _compared(comparison: Comparison, field: Field, depth: int) -> Predicate:
    """The predicate of what is selected by the first `depth` parts of the selector."""
    selector = comparison.selector
    if depth == len(selector):
        return _test(comparison, field)
    name = selector[depth]
    match field:
        case Fields(inner) if name in inner:
            return partial(_of_field, name, _compared(comparison, inner[name], depth + 1))
        case Entries(inner):
            if_absent = comparison.operator in _ABSENT_IS_TRUE
            return partial(_of_entry, name, _compared(comparison, inner, depth + 1), if_absent)
        case Objects(inner):
            return partial(_of_any, _compared(comparison, inner, depth))
        case _:
            raise FilterError(f'Selector "{".".join(selector[: depth + 1])}" is not valid')


def _of_field(name: str, test: Predicate, element: Any) -> bool:
    return test(None if element is None else element.get(name))


def _of_entry(name: str, test: Predicate, if_absent: bool, element: Any) -> bool:
    return test(element[name]) if element and name in element else if_absent


def _of_any(test: Predicate, elements: Any) -> bool:
    return any(test(element) for element in elements or ())


def _test(comparison: Comparison, field: Field) -> Predicate:
    """The predicate of the selected value itself."""
    operator, value = comparison.operator, comparison.value
    is_wanted = operator not in _NEGATIVE
    match operator:
        case Operator.EQUAL | Operator.NOT_EQUAL if isinstance(field, Simple):
            return partial(_equals, _coerced(comparison, field), is_wanted)
        case Operator.IN | Operator.NOT_IN if field is TEXT or isinstance(field, Texts | Entries):
            return partial(_contains, value, is_wanted)
        case Operator.IS_EMPTY | Operator.IS_NOT_EMPTY if isinstance(
            field, Texts | Entries | Objects
        ):
            return partial(_is_empty, is_wanted)
        case Operator.MATCHES | Operator.NOT_MATCHES if field is TEXT:
            return partial(_matches, compiled(value), is_wanted)
        case _:
            name = ".".join(comparison.selector)
            raise FilterError(f'Invalid match operator "{operator}" for selector "{name}"')


def _coerced(comparison: Comparison, field: Field) -> str | int | bool:
    text = comparison.value
    if field is TEXT:
        return text
    function = "ParseInt"
    if field is FLAG:
        function = "ParseBool"
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    else:
        try:
            number = int(text, 0) if text.isascii() and not text.isspace() else None
        except ValueError:
            number = None
        if number is not None and number in _INT64:
            return number
    name = ".".join(comparison.selector)
    why = f'strconv.{function}: parsing "{text}": invalid syntax'
    raise FilterError(f'Failed to coerce value "{text}" for selector "{name}": {why}')


def _equals(wanted: str | int | bool, is_wanted: bool, found: Any) -> bool:
    return (found == wanted if found is not None else not wanted) is is_wanted


def _contains(wanted: str, is_wanted: bool, found: Any) -> bool:
    return (found is not None and wanted in found) is is_wanted


def _is_empty(is_wanted: bool, found: Any) -> bool:
    return (not found) is is_wanted


def _matches(regex: Regex, is_wanted: bool, found: Any) -> bool:
    return (regex.search(found or "") is not None) is is_wanted
