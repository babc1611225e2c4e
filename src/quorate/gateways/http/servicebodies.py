"""Definitions of services in the bodies of requests and in configuration files.

Source: https://developer.hashicorp.com/consul/api-docs/agent/service.
"""

import ipaddress
import re
from typing import Any

import msgspec

from quorate.catalog.fields import SERVER_SERVICE, Address, Service, Weights
from quorate.gateways.http.bodies import (
    Fields,
    checked,
    fields_of,
    integer_in,
    is_list,
    is_object,
    names_in,
    switch_in,
    text_in,
    texts_in,
)
from quorate.gateways.http.checkbodies import service_checks
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.meshbodies import mesh_faults, with_mesh
from quorate.monitoring.definitions import CheckDefinition

SERVICE_FIELDS = frozenset({
    "id", "name", "tags", "port", "address", "socketpath", "taggedaddresses", "meta",
    "enabletagoverride", "weights", "token", "kind", "namespace", "partition", "check", "checks",
    "proxy", "connect", "ports", "locality",
})  # fmt: skip
"""Fields of a service, in lower case without underscores."""

_UNSPECIFIED = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - refused, not used

PORT_MAX = WEIGHT_MAX = 65535
ADDRESSES_MAX = 64
META_PAIRS_MAX = 64
META_KEY_MAX = 128
META_VALUE_MAX = 512
BAD_META, BAD_WEIGHTS = "Invalid Service Meta: ", "Invalid Weights: "
BAD_MESH = "Validation failed: "
"""How such refusals begin."""

_META_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Registration(msgspec.Struct, frozen=True):
    """What a body registers."""

    service: Service
    checks: tuple[CheckDefinition, ...]


def registration_of(value: Any) -> Registration:
    """The service and checks of a body.

    Raises:
        HttpError: It makes no sense.
        TextError: It cannot be read.
    """
    fields = fields_of(value, SERVICE_FIELDS, "a service")
    service = _service(fields)
    return Registration(service, service_checks(fields, service.id, service.name))


def _service(fields: Fields) -> Service:
    name = text_in(fields, "Name")
    service = text_in(fields, "ID") or name
    address = text_in(fields, "Address")
    port = integer_in(fields, "Port", least=0, most=PORT_MAX)
    meta = names_in(fields, "Meta")
    plain = Service(
        service,
        name,
        text_in(fields, "Kind"),
        tuple(texts_in(fields, "Tags")),
        address,
        port,
        {},
        text_in(fields, "SocketPath"),
        meta,
        _weights(fields),
        switch_in(fields, "EnableTagOverride"),
    )
    meshed = with_mesh(fields, plain)
    said = msgspec.structs.replace(meshed, tagged_addresses=_tagged(fields, address, meshed.port))
    if not name:
        raise HttpError(400, "Missing service name")
    if service == SERVER_SERVICE:
        text = f'Invalid service ID "{service}": the servers register themselves under it'
        raise HttpError(400, text)
    if address in _UNSPECIFIED:
        raise HttpError(400, "Invalid service address")
    _check_meta(meta)
    fault = mesh_faults(fields, said)
    if fault:
        raise HttpError(400, f"{BAD_MESH}{fault}")
    return said


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
        raise HttpError(400, f"{BAD_WEIGHTS}Passing must be greater than 0")
    if warning < 0:
        raise HttpError(400, f"{BAD_WEIGHTS}Warning must be greater or equal than 0")
    if passing > WEIGHT_MAX or warning > WEIGHT_MAX:
        raise HttpError(400, f"{BAD_WEIGHTS}DNS Weight must be between 0 and {WEIGHT_MAX}")
    return Weights(passing, warning)


def _check_meta(meta: dict[str, str]) -> None:
    if len(meta) > META_PAIRS_MAX:
        raise HttpError(
            400,
            f"{BAD_META}Node metadata cannot contain more than {META_PAIRS_MAX} key/value pairs",
        )
    for key, value in meta.items():
        fault = meta_fault(key, value)
        if fault:
            raise HttpError(
                400, f"{BAD_META}Couldn't load metadata pair ('{key}', '{value}'): {fault}"
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
