"""Reads of sessions, each on one state of the tables: see `base.answers`."""

from collections.abc import Iterator

from quorate.base.answers import Answer, Reading
from quorate.base.subjects import exactly
from quorate.sessions.subjects import of_node_sessions, of_session
from quorate.sessions.tables import SESSIONS, SessionRow, session_of, sessions


def session_get(reading: Reading, session: str) -> Answer[SessionRow | None]:
    """One session by id."""
    subject = of_session(session)
    row = session_of(reading.rows, session)
    changed = row.modify_index if row is not None else reading.noted(subject)
    header = reading.table_index(SESSIONS)
    return reading.answer(row, changed, header, (exactly(subject),))


def each_session(reading: Reading, node: str | None = None) -> Answer[Iterator[SessionRow]]:
    """All sessions, by id, read one by one; the indexes are those of a node's if one is named.

    The rows of other nodes are not left out.
    """
    rows = sessions(reading.rows)
    if node is None:
        return reading.of_table(rows, SESSIONS)
    subject = of_node_sessions(node)
    header = reading.table_index(SESSIONS)
    return reading.answer(rows, reading.noted(subject), header, (exactly(subject),))
