"""The table of prepared queries, and how they are found by name, prefix and session.

PRQ-1: no two queries have one name, in whichever case; at most one template has the empty name.
PRQ-2: a query that is bound to a session is deleted by the command that ends the session.
"""

from collections.abc import Iterator
from itertools import islice
from operator import itemgetter

import msgspec

from quorate.base.domain import Derived, Table
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part, name_part
from quorate.preparedqueries.fields import QueryFields

PREPARED_QUERIES = 112
"""Table: id -> `QueryRow`."""

PREPARED_QUERY_NAMES = 113
"""Secondary index: lower-cased name, 0x00, id; of those that have a name."""

PREPARED_QUERY_TEMPLATES = 114
"""Secondary index: lower-cased name, 0x00, id; of templates."""

PREPARED_QUERY_SESSIONS = 115
"""Secondary index: session, 0x00, id; of those that are bound to one."""

NAME_BYTES_MAX = 1024
"""No longer name is stored, or looked for."""

_END = b"\0"
_PIECE = 32


class QueryRow(msgspec.Struct, array_like=True, frozen=True):
    """A prepared query."""

    id: str
    fields: QueryFields
    create_index: int
    modify_index: int


encode_row = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder(QueryRow).decode


def query_of(rows: TableRows, id_: str) -> QueryRow | None:
    """A query by id, or None."""
    data = rows.get(PREPARED_QUERIES, key_part(id_))
    return None if data is None else decode_row(data)


def queries(rows: TableRows) -> Iterator[QueryRow]:
    """All queries, by id."""
    return map(decode_row, map(itemgetter(1), rows.range(PREPARED_QUERIES, b"")))


def named(rows: TableRows, name: str) -> QueryRow | None:
    """The query with this name, in any case; None if there is none."""
    return _listed(rows, PREPARED_QUERY_NAMES, name_part(name) + _END)


def template_named(rows: TableRows, name: str) -> QueryRow | None:
    """The template with this name, which may be empty."""
    return _listed(rows, PREPARED_QUERY_TEMPLATES, name_part(name) + _END)


def of_session(rows: TableRows, session: str) -> list[str]:
    """The ids of some of the queries that are bound to a session: the first ones."""
    prefix = key_part(session) + _END
    found = rows.range(PREPARED_QUERY_SESSIONS, prefix, prefix_end(prefix))
    ids = (rows.get(PREPARED_QUERIES, key[len(prefix) :]) for key, _ in islice(found, _PIECE))
    return [decode_row(data).id for data in ids if data is not None]


def longest_template(rows: TableRows, name: str) -> QueryRow | None:
    """The template with the longest name that this name begins with, in any case.

    Cost: a seek for each template that it begins with, and one more: what lies between one prefix
    of the name and the next is passed over at once.
    """
    whole = name_part(name)
    place, best = b"", b""
    while True:
        key = next((key for key, _ in rows.range(PREPARED_QUERY_TEMPLATES, place)), None)
        if key is None:
            break
        own = key.partition(_END)[0]
        if whole.startswith(own):
            best = key
            length = len(own) + 1
        elif own > whole:
            break
        else:
            length = _common(own, whole) + 1
        if length > len(whole):
            break
        place = whole[:length]
    return _row_at(rows, best) if best else None


def _common(one: bytes, other: bytes) -> int:
    """With how many equal bytes both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((place for place, (left, right) in pairs if left != right), shorter)


def _listed(rows: TableRows, table: int, prefix: bytes) -> QueryRow | None:
    key = next((key for key, _ in rows.range(table, prefix, prefix_end(prefix))), None)
    return None if key is None else _row_at(rows, key)


def _row_at(rows: TableRows, key: bytes) -> QueryRow | None:
    data = rows.get(PREPARED_QUERIES, key.partition(_END)[2])
    return None if data is None else decode_row(data)


# --- changes ----------------------------------------------------------------------------------


def _name_keys(_: bytes, value: bytes) -> Iterator[bytes]:
    row = decode_row(value)
    if row.fields.name:
        yield name_part(row.fields.name) + _END + key_part(row.id)


def _template_keys(_: bytes, value: bytes) -> Iterator[bytes]:
    row = decode_row(value)
    if row.fields.is_template:
        yield name_part(row.fields.name) + _END + key_part(row.id)


def _session_keys(_: bytes, value: bytes) -> Iterator[bytes]:
    row = decode_row(value)
    if row.fields.session:
        yield key_part(row.fields.session) + _END + key_part(row.id)


_DERIVED = (
    (PREPARED_QUERY_NAMES, _name_keys),
    (PREPARED_QUERY_TEMPLATES, _template_keys),
    (PREPARED_QUERY_SESSIONS, _session_keys),
)


def put(rows: Rows, row: QueryRow, old: QueryRow | None) -> None:
    """Write a row in place of an old one."""
    key, value = key_part(row.id), encode_row(row)
    if old is not None:
        _underive(rows, key, encode_row(old))
    rows.put(PREPARED_QUERIES, key, value)
    for table, keys in _DERIVED:
        for derived in keys(key, value):
            rows.add_derived(table, derived)


def remove(rows: Rows, row: QueryRow) -> None:
    """Delete a row."""
    key = key_part(row.id)
    rows.delete(PREPARED_QUERIES, key)
    _underive(rows, key, encode_row(row))


def _underive(rows: Rows, key: bytes, value: bytes) -> None:
    for table, keys in _DERIVED:
        for derived in keys(key, value):
            rows.remove_derived(table, derived)


TABLES = (
    Table(PREPARED_QUERIES, "PREPARED_QUERIES", "PreparedQuery", decode_row, is_indexed=True),
    Table(
        PREPARED_QUERY_NAMES,
        "PREPARED_QUERY_NAMES",
        "PreparedQueryName",
        derived=Derived(PREPARED_QUERIES, _name_keys),
    ),
    Table(
        PREPARED_QUERY_TEMPLATES,
        "PREPARED_QUERY_TEMPLATES",
        "PreparedQueryTemplate",
        derived=Derived(PREPARED_QUERIES, _template_keys),
    ),
    Table(
        PREPARED_QUERY_SESSIONS,
        "PREPARED_QUERY_SESSIONS",
        "PreparedQuerySession",
        derived=Derived(PREPARED_QUERIES, _session_keys),
    ),
)
