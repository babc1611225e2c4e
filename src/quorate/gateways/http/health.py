"""Health: instances of services with their checks, and lists of checks.

Source: https://developer.hashicorp.com/consul/api-docs/health.
"""

from collections.abc import Callable, Iterator
from functools import partial

from msgspec.structs import replace

from quorate.base.results import Answer
from quorate.catalog.fields import PASSING
from quorate.catalog.queries import (
    Instance,
    each_check,
    each_check_in_state,
    each_check_of_service,
    each_instance,
    node_row,
)
from quorate.catalog.tables import CheckRow
from quorate.gateways.http import filters
from quorate.gateways.http.blocking import ERROR_LINES, mode_of
from quorate.gateways.http.catalog import (
    has_meta,
    in_mesh,
    is_of_peer,
    meta_of,
    read_none,
)
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.filters import filter_of
from quorate.gateways.http.gatewayservices import letting_in
from quorate.gateways.http.params import Params, boolean, path_text
from quorate.gateways.http.rowreads import read_rows
from quorate.gateways.http.views import JsonView, check_view, instance_view
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader


def service(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances of a service, each with its node and the checks of both."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if mode.index and "near" not in params:
        mode = replace(mode, is_streamed=True)
    if not name:
        raise HttpError(400, "Missing service name")
    show = _chooser(params)
    find = partial(each_instance, name=path_text(name, "service name"))
    if is_of_peer(params):
        read_none(context, request, mode)
        return
    is_filtered = bool(params.text("filter"))
    read_rows(context, request, mode, find, show, is_compared=is_filtered, is_kept=True)


def _chooser(params: Params) -> Callable[[Instance | None], JsonView | None]:
    """How an instance is shown, if it is what the parameters ask for."""
    if params.text("sg"):
        raise HttpError(500, "sameness groups are not supported in consul CE")
    is_passing = _passing(params)
    keep = filter_of(params, filters.INSTANCE)
    tags = [tag.lower() for tag in params.all("tag")]
    meta = meta_of(params)

    def show(instance: Instance | None) -> JsonView | None:
        if instance is None:
            return None
        if is_passing and any(check.status != PASSING for check in instance.checks):
            return None
        if not has_meta(instance.node.meta, meta):
            return None
        own = {name.lower() for name in instance.service.tags}
        if not all(tag in own for tag in tags):
            return None
        view = instance_view(instance)
        return view if keep is None or keep(view) else None

    return show


def _passing(params: Params) -> bool:
    if "passing" not in params:
        return False
    text = params.text("passing")
    value = boolean(text) if text else True
    if value is None:
        raise HttpError(400, "Invalid value for ?passing")
    return value


def node(context: Context, request: Request, params: Params, name: bytes) -> None:
    """All checks of a node."""
    mode = mode_of(context, request, params, is_named=True)
    if not name:
        raise HttpError(400, "Missing node name")
    keep = filter_of(params, filters.CHECK, ERROR_LINES)
    text = path_text(name, "node name")

    def show(row: CheckRow) -> JsonView | None:
        view = check_view(row, [])
        return view if keep is None or keep(view) else None

    find = partial(each_check, name=text)
    read_rows(context, request, mode, find, show, is_kept=True)


def checks(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The checks of the instances of a service."""
    if not name:
        mode_of(context, request, params, is_named=True)
        raise HttpError(400, "Missing service name")
    find = partial(each_check_of_service, name=path_text(name, "service name"))
    _list_checks(context, request, params, find)


def state(context: Context, request: Request, params: Params, name: bytes) -> None:
    """All checks with a status, or with `any` all."""
    if not name:
        mode_of(context, request, params, is_named=True)
        raise HttpError(400, "Missing check state")
    find = partial(each_check_in_state, status=path_text(name, "check state"))
    _list_checks(context, request, params, find)


def _list_checks(
    context: Context,
    request: Request,
    params: Params,
    find: Callable[[Reader], Answer[Iterator[CheckRow]]],
) -> None:
    mode = mode_of(context, request, params, is_named=True)
    keep = filter_of(params, filters.CHECK, ERROR_LINES)
    wanted = meta_of(params)

    def on_such_nodes(reader: Reader) -> Answer[Iterator[CheckRow]]:
        answer = find(reader)
        if not wanted:
            return answer
        rows = (row for row in answer.value if _is_on(reader, row.node, wanted))
        return Answer(rows, answer.changed, answer.header, answer.subjects)

    def show(row: CheckRow) -> JsonView | None:
        view = check_view(row, [])
        return view if keep is None or keep(view) else None

    is_compared = keep is not None or bool(wanted)
    read_rows(context, request, mode, on_such_nodes, show, is_compared=is_compared, is_kept=True)


def _is_on(reader: Reader, name: str, wanted: list[tuple[str, str]]) -> bool:
    row = node_row(reader, name)
    return row is not None and has_meta(row.meta, wanted)


def connect(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances that take part in a mesh for a service, with their nodes and checks."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if not name:
        raise HttpError(400, "Missing service name")
    show = _chooser(params)
    find = in_mesh(path_text(name, "service name"))
    if is_of_peer(params):
        read_none(context, request, mode)
        return
    read_rows(context, request, mode, find, show, is_compared=True)


def ingress(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The gateways that let requests into a mesh for a service, by their configuration entries."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if not name:
        raise HttpError(400, "Missing service name")
    find = partial(letting_in, service=path_text(name, "service name"))
    show = _chooser(params)
    if is_of_peer(params):
        read_none(context, request, mode)
        return
    read_rows(context, request, mode, find, show, is_compared=True)
