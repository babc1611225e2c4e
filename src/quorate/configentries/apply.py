"""How commands on configuration entries are applied.

CFE-2: a router or splitter exists only for a service whose protocol permits it, whatever is written
    or removed: its own `service-defaults` decide, or else `proxy-defaults`.
CFE-3: the sources of an intention are in the order of their precedence, then of their names.
"""

from collections.abc import Generator, Iterator
from itertools import chain
from typing import Any

import msgspec

from quorate.base.outcomes import Failure
from quorate.base.ports import Rows
from quorate.configentries.commands import EntryDelete, EntrySet, IntentionDelete, IntentionSet
from quorate.configentries.protocols import ADVANCED, TCP, protocol_in
from quorate.configentries.subjects import of_entry
from quorate.configentries.tables import (
    CONFIG_ENTRIES,
    GLOBAL,
    INTENTIONS,
    PROXY_DEFAULTS,
    ROUTER,
    SERVICE_DEFAULTS,
    SPLITTER,
    EntryRow,
    encode_entry,
    entries,
    entry_key,
    entry_of,
    fields_of_entry,
)

SOURCES_MAX = 1024
"""Sources of one destination."""

_READ_UNITS = 4  # an entry that is read and decoded
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Work = Generator[None, None, bool | Failure]


def on_set(rows: Rows, command: EntrySet) -> Work:
    """Apply `EntrySet`."""
    old = entry_of(rows, command.kind, command.name)
    if not _is_current(old, command.index):
        return False
    if old is not None and old.content == command.content:
        return True
    refusal = yield from _refusal(rows, command.kind, command.name, command.content)
    if refusal is not None:
        return refusal
    _put(rows, command.kind, command.name, command.content, old)
    return True


def on_delete(rows: Rows, command: EntryDelete) -> Work:
    """Apply `EntryDelete`."""
    old = entry_of(rows, command.kind, command.name)
    if old is None:
        return True
    if not _is_current(old, command.index):
        return False
    refusal = yield from _refusal(rows, command.kind, command.name, None)
    if refusal is not None:
        return refusal
    _delete(rows, old)
    return True


def on_intention_set(rows: Rows, command: IntentionSet) -> bool | Failure:
    """Apply `IntentionSet`."""
    old = entry_of(rows, INTENTIONS, command.destination)
    fields = {} if old is None else fields_of_entry(old)
    source = _decode(command.source)
    others = [each for each in fields.get("Sources", []) if each["Name"] != source["Name"]]
    if len(others) >= SOURCES_MAX:
        return Failure("too_large", f"an intention has at most {SOURCES_MAX} sources")
    fields["Sources"] = sorted([*others, source], key=by_precedence)
    content = _encode(fields)
    if old is None or old.content != content:
        _put(rows, INTENTIONS, command.destination, content, old)
    return True


def on_intention_delete(rows: Rows, command: IntentionDelete) -> bool:
    """Apply `IntentionDelete`."""
    old = entry_of(rows, INTENTIONS, command.destination)
    if old is None:
        return True
    fields = fields_of_entry(old)
    sources = fields.get("Sources", [])
    fields["Sources"] = [each for each in sources if each["Name"] != command.source]
    if not fields["Sources"]:
        _delete(rows, old)
    elif len(fields["Sources"]) < len(sources):
        _put(rows, INTENTIONS, command.destination, _encode(fields), old)
    return True


def by_precedence(source: dict[str, Any]) -> tuple[int, str]:
    """The place of a source (CFE-3)."""
    return -source["Precedence"], source["Name"]


def _is_current(row: EntryRow | None, index: int | None) -> bool:
    return index is None or index == (0 if row is None else row.modify_index)


def _put(rows: Rows, kind: str, name: str, content: bytes, old: EntryRow | None) -> None:
    index = rows.take_index()
    created = index if old is None else old.create_index
    row = EntryRow(kind, name, content, created, index)
    key = entry_key(kind, name)
    rows.put(CONFIG_ENTRIES, key, encode_entry(row))
    rows.mark_changed(CONFIG_ENTRIES, of_entry(key))


def _delete(rows: Rows, old: EntryRow) -> None:
    rows.take_index()
    key = entry_key(old.kind, old.name)
    rows.delete(CONFIG_ENTRIES, key)
    rows.mark_changed(CONFIG_ENTRIES, of_entry(key))


# --- protocols (CFE-2) ------------------------------------------------------------------------


def _refusal(
    rows: Rows, kind: str, name: str, content: bytes | None
) -> Generator[None, None, Failure | None]:
    """Why an entry may not have this content, or be removed (None), by protocols."""
    if kind in (ROUTER, SPLITTER):
        if content is None:
            return None
        return _unless_advanced(name, _protocol(rows, name, {}))
    if kind not in (SERVICE_DEFAULTS, PROXY_DEFAULTS):
        return None
    new = {(kind, name): "" if content is None else protocol_in(kind, content)}
    for row in _bound(rows, kind, name):
        refusal = _unless_advanced(row.name, _protocol(rows, row.name, new))
        if refusal is not None:
            return refusal
        if rows.spend(_READ_UNITS):
            yield
    return None


def _bound(rows: Rows, kind: str, name: str) -> Iterator[EntryRow]:
    """The routers and splitters that an entry of defaults decides about."""
    if kind == PROXY_DEFAULTS:
        return chain(entries(rows, ROUTER), entries(rows, SPLITTER))
    found = (entry_of(rows, each, name) for each in (ROUTER, SPLITTER))
    return (row for row in found if row is not None)


def _protocol(rows: Rows, service: str, new: dict[tuple[str, str], str]) -> str:
    for kind, name in ((SERVICE_DEFAULTS, service), (PROXY_DEFAULTS, GLOBAL)):
        if (kind, name) in new:
            found = new[kind, name]
        else:
            row = entry_of(rows, kind, name)
            found = "" if row is None else protocol_in(kind, row.content)
        if found:
            return found
    return TCP


def _unless_advanced(service: str, protocol: str) -> Failure | None:
    if protocol in ADVANCED:
        return None
    return Failure(
        "precondition",
        f'discovery chain "{service}" uses a protocol "{protocol}" that does not permit advanced '
        "routing or splitting behavior",
    )
