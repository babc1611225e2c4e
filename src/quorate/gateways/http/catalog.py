"""The catalog: nodes and services, without the health of either.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from quorate.base.results import Answer
from quorate.base.subjects import name_part
from quorate.catalog.queries import (
    Instance,
    completed,
    each_instance,
    each_node,
    each_service,
    each_service_of_node,
    node_row,
)
from quorate.catalog.tables import SERVICES, InstanceRow, NodeRow
from quorate.gateways.http import filters
from quorate.gateways.http.blocking import ERROR_LINES, Mode, mode_of
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.filters import filter_of, kept
from quorate.gateways.http.gatewayservices import of_gateway
from quorate.gateways.http.meshbodies import is_mesh_of
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.rowreads import read_object, read_rows
from quorate.gateways.http.streams import HERE, Batch, JsonMember
from quorate.gateways.http.tagsets import TagSets
from quorate.gateways.http.views import (
    JsonView,
    node_view,
    service_node_view,
    service_view,
)
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader


def nodes(context: Context, request: Request, params: Params, _: bytes) -> None:
    """All nodes."""
    mode = mode_of(context, request, params, is_named=True, knows_namespaces=False)
    keep = filter_of(params, filters.NODE, ERROR_LINES)
    wanted = meta_of(params)

    def show(row: NodeRow) -> JsonView | None:
        if not has_meta(row.meta, wanted):
            return None
        view = node_view(row)
        return view if keep is None or keep(view) else None

    read_rows(context, request, mode, each_node, show, is_compared=True)


def node(context: Context, request: Request, params: Params, name: bytes) -> None:
    """One node with the services on it; null if unknown."""
    mode = mode_of(context, request, params, is_named=True)
    if not name:
        raise HttpError(400, "Missing node name")
    text = path_text(name, "node name")
    keep = filter_of(params, filters.SERVICE, ERROR_LINES)

    def pieces(_: Reader, rows: Iterator[list[InstanceRow]]) -> Iterator[dict[str, JsonView]]:
        for piece in rows:
            views = kept([service_view(row) for row in piece], keep)
            yield {view["ID"]: view for view in views}

    def frame(reader: Reader) -> JsonView | None:
        row = node_row(reader, text)
        return None if row is None else {"Node": node_view(row), "Services": HERE}

    find = partial(each_service_of_node, name=text)
    read_object(context, request, mode, find, pieces, frame)


def services(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The names of all services, each with the tags of all its instances."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    keep = filter_of(params, filters.SERVICE_NODE, ERROR_LINES)
    wanted = meta_of(params)

    def is_shown(reader: Reader, row: InstanceRow) -> bool:
        if keep is None and not wanted:
            return True
        host = node_row(reader, row.node)
        if host is None or not has_meta(host.meta, wanted):
            return False
        return keep is None or keep(service_node_view(host, row))

    def pieces(reader: Reader, rows: Iterator[list[InstanceRow]]) -> Iterator[Batch]:
        """Instances come in the order of names: a name is sent after its last instance."""
        tags = TagSets(request)
        place = b""
        for piece in rows:
            complete: dict[str, list[str]] = {}
            for row in piece:
                name = row.service.name
                if name_part(name) != place:
                    place = name_part(name)
                    yield from tags.take_long()
                    complete.update(tags.take())
                if is_shown(reader, row):
                    tags.add(name, row.service.tags)
            yield complete
        yield from tags.take_long()
        yield tags.take()

    read_object(context, request, mode, each_service, pieces, is_compared=True)


def service(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances of a service, each with its node."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if not name:
        raise HttpError(400, "Missing service name")
    keep = filter_of(params, filters.SERVICE_NODE, ERROR_LINES)
    tags = [tag.lower() for tag in params.all("tag")]
    wanted = meta_of(params)
    text = path_text(name, "service name")
    if is_of_peer(params):
        read_none(context, request, mode)
        return

    if params.text("peer"):
        read_rows(context, request, mode, no_instances, service_view)
        return

    def show(instance: Instance) -> JsonView | None:
        view = service_node_view(instance.node, instance.row)
        own = {tag.lower() for tag in view["ServiceTags"]}
        if not (has_meta(instance.node.meta, wanted) and all(tag in own for tag in tags)):
            return None
        return view if keep is None or keep(view) else None

    is_compared = keep is not None
    find = partial(each_instance, name=text)
    read_rows(context, request, mode, find, show, is_compared=is_compared, is_kept=True)


def node_services(context: Context, request: Request, params: Params, name: bytes) -> None:
    """One node and the list of the services on it; nulls if it is unknown."""
    mode = mode_of(context, request, params, is_named=True)
    if not name:
        raise HttpError(400, "Missing node name")
    text = path_text(name, "node name")
    keep = filter_of(params, filters.SERVICE, ERROR_LINES)

    def pieces(reader: Reader, rows: Iterator[list[InstanceRow]]) -> Iterator[Batch]:
        row = node_row(reader, text)
        first = next(rows, None)
        yield {"Node": None if row is None else node_view(row)}
        if row is None or not first:
            yield {"Services": None}
            return
        all_rows = chain((first,), rows)
        views = (kept([service_view(row) for row in piece], keep) for piece in all_rows)
        yield JsonMember("Services", views)

    read_object(context, request, mode, partial(each_service_of_node, name=text), pieces)


def connect(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances that take part in a mesh for a service: its proxies, and native ones."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if not name:
        raise HttpError(400, "Missing service name")
    keep = filter_of(params, filters.SERVICE_NODE, ERROR_LINES)
    find = in_mesh(path_text(name, "service name"))
    if is_of_peer(params):
        read_none(context, request, mode)
        return

    def show(instance: Instance | None) -> JsonView | None:
        if instance is None:
            return None
        view = service_node_view(instance.node, instance.row)
        return view if keep is None or keep(view) else None

    read_rows(context, request, mode, find, show, is_compared=True)


def in_mesh(name: str) -> Callable[[Reader], Answer[Iterator[Instance | None]]]:
    """Finds the instances of a mesh, with None in place of each other one. O(all instances)."""
    wanted = name_part(name)

    def find(reader: Reader) -> Answer[Iterator[Instance | None]]:
        answer = each_service(reader)
        found = (
            completed(reader, row) if is_mesh_of(row.service, wanted) else None
            for row in answer.value
        )
        return Answer(found, answer.changed, answer.header, answer.subjects)

    return find


def gateway_services(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The services that a gateway of a mesh is bound to, by its configuration entry."""
    mode = mode_of(context, request, params, is_named=True)
    if not name:
        raise HttpError(400, "Missing gateway name")
    find = partial(of_gateway, name=path_text(name, "gateway name"))
    read_rows(context, request, mode, find, lambda view: view, is_compared=True)


def is_of_peer(params: Params) -> bool:
    """Whether services of another cluster are asked for that this one is peered with."""
    return params.text("peer") != ""


def read_none(context: Context, request: Request, mode: Mode) -> None:
    """Respond with no service: no cluster can be peered. A blocking query waits to its end."""
    read_rows(context, request, mode, no_instances, service_view, is_compared=True)


def no_instances(reading: Reader) -> Answer[Iterator[InstanceRow]]:
    """No instance, as of the newest change of a service."""
    return reading.of_table(iter(()), SERVICES)


def datacenters(context: Context, request: Request, _: Params, __: bytes) -> None:
    """The names of all datacenters: this one."""
    context.responses.value(request, [context.config.datacenter])


def meta_of(params: Params) -> list[tuple[str, str]]:
    """The pairs of `node-meta` that a node must have."""
    pairs = [text.partition(":") for text in params.all("node-meta")]
    return [(name, value) for name, _, value in pairs]


def has_meta(meta: dict[str, str], wanted: list[tuple[str, str]]) -> bool:
    """Whether metadata has all these pairs."""
    return all(meta.get(name) == value for name, value in wanted)
