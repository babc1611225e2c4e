"""The table of sessions.

SES-2: the row holds the log time of the last logged renewal; the deadline is that plus twice the
    TTL. A renewal is logged only when the row is older than half the TTL, so an acknowledged one
    lasts 1.5 to 2 TTL.
"""

from collections.abc import Generator, Iterator
from functools import partial
from operator import itemgetter

import msgspec

from quorate.base.domain import Derived, Table
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import prefix_end
from quorate.base.subjects import key_part, name_part

SESSIONS = 5
"""Table: session id -> `SessionRow`."""

NODE_SESSIONS = 24
"""Secondary index: lower-cased node name, 0x00, a check or nothing, 0x00, session id.

So the sessions of a node are found by its name and no check, those bound to a check of it by both.
"""

_PLACE_UNITS = 8  # of a row that is written to the secondary index, or deleted from it

EXPIRY = "session expiry"
"""The kind of timer that ends a session; its key is that of the row."""


class SessionRow(msgspec.Struct, array_like=True, frozen=True):
    """A session. Times in milliseconds of log time.

    `ttl` and `lock_delay_ns` are as the caller gave them; 0 ns: `lock_delay_ms` says it exactly.
    """

    id: str
    name: str
    node: str
    lock_delay_ms: int
    behavior: str
    ttl: str
    ttl_ms: int
    node_checks: tuple[str, ...]
    service_checks: tuple[str, ...]
    create_index: int
    modify_index: int
    renewed_ms: int
    lock_delay_ns: int = 0


_encode = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder(SessionRow).decode


def encode_row(row: SessionRow) -> bytes:
    """Encode a row; without `lock_delay_ns` as in format 1, so that digests stay the same."""
    return _encode(row if row.lock_delay_ns else msgspec.structs.astuple(row)[:-1])


def session_of(rows: TableRows, session: str) -> SessionRow | None:
    """A session by id, or None."""
    data = rows.get(SESSIONS, key_part(session))
    return None if data is None else decode_row(data)


def sessions(rows: TableRows) -> Iterator[SessionRow]:
    """All sessions, by id."""
    return map(decode_row, map(itemgetter(1), rows.range(SESSIONS, b"")))


def at_node(rows: TableRows, node: str, check: str = "") -> Iterator[SessionRow]:
    """The sessions of a node, or those that end with a check of it, by id.

    Args:
        rows: Of the tables.
        node: In any case.
        check: Its id; "": all sessions.

    Cost: O(those).
    """
    prefix = _place(node, check)
    found = rows.range(NODE_SESSIONS, prefix, prefix_end(prefix))
    # A `map`: a generator would keep a reference to a row until the next one is requested.
    return filter(None, map(partial(_listed, rows, len(prefix)), found))


def _listed(rows: TableRows, length: int, place: tuple[bytes, bytes]) -> SessionRow | None:
    data = rows.get(SESSIONS, place[0][length:])
    return None if data is None else decode_row(data)


def _place(node: str, check: str) -> bytes:
    return name_part(node) + b"\0" + key_part(check) + b"\0"


def _places(row: SessionRow) -> Iterator[bytes]:
    """Its keys in the secondary index; a check that is named twice counts once."""
    checks = dict.fromkeys(("", *row.node_checks, *row.service_checks))
    return (_place(row.node, check) + key_part(row.id) for check in checks)


def _keys(_: bytes, value: bytes) -> Iterator[bytes]:
    return _places(decode_row(value))


def deadline_ms(row: SessionRow) -> int | None:
    """The log time at which it expires; None if it has no TTL."""
    return row.renewed_ms + 2 * row.ttl_ms if row.ttl_ms > 0 else None


def row_deadline_ms(data: bytes) -> int | None:
    """`deadline_ms` of an encoded row."""
    return deadline_ms(decode_row(data))


def needs_renewal(row: SessionRow, log_time_ms: int) -> bool:
    """Whether a renewal at this log time must be logged; for a younger row a read is enough."""
    return row.ttl_ms > 0 and 2 * (log_time_ms - row.renewed_ms) >= row.ttl_ms


def add(rows: Rows, row: SessionRow) -> Generator[None, None, None]:
    """Write a new row, and set its timer. Cost: O(its checks)."""
    put(rows, row)
    for place in _places(row):
        rows.add_derived(NODE_SESSIONS, place)
        if rows.spend(_PLACE_UNITS):
            yield


def remove(rows: Rows, row: SessionRow) -> Generator[None, None, None]:
    """Delete a row, and clear its timer. Cost: O(its checks)."""
    key = key_part(row.id)
    rows.delete(SESSIONS, key)
    for place in _places(row):
        rows.remove_derived(NODE_SESSIONS, place)
        if rows.spend(_PLACE_UNITS):
            yield
    rows.clear_timer(EXPIRY, key)


def put(rows: Rows, row: SessionRow) -> None:
    """Write a row again, and set its timer. No field that is in an index has changed."""
    key = key_part(row.id)
    rows.put(SESSIONS, key, encode_row(row))
    due_ms = deadline_ms(row)
    if due_ms is not None:
        rows.set_timer(EXPIRY, key, due_ms)


def renew(rows: Rows, row: SessionRow) -> None:
    """Start its TTL anew."""
    put(rows, msgspec.structs.replace(row, renewed_ms=rows.log_time_ms))


def _restored(rows: Rows, _: bytes, value: bytes) -> None:
    """Each session of a snapshot gets its full TTL."""
    renew(rows, decode_row(value))


TABLES = (
    Table(SESSIONS, "SESSIONS", "Session", decode_row, is_indexed=True, restored=_restored),
    Table(NODE_SESSIONS, "NODE_SESSIONS", "NodeSession", derived=Derived(SESSIONS, _keys)),
)
