"""The tables of events: a ring of the newest ones.

EVT-1: at most `EVENTS_MAX` events are kept, of at most `EVENTS_BYTES_MAX` together; the newest is
    always kept. The oldest are deleted by the command that appends one.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Annotated

import msgspec

from quorate.base.domain import Table
from quorate.base.ports import Rows, TableRows
from quorate.events.commands import EventFire

EVENTS = 124
"""Table: number of an event, 8 bytes, big-endian -> `EventRow`."""

EVENT_RING = 125
"""Table: no key -> `EventRing`."""

EVENTS_MAX = 256
"""As Consul keeps."""

EVENTS_BYTES_MAX = 128 * 1024
"""Of rows: half a KiB for each, the longest event that Consul's gossip takes by default."""

_RING_KEY = b"ring"


_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]  # a snapshot's row may say anything


class EventRow(msgspec.Struct, array_like=True, frozen=True):
    """An event; `number` counts all events there were."""

    number: _Count
    id: str
    name: str
    payload: bytes
    node_filter: str
    service_filter: str
    tag_filter: str


class EventRing(msgspec.Struct, array_like=True, frozen=True):
    """The number of the newest event, how many are kept, and the bytes of their rows."""

    last: _Count = 0
    count: _Count = 0
    size: _Count = 0


_encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(EventRow).decode
_decode_ring = msgspec.msgpack.Decoder(EventRing).decode


def _ring_of(rows: TableRows) -> EventRing:
    data = rows.get(EVENT_RING, _RING_KEY)
    return EventRing() if data is None else _decode_ring(data)


def append(rows: Rows, event: EventFire) -> int:
    """Append an event; returns its number (EVT-1)."""
    ring = _ring_of(rows)
    row = EventRow(
        ring.last + 1,
        event.id,
        event.name,
        event.payload,
        event.node_filter,
        event.service_filter,
        event.tag_filter,
    )
    data = _encode(row)
    count, size = ring.count + 1, ring.size + len(data)
    while count > 1 and (count > EVENTS_MAX or size > EVENTS_BYTES_MAX):
        oldest = next(iter(rows.range(EVENTS, b"")), None)
        if oldest is None:
            break  # a snapshot's ring counted more than it had
        rows.delete(EVENTS, oldest[0])
        count, size = count - 1, size - len(oldest[1])
    rows.put(EVENTS, row.number.to_bytes(8, "big"), data)
    rows.put(EVENT_RING, _RING_KEY, _encode(EventRing(row.number, count, max(size, len(data)))))
    return row.number


def events(rows: TableRows) -> Iterator[EventRow]:
    """All events that are kept, the oldest first."""
    return map(decode_event, map(itemgetter(1), rows.range(EVENTS, b"")))


TABLES = (
    Table(EVENTS, "EVENTS", "Event", decode_event, is_indexed=True),
    Table(EVENT_RING, "EVENT_RING", "EventRing", _decode_ring),
)
