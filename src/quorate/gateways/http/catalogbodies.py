"""Bodies of `/v1/catalog/register` and `/v1/catalog/deregister`.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

import re
from typing import Any

from quorate.catalog.commands import (
    CatalogPut,
    CheckDeregister,
    NodeDeregister,
    ServiceDeregister,
)
from quorate.catalog.fields import (
    CRITICAL,
    NO_DEFINITION,
    Address,
    Check,
    Definition,
    NodeFields,
    Service,
    Weights,
)
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
from quorate.gateways.http.checkbodies import duration_in, header_in
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.meshbodies import PORT_MAX, mesh_faults, with_mesh
from quorate.gateways.http.servicebodies import meta_fault

WEIGHT_MAX = 65535
ADDRESSES_MAX = 64
CHECKS_MAX = 128
_UNSPECIFIED = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - refused, not used
_IGNORED = ("createindex", "modifyindex", "peername")
_UUID_CHARS = 36
_UUID = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NODE = (
    "id", "node", "address", "datacenter", "taggedaddresses", "nodemeta", "skipnodeupdate",
    "service", "check", "checks", "locality", "token", *_IGNORED,
)  # fmt: skip
SERVICE_FIELDS = (
    "kind", "id", "service", "tags", "address", "taggedaddresses", "meta", "port", "socketpath",
    "weights", "enabletagoverride", "proxy", "connect", "ports", "locality", *_IGNORED,
)  # fmt: skip
CHECK_FIELDS = (
    "node", "checkid", "name", "status", "notes", "output", "serviceid", "servicename",
    "servicetags", "type", "interval", "timeout", "exposedport", "definition", *_IGNORED,
)  # fmt: skip
_REMOVED = ("datacenter", "node", "address", "serviceid", "checkid", "token", *_IGNORED)
_TEXTS = {
    "HTTP": "http", "TLSServerName": "tls_server_name", "Method": "method", "Body": "body",
    "TCP": "tcp", "UDP": "udp", "H2PING": "h2ping", "OSService": "os_service",
    "DockerContainerID": "docker", "Shell": "shell", "GRPC": "grpc", "AliasNode": "alias_node",
    "AliasService": "alias_service",
}  # fmt: skip
_DURATIONS = {
    "Interval": "interval_ns", "Timeout": "timeout_ns",
    "DeregisterCriticalServiceAfter": "deregister_after_ns", "TTL": "ttl_ns",
}  # fmt: skip
_SWITCHES = {
    "TLSSkipVerify": "tls_skip_verify", "DisableRedirects": "disable_redirects",
    "TCPUseTLS": "tcp_use_tls", "H2PingUseTLS": "h2ping_use_tls", "GRPCUseTLS": "grpc_use_tls",
}  # fmt: skip
_DEFINITION = (
    "header", "scriptargs", "outputmaxsize", "intervalduration", "timeoutduration",
    "deregistercriticalserviceafterduration",
    *(name.lower() for names in (_TEXTS, _DURATIONS, _SWITCHES) for name in names),
)  # fmt: skip

Removal = NodeDeregister | ServiceDeregister | CheckDeregister


def registration_of(value: Any, datacenter: str) -> CatalogPut:
    """The registration in a body.

    Raises:
        HttpError: 500, as Consul has it: it makes no sense; 501: more than is built.
        TextError: It cannot be read.
    """
    fields = fields_of(value, _NODE, "a registration")
    name = _named_in(fields, datacenter)
    is_kept = switch_in(fields, "SkipNodeUpdate")
    details = NodeFields(
        text_in(fields, "ID"),
        text_in(fields, "Address"),
        datacenter,
        names_in(fields, "TaggedAddresses"),
        names_in(fields, "NodeMeta"),
    )
    if not (details.address or is_kept):
        raise HttpError(500, "Must provide address if SkipNodeUpdate is not set")
    fault = node_id_fault(details.id)
    if fault:
        raise HttpError(500, fault)
    service = _service(fields.get("service"), name)
    checks = _checks(fields, name)
    return CatalogPut(name, details, service, checks, keeps_node=is_kept)


def node_id_fault(text: str) -> str:
    """What is wrong with the id of a node, in Consul's words; empty if nothing is."""
    if not text or _UUID.fullmatch(text):
        return ""
    is_short = len(text) != _UUID_CHARS
    return (
        f"Bad node ID: uuid {'string is wrong length' if is_short else 'is improperly formatted'}"
    )


def removal_of(value: Any, datacenter: str) -> Removal:
    """What a body removes: an instance, else a check, else the whole node.

    Raises:
        HttpError: 500, as Consul has it: it makes no sense.
        TextError: It cannot be read.
    """
    fields = fields_of(value, _REMOVED, "a deregistration")
    name = _named_in(fields, datacenter)
    service, check = text_in(fields, "ServiceID"), text_in(fields, "CheckID")
    if service:
        return ServiceDeregister(name, service)
    return CheckDeregister(name, check) if check else NodeDeregister(name)


def _named_in(fields: Fields, datacenter: str) -> str:
    if text_in(fields, "Datacenter", datacenter) not in ("", datacenter):
        raise HttpError(500, "No path to datacenter")
    name = text_in(fields, "Node")
    if not name:
        raise HttpError(500, "Must provide node")
    return name


def _service(value: Any, node: str) -> Service | None:
    if value is None:
        return None
    fields = fields_of(value, SERVICE_FIELDS, "a service")
    said = service_in(fields)
    if not said.name and said.id:
        text = "Must provide service name (Service.Service) when service ID is provided"
        raise HttpError(500, text)
    if not said.name:
        return None
    fault = service_fault(fields, said, node)
    if fault:
        raise HttpError(500, fault)
    return said


def service_in(fields: Fields) -> Service:
    """The service of a body, whether it makes sense or not.

    Raises:
        HttpError: 501: more than is built.
        TextError: It cannot be read.
    """
    name = text_in(fields, "Service")
    plain = Service(
        text_in(fields, "ID") or name,
        name,
        text_in(fields, "Kind"),
        tuple(texts_in(fields, "Tags")),
        text_in(fields, "Address"),
        integer_in(fields, "Port", least=0, most=PORT_MAX),
        _tagged(fields),
        text_in(fields, "SocketPath"),
        names_in(fields, "Meta"),
        _weights(fields),
        switch_in(fields, "EnableTagOverride"),
    )
    return with_mesh(fields, plain)


def service_fault(fields: Fields, said: Service, node: str) -> str:
    """What is wrong with a service, in Consul's words; empty if nothing is."""
    if said.address in _UNSPECIFIED:
        return "Invalid service address"
    fault = mesh_faults(fields, said)
    if fault:
        return fault
    for key, value in said.meta.items():
        fault = meta_fault(key, value)
        if fault:
            return (
                f"failed inserting service: Invalid Service Meta for node {node} and "
                f"serviceID {said.id}: Couldn't load metadata pair ('{key}', '{value}'): {fault}"
            )
    return ""


def _tagged(fields: Fields) -> dict[str, Address]:
    value = fields.get("taggedaddresses")
    if value is None:
        return {}
    if not is_object(value):
        raise TextError("json: TaggedAddresses is no object")
    if len(value) > ADDRESSES_MAX:
        raise TextError(f"json: field TaggedAddresses has more than {ADDRESSES_MAX} addresses")
    found: dict[str, Address] = {}
    for tag, place in value.items():
        inner = fields_of(place, ("address", "port"), "an address")
        port = integer_in(inner, "Port", least=0, most=PORT_MAX)
        found[checked(tag, "TaggedAddresses")] = Address(text_in(inner, "Address"), port)
    return found


def _weights(fields: Fields) -> Weights:
    value = fields.get("weights")
    if value is None:
        return Weights()
    inner = fields_of(value, ("passing", "warning"), "weights")
    return Weights(
        integer_in(inner, "Passing", 1, least=0, most=WEIGHT_MAX),
        integer_in(inner, "Warning", 1, least=0, most=WEIGHT_MAX),
    )


def _checks(fields: Fields, node: str) -> tuple[Check, ...]:
    several: Any = fields.get("checks")
    if several is None:
        several = list[Any]()
    if not is_list(several):
        raise TextError("json: Checks is no list")
    one = fields.get("check")
    values = several if one is None else [one, *several]
    if len(values) > CHECKS_MAX:
        raise TextError(f"json: field Checks has more than {CHECKS_MAX} items")
    return tuple(_check(value, node) for value in values)


def _check(value: Any, node: str) -> Check:
    fields = fields_of(value, CHECK_FIELDS, "a check")
    said, host = check_in(fields), text_in(fields, "Node")
    if host and host.lower() != node.lower():
        text = f"Node '{host}' for check '{said.id}' doesn't match register request node '{node}'"
        raise HttpError(500, text)
    if not said.id:
        raise HttpError(500, f'failed inserting check on node "{node}": Missing CheckID')
    return said


def check_in(fields: Fields) -> Check:
    """The check of a body, whether it makes sense or not.

    Raises:
        TextError: It cannot be read.
    """
    name = text_in(fields, "Name")
    definition = _definition(fields.get("definition"))
    texts_in(fields, "ServiceTags")
    return Check(
        text_in(fields, "CheckID") or name,
        name,
        text_in(fields, "Status") or CRITICAL,
        text_in(fields, "Notes"),
        text_in(fields, "Output"),
        text_in(fields, "ServiceID"),
        text_in(fields, "Type") or kind_of_check(definition),
        text_in(fields, "Interval"),
        text_in(fields, "Timeout"),
        integer_in(fields, "ExposedPort", least=0, most=PORT_MAX),
        definition,
    )


def _definition(value: Any) -> Definition:
    if not value:
        return NO_DEFINITION
    fields = fields_of(value, _DEFINITION, "Definition")
    values: dict[str, Any] = {key: text_in(fields, field) for field, key in _TEXTS.items()}
    values |= {key: duration_in(fields, field) for field, key in _DURATIONS.items()}
    values |= {key: switch_in(fields, field) for field, key in _SWITCHES.items()}
    return Definition(
        header=header_in(fields),
        output_bytes_max=integer_in(fields, "OutputMaxSize"),
        args=tuple(texts_in(fields, "ScriptArgs")),
        **values,
    )


def kind_of_check(definition: Definition) -> str:
    """The type of a check that is said by its definition alone."""
    said = (
        (definition.grpc, "grpc"),
        (definition.http, "http"),
        (definition.ttl_ns, "ttl"),
        (definition.tcp, "tcp"),
        (definition.udp, "udp"),
        (definition.alias_node or definition.alias_service, "alias"),
        (definition.docker, "docker"),
        (definition.args, "script"),
        (definition.h2ping, "h2ping"),
        (definition.os_service, "os_service"),
    )
    return next((kind for value, kind in said if value), "")
