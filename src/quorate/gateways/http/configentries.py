"""Configuration entries: `/v1/config`.

Source: https://developer.hashicorp.com/consul/api-docs/config.
"""

from typing import Any

from quorate.base.outcomes import Outcome
from quorate.base.results import Answer
from quorate.configentries.commands import EntryDelete, EntrySet
from quorate.configentries.queries import each_entry, entry_get
from quorate.configentries.tables import EntryRow, fields_of_entry
from quorate.gateways.http.blocking import mode_of, read
from quorate.gateways.http.configbodies import check_kind, entry_in
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import Params, path_text, unsigned
from quorate.gateways.http.route import Route
from quorate.gateways.http.rowreads import read_rows
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated


def shown(row: EntryRow) -> JsonView:
    """An entry as the API shows it."""
    indexes = {"CreateIndex": row.create_index, "ModifyIndex": row.modify_index}
    return {"Kind": row.kind, "Name": row.name, **fields_of_entry(row), **indexes}


def _shown(row: EntryRow) -> JsonView:
    view = shown(row)
    if row.kind == "mesh":  # it is read under its name, and has none
        del view["Name"]
    return view


def put(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Write an entry."""
    check_enterprise(request, params)
    index = _index(params)
    try:
        entry = entry_in(request.body)
    except TextError as error:
        raise HttpError(400, f"Request decoding failed: {error}") from error

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.value(request, outcome.value, lines=lines)

    context.submit(request, EntrySet(entry.kind, entry.name, entry.content, index), then)


def _index(params: Params) -> int | None:
    text = params.text("cas")
    if not text:
        return None
    try:
        return unsigned(text)
    except TextError as error:
        raise HttpError(500, str(error)) from error


def get(context: Context, request: Request, params: Params, path: bytes) -> None:
    """One entry, or all of a kind."""
    kind, _, name = path_text(path, "kind").partition("/")
    mode = mode_of(context, request, params)
    if kind:
        check_kind(kind, 500)
    if not name:
        read_rows(
            context, request, mode, lambda reader: each_entry(reader, kind), _shown,
            is_compared=True,
        )  # fmt: skip
        return

    def render(found: Evaluated, lines: bytes) -> None:
        if found.value is None:
            text = f'Config entry not found for "{kind}" / "{name}"'
            context.responses.error(request, HttpError(404, text, headers=lines))
        else:
            context.send_shared(request, found, lambda: found.value, lines)

    def evaluate(reader: Reader) -> Answer[JsonView | None]:
        found = entry_get(reader, kind, name)
        view = None if found.value is None else _shown(found.value)
        return Answer(view, found.changed, found.header, found.subjects)

    read(context, request, mode, evaluate, render, is_compared=True)


def delete(context: Context, request: Request, params: Params, path: bytes) -> None:
    """Remove an entry."""
    check_enterprise(request, params)
    kind, _, name = path_text(path, "kind").partition("/")
    if not name:
        raise HttpError(404, "Must provide both a kind and name to delete")
    check_kind(kind, 400)
    index = _index(params)

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        value: Any = {} if index is None else outcome.value
        context.responses.value(request, value, lines=lines)

    context.submit(request, EntryDelete(kind, name, index), then)


def exported(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The services that are exported to other clusters."""
    mode = mode_of(context, request, params)

    def evaluate(reader: Reader) -> Answer[list[JsonView]]:
        found = entry_get(reader, "exported-services", "default")
        fields = {} if found.value is None else fields_of_entry(found.value)
        services: list[dict[str, Any]] = fields.get("Services", [])
        views: list[JsonView] = []
        for each in services:
            consumers: list[dict[str, str]] = each.get("Consumers", [])
            peers = [one["Peer"] for one in consumers if one.get("Peer")]
            views.append({"Service": each.get("Name", ""), "Consumers": {"Peers": peers}})
        return Answer(views, found.changed, found.header, found.subjects)

    def render(found: Evaluated, lines: bytes) -> None:
        context.send_shared(request, found, lambda: found.value, lines)

    read(context, request, mode, evaluate, render, is_compared=True)


ROUTES = (
    Route("/v1/config", {"PUT": put}),
    Route("/v1/config/:kind", {"GET": get, "DELETE": delete}),
    Route("/v1/exported-services", {"GET": exported}),
)
