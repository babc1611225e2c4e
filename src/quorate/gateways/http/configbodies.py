"""Configuration entries in the bodies of requests: checked, and brought into one form.

The names of fields may have any case, and underscores; fields that are empty are left out.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgspec

from quorate.base.durations import go_duration
from quorate.configentries.apply import SOURCES_MAX, by_precedence
from quorate.configentries.tables import GLOBAL, INTENTIONS, PROXY_DEFAULTS, SPLITTER
from quorate.gateways.http.bodies import (
    ITEMS_MAX,
    checked,
    is_list,
    is_object,
    json_of,
    kind_of,
    names_in,
    texts_in,
)
from quorate.gateways.http.configkinds import (
    COMMON,
    ENTERPRISE,
    IGNORED,
    KINDS,
    AlwaysShown,
    FieldKind,
    Named,
    Several,
    Shape,
)
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import duration_ns, quoted

MESH = "mesh"
"""The kind whose one entry has its name, which is not written."""

ENTRY_BYTES_MAX = 256 * 1024
CLOCK_SKEW_S = 30
EXACT, ANY_SOURCE, ANY_DESTINATION, ANY = 9, 8, 6, 5
"""The precedence of an intention, by which of its names are `*`."""

_encode = msgspec.json.Encoder().encode


class EntryBody(NamedTuple):
    """An entry: its place, and its fields as they are stored."""

    kind: str
    name: str
    content: bytes


def entry_in(body: bytes) -> EntryBody:
    """The entry of a body.

    Raises:
        HttpError: It makes no sense.
        TextError: It cannot be read.
    """
    value = json_of(body)
    if not is_object(value):
        raise TextError(f"'' expected type 'map[string]interface {{}}', got {kind_of(value)}")
    kind = next((value[key] for key in ("Kind", "kind") if key in value), None)
    if kind is None:
        raise TextError("Payload does not contain a kind/Kind key at the top level")
    kind = checked(kind, "Kind")
    if kind in ENTERPRISE:
        raise HttpError(500, ENTERPRISE[kind])
    check_kind(kind, 400, "Request decoding failed: ")
    shape = {"Kind": FieldKind.TEXT, **KINDS[kind], **COMMON}
    if kind != MESH:
        shape["Name"] = FieldKind.TEXT
    faults: list[str] = []
    given = {key: each for key, each in value.items() if _plain(key) not in IGNORED}
    fields = _object(given, shape, "", faults)
    if faults:
        count = f"{len(faults)} error{'s' * (len(faults) > 1)} occurred:\n"
        lines = "".join(f"\t* invalid config key {quoted(fault)}\n" for fault in faults)
        raise TextError(f"{count}{lines}\n")
    name = MESH if kind == MESH else fields.pop("Name", "")
    fields.pop("Kind", None)
    _check(kind, name, fields)
    content = _encode(fields)
    if len(content) > ENTRY_BYTES_MAX:
        raise TextError(f"the entry is longer than {ENTRY_BYTES_MAX} bytes")
    return EntryBody(kind, name, content)


def check_kind(kind: str, status: int, prefix: str = "") -> None:
    """Refuse what is no kind.

    Raises:
        HttpError: It is none.
    """
    if kind not in KINDS:
        raise HttpError(status, f"{prefix}invalid config entry kind: {kind}")


# --- one form ---------------------------------------------------------------------------------


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _object(value: Any, shape: Shape, path: str, faults: list[str]) -> dict[str, Any]:
    if value is None:
        value = {}
    if is_list(value) and len(value) == 1:  # as HCL gives a block
        value = value[0]
    if not is_object(value):
        raise TextError(f"'{path.rstrip('.')}' expected a map, got {kind_of(value)}")
    known = {_plain(name): name for name in shape}
    given: dict[str, Any] = {}
    for name, member in value.items():
        found = known.get(_plain(name))
        if found is None:
            faults.append(f"{path}{name}")
        else:
            given[found] = member
    fields: dict[str, Any] = {}
    for name, of in shape.items():
        is_shown = isinstance(of, AlwaysShown)
        inner = of.of if is_shown else of
        value = given.get(name)
        found = None if value is None else _value(value, inner, f"{path}{name}", faults)
        if found:
            fields[name] = found
        elif is_shown:
            fields[name] = of.empty
    return fields


def _value(value: Any, of: Any, path: str, faults: list[str]) -> Any:
    if isinstance(of, Several):
        return list(_several(value, of.of, path, faults))
    if isinstance(of, Named):
        return dict(_named(value, of.of, path, faults))
    if isinstance(of, dict):
        return _object(value, cast(Shape, of), f"{path}.", faults)
    return _plain_value(value, of, path)


def _several(value: Any, of: Shape, path: str, faults: list[str]) -> Iterator[dict[str, Any]]:
    if is_object(value):
        value = [value]
    if not is_list(value):
        raise TextError(f"'{path}' expected a list, got {kind_of(value)}")
    if len(value) > ITEMS_MAX:
        raise TextError(f"'{path}' has more than {ITEMS_MAX} items")
    for number, each in enumerate(value):
        yield _object(each, of, f"{path}[{number}].", faults)


def _named(
    value: Any, of: Shape, path: str, faults: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if is_list(value) and len(value) == 1:
        value = value[0]
    if not is_object(value):
        raise TextError(f"'{path}' expected a map, got {kind_of(value)}")
    if len(value) > ITEMS_MAX:
        raise TextError(f"'{path}' has more than {ITEMS_MAX} items")
    for name, each in sorted(value.items()):
        yield checked(name, path), _object(each, of, f"{path}[{name}].", faults)


def _plain_value(value: Any, kind: FieldKind, path: str) -> Any:
    place = {path.lower(): value}
    if kind is FieldKind.ANY:
        return _storable(value, path)
    if kind is FieldKind.TEXT:
        return checked(value, path, ENTRY_BYTES_MAX)
    if kind is FieldKind.TEXTS:
        return texts_in(place, path)
    if kind is FieldKind.NAMES:
        place = {path.lower(): value[0] if is_list(value) and len(value) == 1 else value}
        return dict(sorted(names_in(place, path).items()))
    if kind is FieldKind.DURATION:
        return _duration(value, path)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_right = {
        FieldKind.SWITCH: isinstance(value, bool),
        FieldKind.WHOLE: is_number and isinstance(value, int),
        FieldKind.NUMBER: is_number,
        FieldKind.WHOLES: is_list(value) and all(type(each) is int for each in value),
    }[kind]
    if not is_right:
        raise TextError(f"'{path}' expected type '{kind.value}', got {kind_of(value)}")
    return _storable(value, path)


def _duration(value: Any, path: str) -> str:
    if isinstance(value, str):
        try:
            value = duration_ns(value)
        except TextError as error:
            raise TextError(f"'{path}': {error}") from error
    if isinstance(value, bool) or not isinstance(value, int):
        raise TextError(f"'{path}' expected a duration, got {kind_of(value)}")
    return go_duration(value) if value else ""


def _storable(value: Any, path: str) -> Any:
    """A value that can be written as JSON again; the keys of its objects in order."""
    try:
        return msgspec.json.decode(msgspec.json.Encoder(order="deterministic").encode(value))
    except (UnicodeEncodeError, RecursionError, OverflowError, ValueError) as error:
        raise TextError(f"'{path}' holds what cannot be stored") from error


# --- what makes sense -------------------------------------------------------------------------


def _check(kind: str, name: str, fields: dict[str, Any]) -> None:
    for feature in ("Namespace", "Partition"):
        if fields.get(feature) not in (None, "default"):
            raise HttpError(400, f"{feature}s are a Consul Enterprise feature")
        fields.pop(feature, None)
    if kind == PROXY_DEFAULTS and name != GLOBAL:
        raise HttpError(500, f'invalid name ("{name}"), only "{GLOBAL}" is supported')
    if not name:
        raise HttpError(500, "Name is required")
    if kind == PROXY_DEFAULTS and not is_object(fields.get("Config", {})):
        raise TextError(f"'Config' expected a map, got {kind_of(fields['Config'])}")
    if kind == SPLITTER:
        _check_splits(fields.get("Splits", []))
    elif kind == INTENTIONS:
        fields["Sources"] = sources_of(name, fields.get("Sources", []))
    elif kind == "jwt-provider":
        fields.setdefault("ClockSkewSeconds", CLOCK_SKEW_S)


def _check_splits(splits: list[dict[str, Any]]) -> None:
    if not splits:
        raise HttpError(500, "no splits configured")
    total = round(sum(each["Weight"] for each in splits), 4)
    if total != 100:
        raise HttpError(500, f"the sum of all split weights must be 100, not {total:f}")


def sources_of(destination: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sources of an intention, each with its type and precedence, in order.

    Raises:
        HttpError: One makes no sense.
    """
    if not given:
        raise HttpError(500, "At least one source is required")
    if len(given) > SOURCES_MAX:
        raise HttpError(500, f"an intention has at most {SOURCES_MAX} sources")
    seen: set[str] = set()
    for number, source in enumerate(given):
        place = f"Sources[{number}]"
        name = source.get("Name", "")
        if not name:
            raise HttpError(500, f"{place}.Name is required")
        if name in seen:
            raise HttpError(500, f'{place} defines "{name}" more than once')
        seen.add(name)
        if source.get("Permissions"):
            if source.get("Action"):
                text = f"{place}.Action must be omitted if Permissions are specified"
                raise HttpError(500, text)
        elif source.get("Action") not in ("allow", "deny"):
            raise HttpError(500, f"{place}.Action must be set to 'allow' or 'deny'")
        source["Precedence"] = precedence(name, destination)
        source.setdefault("Type", "consul")
    return sorted(given, key=by_precedence)


def precedence(source: str, destination: str) -> int:
    """How much an intention counts."""
    if destination != "*":
        return ANY_SOURCE if source == "*" else EXACT
    return ANY if source == "*" else ANY_DESTINATION
