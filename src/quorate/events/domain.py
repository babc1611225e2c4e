"""Events as a domain."""

from quorate.base.domain import Domain
from quorate.events import apply
from quorate.events.commands import EventFire
from quorate.events.model import SIMULATION
from quorate.events.subjects import EVENT
from quorate.events.tables import TABLES

EVENTS_DOMAIN = Domain(
    name="events",
    tables=TABLES,
    handlers={EventFire: apply.on_fire},
    subjects={EVENT: None},
    simulation=SIMULATION,
)
