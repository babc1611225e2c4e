"""`/v1/catalog/register` and `/v1/catalog/deregister`: what no agent registers by itself.

Source: https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from functools import partial

from quorate.base.errors import QuorateError
from quorate.base.outcomes import Failure, Outcome
from quorate.catalog.apply import NO_SERVICE
from quorate.catalog.commands import CatalogPut
from quorate.gateways.http.bodies import json_of
from quorate.gateways.http.catalogbodies import registration_of, removal_of
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import Params
from quorate.httpserver.request import Request


def register(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Put a node, an instance of a service and checks into the catalog. Linearizable."""
    try:
        command = registration_of(json_of(request.body), context.config.datacenter)
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    done = partial(_registered, context, request, command)
    context.serving.submit(request.context, command, done)


def _registered(
    context: Context, request: Request, command: CatalogPut, outcome: Outcome | QuorateError
) -> None:
    if isinstance(outcome, Outcome) and isinstance(outcome.value, Failure):
        outcome = Outcome(outcome.index, _as_consul(outcome.value, command))
    context.submitted(request, outcome, partial(_answer, context, request))


def _as_consul(failure: Failure, command: CatalogPut) -> Failure:
    """The failure in Consul's words."""
    if failure == NO_SERVICE:
        own = None if command.service is None else command.service.id
        strange = (check for check in command.checks if check.service_id not in ("", own))
        check = next(strange, None)
        if check is not None:
            text = f"Unknown service ID '{check.service_id}' for check ID '{check.id}'"
            return Failure(failure.code, text)
    if failure.code == "already_exists":
        return Failure(
            failure.code,
            "failed inserting node: Error while renaming Node ID: "
            f'"{command.details.id if command.details else ""}": {failure.text}',
        )
    return failure


def deregister(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Remove an instance, a check or a whole node; what is absent is no error."""
    try:
        command = removal_of(json_of(request.body), context.config.datacenter)
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error
    context.submit(request, command, partial(_answer, context, request))


def _answer(context: Context, request: Request, outcome: Outcome) -> None:
    lines = b"X-Quorate-Index: %d\r\n" % outcome.index
    context.responses.value(request, True, lines=lines)
