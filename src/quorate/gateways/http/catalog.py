"""The catalog: nodes and services, without the health of either.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from functools import partial

from quorate.gateways.http.blocking import ERROR_LINES, mode_of, read, read_rows
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.filters import filter_of, kept
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.request import Request
from quorate.gateways.http.shapes import (
    NODE_FIELDS,
    SERVICE_NODE_FIELDS,
    Shape,
    node_shape,
    service_node_shape,
    service_shape,
)
from quorate.machine.queries import Answer, Instance, Reader
from quorate.registry.catalog import NodeRow, ServiceRow


def nodes(context: Context, request: Request, params: Params, _: bytes) -> None:
    """All nodes."""
    mode = mode_of(context, request, params, is_named=True, knows_namespaces=False)
    keep = filter_of(params, NODE_FIELDS, ERROR_LINES)
    wanted = meta_of(params)

    def show(row: NodeRow) -> Shape | None:
        if not has_meta(row.meta, wanted):
            return None
        shape = node_shape(row)
        return shape if keep is None or keep(shape) else None

    read_rows(context, request, mode, lambda reader: reader.each_node(), show, is_compared=True)


def node(context: Context, request: Request, params: Params, name: bytes) -> None:
    """One node with the services on it; null if unknown."""
    mode = mode_of(context, request, params, is_named=True)
    if not name:
        raise HttpError(400, "Missing node name")
    text = path_text(name, "node name")
    keep = filter_of(params, frozenset({"ID", "Service", "Address"}), ERROR_LINES)

    def evaluate(reader: Reader) -> Answer[tuple[NodeRow | None, list[ServiceRow]]]:
        found = reader.node(text)
        services = reader.services_of_node(text).value
        return Answer((found.value, services), found.changed, found.header, found.subjects)

    def render(answer: Answer[tuple[NodeRow | None, list[ServiceRow]]], lines: bytes) -> None:
        row, services = answer.value
        if row is None:
            context.answers.value(request, None, lines=lines)
            return
        shapes = kept([service_shape(service) for service in services], keep)
        body = {"Node": node_shape(row), "Services": {shape["ID"]: shape for shape in shapes}}
        context.answers.value(request, body, lines=lines)

    read(context, request, mode, evaluate, render)


def services(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The names of all services, each with the tags of all its instances."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    keep = filter_of(params, SERVICE_NODE_FIELDS, ERROR_LINES)
    wanted = meta_of(params)

    def evaluate(reader: Reader) -> Answer[dict[str, list[str]]]:
        found = reader.services()
        hosts = {row.name: row for row in reader.nodes().value} if keep or wanted else {}
        tags: dict[str, dict[str, None]] = {}
        for row in found.value:
            definition = service_shape(row)
            if keep is not None or wanted:
                host = hosts[row.node]
                shape = service_node_shape(host, row)
                if not has_meta(host.meta, wanted) or not (keep is None or keep(shape)):
                    continue
            names: list[str] = definition.get("Tags") or []
            tags.setdefault(row.name, {}).update(dict.fromkeys(names))
        shown = {name: sorted(own) for name, own in tags.items()}
        return Answer(shown, found.changed, found.header, found.subjects)

    def render(answer: Answer[dict[str, list[str]]], lines: bytes) -> None:
        context.send_shared(request, answer, lambda: answer.value, lines)

    read(context, request, mode, evaluate, render, is_compared=True)


def service(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The instances of a service, each with its node."""
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    if not name:
        raise HttpError(400, "Missing service name")
    keep = filter_of(params, SERVICE_NODE_FIELDS, ERROR_LINES)
    tags = [tag.lower() for tag in params.all("tag")]
    wanted = meta_of(params)
    text = path_text(name, "service name")

    def show(instance: Instance) -> Shape | None:
        shape = service_node_shape(instance.node, instance.service)
        own = {tag.lower() for tag in shape["ServiceTags"]}
        if not (has_meta(instance.node.meta, wanted) and all(tag in own for tag in tags)):
            return None
        return shape if keep is None or keep(shape) else None

    is_compared = keep is not None
    find = partial(Reader.each_instance, name=text)
    read_rows(context, request, mode, find, show, is_compared=is_compared)


def datacenters(context: Context, request: Request, _: Params, __: bytes) -> None:
    """The names of all datacenters: this one."""
    context.answers.value(request, [context.config.datacenter])


def meta_of(params: Params) -> list[tuple[str, str]]:
    """The pairs of `node-meta` that a node must have."""
    pairs = [text.partition(":") for text in params.all("node-meta")]
    return [(name, value) for name, _, value in pairs]


def has_meta(meta: dict[str, str], wanted: list[tuple[str, str]]) -> bool:
    """Whether all pairs are there."""
    return all(meta.get(name) == value for name, value in wanted)
