"""Routes: every path that is served, by pattern and method, and the router."""

import re
from collections.abc import Sequence

from quorate.base.context import PLAIN, PLAIN_CONSISTENT, PLAIN_STALE
from quorate.gateways.http import (
    agent,
    agentservice,
    caroots,
    catalog,
    catalogwrites,
    checks,
    configentries,
    control,
    discoverychain,
    events,
    health,
    host,
    intentions,
    keyring,
    kv,
    metrics,
    operator,
    preparedqueries,
    services,
    session,
    snapshot,
    status,
    txn,
    usage,
)
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import NO_PARAMS, cleaned, decoded, params_of
from quorate.gateways.http.requestcontext import LENGTHS, with_headers
from quorate.gateways.http.responses import TEXT
from quorate.gateways.http.route import Route
from quorate.httpserver.request import Request
from quorate.httpserver.traffic import Traffic

NO_ENDPOINT = "Invalid URL path: not a recognized HTTP API endpoint\n"
NO_API = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"

_KV = b"/v1/kv/"
_PLAIN_KEY = re.compile(rb"/v1/kv/([A-Za-z0-9_-]+(?:[/.:][A-Za-z0-9_-]+)*)(?:\?([^#]*))?")
_QUICK_KEY_MAX = 4096
_UNPRINTABLE = re.compile(rb"[\x00-\x1f\x7f]")
_WRITTEN_OUT = re.compile(rb"//|/\.\.?(?:/|$)")


ROUTES: tuple[Route, ...] = (
    Route("/v1/kv/:key", {"GET": kv.get, "PUT": kv.put, "DELETE": kv.delete}),
    Route("/v1/session/create", {"PUT": session.create}),
    Route("/v1/session/destroy/:id", {"PUT": session.destroy}),
    Route("/v1/session/info/:id", {"GET": session.info}),
    Route("/v1/session/list", {"GET": session.list_all}),
    Route("/v1/session/node/:node", {"GET": session.of_node}),
    Route("/v1/session/renew/:id", {"PUT": session.renew}),
    Route("/v1/txn", {"PUT": txn.put}),
    Route("/v1/snapshot", {"GET": snapshot.save, "PUT": snapshot.restore}),
    Route("/v1/status/leader", {"GET": status.leader}),
    Route("/v1/status/peers", {"GET": status.peers}),
    Route("/", {"GET": status.home, "HEAD": status.home}),
    Route("/v1/agent/check/deregister/:id", {"PUT": checks.deregister}),
    Route("/v1/agent/check/fail/:id", {"PUT": checks.failing}),
    Route("/v1/agent/check/pass/:id", {"PUT": checks.passing}),
    Route("/v1/agent/check/register", {"PUT": checks.register}),
    Route("/v1/agent/check/update/:id", {"PUT": checks.update}),
    Route("/v1/agent/check/warn/:id", {"PUT": checks.warning}),
    Route("/v1/agent/checks", {"GET": checks.checks}),
    Route("/v1/agent/health/service/id/:id", {"GET": agentservice.health_by_id}),
    Route("/v1/agent/health/service/name/:name", {"GET": agentservice.health_by_name}),
    Route("/v1/agent/maintenance", {"PUT": agentservice.node_maintenance}),
    Route("/v1/agent/service/:id", {"GET": agentservice.service}),
    Route("/v1/agent/service/maintenance/:id", {"PUT": agentservice.service_maintenance}),
    Route("/v1/agent/connect/ca/roots", {"GET": caroots.agent_roots}),
    Route("/v1/agent/force-leave/:node", {"PUT": operator.force_leave}),
    Route("/v1/agent/host", {"GET": host.host}),
    Route("/v1/agent/leave", {"PUT": control.leave}),
    Route("/v1/agent/members", {"GET": agent.members}),
    Route("/metrics", {"GET": metrics.prometheus}),
    Route("/v1/agent/metrics", {"GET": metrics.metrics}),
    Route("/v1/agent/monitor", {"GET": control.monitor}),
    Route("/v1/agent/reload", {"PUT": control.reload}),
    Route("/v1/agent/self", {"GET": agent.about}),
    Route("/v1/agent/service/deregister/:id", {"PUT": services.deregister}),
    Route("/v1/agent/service/register", {"PUT": services.register}),
    Route("/v1/agent/services", {"GET": services.services}),
    Route("/v1/agent/version", {"GET": host.version}),
    Route("/v1/catalog/register", {"PUT": catalogwrites.register}),
    Route("/v1/catalog/deregister", {"PUT": catalogwrites.deregister}),
    Route("/v1/catalog/datacenters", {"GET": catalog.datacenters}),
    Route("/v1/catalog/connect/:service", {"GET": catalog.connect}),
    Route("/v1/catalog/gateway-services/:gateway", {"GET": catalog.gateway_services}),
    Route("/v1/catalog/node/:node", {"GET": catalog.node}),
    Route("/v1/catalog/node-services/:node", {"GET": catalog.node_services}),
    Route("/v1/catalog/nodes", {"GET": catalog.nodes}),
    Route("/v1/catalog/service/:service", {"GET": catalog.service}),
    Route("/v1/catalog/services", {"GET": catalog.services}),
    Route("/v1/event/fire/:name", {"PUT": events.fire}),
    Route("/v1/event/list", {"GET": events.list_all}),
    Route("/v1/connect/ca/roots", {"GET": caroots.roots}),
    Route("/v1/health/checks/:service", {"GET": health.checks}),
    Route("/v1/health/connect/:service", {"GET": health.connect}),
    Route("/v1/health/ingress/:service", {"GET": health.ingress}),
    Route("/v1/health/node/:node", {"GET": health.node}),
    Route("/v1/health/service/:service", {"GET": health.service}),
    Route("/v1/health/state/:state", {"GET": health.state}),
    Route("/v1/query", {"GET": preparedqueries.list_all, "POST": preparedqueries.create}),
    Route(
        "/v1/query/:id",
        {
            "GET": preparedqueries.get,
            "PUT": preparedqueries.update,
            "DELETE": preparedqueries.delete,
        },
        preparedqueries.other,
    ),
    Route("/v1/operator/autopilot/health", {"GET": operator.health}),
    Route("/v1/operator/cluster", {"GET": operator.cluster}),
    Route("/v1/operator/raft/configuration", {"GET": operator.configuration}),
    Route("/v1/operator/raft/peer", {"DELETE": operator.remove_peer, "PUT": operator.promote_peer}),
    Route("/v1/operator/raft/transfer-leader", {"POST": operator.transfer}),
    *configentries.ROUTES,
    *discoverychain.ROUTES,
    *intentions.ROUTES,
    *keyring.ROUTES,
    *usage.ROUTES,
)


class Router:
    """Finds the handler of a request, and calls it.

    Args:
        context: Passed to handlers.
        routes: The routes, that of keys among them.
    """

    def __init__(self, context: Context, routes: Sequence[Route] = ROUTES) -> None:
        self._context = context
        self._kept = context.kept
        pairs = ((route.pattern, method) for route in routes for method in route.handlers)
        context.count_routes(Traffic(pairs))
        self._exact = {route.fixed: route for route in routes if not route.is_open}
        self._open = sorted(
            ((route.fixed, route) for route in routes if route.is_open),
            key=lambda pair: -len(pair[0]),
        )
        self._blocked: tuple[bytes, ...] = ()
        self.reconfigure()
        self._closed_kv = self._open_route(_KV)
        get, put = (context.traffic.of(self._closed_kv.pattern, name) for name in ("GET", "PUT"))
        self._quick = {
            (b"GET", b""): (kv.quick_get, get, PLAIN),
            (b"GET", b"consistent"): (kv.quick_get, get, PLAIN_CONSISTENT),
            (b"GET", b"stale"): (kv.quick_stale_get, get, PLAIN_STALE),
            (b"PUT", b""): (kv.quick_put, put, PLAIN),
        }

    def reconfigure(self) -> None:
        """Apply the configuration as it is now."""
        paths = self._context.config.blocked_paths
        self._blocked = tuple(path.encode() for path in paths)

    def handle(self, request: Request) -> None:
        """Respond to a request, now or later."""
        try:
            match = _PLAIN_KEY.fullmatch(request.target)
            if match is None or self._blocked:
                respond = self._kept.find(request)
                if respond is not None:
                    respond(request)
                    return
                request.traffic = self._context.traffic.other
                self._route(request)
                return
            key, query = match.groups()
            quick = self._quick.get((request.method, query or b""))
            if quick is not None and len(key) <= _QUICK_KEY_MAX and not _is_special(request):
                handler, request.traffic, request.context = quick
                handler(self._context, request, key)
                return
            self._call(self._closed_kv, request, query or b"", key)
        except Exception as error:  # noqa: BLE001 - it is answered, and raised again if it is ours
            self._context.fail(request, error)

    def route_of(self, path: bytes) -> tuple[Route | None, bytes]:
        """The route of a decoded path, and its free part."""
        route = self._exact.get(path)
        if route is not None:
            return route, b""
        for fixed, route in self._open:
            if path.startswith(fixed):
                return route, path[len(fixed) :]
        return None, b""

    def _open_route(self, fixed: bytes) -> Route:
        return next(route for known, route in self._open if known == fixed)

    def _route(self, request: Request) -> None:
        path, query = split(request.target)
        if _WRITTEN_OUT.search(path) or path == _KV[:-1]:
            self._redirect(request, path, query)
            return
        plain = plain_path(path)
        if plain is None:
            raise HttpError(400, "400 Bad Request")
        if _UNPRINTABLE.search(plain) and not self._context.config.takes_unprintable:
            lines = HttpError(400, "").lines()
            self._context.responses.empty(request, status=400, lines=lines)
            return
        if self._blocked and plain.startswith(self._blocked):
            raise HttpError(403, "Endpoint is blocked by agent configuration")
        route, name = self.route_of(plain)
        if route is not None:
            self._call(route, request, query, name)
        elif plain.startswith(b"/v1/"):
            self._context.responses.unknown(request, NO_ENDPOINT)
        else:
            self._context.responses.unknown(request, NO_API)

    def _redirect(self, request: Request, path: bytes, query: bytes) -> None:
        """Redirect an unclean path, as Go's library does; clients repeat a PUT as a GET."""
        place = cleaned(path) if path != _KV[:-1] else _KV
        if query:
            place += b"?" + query
        self._context.responses.send(
            request,
            b"",
            status=301,
            kind=b"text/html; charset=utf-8" if request.method == b"GET" else TEXT,
            lines=b"Location: %b\r\n" % place,
        )

    def _call(self, route: Route, request: Request, query: bytes, name: bytes) -> None:
        method = request.method.decode("latin-1")
        handler = route.handlers.get(method, route.other)
        request.traffic = self._context.traffic.of(route.pattern, method)
        if handler is not None:
            params = params_of(query) if query else NO_PARAMS
            if _is_special(request):
                now_s = self._context.local.now_s
                request.context = with_headers(request, request.context, now_s)
            handler(self._context, request, params, name)
            return
        lines = b"Allow: %b\r\n" % route.allow
        if method == "OPTIONS":
            self._context.responses.empty(request, lines=lines)
        else:
            raise HttpError(405, f"method {method} not allowed", headers=lines)


def split(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a target, which may be an absolute URI."""
    if not target.startswith(b"/") and b"://" in target:
        rest = target.partition(b"://")[2]
        target = b"/" + rest.partition(b"/")[2]
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return path, query


def is_plain_key(target: bytes) -> bool:
    """Whether the path of a target, as sent, is that of a key: the router changes nothing in it."""
    path, _ = split(target)
    return path.startswith(_KV) and b"%" not in path and _WRITTEN_OUT.search(path) is None


def plain_path(path: bytes) -> bytes | None:
    """A path with its escapes undone, and cleaned if it has some; None if one is broken."""
    plain = decoded(path)
    return plain if plain is None or b"%" not in path else clean_key(plain)


def clean_key(path: bytes) -> bytes:
    """A decoded path, cleaned; an encoded slash at the start of a key stays."""
    if path.startswith(_KV + b"/"):
        return _KV + cleaned(path[len(_KV) :])
    return cleaned(path)


def _is_special(request: Request) -> bool:
    """Whether a header may change the meaning of a plain request for a key."""
    for name, _ in request.headers:  # noqa: SIM110 - half the cost of `any` with a generator
        if len(name) in LENGTHS:
            return True
    return False
