"""Reads of configuration entries. All wait for a change of any entry, as in Consul."""

from collections.abc import Iterator

from quorate.base.results import Answer, StateView
from quorate.configentries.tables import CONFIG_ENTRIES, EntryRow, entries, entry_of


def entry_get(reading: StateView, kind: str, name: str) -> Answer[EntryRow | None]:
    """One entry, or None."""
    return reading.of_table(entry_of(reading.rows, kind, name), CONFIG_ENTRIES)


def each_entry(reading: StateView, kind: str = "") -> Answer[Iterator[EntryRow]]:
    """The entries of a kind, by name; "": all, by kind and name."""
    return reading.of_table(entries(reading.rows, kind), CONFIG_ENTRIES)
