"""Reads of prepared queries, each on one state of the tables: see `base.results`."""

from collections.abc import Iterator

from quorate.base.results import Answer, StateView, T
from quorate.base.subjects import exactly
from quorate.preparedqueries.subjects import of_queries, of_query
from quorate.preparedqueries.tables import (
    NAME_BYTES_MAX,
    PREPARED_QUERIES,
    QueryRow,
    longest_template,
    named,
    queries,
    query_of,
)


class QueryLookupError(Exception):
    """A query cannot be found in this way; the text is Consul's."""


def query_get(reading: StateView, id_: str) -> Answer[QueryRow | None]:
    """One query by id."""
    subject = of_query(id_)
    row = query_of(reading.rows, id_)
    changed = row.modify_index if row is not None else reading.noted(subject)
    header = reading.table_index(PREPARED_QUERIES)
    return reading.answer(row, changed, header, (exactly(subject),))


def each_query(reading: StateView) -> Answer[Iterator[QueryRow]]:
    """All queries, by id, read one by one."""
    return reading.of_table(queries(reading.rows), PREPARED_QUERIES)


def resolved(reading: StateView, name: str) -> Answer[QueryRow | None]:
    """The query that an id or a name means: by id, by name, by the longest template.

    Raises:
        QueryLookupError: It is the id of a template.
    """
    row = _resolved(reading, name) if name and len(name.encode()) <= NAME_BYTES_MAX else None
    return _of_any(reading, row)


def any_query(reading: StateView) -> Answer[None]:
    """The indexes of `resolved`, whatever the name. Cost: O(1)."""
    return _of_any(reading, None)


def _of_any(reading: StateView, value: T) -> Answer[T]:
    changed = reading.noted(of_queries())
    return reading.answer(value, changed, changed, (exactly(of_queries()),))


def _resolved(reading: StateView, name: str) -> QueryRow | None:
    rows = reading.rows
    row = query_of(rows, name.lower())
    if row is not None:
        if row.fields.is_template:
            raise QueryLookupError(
                "prepared query templates can only be resolved up by name, not by ID"
            )
        return row
    return named(rows, name) or longest_template(rows, name)
