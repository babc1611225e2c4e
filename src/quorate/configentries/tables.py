"""The table of configuration entries.

CFE-1: a row changes its index only with its content: an equal write takes none.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from quorate.base.domain import Table
from quorate.base.ports import TableRows
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part

CONFIG_ENTRIES = 118
"""Table: kind, 0x00, name -> `EntryRow`."""

SERVICE_DEFAULTS, PROXY_DEFAULTS = "service-defaults", "proxy-defaults"
ROUTER, SPLITTER = "service-router", "service-splitter"
INTENTIONS = "service-intentions"
GLOBAL = "global"
"""The only name of an entry `proxy-defaults`."""


class EntryRow(msgspec.Struct, array_like=True, frozen=True):
    """An entry; `content` as in `commands.EntrySet`."""

    kind: str
    name: str
    content: bytes
    create_index: int
    modify_index: int


_encode = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.msgpack.Decoder(EntryRow).decode
_fields = msgspec.json.Decoder(dict[str, Any]).decode


class _Source(msgspec.Struct, rename="pascal"):
    name: str
    precedence: int


class _Applied(msgspec.Struct, rename="pascal"):
    """What `apply` reads of an entry."""

    protocol: str = ""
    config: dict[str, Any] = {}
    sources: list[_Source] = []


_applied = msgspec.json.Decoder(_Applied).decode


def checked_entry(data: bytes) -> EntryRow:
    """The row of a snapshot, of which `apply` can read what it needs.

    Raises:
        ValueError: It is none: it was forged, or is damaged.
    """
    row = decode_entry(data)
    _fields(row.content)
    if row.kind in (SERVICE_DEFAULTS, PROXY_DEFAULTS, INTENTIONS):
        _applied(row.content)
    return row


def encode_entry(row: EntryRow) -> bytes:
    """Encode a row."""
    return _encode(row)


def entry_key(kind: str, name: str) -> bytes:
    """The key of an entry. Names are compared as they are."""
    return key_part(kind) + b"\0" + key_part(name)


def entry_of(rows: TableRows, kind: str, name: str) -> EntryRow | None:
    """An entry, or None."""
    data = rows.get(CONFIG_ENTRIES, entry_key(kind, name))
    return None if data is None else decode_entry(data)


def entries(rows: TableRows, kind: str) -> Iterator[EntryRow]:
    """The entries of a kind, by name; "": all, by kind and name."""
    first = key_part(kind) + b"\0" if kind else b""
    last = prefix_end(first) if kind else None
    return (decode_entry(data) for _, data in rows.range(CONFIG_ENTRIES, first, last))


def fields_of_entry(row: EntryRow) -> dict[str, Any]:
    """The fields of an entry."""
    return _fields(row.content)


TABLES = (
    Table(
        CONFIG_ENTRIES,
        "CONFIG_ENTRIES",
        "ConfigEntry",
        checked_entry,
        is_indexed=True,
        counted=lambda data: (decode_entry(data).modify_index, 0),
    ),
)
