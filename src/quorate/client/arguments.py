"""Checks of the arguments of public methods, so that an error names the argument.

A wrong type is a TypeError, a value out of range a RequestError (`bad_request`); both name the
argument and what is expected.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from quorate.base.errors import RequestError

Value = TypeVar("Value")

Data = bytes | bytearray | memoryview | str
"""A value to be stored: bytes, or text, which is sent as UTF-8."""

_PARAMETER = re.compile(r"[A-Za-z0-9_.-]+")

INDEX_MAX = 2**63 - 1
FLAGS_MAX = 2**64 - 1
TTL_S = (0.001, 86_400.0)  # the minimum of nodes is higher, 10 s unless configured
LOCK_DELAY_S = (0.0, 60.0)


def text(name: str, value: object) -> str:
    """Check a text and return it.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise wrong_type(name, "str", value)
    return value


def filled(name: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        TypeError, RequestError: It is none, or empty.
    """
    given = text(name, value)
    if not given:
        raise RequestError("bad_request", f"{name} must not be empty")
    return given


def data(name: str, value: object) -> bytes:
    """The bytes of a value; a text is encoded as UTF-8.

    Raises:
        TypeError: It is neither.
        RequestError: UTF-8 cannot express the text.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                "bad_request", f"{name} has a lone surrogate at {error.start}; give bytes instead"
            ) from None
    if isinstance(value, bytearray | memoryview):
        return bytes(cast(bytearray, value))
    raise wrong_type(name, "bytes or str", value)


def whole(name: str, value: object, lowest: int = 0, highest: int = INDEX_MAX) -> int:
    """A whole number in a range.

    Raises:
        TypeError, RequestError: It is none, or out of the range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "int", value)
    if not lowest <= value <= highest:
        raise RequestError("bad_request", f"{name} is {value}; it must be {lowest} to {highest}")
    return value


def seconds(name: str, value: object, lowest: float = 0.0, highest: float = float("inf")) -> float:
    """A duration in seconds, in a range.

    Raises:
        TypeError, RequestError: It is none, or out of the range.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong_type(name, "a number of seconds", value)
    if not lowest <= value <= highest:  # false, too, for what is no number
        limits = f"at least {lowest:g}" if highest == float("inf") else f"{lowest:g} to {highest:g}"
        raise RequestError("bad_request", f"{name} is {value}; it must be {limits} seconds")
    return value


def limit(name: str, value: object) -> float | None:
    """A time limit in seconds that is not used up, or None.

    Raises:
        TypeError, RequestError: It is none, or negative.
    """
    return None if value is None else seconds(name, value)


def flag(name: str, value: object) -> bool:
    """A boolean.

    Raises:
        TypeError: It is none: "no" is not false.
    """
    if value is not True and value is not False:
        raise wrong_type(name, "bool", value)
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """Several texts.

    Raises:
        TypeError: They are none; a single text is refused, as its letters would be taken.
    """
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise wrong_type(name, "a sequence of str", value)
    given = cast(Iterable[object], value)
    return tuple(text(f"{name}[{place}]", each) for place, each in enumerate(given))


def path(name: str, value: object) -> Path:
    """The path of a file.

    Raises:
        TypeError, RequestError: It is none, or empty.
    """
    return value if isinstance(value, Path) else Path(filled(name, value))


def instance(name: str, value: object, wanted: type[Value]) -> Value:
    """An object of a class.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, wanted):
        raise wrong_type(name, wanted.__name__, value)
    return value


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """One of several allowed texts.

    Raises:
        RequestError: It is another one.
    """
    if value not in allowed:
        texts = ", ".join(repr(each) for each in allowed)
        raise RequestError("bad_request", f"{name} is {value!r}; it must be one of {texts}")
    return cast(str, value)


def callback(name: str, value: object) -> None:
    """Something to be called, or None.

    Raises:
        TypeError: It cannot be called.
    """
    if value is not None and not callable(value):
        raise wrong_type(name, "callable", value)


def parameter(name: str, value: object) -> None:
    """A parameter of a query.

    Raises:
        TypeError: Its value is no text, whole number, boolean or None.
        RequestError: Its name has other characters than letters, digits, `-`, `_` and `.`.
    """
    if not _PARAMETER.fullmatch(name):
        raise RequestError("bad_request", f"{name!r} is no name of a parameter")
    if value is not None and not isinstance(value, str | int):
        raise wrong_type(name, "str, int, bool or None", value)


def json(name: str, value: object) -> bytes:
    """A body in JSON.

    Raises:
        RequestError: `bad_request`: a text in it has lone surrogates.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise RequestError("bad_request", f"{name} has a lone surrogate") from None


def wrong_type(name: str, wanted: str, value: object) -> TypeError:
    """The error for an argument of a wrong type."""
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
