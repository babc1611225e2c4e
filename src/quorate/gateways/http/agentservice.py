"""One service of this agent: `/v1/agent/service/:id`, its health, and maintenance.

Source: https://developer.hashicorp.com/consul/api-docs/agent/service.
"""

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b

import msgspec

from quorate.catalog.fields import Service
from quorate.gateways.http.agentanswers import answer_done
from quorate.gateways.http.blocking import mode_of
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params, boolean, path_text
from quorate.gateways.http.services import agent_view, unknown_service
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.localstate.entries import LocalCheck
from quorate.monitoring.checks import CRITICAL, worst
from quorate.monitoring.definitions import (
    NODE_MAINTENANCE,
    SERVICE_MAINTENANCE,
    CheckDefinition,
)
from quorate.serving.ports import Timer

MAINTENANCE = "maintenance"
_STATUS_OF = {"passing": 200, "warning": 429, "critical": 503, MAINTENANCE: 503}
_PLAIN = b"text/plain"
_NO_REASON = (
    "Maintenance mode is enabled for this {}, but no reason was provided. "
    "This is a default message."
)

_encode = msgspec.json.Encoder().encode


def hash_of(service: Service) -> str:
    """Another text for another definition."""
    return blake2b(_encode(service), digest_size=8).hexdigest()


# --- one service -------------------------------------------------------------------------------


def service(context: Context, request: Request, params: Params, name: bytes) -> None:
    """One service; with `hash` when it differs from that, or after `wait`."""
    mode = mode_of(context, request, params)
    reading = _HashRead(context, request, path_text(name, "service ID"), params.text("hash"))
    reading.begin(mode.wait_s or context.config.default_wait_s)


class _HashRead:
    """A read of a service that waits until its hash is another one."""

    def __init__(self, context: Context, request: Request, service: str, known: str) -> None:
        self._context = context
        self._request = request
        self._caller = HttpCaller(context, request)
        self._service = service
        self._known = known
        self._timer: Timer | None = None
        self._unwatch: Callable[[], None] | None = None

    def begin(self, wait_s: float) -> None:
        if self._is_due():
            self._answer()
        elif self._caller.begin_wait(self._forget):
            self._timer = self._context.serving.call_later(wait_s, self._finish)
            self._watch()

    def _is_due(self) -> bool:
        found = self._context.agent.state.services.get(self._service)
        return found is None or not self._known or hash_of(found.service) != self._known

    def _watch(self) -> None:
        self._unwatch = self._context.agent.on_change(self._changed)

    def _changed(self) -> None:
        self._unwatch = None
        if self._is_due():
            self._finish()
        else:
            self._watch()

    def _finish(self) -> None:
        self._forget()
        self._caller.run(self._answer)

    def _forget(self) -> None:
        self._caller.end_wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _answer(self) -> None:
        context = self._context
        found = context.agent.state.services.get(self._service)
        if found is None:
            raise HttpError(404, f"unknown service ID: {self._service}")
        digest = hash_of(found.service)
        view = agent_view(context, found.service) | {"ContentHash": digest}
        line = b"X-Consul-Contenthash: %b\r\n" % digest.encode()
        context.responses.value(self._request, view, lines=line)


# --- health ------------------------------------------------------------------------------------


def health_by_id(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The health of one service."""
    check_enterprise(request, params)
    if not name:
        raise HttpError(500, "Missing serviceID")
    text = path_text(name, "service ID")
    found = context.agent.state.services.get(text)
    if found is None:
        view: JsonView = {"AggregatedStatus": CRITICAL, "Service": None, "Checks": None}
        _show(context, request, params, 404, f"ServiceId {text} not found", view)
        return
    status, view = _health(context, found.service)
    _show(context, request, params, _STATUS_OF[status], status, view)


def health_by_name(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The health of all services of a name: the worst decides."""
    check_enterprise(request, params)
    if not name:
        raise HttpError(500, "Missing service Name")
    text = path_text(name, "service name")
    services = context.agent.state.services.values()
    found = [_health(context, each.service) for each in services if each.service.name == text]
    views = [view for _, view in found]
    if not found:
        _show(context, request, params, 404, f"ServiceName {text} Not Found", views)
        return
    status = max((each for each, _ in found), key=list(_STATUS_OF).index)
    _show(context, request, params, _STATUS_OF[status], status, views)


def _health(context: Context, service: Service) -> tuple[str, JsonView]:
    state = context.agent.state
    checks = [*state.checks_of(""), *state.checks_of(service.id)]
    status = _aggregated(checks)
    node = context.local.status().node.name
    view: JsonView = {
        "AggregatedStatus": status,
        "Service": agent_view(context, service),
        "Checks": [_bare(node, check) for check in checks],
    }
    return status, view


def _aggregated(checks: Iterable[LocalCheck]) -> str:
    found = list(checks)
    if any(check.definition.is_maintenance for check in found):
        return MAINTENANCE
    return worst(check.status for check in found)


def _bare(node: str, check: LocalCheck) -> JsonView:
    definition = check.definition
    return {
        "Node": node,
        "CheckID": definition.id,
        "Name": definition.name,
        "Status": check.status,
        "Notes": definition.notes,
        "Output": check.state.output,
        "ServiceID": definition.service_id,
        "ServiceName": check.service_name,
    }


def _show(
    context: Context, request: Request, params: Params, status: int, reason: str, view: object
) -> None:
    lines = b"X-Consul-Reason: %b\r\n" % reason.encode("ascii", "replace")
    responses = context.responses
    if params.text("format") == "text" or request.header(b"accept") == _PLAIN:
        responses.send(request, reason.encode(), status=status, kind=_PLAIN, lines=lines)
        return
    body = responses.encoded(view, asked=responses.asks_pretty(request))
    responses.send(request, body, status=status, lines=lines)


# --- maintenance -------------------------------------------------------------------------------


def node_maintenance(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Take this node out of service, or put it back."""
    check_enterprise(request, params)
    is_on = _enable(params)
    reason = params.text("reason") or _NO_REASON.format("node")
    check = CheckDefinition(
        NODE_MAINTENANCE, "Node Maintenance Mode", reason, CRITICAL,
        is_embedded=True, is_maintenance=True,
    )  # fmt: skip
    _maintain(context, request, check, is_on=is_on)


def service_maintenance(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Take a service out of service, or put it back."""
    check_enterprise(request, params)
    if not name:
        raise HttpError(400, "Missing service ID")
    is_on = _enable(params)
    service_id = path_text(name, "service ID")
    if service_id not in context.agent.state.services:
        raise unknown_service(service_id)
    reason = params.text("reason") or _NO_REASON.format("service")
    check = CheckDefinition(
        f"{SERVICE_MAINTENANCE}{service_id}", "Service Maintenance Mode", reason, CRITICAL,
        service_id, is_embedded=True, is_maintenance=True,
    )  # fmt: skip
    _maintain(context, request, check, is_on=is_on)


def _enable(params: Params) -> bool:
    text = params.text("enable")
    if not text:
        raise HttpError(400, "Missing value for enable")
    value = boolean(text)
    if value is None:
        raise HttpError(400, f'Invalid value for enable: "{text}"')
    return value


def _maintain(context: Context, request: Request, check: CheckDefinition, *, is_on: bool) -> None:
    agent, done = context.agent, partial(answer_done, context, request)
    if is_on and check.id not in agent.state.checks:
        agent.add_check(request.context, check, done)
    elif is_on or not agent.remove_check(request.context, check.id, done):
        done(None)
