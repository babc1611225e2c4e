"""Checks of this agent: `/v1/agent/checks`, to register them, and heartbeats.

Source: https://developer.hashicorp.com/consul/api-docs/agent/check.
"""

from functools import partial

from quorate.gateways.http.agentanswers import answer_done, refuse_probed, send_map
from quorate.gateways.http.bodies import fields_of, json_of, text_in
from quorate.gateways.http.checkbodies import check_of
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.filters import CHECK, filter_of
from quorate.gateways.http.params import Params, path_text
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.localstate.entries import LocalCheck, shown_duration
from quorate.monitoring.checks import CRITICAL, PASSING, STATUSES, WARNING

_OUTPUT_BYTES_MAX = 512 * 1024


def checks(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The checks of this agent, by id."""
    check_enterprise(request, params)
    keep = filter_of(params, CHECK, prefix="")

    found = context.agent.state.checks
    node = context.local.status().node.name

    def view_of(name: str) -> JsonView | None:
        check = found.get(name)
        return None if check is None else agent_check_view(context, node, check)

    step = partial(send_map, context, request, sorted(found), view_of, keep)
    context.when_wanted(request, step)


def agent_check_view(context: Context, node: str, check: LocalCheck) -> JsonView:
    """A check as the endpoints of the agent show it."""
    definition = check.definition
    service = context.agent.state.services.get(definition.service_id)
    return {
        "Node": node,
        "CheckID": definition.id,
        "Name": definition.name,
        "Status": check.state.status,
        "Notes": definition.notes,
        "Output": check.state.output,
        "ServiceID": definition.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": () if service is None else service.service.tags,
        "Type": definition.kind,
        "Interval": shown_duration(definition, definition.interval_ns),
        "Timeout": shown_duration(definition, definition.timeout_ns),
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }


def register(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Register a check with this agent."""
    check_enterprise(request, params)
    try:
        definition = check_of(json_of(request.body))
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    refuse_probed(context, (definition,))
    context.agent.add_check(request.context, definition, partial(answer_done, context, request))


def deregister(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Remove a check of this agent."""
    check_enterprise(request, params)
    check = _named(name)
    if not context.agent.remove_check(
        request.context, check, partial(answer_done, context, request)
    ):
        raise unknown_check(check)


def unknown_check(check: str) -> HttpError:
    """The response about a check that this agent does not have."""
    return HttpError(
        404,
        f'Unknown check ID "{check}". Ensure that the check ID is passed, not the check name.',
    )


def _named(name: bytes) -> str:
    if not name:
        raise unknown_check("")
    return path_text(name, "check ID")


def passing(context: Context, request: Request, params: Params, name: bytes) -> None:
    """A heartbeat: the check is passing."""
    _heartbeat(context, request, params, name, PASSING)


def warning(context: Context, request: Request, params: Params, name: bytes) -> None:
    """A heartbeat: the check is in warning."""
    _heartbeat(context, request, params, name, WARNING)


def failing(context: Context, request: Request, params: Params, name: bytes) -> None:
    """A heartbeat: the check is critical."""
    _heartbeat(context, request, params, name, CRITICAL)


def _heartbeat(
    context: Context, request: Request, params: Params, name: bytes, status: str
) -> None:
    check_enterprise(request, params)
    _beat(context, request, _named(name), status, params.text("note"))


def _beat(context: Context, request: Request, check: str, status: str, output: str) -> None:
    found = context.agent.state.checks.get(check)
    if found is not None and found.definition.ttl_s <= 0:
        raise HttpError(500, f'CheckID "{check}" does not have associated TTL')
    done = partial(answer_done, context, request)
    context.agent.heartbeat(request.context, check, status, output, done)


def update(context: Context, request: Request, params: Params, name: bytes) -> None:
    """A heartbeat with status and output in its body."""
    check_enterprise(request, params)
    check = _named(name)
    try:
        fields = fields_of(json_of(request.body), ("status", "output"), "an update")
        status = text_in(fields, "Status")
        output = text_in(fields, "Output", bytes_max=_OUTPUT_BYTES_MAX)
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    if status not in STATUSES:
        raise HttpError(400, f"Invalid check status: '{status}'")
    _beat(context, request, check, status, output)
