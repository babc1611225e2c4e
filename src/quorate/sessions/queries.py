"""Reads of sessions, each on one state of the tables: see `base.results`."""

from collections.abc import Iterator

from quorate.base.results import Answer, Renewal, StateView
from quorate.base.subjects import exactly
from quorate.sessions.commands import SessionRenew
from quorate.sessions.subjects import of_node_sessions, of_session
from quorate.sessions.tables import (
    SESSIONS,
    SessionRow,
    at_node,
    needs_renewal,
    session_of,
    sessions,
)


def session_get(reading: StateView, session: str) -> Answer[SessionRow | None]:
    """One session by id."""
    subject = of_session(session)
    row = session_of(reading.rows, session)
    changed = row.modify_index if row is not None else reading.noted(subject)
    header = reading.table_index(SESSIONS)
    return reading.answer(row, changed, header, (exactly(subject),))


def each_session(reading: StateView, node: str | None = None) -> Answer[Iterator[SessionRow]]:
    """All sessions, or those of a node, by id, read one by one."""
    if node is None:
        return reading.of_table(sessions(reading.rows), SESSIONS)
    rows = at_node(reading.rows, node)
    subject = of_node_sessions(node)
    header = reading.table_index(SESSIONS)
    return reading.answer(rows, reading.noted(subject), header, (exactly(subject),))


def session_renewal(
    reading: StateView, log_time_ms: int, session: str
) -> Renewal[SessionRow] | None:
    """What a renewal of the session at this log time requires; None: there is no such session."""
    row = session_of(reading.rows, session)
    if row is None:
        return None
    return Renewal(row, SessionRenew(session) if needs_renewal(row, log_time_ms) else None)
