"""JSON bodies, read as Go reads them: names in any case, text after the value ignored.

Consul's newer spelling with underscores is taken too.
"""

import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sized
from typing import Any, NoReturn, TypeGuard

from quorate.gateways.http.errors import TextError
from quorate.gateways.http.params import TEXT_BYTES_MAX, quoted, text_fault

Fields = Mapping[str, Any]

U64_MAX = (1 << 64) - 1
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
ITEMS_MAX = 1024
"""The longest list or object of texts."""

VALUES_MAX = 10_000
"""What a body may hold in values, lists and objects: more than any that makes sense does."""

_SEPARATORS = b",[{"
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)

_SPACE = " \t\r\n"


def _refused(constant: str) -> NoReturn:
    raise TextError(f"invalid JSON: {constant} is no value")


_decoder = json.JSONDecoder(parse_constant=_refused)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a list."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded value is an object."""
    return isinstance(value, dict)


def json_of(body: bytes) -> Any:
    """The first JSON value of a body.

    Bytes that are no UTF-8 become surrogates, and those may be escaped in it, too: `text_in` and
    its kin refuse them, naming the field. A number too large for a float is infinity.

    Raises:
        TextError: There is none; the text says why.
    """
    if _has_more_values(body):
        raise TextError(f"invalid JSON: more than {VALUES_MAX} values")
    text = body.decode("utf-8", "surrogateescape")
    start = len(text) - len(text.lstrip(_SPACE))
    if start == len(text):
        raise TextError("EOF")
    try:
        value, _ = _decoder.raw_decode(text, start)
    except TextError:
        raise
    except json.JSONDecodeError as error:
        raise TextError(f"invalid JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise TextError("invalid JSON: too deep, or a number too long") from error
    return value


def _has_more_values(body: bytes) -> bool:
    """Whether decoding would make so many objects that it takes milliseconds."""
    if _separators(body) <= VALUES_MAX:
        return False
    if body.count(b'"') - body.count(b'\\"') > 4 * VALUES_MAX:
        return True  # so many texts, and half of them are values
    return _separators(_TEXTS.sub(b"", body)) > VALUES_MAX


def _separators(data: bytes) -> int:
    return sum(data.count(separator) for separator in _SEPARATORS)


def fields_of(value: Any, known: Iterable[str] | None, what: str) -> dict[str, Any]:
    """The members of an object, by name in lower case without underscores; null is empty.

    Args:
        value: What was decoded.
        known: Names that may occur, in lower case without underscores; None: any.
        what: What it should be, for the text.

    Raises:
        TextError: It is no object, or has an unknown member.
    """
    if value is None:
        return {}
    if not is_object(value):
        raise TextError(f"json: cannot unmarshal {kind_of(value)} into {what}")
    found: dict[str, Any] = {}
    names = None if known is None else frozenset(known)
    for name, member in value.items():
        plain = name.lower().replace("_", "")
        if names is not None and plain not in names:
            raise TextError(f"json: unknown field {quoted(name)}")
        found[plain] = member
    return found


def kind_of(value: Any) -> str:
    """What Go calls such a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _mismatch(value: Any, name: str, kind: str) -> TextError:
    return TextError(f"json: cannot unmarshal {kind_of(value)} into field {name} of type {kind}")


def checked(value: Any, name: str, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """A text that stood in this field.

    Raises:
        TextError: It is none, or too long.
    """
    if not isinstance(value, str):
        raise _mismatch(value, name, "string")
    fault = text_fault(value, bytes_max)
    if fault:
        raise TextError(f"json: field {name} {fault}")
    return value


def text_in(
    fields: Fields, name: str, default: str = "", *, bytes_max: int = TEXT_BYTES_MAX
) -> str:
    """A text; null counts as absent.

    Raises:
        TextError: It is none, or too long.
    """
    value = fields.get(name.lower())
    return default if value is None else checked(value, name, bytes_max)


def key_in(fields: Fields, name: str, bytes_max: int) -> bytes:
    """A key, which may hold any character; null counts as empty.

    Raises:
        TextError: It is no text, or too long.
    """
    value = fields.get(name.lower())
    if value is None:
        return b""
    if isinstance(value, str):
        checked(value.replace("\0", " "), name, bytes_max)
        return value.encode()
    raise _mismatch(value, name, "string")


def number_in(fields: Fields, name: str, default: int = 0) -> int:
    """An unsigned number of 64 bits; null counts as absent.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= U64_MAX:
        raise _mismatch(value, name, "uint64")
    return value


def integer_in(
    fields: Fields, name: str, default: int = 0, *, least: int = INT_MIN, most: int = INT_MAX
) -> int:
    """A whole number; null counts as absent.

    Raises:
        TextError: It is none, or out of range.
    """
    value = fields.get(name.lower())
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(value, name, "int")
    if not least <= value <= most:
        raise TextError(f"json: field {name} must be between {least} and {most}")
    return value


def switch_in(fields: Fields, name: str) -> bool:
    """True or false; null counts as false.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _mismatch(value, name, "bool")
    return value


def texts_in(fields: Fields, name: str) -> list[str]:
    """A list of texts; null counts as empty.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None:
        return []
    if not is_list(value):
        raise _mismatch(value, name, "[]string")
    _check_count(value, name)
    return [checked(item, name) for item in value]


def names_in(fields: Fields, name: str) -> dict[str, str]:
    """An object of texts; null counts as empty.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None:
        return {}
    if not is_object(value):
        raise _mismatch(value, name, "map[string]string")
    _check_count(value, name)
    return {checked(key, name): checked(item, name) for key, item in value.items()}


def _check_count(value: Sized, name: str) -> None:
    if len(value) > ITEMS_MAX:
        raise TextError(f"json: field {name} has more than {ITEMS_MAX} items")


def bytes_in(fields: Fields, name: str) -> bytes:
    """Bytes in base64; null counts as empty.

    Raises:
        TextError: They are not.
    """
    value = fields.get(name.lower())
    if value is not None and not isinstance(value, str):
        raise _mismatch(value, name, "string")
    text = (value or "").replace("\r", "").replace("\n", "")
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (binascii.Error, ValueError) as error:
        raise TextError(f"illegal base64 data in {name}") from error
