"""Sessions: a promise to be alive, bound to a node, its checks and a TTL.

S1: a session ends inside the command that causes it, never by a clock of some node.
S2: the row holds the logged time of the last logged renewal; the deadline is that plus twice the
    TTL. A renewal is logged only when the row is older than half the TTL, so an acknowledged one
    is worth 1.5 to 2 TTL.
S3: an expiry names the renewal that it saw, and is void if the row has another one.

Keys held by a session are freed by `machine.ownership`; here nobody knows of keys.

Source: https://developer.hashicorp.com/consul/api-docs/session.
"""

from collections.abc import Generator, Iterator
from operator import itemgetter

import msgspec

from quorate.base import subjects
from quorate.base.commands.registry import SessionCreate, SessionRenew
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.base.schema import Table
from quorate.base.subjects import key_part, name_part
from quorate.registry.catalog import CRITICAL, NO_NODE, check_of, node_of

SESSIONS = int(Table.SESSIONS)

DELETE = "delete"
NEVER_MIND = -1

_READ_UNITS = 2


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


def at_node(rows: Rows, node: str) -> Generator[None, None, list[SessionRow]]:
    """The sessions of a node, by id; yields whenever this turn's share of work is done.

    Cost: O(all sessions).
    """
    name = name_part(node)
    found: list[SessionRow] = []
    for row in sessions(rows):
        if name_part(row.node) == name:
            found.append(row)
        if rows.spend(_READ_UNITS):
            yield
    return found


def is_bound(row: SessionRow, check: str) -> bool:
    """Whether it ends when this check of its node turns critical or goes."""
    return check in row.node_checks or check in row.service_checks


def deadline_ms(row: SessionRow) -> int | None:
    """The logged time at which it may be ended; None if it has no TTL."""
    return row.renewed_ms + 2 * row.ttl_ms if row.ttl_ms > 0 else None


def needs_renewal(row: SessionRow, stamp_ms: int) -> bool:
    """Whether a renewal at this logged time must be logged; a younger row answers by itself."""
    return row.ttl_ms > 0 and 2 * (stamp_ms - row.renewed_ms) >= row.ttl_ms


def on_create(rows: Rows, command: SessionCreate) -> str | Failure:
    """Apply `SessionCreate`."""
    if node_of(rows, command.node) is None:
        return NO_NODE
    for check in (*command.node_checks, *command.service_checks):
        row = check_of(rows, command.node, check)
        if row is None:
            return Failure("precondition", f"Missing check '{check}' registration")
        if row.status == CRITICAL:
            return Failure("precondition", f"Check '{check}' is in critical state")
    if session_of(rows, command.id) is not None:
        return Failure("already_exists", f"Session '{command.id}' exists already")
    index = rows.take_index()
    _put(
        rows,
        SessionRow(
            command.id,
            command.name,
            command.node,
            command.lock_delay_ms,
            command.behavior,
            command.ttl,
            command.ttl_ms,
            command.node_checks,
            command.service_checks,
            index,
            index,
            rows.stamp_ms,
            command.lock_delay_ns,
        ),
    )
    rows.touch(SESSIONS, subjects.of_session(command.id))
    rows.note_subject(SESSIONS, subjects.of_node_sessions(command.node))
    return command.id


def on_renew(rows: Rows, command: SessionRenew) -> bool:
    """Apply `SessionRenew`: no index, nobody wakes."""
    row = session_of(rows, command.id)
    if row is None:
        return False
    if row.ttl_ms > 0 and row.renewed_ms < rows.stamp_ms:
        renew(rows, row)
    return True


def renew(rows: Rows, row: SessionRow) -> None:
    """Count its time from now on."""
    _put(rows, msgspec.structs.replace(row, renewed_ms=rows.stamp_ms))


def remove(rows: Rows, row: SessionRow) -> None:
    """Take a session out; its keys are freed by the caller, under the same index."""
    rows.take_index()
    rows.delete(SESSIONS, key_part(row.id))
    subject = subjects.of_session(row.id)
    rows.note_subject(SESSIONS, subject)
    rows.bury(subject)
    rows.note_subject(SESSIONS, subjects.of_node_sessions(row.node))
    rows.remind(NEVER_MIND, row.id.encode())


def _put(rows: Rows, row: SessionRow) -> None:
    rows.put(SESSIONS, key_part(row.id), encode_row(row))
    due_ms = deadline_ms(row)
    if due_ms is not None:
        rows.remind(due_ms, row.id.encode())
