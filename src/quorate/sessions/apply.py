"""Commands and reactions of sessions. A session is bound to a node, to checks of it, and to a TTL.

SES-1: a session ends inside the command that causes it, never by the clock of a node.
SES-3: an expiry names the renewal on which it is based, and has no effect if the row has another.

The locks of a session are released by other domains, which react to the fact `SessionEnded`.

Source: https://developer.hashicorp.com/consul/api-docs/session.
"""

from collections.abc import Generator
from itertools import islice

from quorate.base.facts import (
    CRITICAL,
    CheckRemoved,
    CheckStatus,
    CheckStatusChanged,
    IsNodeKnown,
    IsSessionAlive,
    NodeLeaving,
    NodeRemoved,
    SessionEnded,
)
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows, TableRows
from quorate.base.subjects import key_part
from quorate.sessions.commands import SessionCreate, SessionDestroy, SessionExpire, SessionRenew
from quorate.sessions.subjects import of_node_sessions, of_session
from quorate.sessions.tables import (
    SESSIONS,
    SessionRow,
    add,
    at_node,
    deadline_ms,
    decode_row,
    remove,
    renew,
    session_of,
)

DELETE = "delete"

NO_NODE = Failure("precondition", "Missing node registration")

_PIECE = 32
_LOOK_UNITS = 2  # of a check whose status is read
_END_UNITS = 32  # of a session that ends


def on_create(rows: Rows, command: SessionCreate) -> Generator[None, None, str | Failure]:
    """Apply `SessionCreate`. Cost: O(its checks)."""
    if not rows.ask(IsNodeKnown(command.node)):
        return NO_NODE
    for check in (*command.node_checks, *command.service_checks):
        status = rows.ask(CheckStatus(command.node, check))
        if status is None:
            return Failure("precondition", f"Missing check '{check}' registration")
        if status == CRITICAL:
            return Failure("precondition", f"Check '{check}' is in critical state")
        if rows.spend(_LOOK_UNITS):
            yield
    if session_of(rows, command.id) is not None:
        return Failure("already_exists", f"Session '{command.id}' exists already")
    index = rows.take_index()
    yield from add(
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
            rows.log_time_ms,
            command.lock_delay_ns,
        ),
    )
    rows.mark_changed(SESSIONS, of_session(command.id))
    rows.note_subject(SESSIONS, of_node_sessions(command.node))
    return command.id


def on_renew(rows: Rows, command: SessionRenew) -> bool:
    """Apply `SessionRenew`: it takes no index and wakes no watcher."""
    row = session_of(rows, command.id)
    if row is None:
        return False
    if row.ttl_ms > 0 and row.renewed_ms < rows.log_time_ms:
        renew(rows, row)
    return True


def end(rows: Rows, row: SessionRow) -> Generator[None, None, None]:
    """End a session; its locks are released under the same index (SES-1)."""
    rows.take_index()
    yield from remove(rows, row)
    subject = of_session(row.id)
    rows.note_subject(SESSIONS, subject)
    rows.schedule_removal(subject)
    rows.note_subject(SESSIONS, of_node_sessions(row.node))
    if rows.spend(_END_UNITS):
        yield
    yield from rows.emit(SessionEnded(row.id, row.behavior == DELETE, row.lock_delay_ms))


def on_destroy(rows: Rows, command: SessionDestroy) -> Generator[None, None, bool]:
    """Apply `SessionDestroy`."""
    row = session_of(rows, command.id)
    if row is not None:
        yield from end(rows, row)
    return True


def on_expire(rows: Rows, command: SessionExpire) -> Generator[None, None, bool]:
    """Apply `SessionExpire`: void if the session was renewed after the proposer read it (SES-3).

    Void before the deadline, too: the log time of the proposer may have run ahead of any that was
    chosen, and a later leader continues from the applied one, so it may acknowledge renewals.
    """
    row = session_of(rows, command.id)
    due_ms = deadline_ms(row) if row is not None else None
    if row is None or due_ms is None or row.renewed_ms != command.renewed_ms:
        return False
    if rows.log_time_ms < due_ms:
        return False
    yield from end(rows, row)
    return True


# --- reactions and answers --------------------------------------------------------------------


def on_check_status(rows: Rows, fact: CheckStatusChanged) -> Generator[None, None, None]:
    """A check turned critical: the sessions bound to it end."""
    if fact.status == CRITICAL:
        yield from _end_all(rows, fact.node, fact.check)


def on_check_removed(rows: Rows, fact: CheckRemoved) -> Generator[None, None, None]:
    """A check was removed: the sessions bound to it end."""
    yield from _end_all(rows, fact.node, fact.check)


def on_node_leaving(rows: Rows, fact: NodeLeaving) -> Generator[None, None, None]:
    """A node is being removed: its sessions end."""
    yield from _end_all(rows, fact.name, "")


def _end_all(rows: Rows, node: str, check: str) -> Generator[None, None, None]:
    """End the sessions of a node, or those bound to a check of it ("": all). Cost: O(those)."""
    while piece := list(islice(at_node(rows, node, check), _PIECE)):
        for row in piece:
            yield from end(rows, row)


def on_node_removed(rows: Rows, fact: NodeRemoved) -> Generator[None, None, None]:
    """A node was removed: the watch key of its sessions may be dropped."""
    rows.schedule_removal(of_node_sessions(fact.name))
    yield from ()


def is_alive(rows: TableRows, question: IsSessionAlive) -> bool:
    """Answer `IsSessionAlive`."""
    return rows.get(SESSIONS, key_part(question.id)) is not None


def expiry(rows: TableRows, key: bytes) -> SessionExpire | None:
    """The command to propose when the session in this row has expired."""
    data = rows.get(SESSIONS, key)
    if data is None:
        return None
    row = decode_row(data)
    return SessionExpire(row.id, row.renewed_ms)
