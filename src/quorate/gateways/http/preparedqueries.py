"""Prepared queries: `/v1/query`. Ids are drawn here and are part of the command.

Source: https://developer.hashicorp.com/consul/api-docs/query.
"""

import re
import uuid

from quorate.base.errors import QuorateError
from quorate.base.outcomes import Failure, Outcome
from quorate.base.results import Answer
from quorate.gateways.http.blocking import ERROR_LINES, mode_of, read
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.executing import (
    execute,
    not_found,
    once,
    read_fields,
    resolved_at,
)
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.querybodies import check, definition_of, query_view
from quorate.gateways.http.rowreads import read_rows
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.preparedqueries.commands import (
    PreparedQueryCreate,
    PreparedQueryDelete,
    PreparedQueryUpdate,
)
from quorate.preparedqueries.queries import each_query, query_get
from quorate.preparedqueries.tables import QueryRow
from quorate.serving.evaluations import Evaluated

_EXECUTE, _EXPLAIN = b"/execute", b"/explain"
_ID_CHARS = 36
_APPLY_FAILED = "raft apply failed: "
_LOOKUP_FAILED = "failed prepared query lookup: index error: "
_HEX = re.compile(r"[0-9a-fA-F-]*")
_HYPHENS_MAX = 4


# --- reading ----------------------------------------------------------------------------------


def list_all(context: Context, request: Request, params: Params, _: bytes) -> None:
    """All queries."""
    mode = mode_of(context, request, params, is_named=True)
    read_rows(context, request, mode, each_query, query_view)


def get(context: Context, request: Request, params: Params, name: bytes) -> None:
    """One query, as a list; or its execution, or its explanation."""
    if name.endswith(_EXECUTE):
        execute(context, request, params, name.removesuffix(_EXECUTE))
    elif name.endswith(_EXPLAIN):
        _explain(context, request, params, name.removesuffix(_EXPLAIN))
    else:
        _get(context, request, params, name)


def _get(context: Context, request: Request, params: Params, name: bytes) -> None:
    mode = mode_of(context, request, params, is_named=True)
    id_ = _id_of(name, "")

    def render(answer: Evaluated, lines: bytes) -> None:
        row: QueryRow | None = answer.value
        if row is None:
            raise not_found()
        context.responses.value(request, [query_view(row)], lines=lines)

    read(context, request, mode, lambda reader: query_get(reader, id_), render)


def _explain(context: Context, request: Request, params: Params, name: bytes) -> None:
    """What a name means: the query, rendered if it is a template."""
    mode = mode_of(context, request, params, is_named=True)
    text = path_text(name, "query name")
    is_stale = request.context.is_stale

    def evaluate(reader: Reader) -> Answer[QueryRow]:
        row = resolved_at(reader, text)
        if row is None:
            raise not_found()
        return Answer(row, 1, 1, ())

    def render(answer: Evaluated, lines: bytes) -> None:
        shown = {"Query": query_view(answer.value)}
        shown |= read_fields(context, request, is_stale=is_stale)
        context.responses.value(request, shown, lines=lines)

    read(context, request, once(mode), evaluate, render)


def _id_of(name: bytes, prefix: str) -> str:
    """An id, in the spelling in which it is stored.

    Raises:
        HttpError: 500, with Consul's text: it cannot be one.
    """
    text = path_text(name, "query id")
    if len(text) != _ID_CHARS:
        fault = f"UUID must be {_ID_CHARS} characters"
    elif text.count("-") > _HYPHENS_MAX:
        fault = f'UUID should have maximum of {_HYPHENS_MAX} "-"; got {text.count("-")}'
    elif len(text.replace("-", "")) % 2:
        fault = "UUID (without hyphens) must be even length"
    elif _HEX.fullmatch(text) is None:
        fault = "UUID must be hexadecimal"
    else:
        return text.lower()
    raise HttpError(500, f"{prefix}{_LOOKUP_FAILED}{fault}", headers=ERROR_LINES)


# --- writing ----------------------------------------------------------------------------------


def create(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Create a query."""
    context.check_datacenter(params)
    id_, fields = definition_of(request.body)
    if id_:
        raise HttpError(500, "ID must be empty when creating a new prepared query")
    check(fields)

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.value(request, {"ID": outcome.value}, lines=lines)

    command = PreparedQueryCreate(str(uuid.uuid4()), fields)
    context.submit(request, command, then, prefix=_APPLY_FAILED)


def update(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Replace the definition of a query."""
    _refuse_suffix(name, "PUT")
    context.check_datacenter(params)
    id_ = _id_of(name, "Prepared Query lookup failed: ")
    _, fields = definition_of(request.body)
    check(fields)
    _change(context, request, PreparedQueryUpdate(id_, fields))


def delete(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Delete a query."""
    _refuse_suffix(name, "DELETE")
    context.check_datacenter(params)
    id_ = _id_of(name, "Prepared Query lookup failed: ")
    _change(context, request, PreparedQueryDelete(id_))


def _change(
    context: Context, request: Request, command: PreparedQueryUpdate | PreparedQueryDelete
) -> None:
    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.empty(request, lines=lines)

    def done(outcome: Outcome | QuorateError) -> None:
        is_unknown = (
            isinstance(outcome, Outcome)
            and isinstance(outcome.value, Failure)
            and outcome.value.code == "not_found"
        )
        context.submitted(request, outcome, then, "" if is_unknown else _APPLY_FAILED)

    context.serving.submit(request.context, command, done)


# --- methods ----------------------------------------------------------------------------------


def other(context: Context, request: Request, _: Params, name: bytes) -> None:
    """Any other method: this endpoint of Consul checks methods by itself."""
    allowed = b"GET" if name.endswith((_EXECUTE, _EXPLAIN)) else b"GET,PUT,DELETE"
    if request.method != b"OPTIONS":
        raise _refused(request.method.decode("latin-1"), allowed)
    context.responses.value(request, {}, lines=b"Allow: OPTIONS,%b\r\n" % allowed)


def _refuse_suffix(name: bytes, method: str) -> None:
    if name.endswith((_EXECUTE, _EXPLAIN)):
        raise _refused(method, b"GET")


def _refused(method: str, allowed: bytes) -> HttpError:
    return HttpError(405, f"method {method} not allowed", headers=b"Allow: %b\r\n" % allowed)
