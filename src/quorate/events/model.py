"""Model of events for the simulator: see `kv.model`."""

from typing import NamedTuple, cast

from quorate.base.domain import Model, SimulatedRead, Simulation
from quorate.base.ports import Rng
from quorate.base.results import StateView
from quorate.events.commands import EventFire
from quorate.events.queries import each_event

_KEPT = 256  # Consul's number, written a second time; no simulated event is long


class ModelEvent(NamedTuple):
    """An event, as clients see it."""

    number: int
    id: str
    name: str
    payload: bytes
    filters: tuple[str, str, str]


class Events:
    """All events that are kept."""

    def __init__(self, _: Model) -> None:
        self.count = 0
        self.kept: tuple[ModelEvent, ...] = ()

    def append(self, command: EventFire) -> int:
        """Append an event; returns its number."""
        self.count += 1
        filters = (command.node_filter, command.service_filter, command.tag_filter)
        event = ModelEvent(self.count, command.id, command.name, command.payload, filters)
        self.kept = (*self.kept, event)[-_KEPT:]
        return self.count

    def put_back(self, count: int, kept: tuple[ModelEvent, ...]) -> None:
        """Those of a copy."""
        self.count, self.kept = count, kept


def events_of(model: Model) -> Events:
    """The state of this domain."""
    return cast(Events, model.own["events"])


def _fire(model: Model, command: EventFire) -> int:
    model.take()
    return events_of(model).append(command)


def _save(model: Model) -> tuple[int, tuple[ModelEvent, ...]]:
    mine = events_of(model)
    return mine.count, mine.kept


def _restore(model: Model, saved: tuple[int, tuple[ModelEvent, ...]]) -> None:
    events_of(model).put_back(*saved)


def _see(reading: StateView, _: bytes) -> tuple[ModelEvent, ...]:
    return tuple(
        ModelEvent(
            row.number,
            row.id,
            row.name,
            row.payload,
            (row.node_filter, row.service_filter, row.tag_filter),
        )
        for row in each_event(reading).value
    )


def _expect(model: Model, slot: int, _: bytes) -> tuple[ModelEvent, ...]:
    return cast(tuple[ModelEvent, ...], model.copies[slot]["events"][1]) if slot else ()


def _no_key(_: Rng) -> bytes:
    return b""


def _act(chance: Rng, text: str) -> EventFire:
    node = ("", "n.*")[chance.randrange(2)]
    return EventFire(text, f"e{chance.randrange(3)}", text.encode(), node)


SIMULATION = Simulation(
    state=Events,
    save=_save,
    restore=_restore,
    model={EventFire: _fire},
    acts={"event": _act},
    queries={
        "events": SimulatedRead(_see, _expect, _no_key, lambda reading, _: each_event(reading))
    },
)
