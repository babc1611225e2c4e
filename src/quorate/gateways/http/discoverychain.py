"""Discovery chains: `/v1/discovery-chain`, of services without routers, splitters and redirects.

Source: https://developer.hashicorp.com/consul/api-docs/discovery-chain.
"""

from typing import Any, NamedTuple
from zlib import crc32

from quorate.base.durations import go_duration
from quorate.base.results import Answer
from quorate.configentries.protocols import ADVANCED, TCP, protocol_in
from quorate.configentries.queries import each_entry, entry_get
from quorate.configentries.tables import (
    GLOBAL,
    PROXY_DEFAULTS,
    ROUTER,
    SERVICE_DEFAULTS,
    SPLITTER,
    fields_of_entry,
)
from quorate.gateways.http.blocking import mode_of, read
from quorate.gateways.http.bodies import fields_of, json_of, text_in
from quorate.gateways.http.checkbodies import duration_in
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.route import Route
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated

CONNECT_TIMEOUT = "5s"
"""Where nothing says another one."""

_RESOLVER = "service-resolver"
_NO_TRUST_DOMAIN = "00000000-0000-0000-0000-000000000000"
_PROTOCOLS = (TCP, *ADVANCED)


class _Overrides(NamedTuple):
    protocol: str = ""
    connect_timeout: str = ""
    mesh_gateway: str = ""


def get(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The chain of a service, also of one that nobody has defined."""
    _respond(context, request, params, name, _Overrides())


def post(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The same, with other values for some of its settings."""
    try:
        known = ("overrideprotocol", "overrideconnecttimeout", "overridemeshgateway")
        fields = fields_of(json_of(request.body), known, "overrides")
        gateway = fields_of(fields.get("overridemeshgateway"), ("mode",), "OverrideMeshGateway")
        timeout_ns = duration_in(fields, "OverrideConnectTimeout")
        overrides = _Overrides(
            text_in(fields, "OverrideProtocol"),
            go_duration(timeout_ns) if timeout_ns else "",
            text_in(gateway, "Mode"),
        )
    except TextError as error:
        raise HttpError(400, f"Request decoding failed: {error}") from error
    if overrides.protocol not in ("", *_PROTOCOLS):
        raise HttpError(500, f'unknown protocol "{overrides.protocol}"')
    _respond(context, request, params, name, overrides)


def _respond(
    context: Context, request: Request, params: Params, name: bytes, overrides: _Overrides
) -> None:
    if not name:
        raise HttpError(400, "Missing chain name")
    service = path_text(name, "chain name")
    mode = mode_of(context, request, params, takes_cached=True, is_named=True)
    datacenter = params.text("compile-dc") or context.config.datacenter
    trust_domain = f"{context.local.status().cluster_id or _NO_TRUST_DOMAIN}.consul"

    def evaluate(reader: Reader) -> Answer[Any]:
        chain = _compiled(reader, service, datacenter, trust_domain, overrides)
        answer = each_entry(reader)
        return Answer(chain, answer.changed, answer.header, answer.subjects)

    def render(found: Evaluated, lines: bytes) -> None:
        context.responses.value(request, {"Chain": found.value}, lines=lines)

    read(context, request, mode, evaluate, render, is_compared=True)


def _compiled(
    reader: Reader, service: str, datacenter: str, trust_domain: str, overrides: _Overrides
) -> dict[str, Any]:
    resolver = entry_get(reader, _RESOLVER, service).value
    said = {} if resolver is None else fields_of_entry(resolver)
    is_default = resolver is None
    for kind in (ROUTER, SPLITTER):
        if entry_get(reader, kind, service).value is not None:
            raise _not_built(service, kind)
    if any(said.get(name) for name in ("Redirect", "Failover", "DefaultSubset")):
        raise _not_built(service, "redirect, fail-over or subset")
    timeout = overrides.connect_timeout or said.get("ConnectTimeout") or CONNECT_TIMEOUT
    target = f"{service}.default.default.{datacenter}"
    sni = f"{service}.default.{datacenter}.internal.{trust_domain}"
    node = f"resolver:{target}"
    chain: dict[str, Any] = {
        "ServiceName": service,
        "Namespace": "default",
        "Partition": "default",
        "Datacenter": datacenter,
    }
    if any(overrides):
        chain["CustomizationHash"] = f"{crc32(repr(overrides).encode()):08x}"
    if is_default:
        chain["Default"] = True
    resolved: dict[str, Any] = {"ConnectTimeout": timeout}
    if is_default:
        resolved["Default"] = True
    gateway = {"Mode": overrides.mesh_gateway} if overrides.mesh_gateway else {}
    return chain | {
        "Protocol": overrides.protocol or _protocol(reader, service),
        "StartNode": node,
        "Nodes": {
            node: {"Type": "resolver", "Name": target, "Resolver": {**resolved, "Target": target}}
        },
        "Targets": {
            target: {
                "ConnectTimeout": timeout,
                "ID": target,
                "Service": service,
                "Namespace": "default",
                "Partition": "default",
                "Datacenter": datacenter,
                "MeshGateway": gateway,
                "Subset": {},
                "TransparentProxy": {},
                "SNI": sni,
                "Name": sni,
            }
        },
        "AutoVirtualIPs": None,
        "ManualVirtualIPs": None,
    }


def _protocol(reader: Reader, service: str) -> str:
    for kind, name in ((SERVICE_DEFAULTS, service), (PROXY_DEFAULTS, GLOBAL)):
        row = entry_get(reader, kind, name).value
        found = "" if row is None else protocol_in(kind, row.content)
        if found:
            return found
    return TCP


def _not_built(service: str, what: str) -> HttpError:
    text = f'the chain of "{service}" has a {what}: compiling those is not built'
    return HttpError(501, text, code="unsupported")


ROUTES = (Route("/v1/discovery-chain/:service", {"GET": get, "POST": post}),)
