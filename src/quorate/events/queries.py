"""Reads of events, each on one state of the tables: see `base.results`."""

from collections.abc import Iterator

from quorate.base.results import Answer, StateView
from quorate.events.tables import EVENTS, EventRow, events


def each_event(reading: StateView) -> Answer[Iterator[EventRow]]:
    """The events that are kept, the oldest first; few enough for one turn."""
    return reading.of_table(events(reading.rows), EVENTS)
