"""Services of this agent: `/v1/agent/services`, and to register them.

Source: https://developer.hashicorp.com/consul/api-docs/agent/service.
"""

from functools import partial

from quorate.catalog.fields import Service
from quorate.gateways.http.agentanswers import answer_done, refuse_probed, send_map
from quorate.gateways.http.bodies import json_of
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.filters import SERVICE, filter_of
from quorate.gateways.http.meshbodies import GATEWAYS, PROXY, proxy_of
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.servicebodies import registration_of
from quorate.gateways.http.views import (
    JsonView,
    locality_view,
    ports_view,
    tagged_view,
    weights_view,
)
from quorate.httpserver.request import Request


def services(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The services of this agent, by id."""
    check_enterprise(request, params)
    keep = filter_of(params, SERVICE)

    found = context.agent.state.services

    def view_of(name: str) -> JsonView | None:
        entry = found.get(name)
        return None if entry is None else agent_view(context, entry.service)

    step = partial(send_map, context, request, sorted(found), view_of, keep)
    context.when_wanted(request, step)


def agent_view(context: Context, service: Service) -> JsonView:
    """A service as the endpoints of the agent show it."""
    view: JsonView = {"Kind": service.kind} if service.kind else {}
    view.update(
        ID=service.id,
        Service=service.name,
        Tags=service.tags,
        Meta=service.meta,
        Port=service.port,
        Address=service.address,
    )
    if service.tagged_addresses:
        view["TaggedAddresses"] = tagged_view(service)
    if service.socket_path:
        view["SocketPath"] = service.socket_path
    if service.ports:
        view["Ports"] = ports_view(service)
    view["Weights"] = weights_view(service)
    view["EnableTagOverride"] = service.enable_tag_override
    if service.kind == PROXY or service.kind in GATEWAYS:
        view["Proxy"] = {"MeshGateway": {}, "Expose": {}, **proxy_of(service)}
    if service.is_native:
        view["Connect"] = {"Native": True}
    if service.locality:
        view["Locality"] = locality_view(service)
    view["Datacenter"] = context.config.datacenter
    return view


def register(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Register a service with this agent."""
    check_enterprise(request, params)
    try:
        found = registration_of(json_of(request.body))
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    refuse_probed(context, found.checks)
    context.agent.register(
        request.context,
        found.service,
        found.checks,
        partial(answer_done, context, request),
        replaces="replace-existing-checks" in params,
    )


def deregister(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Remove a service of this agent."""
    check_enterprise(request, params)
    if not name:
        raise HttpError(400, "Missing service ID")
    service = path_text(name, "service ID")
    if not context.agent.deregister(
        request.context, service, partial(answer_done, context, request)
    ):
        raise unknown_service(service)


def unknown_service(service: str) -> HttpError:
    """The response about a service that this agent does not have."""
    return HttpError(
        404,
        f'Unknown service ID "{service}". '
        "Ensure that the service ID is passed, not the service name.",
    )
