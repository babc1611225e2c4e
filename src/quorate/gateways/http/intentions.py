"""Intentions: which service may call which, as sources in entries `service-intentions`.

Source: https://developer.hashicorp.com/consul/api-docs/connect/intentions.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from quorate.base.outcomes import Outcome
from quorate.base.results import Answer
from quorate.configentries.commands import IntentionDelete, IntentionSet
from quorate.configentries.queries import each_entry, entry_get
from quorate.configentries.tables import INTENTIONS, EntryRow, fields_of_entry
from quorate.gateways.http import filters
from quorate.gateways.http.blocking import confirmed, mode_of, read
from quorate.gateways.http.bodies import fields_of, json_of, text_in
from quorate.gateways.http.configbodies import sources_of
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.filters import filter_of
from quorate.gateways.http.params import Params
from quorate.gateways.http.route import Route
from quorate.gateways.http.rowreads import read_rows
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated

NAMES_MAX = 64
"""Names that one request may match."""

_ANY = "*"
_BODY = (
    "sourcename", "destinationname", "sourcetype", "action", "permissions", "description", "meta",
    "sourcens", "destinationns", "sourcepartition", "destinationpartition", "sourcepeer", "id",
    "precedence", "createdat", "updatedat", "createindex", "modifyindex", "hash",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


def _views(row: EntryRow) -> Iterator[JsonView]:
    """The intentions of a destination, by precedence."""
    for source in fields_of_entry(row).get("Sources", []):
        view: JsonView = {}
        if source.get("Description"):
            view["Description"] = source["Description"]
        view |= {
            "SourceNS": "default",
            "SourceName": source["Name"],
            "DestinationNS": "default",
            "DestinationName": row.name,
            "SourceType": source.get("Type", "consul"),
        }
        for name in ("Action", "Permissions"):
            if source.get(name):
                view[name] = source[name]
        yield view | {
            "Precedence": source["Precedence"],
            "CreateIndex": row.create_index,
            "ModifyIndex": row.modify_index,
        }


def _ordered(views: Iterable[JsonView]) -> list[JsonView]:
    return sorted(
        views, key=lambda one: (-one["Precedence"], one["SourceName"], one["DestinationName"])
    )


def _each(reader: Reader) -> Answer[Iterator[JsonView]]:
    answer = each_entry(reader, INTENTIONS)
    views = _ordered(view for row in answer.value for view in _views(row))
    return Answer(iter(views), answer.changed, answer.header, answer.subjects)


def list_all(context: Context, request: Request, params: Params, _: bytes) -> None:
    """All intentions, by precedence. O(all)."""
    mode = mode_of(context, request, params)
    keep = filter_of(params, filters.INTENTION)

    def show(view: JsonView) -> JsonView | None:
        return view if keep is None or keep(view) else None

    read_rows(context, request, mode, _each, show, is_compared=True)


def _needed(params: Params, name: str) -> str:
    found = params.text(name)
    if not found:
        raise HttpError(500, f"required query parameter '{name}' not set")
    return found


# --- one --------------------------------------------------------------------------------------


def _pair(params: Params) -> tuple[str, str]:
    return _needed(params, "source"), _needed(params, "destination")


def get(context: Context, request: Request, params: Params, _: bytes) -> None:
    """One intention, by its names."""
    check_enterprise(request, params)
    context.check_datacenter(params)
    source, destination = _pair(params)

    def step() -> None:
        row = entry_get(context.reader(), INTENTIONS, destination).value
        views = () if row is None else _views(row)
        found = next((view for view in views if view["SourceName"] == source), None)
        if found is None:
            raise HttpError(404, "Intention not found")
        context.responses.value(request, found)

    confirmed(context, request, step)


def put(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Write one intention; the names in the query win over those in the body."""
    check_enterprise(request, params)
    source, destination = _pair(params)
    try:
        fields = fields_of(json_of(request.body), _BODY, "an intention")
        if fields.get("meta"):
            raise HttpError(500, "Meta must not be specified")
        said: dict[str, Any] = {"Name": source}
        for name in ("Action", "Description"):
            text = text_in(fields, name)
            if text:
                said[name] = text
        if fields.get("permissions"):
            said["Permissions"] = fields["permissions"]
        (wanted,) = sources_of(destination, [said])
        content = _encode(wanted)
    except (TextError, UnicodeEncodeError, RecursionError) as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    command = IntentionSet(destination, content)
    context.submit(request, command, lambda outcome: _done(context, request, outcome))


def delete(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Remove one intention; one that is not there, too."""
    check_enterprise(request, params)
    source, destination = _pair(params)
    command = IntentionDelete(destination, source)
    context.submit(request, command, lambda outcome: _done(context, request, outcome))


def _done(context: Context, request: Request, outcome: Outcome) -> None:
    lines = b"X-Quorate-Index: %d\r\n" % outcome.index
    context.responses.value(request, outcome.value, lines=lines)


# --- matching ---------------------------------------------------------------------------------


def match(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The intentions that concern services, by name."""
    by = _needed(params, "by")
    if by not in ("source", "destination"):
        raise HttpError(500, "'by' parameter must be one of 'source' or 'destination'")
    _needed(params, "name")
    names = params.all("name")
    if len(names) > NAMES_MAX:
        raise HttpError(400, f"at most {NAMES_MAX} names may be matched at once")
    field = "SourceName" if by == "source" else "DestinationName"
    mode = mode_of(context, request, params, is_named=True)

    def evaluate(reader: Reader) -> Answer[Any]:
        answer = _each(reader)
        views = list(answer.value)
        found = {
            name: [view for view in views if view[field] in (name, _ANY)] or None for name in names
        }
        return Answer(found, answer.changed, answer.header, answer.subjects)

    def render(found: Evaluated, lines: bytes) -> None:
        context.send_shared(request, found, lambda: found.value, lines)

    read(context, request, mode, evaluate, render, is_compared=True)


def check(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Whether a service may call another one: by the intention that counts most, else yes."""
    check_enterprise(request, params)
    context.check_datacenter(params)
    source, destination = _pair(params)

    def step() -> None:
        views = _each(context.reader()).value
        counts = next(
            (
                view
                for view in views
                if view["SourceName"] in (source, _ANY)
                and view["DestinationName"] in (destination, _ANY)
            ),
            None,
        )
        action = context.config.default_acl if counts is None else counts.get("Action")
        is_allowed = action == "allow"
        context.responses.value(request, {"Allowed": is_allowed})

    confirmed(context, request, step)


ROUTES = (
    Route("/v1/connect/intentions", {"GET": list_all}),
    Route("/v1/connect/intentions/check", {"GET": check}),
    Route("/v1/connect/intentions/exact", {"GET": get, "PUT": put, "DELETE": delete}),
    Route("/v1/connect/intentions/match", {"GET": match}),
)
