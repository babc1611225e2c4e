"""Health: `/v1/health/service/:service` and `/v1/health/node/:node`.

Source: https://developer.hashicorp.com/consul/api-docs/health.
"""

from functools import partial

from quorate.catalog.fields import PASSING
from quorate.catalog.queries import Instance, each_check, each_instance
from quorate.catalog.tables import CheckRow
from quorate.gateways.http import filters
from quorate.gateways.http.blocking import ERROR_LINES, mode_of
from quorate.gateways.http.catalog import has_meta, meta_of
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.filters import filter_of
from quorate.gateways.http.params import Params, boolean, path_text
from quorate.gateways.http.rowreads import read_rows
from quorate.gateways.http.views import JsonView, check_view, instance_view
from quorate.httpserver.request import Request


def service(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances of a service, each with its node and the checks of both."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if not name:
        raise HttpError(400, "Missing service name")
    is_passing = _passing(params)
    keep = filter_of(params, filters.INSTANCE)
    tags = [tag.lower() for tag in params.all("tag")]
    meta = meta_of(params)
    text = path_text(name, "service name")

    def show(instance: Instance) -> JsonView | None:
        if is_passing and any(check.status != PASSING for check in instance.checks):
            return None
        if not has_meta(instance.node.meta, meta):
            return None
        own = {name.lower() for name in instance.service.tags}
        if not all(tag in own for tag in tags):
            return None
        view = instance_view(instance)
        return view if keep is None or keep(view) else None

    is_compared = keep is not None
    find = partial(each_instance, name=text)
    read_rows(context, request, mode, find, show, is_compared=is_compared)


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

    read_rows(context, request, mode, partial(each_check, name=text), show)
