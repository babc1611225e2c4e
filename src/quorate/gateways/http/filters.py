"""Filters: of Consul's filter language, one comparison of a field with a text.

`Name == "x"` and `Name != "x"`, fields of objects with a dot. Anything else is refused, never
ignored.

Source: https://developer.hashicorp.com/consul/api-docs/features/filtering.
"""

import re
from collections.abc import Callable
from typing import Any

from quorate.gateways.http.bodies import is_list, is_object
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params, quoted

Keep = Callable[[Any], bool]

_COMPARISON = re.compile(
    r"""\s*([A-Za-z][A-Za-z0-9_.-]*)\s*(==|!=)\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|([A-Za-z0-9_./:-]+))\s*"""
)
_PREFIX = "Failed to create boolean expression evaluator: "


def filter_of(params: Params, known: frozenset[str], lines: bytes = b"") -> Keep | None:
    """What decides whether an element is shown; None if everything is.

    Args:
        params: Of the query.
        known: The fields that elements have.
        lines: Header lines of an error.

    Raises:
        HttpError: 500: it cannot be read, names an unknown field, or is more than is built.
    """
    text = params.text("filter").strip()
    if not text:
        return None
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise HttpError(
            500,
            f'{_PREFIX}only a comparison such as Name == "x" is built, not {text}',
            headers=lines,
        )
    selector, operator, string, raw, word = match.groups()
    path = selector.split(".")
    if path[0] not in known:
        raise HttpError(500, f"{_PREFIX}Selector {quoted(path[0])} is not valid", headers=lines)
    wanted = raw if raw is not None else word
    if string is not None:
        wanted = re.sub(r"\\(.)", r"\1", string)
    is_equal = operator == "=="
    return lambda element: (_found(element, path) == wanted) is is_equal


def kept(elements: list[Any], keep: Keep | None) -> list[Any]:
    """The elements that pass."""
    return elements if keep is None else [element for element in elements if keep(element)]


def _found(element: Any, path: list[str]) -> str:
    for name in path:
        if not is_object(element):
            return ""
        element = element.get(name)
    if element is None or is_list(element) or is_object(element):
        return ""
    if isinstance(element, bool):
        return "true" if element else "false"
    return str(element)
