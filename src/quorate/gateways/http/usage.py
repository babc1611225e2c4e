"""`/v1/operator/usage`: how many nodes, services and instances are registered.

Source: https://developer.hashicorp.com/consul/api-docs/operator/usage.
"""

from collections.abc import Generator
from functools import partial

from quorate.catalog.fields import SERVER_SERVICE
from quorate.catalog.queries import each_node, each_service
from quorate.gateways.http.blocking import INDEX_LINES, confirmed, mode_of
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.params import Params
from quorate.gateways.http.route import Route
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.held import work_through

ROWS = 64
"""Rows that one turn counts."""

_NATIVE = "connect-native"
_KINDS = (
    "api-gateway", _NATIVE, "connect-proxy", "ingress-gateway", "mesh-gateway",
    "terminating-gateway",
)  # fmt: skip


def usage(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The counts of the one datacenter, whichever is named. O(instances), in slices."""
    if params.text("dc"):  # as in Consul, the name is not looked at
        check_enterprise(request, params)
    else:
        mode_of(context, request, params, is_named=True)

    def then(reader: Reader, counts: JsonView) -> None:
        body = {
            "Usage": {context.config.datacenter: counts},
            "Index": max(reader.index, 1),
            "LastContact": 0,
            "KnownLeader": True,
            "ConsistencyLevel": "leader",
            "NotModified": False,
            "Backend": 0,
            "ResultsFilteredByACLs": False,
        }
        lines = INDEX_LINES % max(reader.index, 1)
        lines += b"X-Consul-Effective-Consistency: leader\r\n"
        context.responses.value(request, body, lines=lines)

    caller = HttpCaller(context, request)
    confirmed(context, request, partial(work_through, context.serving, caller, _counted, then))


def _counted(reader: Reader) -> Generator[None, None, JsonView]:
    nodes = instances = billable = services = 0
    in_mesh = dict.fromkeys(_KINDS, 0)
    last = ""
    for _ in each_node(reader).value:
        nodes += 1
        if nodes % ROWS == 0:
            yield
    for row in each_service(reader).value:
        service = row.service
        instances += 1
        services += service.name.lower() != last  # they come by name
        last = service.name.lower()
        kind = _NATIVE if service.is_native else service.kind
        if kind in in_mesh:
            in_mesh[kind] += 1
        billable += not service.kind and service.name != SERVER_SERVICE
        if instances % ROWS == 0:
            yield
    return {
        "Services": services,
        "ServiceInstances": instances,
        "ConnectServiceInstances": in_mesh,
        "BillableServiceInstances": billable,
        "Nodes": nodes,
    }


ROUTES = (Route("/v1/operator/usage", {"GET": usage}),)
