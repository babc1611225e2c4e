"""Commands and reactions of prepared queries.

Source: https://developer.hashicorp.com/consul/api-docs/query.
"""

from collections.abc import Generator

from msgspec.structs import replace

from quorate.base.facts import IsSessionAlive, SessionEnded
from quorate.base.outcomes import Failure
from quorate.base.ports import Rows
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.fields import QueryFields
from quorate.preparedqueries.subjects import of_queries, of_query
from quorate.preparedqueries.tables import (
    PREPARED_QUERIES,
    QueryRow,
    named,
    of_session,
    put,
    query_of,
    remove,
    template_named,
)

_DELETE_UNITS = 16  # of a query that is deleted with its session


def unknown(id_: str) -> Failure:
    """There is no such query."""
    return Failure("not_found", f"Cannot modify non-existent prepared query: '{id_}'")


def on_create(rows: Rows, command: PreparedQueryCreate) -> str | Failure:
    """Apply `PreparedQueryCreate`."""
    if query_of(rows, command.id) is not None:
        return Failure("already_exists", f"Prepared query '{command.id}' exists already")
    fault = _fault(rows, command.id, command.fields)
    if fault is not None:
        return fault
    index = rows.take_index()
    _write(rows, QueryRow(command.id, command.fields, index, index), None)
    return command.id


def on_update(rows: Rows, command: PreparedQueryUpdate) -> bool | Failure:
    """Apply `PreparedQueryUpdate`."""
    old = query_of(rows, command.id)
    if old is None:
        return unknown(command.id)
    fault = _fault(rows, command.id, command.fields)
    if fault is not None:
        return fault
    if command.fields != old.fields:
        index = rows.take_index()
        _write(rows, replace(old, fields=command.fields, modify_index=index), old)
    return True


def on_delete(rows: Rows, command: PreparedQueryDelete) -> bool | Failure:
    """Apply `PreparedQueryDelete`."""
    row = query_of(rows, command.id)
    if row is None:
        return unknown(command.id)
    _delete(rows, row)
    return True


def on_session_ended(rows: Rows, fact: SessionEnded) -> Generator[None, None, None]:
    """A session ended: the queries that are bound to it are deleted (PRQ-2). Cost: O(those)."""
    while ids := of_session(rows, fact.id):
        for id_ in ids:
            row = query_of(rows, id_)
            if row is not None:
                _delete(rows, row)
            if rows.spend(_DELETE_UNITS):
                yield


def _fault(rows: Rows, id_: str, fields: QueryFields) -> Failure | None:
    """Why a query cannot have this name (PRQ-1) or this session; None if it can."""
    if fields.name:
        other = named(rows, fields.name)
        if other is not None and other.id != id_:
            text = f"name '{fields.name}' aliases an existing query name"
            return Failure("already_exists", text)
        if query_of(rows, fields.name.lower()) is not None:
            text = f"name '{fields.name}' aliases an existing query ID"
            return Failure("already_exists", text)
    elif fields.is_template:
        other = template_named(rows, "")
        if other is not None and other.id != id_:
            text = "a query template with an empty name already exists"
            return Failure("already_exists", text)
    if fields.session and not rows.ask(IsSessionAlive(fields.session)):
        return Failure("precondition", f'invalid session "{fields.session}"')
    return None


def _write(rows: Rows, row: QueryRow, old: QueryRow | None) -> None:
    put(rows, row, old)
    rows.mark_changed(PREPARED_QUERIES, of_query(row.id))
    rows.note_subject(PREPARED_QUERIES, of_queries())


def _delete(rows: Rows, row: QueryRow) -> None:
    rows.take_index()
    remove(rows, row)
    subject = of_query(row.id)
    rows.note_subject(PREPARED_QUERIES, subject)
    rows.schedule_removal(subject)
    rows.note_subject(PREPARED_QUERIES, of_queries())
