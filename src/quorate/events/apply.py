"""How events are applied."""

from quorate.base.ports import Rows
from quorate.events.commands import EventFire
from quorate.events.subjects import of_event
from quorate.events.tables import EVENTS, append


def on_fire(rows: Rows, command: EventFire) -> int:
    """Apply `EventFire`. Cost: O(1), and O(events) for one that takes the place of many."""
    rows.take_index()
    number = append(rows, command)
    rows.mark_changed(EVENTS, of_event(command.name))
    return number
