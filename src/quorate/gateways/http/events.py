"""User events: `/v1/event/*`.

The index of a list of events is made of the id of the newest one, as in Consul: another one means a
change, a higher one nothing.

Source: https://developer.hashicorp.com/consul/api-docs/event.
"""

import uuid
from base64 import b64encode

from msgspec.structs import replace

from quorate.base.outcomes import Outcome
from quorate.base.results import Answer
from quorate.events.commands import EventFire
from quorate.events.queries import each_event
from quorate.events.tables import EventRow
from quorate.filters.expressions import FilterError
from quorate.filters.regex import compiled
from quorate.gateways.http.blocking import mode_of, read
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated

PAYLOAD_BYTES_MAX = 300
"""Of an event, as in Consul."""

WAIT_S = 600.0
"""How long a list of events waits if the request does not say."""

_EMPTY = 1  # the index of a list without events
_REGEX = "error parsing regexp: "


def fire(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Append an event; the response is the event."""
    context.check_datacenter(params)
    if not name:
        raise HttpError(400, "Missing name")
    payload = bytes(request.body)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise HttpError(
            413,
            f"Event payload too large, received {len(payload)} bytes, "
            f"max size: {PAYLOAD_BYTES_MAX} bytes.",
        )
    event = EventFire(
        str(uuid.uuid4()),
        path_text(name, "event name"),
        payload,
        params.text("node"),
        params.text("service"),
        params.text("tag"),
    )
    _check(event)

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.value(request, _view(event, 0), lines=lines)

    context.submit(request, event, then)


def _check(event: EventFire) -> None:
    if event.tag_filter and not event.service_filter:
        raise HttpError(500, "Cannot provide tag filter without service filter")
    filters = (
        ("node", event.node_filter),
        ("service", event.service_filter),
        ("tag", event.tag_filter),
    )
    for what, text in filters:
        try:
            compiled(text)
        except FilterError as error:
            why = str(error).rpartition(_REGEX)[2]
            raise HttpError(500, f"Invalid {what} filter: {_REGEX}{why}") from error


def list_all(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The events that are kept and meant for this node, the oldest first."""
    mode = mode_of(context, request, params)
    if not params.text("wait"):
        mode = replace(mode, wait_s=WAIT_S)
    name = params.text("name")

    def evaluate(reader: Reader) -> Answer[list[JsonView]]:
        found = each_event(reader)
        rows = [row for row in found.value if name in ("", row.name) and _is_for(context, row)]
        index = index_of(rows[-1].id) if rows else _EMPTY
        changed = 0 if index == mode.index else mode.index + 1
        return Answer([_view(row, row.number) for row in rows], changed, index, found.subjects)

    def render(found: Evaluated, _: bytes) -> None:
        lines = b"X-Consul-Index: %d\r\n" % found.answer.header
        context.send_shared(request, found, lambda: found.value, lines)

    read(context, request, mode, evaluate, render, is_by_equality=True)


def index_of(event: str) -> int:
    """The index that an id stands for: its halves, combined by exclusive or."""
    whole = uuid.UUID(event).int
    return ((whole >> 64) ^ (whole & ((1 << 64) - 1))) or _EMPTY


def _is_for(context: Context, row: EventRow) -> bool:
    """Whether the filters of an event let it through to this node."""
    if row.node_filter:
        node = context.local.status().node.name
        if compiled(row.node_filter).search(node) is None:
            return False
    if not row.service_filter:
        return True
    matches = compiled(row.service_filter).search
    tagged = compiled(row.tag_filter).search
    return any(
        matches(entry.service.name) is not None
        and (not row.tag_filter or any(map(tagged, entry.service.tags)))
        for entry in context.agent.state.services.values()
    )


def _view(event: EventFire | EventRow, number: int) -> JsonView:
    return {
        "ID": event.id,
        "Name": event.name,
        "Payload": b64encode(event.payload).decode() if event.payload else None,
        "NodeFilter": event.node_filter,
        "ServiceFilter": event.service_filter,
        "TagFilter": event.tag_filter,
        "Version": 1,
        "LTime": number,
    }
