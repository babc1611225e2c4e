"""Values of flags without typer's own conversion, which imports pydantic: 90 ms at every start.

Only for text and numbers; everything else stays typer's. Whole numbers are written as in Go: in
base 10, or with `0x`, `0o`, `0b` or a leading zero in front. It hangs on one attribute of typer's
parameters: where a version of typer has none of that name, nothing is changed and only the start
is slower. `tests/unit/cli/test_start.py` notices.
"""

import re
from collections.abc import Sequence
from typing import Any

import typer

_ATTRIBUTE = "_runtime_param"
_ONE = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_KINDS: dict[Any, type[Any]] = {kind: kind for kind in _ONE} | {list[str]: str}
_OCTAL = re.compile(r"([+-]?0)_?([0-7]+(?:_[0-7]+)*)")
_WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def whole_number(text: str) -> int:
    """Read a whole number as Go's flags do: `16`, `0x10`, `0o20`, `020`, `0b1_0000`.

    Raises:
        ValueError: It is none.
    """
    if not text.isascii() or text != text.strip():
        raise ValueError(text)
    octal = _OCTAL.fullmatch(text)
    return int(f"{octal[1]}o{octal[2]}" if octal else text, 0)


class PlainValue:
    """Converts what was typed for one parameter.

    Args:
        kind: `str`, `bool`, `int` or `float`.
    """

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Convert; the parser calls it.

        Raises:
            typer.BadParameter: It is no number, or out of the flag's range.
        """
        if param.multiple or param.nargs == -1:
            return [self._one(each, param, ctx) for each in value or ()]
        return None if value is None else self._one(value, param, ctx)

    def _one(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            converted = self._converted(value)
        except (KeyError, ValueError):
            raise typer.BadParameter(
                f"{value!r} is not {_ONE[self._kind]}", ctx=ctx, param=param
            ) from None
        low, high = getattr(param, "min", None), getattr(param, "max", None)
        if (low is not None and converted < low) or (high is not None and converted > high):
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            raise typer.BadParameter(f"{value} must be {limits}", ctx=ctx, param=param)
        return converted

    def _converted(self, value: Any) -> Any:
        if self._kind is bool and not isinstance(value, bool):
            return _WORDS[str(value).lower()]
        if self._kind is int and isinstance(value, str):
            return whole_number(value)
        return self._kind(value)


def use_plain_values(parameters: Sequence[Any]) -> None:
    """Make every parameter that takes only text or numbers convert them by itself."""
    for parameter in parameters:
        annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        kind = _KINDS.get(annotation)
        if kind is not None and _ATTRIBUTE in vars(parameter):
            vars(parameter)[_ATTRIBUTE] = PlainValue(kind)
