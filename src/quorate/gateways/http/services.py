"""Services of this node: `/v1/agent/services`, and to register them. Without checks.

Source: https://developer.hashicorp.com/consul/api-docs/agent/service.
"""

import ipaddress
import re
from collections.abc import Iterator
from functools import partial

from quorate.base.outcomes import Outcome
from quorate.catalog.commands import CatalogRegister, ServiceDeregister
from quorate.catalog.fields import SERVER_SERVICE, Address, Service, Weights
from quorate.catalog.queries import each_service_of_node
from quorate.catalog.tables import InstanceRow
from quorate.filters.predicates import Predicate
from quorate.gateways.http.bodies import (
    Fields,
    checked,
    fields_of,
    integer_in,
    is_list,
    is_object,
    json_of,
    names_in,
    switch_in,
    text_in,
    texts_in,
)
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.filters import SERVICE, filter_of, kept
from quorate.gateways.http.longlists import LongRows, object_in_turn, send_rows
from quorate.gateways.http.ownnode import submit_for_own_node
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.views import JsonView, service_view
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader

_PLAIN = (
    "id", "name", "tags", "port", "address", "socketpath", "taggedaddresses", "meta",
    "enabletagoverride", "weights", "token", "kind", "namespace", "partition",
)  # fmt: skip
_NOT_BUILT = ("check", "checks", "proxy", "connect", "ports", "locality")
_SHOWN = frozenset(
    {
        "Kind", "ID", "Service", "Tags", "Meta", "Port", "Address", "SocketPath",
        "TaggedAddresses", "Weights", "EnableTagOverride",
    }
)  # fmt: skip
_UNSPECIFIED = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - refused, not used

PORT_MAX = WEIGHT_MAX = 65535
ADDRESSES_MAX = 64
META_PAIRS_MAX = 64
META_KEY_MAX = 128
META_VALUE_MAX = 512
_META_KEY = re.compile(r"[A-Za-z0-9_-]+")


def services(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The instances on this node, by id."""
    check_enterprise(request, params)
    keep = filter_of(params, SERVICE)
    context.when_wanted(request, partial(_answer_services, context, request, keep))


def _answer_services(context: Context, request: Request, keep: Predicate | None) -> None:
    def pieces(_: Reader, rows: Iterator[list[InstanceRow]]) -> Iterator[dict[str, JsonView]]:
        for piece in rows:
            views = [_shown(context, row) for row in piece if row.service.id != SERVER_SERVICE]
            yield {view["ID"]: view for view in kept(views, keep)}

    find = partial(each_service_of_node, name=context.local.status().node.name)
    answer = object_in_turn(find, pieces, None, context.reader())
    if isinstance(answer, LongRows):
        send_rows(context, request, answer, lambda _, __: b"")
    else:
        context.responses.value(request, answer.value)


def _shown(context: Context, row: InstanceRow) -> JsonView:
    view = service_view(row)
    plain = {name: view[name] for name in _SHOWN if name in view}
    return {
        **plain,
        "Meta": view.get("Meta") or {},
        "Port": view.get("Port", 0),
        "Datacenter": context.config.datacenter,
    }


def register(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Register an instance of a service on this node."""
    check_enterprise(request, params)
    try:
        fields = fields_of(json_of(request.body), (*_PLAIN, *_NOT_BUILT), "a service")
        command = _command(context, fields)
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    submit_for_own_node(context, request, command, partial(_answer, context, request))


def deregister(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Remove an instance of a service from this node."""
    check_enterprise(request, params)
    if not name:
        raise HttpError(400, "Missing service ID")
    service = path_text(name, "service ID")
    if service == SERVER_SERVICE:
        raise _unknown(service)  # no agent registered it
    node = context.local.status().node.name

    def then(outcome: Outcome) -> None:
        if outcome.value is False:
            raise _unknown(service)
        _answer(context, request, outcome)

    context.submit(request, ServiceDeregister(node, service), then)


def _unknown(service: str) -> HttpError:
    return HttpError(
        404,
        f'Unknown service ID "{service}". '
        "Ensure that the service ID is passed, not the service name.",
    )


def _answer(context: Context, request: Request, outcome: Outcome) -> None:
    context.responses.empty(request, lines=b"X-Quorate-Index: %d\r\n" % outcome.index)


def _command(context: Context, fields: Fields) -> CatalogRegister:
    for name in _NOT_BUILT:
        if fields.get(name):
            text = f"services with {name} are not built: register the plain service"
            raise HttpError(501, text, code="unsupported")
    name = text_in(fields, "Name")
    service = text_in(fields, "ID") or name
    address = text_in(fields, "Address")
    port = integer_in(fields, "Port", least=0, most=PORT_MAX)
    meta = names_in(fields, "Meta")
    said = Service(
        service,
        name,
        text_in(fields, "Kind"),
        tuple(texts_in(fields, "Tags")),
        address,
        port,
        _tagged(fields, address, port),
        text_in(fields, "SocketPath"),
        meta,
        _weights(fields),
        switch_in(fields, "EnableTagOverride"),
    )
    if not name:
        raise HttpError(400, "Missing service name")
    if service == SERVER_SERVICE:
        text = f'Invalid service ID "{service}": the servers register themselves under it'
        raise HttpError(400, text)
    if address in _UNSPECIFIED:
        raise HttpError(400, "Invalid service address")
    _check_meta(meta)
    return CatalogRegister(context.local.status().node.name, service=said)


def _tagged(fields: Fields, address: str, port: int) -> dict[str, Address]:
    value = fields.get("taggedaddresses")
    found: dict[str, Address] = {}
    if value is not None:
        if not is_object(value):
            raise TextError("json: TaggedAddresses is no object")
        if len(value) > ADDRESSES_MAX:
            raise TextError(f"json: field TaggedAddresses has more than {ADDRESSES_MAX} addresses")
        for tag, place in value.items():
            inner = fields_of(place, ("address", "port"), "an address")
            found[checked(tag, "TaggedAddresses")] = Address(
                text_in(inner, "Address"), integer_in(inner, "Port", least=0, most=PORT_MAX)
            )
    try:
        version = ipaddress.ip_address(address.strip("[]")).version
    except ValueError:  # a name, or nothing: it has no family
        return found
    for side in ("lan", "wan"):
        found.setdefault(f"{side}_ipv{version}", Address(address, port))
    return found


def _weights(fields: Fields) -> Weights:
    value = fields.get("weights")
    if value is None:
        return Weights()
    if is_list(value):
        raise TextError("json: Weights is no object")
    inner = fields_of(value, ("passing", "warning"), "weights")
    passing, warning = integer_in(inner, "Passing", 1), integer_in(inner, "Warning", 1)
    if passing < 1:
        raise HttpError(400, "Invalid Weights: Passing must be greater than 0")
    if warning < 0:
        raise HttpError(400, "Invalid Weights: Warning must be greater or equal than 0")
    if passing > WEIGHT_MAX or warning > WEIGHT_MAX:
        raise HttpError(400, f"Invalid Weights: DNS Weight must be between 0 and {WEIGHT_MAX}")
    return Weights(passing, warning)


def _check_meta(meta: dict[str, str]) -> None:
    prefix = "Invalid Service Meta: "
    if len(meta) > META_PAIRS_MAX:
        raise HttpError(
            400,
            f"{prefix}Node metadata cannot contain more than {META_PAIRS_MAX} key/value pairs",
        )
    for key, value in meta.items():
        fault = meta_fault(key, value)
        if fault:
            raise HttpError(
                400, f"{prefix}Couldn't load metadata pair ('{key}', '{value}'): {fault}"
            )


def meta_fault(key: str, value: str, reserved: tuple[str, ...] = ("consul-",)) -> str:
    """What is wrong with a fact about a node or service, in Consul's words; empty if nothing is."""
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > META_KEY_MAX:
        return f"Key is too long (limit: {META_KEY_MAX} characters)"
    for prefix in reserved:
        if key.startswith(prefix):
            return f"Key prefix '{prefix}' is reserved for internal use"
    if len(value) > META_VALUE_MAX:
        return f"Value is too long (limit: {META_VALUE_MAX} characters)"
    return ""
