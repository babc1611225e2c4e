"""Fields of services that concern meshes, named ports and places, in the bodies of requests.

Source: https://developer.hashicorp.com/consul/docs/reference/proxy/connect-proxy.
"""

from typing import Any

import msgspec

from quorate.base.subjects import name_part
from quorate.catalog.fields import Port, Service
from quorate.gateways.http.bodies import (
    Fields,
    fields_of,
    integer_in,
    is_list,
    is_object,
    kind_of,
    switch_in,
    text_in,
)
from quorate.gateways.http.errors import HttpError, TextError

PORT_MAX = 65535
PORTS_MAX = 64
PROXY_BYTES_MAX = 64 * 1024

_PROXY = (
    "DestinationServiceName", "DestinationServiceID", "LocalServiceAddress", "LocalServicePort",
    "LocalServiceSocketPath", "Mode", "Config", "Upstreams", "MeshGateway", "Expose",
    "TransparentProxy", "EnvoyExtensions", "AccessLogs", "MutualTLSMode",
)  # fmt: skip
_PROXY_TEXTS = (
    "DestinationServiceName", "DestinationServiceID", "LocalServiceAddress",
    "LocalServiceSocketPath", "Mode",
)  # fmt: skip
_WITHIN = (
    "DestinationType", "DestinationNamespace", "DestinationPartition", "DestinationPeer",
    "DestinationName", "Datacenter", "LocalBindAddress", "LocalBindPort", "LocalBindSocketPath",
    "LocalBindSocketMode", "Checks", "Paths", "ListenerPort", "Path", "LocalPathPort", "Protocol",
    "OutboundListenerPort", "DialedDirectly", "Config",
)  # fmt: skip
"""Names within these; what `Config` and extensions hold is not Consul's."""

_KNOWN = {name.lower(): name for name in _PROXY}
_NAMES = {**_KNOWN, **{name.lower(): name for name in _WITHIN}}
_OPAQUE = frozenset({"Config", "EnvoyExtensions"})
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode

PROXY = "connect-proxy"
"""The kind of a service that is the proxy of another one."""

GATEWAYS = frozenset({"mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"})
"""The kinds of services that stand between a mesh and others."""

_WITHOUT_PORT = frozenset({"ingress-gateway", "api-gateway"})
_NOT_OF_GATEWAYS = (
    "DestinationServiceName", "DestinationServiceID", "LocalServiceAddress", "LocalServicePort",
    "LocalServiceSocketPath", "Upstreams",
)  # fmt: skip


def with_mesh(fields: Fields, said: Service) -> Service:
    """A service with what its body says of its proxy, mesh, ports and place.

    Raises:
        HttpError: 501: more than is built.
        TextError: It cannot be read.
    """
    ports = _ports(fields)
    default = next((port.port for port in ports if port.is_default), said.port)
    return msgspec.structs.replace(
        said,
        proxy=_proxy(fields.get("proxy")),
        is_native=_is_native(fields.get("connect")),
        ports=ports,
        port=said.port or default,
        locality=_locality(fields.get("locality")),
    )


def _proxy(value: Any) -> bytes:
    if not value:
        return b""
    fields = fields_of(value, _KNOWN, "Proxy")
    for name in _PROXY_TEXTS:
        text_in(fields, name)
    integer_in(fields, "LocalServicePort", least=0, most=PORT_MAX)
    try:
        said = {
            _KNOWN[name]: _spelled(_KNOWN[name], member)
            for name, member in fields.items()
            if member
        }
        data = _encode({name: said[name] for name in _PROXY if name in said})
    except (UnicodeEncodeError, RecursionError, OverflowError) as error:
        raise TextError("json: field Proxy holds what cannot be stored") from error
    if len(data) > PROXY_BYTES_MAX:
        raise TextError(f"json: field Proxy is longer than {PROXY_BYTES_MAX} bytes")
    return data


def _spelled(name: str, value: Any) -> Any:
    """A part of a proxy with the names that Consul shows, however they were spelled."""
    if name in _OPAQUE:
        return value
    if is_list(value):
        return [_spelled(name, each) for each in value]
    if not is_object(value):
        return value
    found: dict[str, Any] = {}
    for key, member in value.items():
        shown = _NAMES.get(key.lower().replace("_", ""), key)
        found[shown] = _spelled(shown, member)
    return found


def _is_native(value: Any) -> bool:
    if not value:
        return False
    fields = fields_of(value, ("native", "sidecarservice", "peermeta"), "Connect")
    if fields.get("sidecarservice") is not None or fields.get("peermeta"):
        text = "Connect.SidecarService is not built: register the proxy as a service"
        raise HttpError(501, text, code="unsupported")
    return switch_in(fields, "Native")


def _ports(fields: Fields) -> tuple[Port, ...]:
    value = fields.get("ports")
    if not value:
        return ()
    if not is_list(value):
        raise TextError(f"json: cannot unmarshal {kind_of(value)} into field Ports")
    if len(value) > PORTS_MAX:
        raise TextError(f"json: field Ports has more than {PORTS_MAX} items")
    inner = [fields_of(item, ("name", "port", "default"), "a port") for item in value]
    return tuple(
        Port(
            text_in(one, "Name"),
            integer_in(one, "Port", least=0, most=PORT_MAX),
            switch_in(one, "Default"),
        )
        for one in inner
    )


def _locality(value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    fields = fields_of(value, ("region", "zone"), "Locality")
    return text_in(fields, "Region"), text_in(fields, "Zone")


def mesh_faults(fields: Fields, said: Service) -> str:
    """What is wrong with such a service, in Consul's words; empty if nothing is.

    Args:
        fields: Of its body.
        said: The service.
    """
    has_place = bool(said.port or said.socket_path)
    names = [port.name for port in said.ports]
    twice = next((name for name in names if names.count(name) > 1), "")
    defaults = sum(port.is_default for port in said.ports)
    is_proxy = said.kind == PROXY
    destination = destination_of(said)
    checks = (
        (bool(said.ports) and bool(fields.get("port")), "Cannot set both Port and Ports"),
        ("" in names, "Ports.Name cannot be empty"),
        (bool(twice), f'Ports.Name "{twice}" has to be unique'),
        (any(port.port == 0 for port in said.ports), "Ports.Port must be greater than zero"),
        (bool(names) and defaults == 0, "One of the Ports must be marked as Default"),
        (defaults > 1, "Only one port can be marked as default"),
        (is_proxy and not has_place, "Port or SocketPath must be set for a connect-proxy"),
        (
            is_proxy and not destination,
            "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
        ),
        (
            is_proxy and destination == "*",
            "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services",
        ),
        (
            is_proxy and said.is_native,
            "A Proxy cannot also be Connect Native, only typical services",
        ),
        (
            said.is_native and not is_proxy and not has_place,
            "Port or SocketPath must be set for a Connect native service.",
        ),
    )
    faults = [text for is_so, text in checks if is_so]
    if said.kind in GATEWAYS:
        faults += _gateway_faults(said)
    if not faults:
        return ""
    lines = "".join(f"\t* {fault}\n" for fault in faults)
    return f"{len(faults)} error{'s' * (len(faults) > 1)} occurred:\n{lines}\n"


def _gateway_faults(said: Service) -> list[str]:
    needs_port = said.kind not in _WITHOUT_PORT
    faults = [f"Port must be non-zero for a {said.kind}"] if needs_port and not said.port else []
    proxy = proxy_of(said)
    return faults + [
        f"The Proxy.{name} configuration is invalid for a {said.kind}"
        for name in _NOT_OF_GATEWAYS
        if proxy.get(name)
    ]


def proxy_of(service: Service) -> dict[str, Any]:
    """What a service says of itself as a proxy; empty if it is none."""
    return _decode(service.proxy) if service.proxy else {}


def destination_of(service: Service) -> str:
    """The name of the service whose proxy it is; empty if it is none."""
    return proxy_of(service).get("DestinationServiceName") or ""


def is_mesh_of(service: Service, name: bytes) -> bool:
    """Whether an instance takes part in a mesh for a service: as its proxy, or by itself.

    Args:
        service: The instance.
        name: Of the service, in the form of keys.
    """
    if service.is_native:
        return name_part(service.name) == name
    return service.kind == PROXY and name_part(destination_of(service)) == name
