"""The table of sessions.

S2: the row holds the logged time of the last logged renewal; the deadline is that plus twice the
    TTL. A renewal is logged only when the row is older than half the TTL, so an acknowledged one
    is worth 1.5 to 2 TTL.
"""

from collections.abc import Iterator
from operator import itemgetter

import msgspec

from quorate.base.domain import Table
from quorate.base.ports import Rows, TableRows
from quorate.base.subjects import key_part

SESSIONS = 5
"""Table: session id -> `SessionRow`."""

EXPIRY = "session expiry"
"""The kind of timer that ends a session; its key is that of the row."""


class SessionRow(msgspec.Struct, array_like=True, frozen=True):
    """A session. Times in milliseconds of logged time.

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


def is_bound(row: SessionRow, check: str) -> bool:
    """Whether it ends when this check of its node turns critical or goes."""
    return check in row.node_checks or check in row.service_checks


def deadline_ms(row: SessionRow) -> int | None:
    """The logged time at which it may be ended; None if it has no TTL."""
    return row.renewed_ms + 2 * row.ttl_ms if row.ttl_ms > 0 else None


def row_deadline_ms(data: bytes) -> int | None:
    """`deadline_ms` of an encoded row."""
    return deadline_ms(decode_row(data))


def needs_renewal(row: SessionRow, stamp_ms: int) -> bool:
    """Whether a renewal at this logged time must be logged; a younger row answers by itself."""
    return row.ttl_ms > 0 and 2 * (stamp_ms - row.renewed_ms) >= row.ttl_ms


def put(rows: Rows, row: SessionRow) -> None:
    """Write a row, and set its timer."""
    key = key_part(row.id)
    rows.put(SESSIONS, key, encode_row(row))
    due_ms = deadline_ms(row)
    if due_ms is not None:
        rows.set_timer(EXPIRY, key, due_ms)


def renew(rows: Rows, row: SessionRow) -> None:
    """Count its time from now on."""
    put(rows, msgspec.structs.replace(row, renewed_ms=rows.stamp_ms))


def _restored(rows: Rows, _: bytes, value: bytes) -> None:
    """Each session of a snapshot gets its full time."""
    renew(rows, decode_row(value))


TABLES = (Table(SESSIONS, "SESSIONS", "Session", decode_row, is_indexed=True, restored=_restored),)
