"""Arguments: what callers hand in, checked at the edge, so that an error names what was wrong.

A wrong type is a TypeError, a value out of range a RequestError (`bad_request`); both name the
argument and what is wanted.
"""

from collections.abc import Iterable

import msgspec

from quorate.base.errors import RequestError

Data = bytes | bytearray | memoryview | str
"""What a value may be given as: bytes, or text, which is sent as UTF-8."""

INDEX_MAX = 2**63 - 1
FLAGS_MAX = 2**64 - 1
TTL_S = (0.001, 86_400.0)  # nodes are set to a higher minimum, 10 s unless configured
LOCK_DELAY_S = (0.0, 60.0)


def text(name: str, value: str) -> str:
    """A text, as it is.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise wrong_type(name, "str", value)
    return value


def filled(name: str, value: str) -> str:
    """A text that is not empty.

    Raises:
        TypeError, RequestError: It is none, or empty.
    """
    if not text(name, value):
        raise RequestError("bad_request", f"{name} must not be empty")
    return value


def data(name: str, value: Data) -> bytes:
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
        return bytes(value)
    raise wrong_type(name, "bytes or str", value)


def whole(name: str, value: int, lowest: int = 0, highest: int = INDEX_MAX) -> int:
    """A whole number in a range.

    Raises:
        TypeError, RequestError: It is none, or out of the range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "int", value)
    if not lowest <= value <= highest:
        raise RequestError("bad_request", f"{name} is {value}; it must be {lowest} to {highest}")
    return value


def seconds(name: str, value: float, lowest: float = 0.0, highest: float = float("inf")) -> float:
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


def limit(name: str, value: float | None) -> float | None:
    """A time limit in seconds that is not used up, or None.

    Raises:
        TypeError, RequestError: It is none, or negative.
    """
    return None if value is None else seconds(name, value)


def flag(name: str, value: bool) -> bool:
    """A truth value.

    Raises:
        TypeError: It is none: "no" is not false.
    """
    if value is not True and value is not False:
        raise wrong_type(name, "bool", value)
    return value


def texts(name: str, value: Iterable[str]) -> tuple[str, ...]:
    """Several texts.

    Raises:
        TypeError: They are none; one text alone is none, for it would be taken for its letters.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise wrong_type(name, "a sequence of str", value)
    return tuple(text(f"{name}[{place}]", each) for place, each in enumerate(value))


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
