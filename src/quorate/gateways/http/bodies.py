"""JSON bodies, read as Go reads them: names in any case, text after the value ignored.

Consul's newer spelling with underscores is taken too.
"""

import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from quorate.gateways.http.errors import TextError
from quorate.gateways.http.params import quoted

Fields = Mapping[str, Any]

_decoder = json.JSONDecoder()
_SPACE = " \t\r\n"

U64_MAX = (1 << 64) - 1


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a list."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded value is an object."""
    return isinstance(value, dict)


def json_of(body: bytes) -> Any:
    """The first JSON value of a body.

    Raises:
        TextError: There is none; the text says why.
    """
    text = body.decode("utf-8", "replace")
    start = len(text) - len(text.lstrip(_SPACE))
    if start == len(text):
        raise TextError("EOF")
    try:
        value, _ = _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise TextError(f"invalid JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise TextError("invalid JSON: too deep, or a number too long") from error
    return value


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


def text_in(fields: Fields, name: str, default: str = "") -> str:
    """A text; null counts as absent.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None:
        return default
    if not isinstance(value, str):
        raise _mismatch(value, name, "string")
    return value


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


def integer_in(fields: Fields, name: str, default: int = 0) -> int:
    """A whole number; null counts as absent.

    Raises:
        TextError: It is none.
    """
    value = fields.get(name.lower())
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(value, name, "int")
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
    for item in value:
        if not isinstance(item, str):
            raise _mismatch(item, name, "string")
    return value


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
    for item in value.values():
        if not isinstance(item, str):
            raise _mismatch(item, name, "string")
    return value


def bytes_in(fields: Fields, name: str) -> bytes:
    """Bytes in base64; null counts as empty.

    Raises:
        TextError: They are not.
    """
    text = text_in(fields, name).replace("\r", "").replace("\n", "")
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (binascii.Error, ValueError) as error:
        raise TextError(f"illegal base64 data in {name}") from error
