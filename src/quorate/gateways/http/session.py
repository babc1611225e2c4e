"""Sessions: `/v1/session/*`. Ids are drawn here and are part of the command.

A renewal is acknowledged only after a confirmed read index, and logged only if the row is older
than half its TTL.

Source: https://developer.hashicorp.com/consul/api-docs/session.
"""

import uuid
from functools import partial
from math import isfinite

import msgspec

from quorate.base.durations import go_duration
from quorate.base.outcomes import Outcome
from quorate.base.results import Renewal
from quorate.catalog.fields import SERF_HEALTH
from quorate.gateways.http.blocking import mode_of, read
from quorate.gateways.http.bodies import Fields, fields_of, is_list, json_of, text_in, texts_in
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import Context, check_enterprise
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.ownnode import submit_for_own_node
from quorate.gateways.http.params import (
    DURATION_NS_MAX,
    SECOND_NS,
    Params,
    duration_ns,
    path_text,
)
from quorate.gateways.http.rowreads import read_rows
from quorate.httpserver.request import Request
from quorate.serving import renewals
from quorate.serving.evaluations import Evaluated
from quorate.sessions.commands import SessionCreate, SessionDestroy
from quorate.sessions.queries import each_session, session_get, session_renewal
from quorate.sessions.tables import SessionRow

MS_NS = 1_000_000
TTL_MAX_NS = 24 * 3600 * SECOND_NS
LOCK_DELAY_NS = 15 * SECOND_NS
LOCK_DELAY_PLAIN_MAX = 1000  # less counts as seconds, any more as nanoseconds
CHECKS_MAX = 128  # each is looked up when the session is created, and at every change of a check


class SessionShown(msgspec.Struct):
    """A session as the API shows it."""

    ID: str
    Name: str
    Node: str
    LockDelay: int
    Behavior: str
    TTL: str
    NodeChecks: tuple[str, ...]
    ServiceChecks: list[dict[str, str]] | None
    CreateIndex: int
    ModifyIndex: int


def shown(row: SessionRow) -> SessionShown:
    """A session as the API shows it."""
    checks = [{"ID": check, "Namespace": ""} for check in row.service_checks]
    return SessionShown(
        row.id,
        row.name,
        row.node,
        row.lock_delay_ns or row.lock_delay_ms * MS_NS,
        row.behavior,
        row.ttl,
        row.node_checks,
        checks or None,
        row.create_index,
        row.modify_index,
    )


# --- reading ----------------------------------------------------------------------------------


def info(context: Context, request: Request, params: Params, name: bytes) -> None:
    """One session, as a list with one element or none."""
    mode = mode_of(context, request, params)
    session = _named(name, "session")

    def render(answer: Evaluated, lines: bytes) -> None:
        found = [] if answer.value is None else [shown(answer.value)]
        context.responses.value(request, found, lines=lines)

    read(context, request, mode, lambda reader: session_get(reader, session), render)


def list_all(context: Context, request: Request, params: Params, _: bytes) -> None:
    """All sessions."""
    mode = mode_of(context, request, params)
    read_rows(context, request, mode, each_session, shown)


def of_node(context: Context, request: Request, params: Params, name: bytes) -> None:
    """The sessions of a node."""
    check_enterprise(request, params)
    node = _named(name, "node name")
    mode = mode_of(context, request, params)
    read_rows(context, request, mode, lambda reader: each_session(reader, node), shown)


def _named(name: bytes, what: str) -> str:
    if not name:
        raise HttpError(400, f"Missing {what}")
    return path_text(name, what)


# --- writing ----------------------------------------------------------------------------------


def create(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Create a session."""
    check_enterprise(request, params)
    context.check_datacenter(params)
    try:
        fields = fields_of(json_of(request.body), None, "a session") if request.body else {}
        command = _command(context, fields)
    except TextError as error:
        raise HttpError(400, f"Request decode failed: {error}") from error

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.value(request, {"ID": outcome.value}, lines=lines)

    if command.node == context.local.status().node.name:
        submit_for_own_node(context, request, command, then, prefix="apply failed: ")
    else:
        context.submit(request, command, then, prefix="apply failed: ")


def _command(context: Context, fields: Fields) -> SessionCreate:
    ttl = text_in(fields, "TTL")
    name, node = text_in(fields, "Name"), text_in(fields, "Node")
    behavior = text_in(fields, "Behavior") or "release"
    lock_delay_ns = _lock_delay(fields)
    node_checks = _checks(fields)
    service_checks = _service_checks(fields)
    if behavior not in ("release", "delete"):
        raise HttpError(500, f"Invalid Behavior setting '{behavior}'")
    return SessionCreate(
        str(uuid.uuid4()),
        name,
        node or context.local.status().node.name,
        -(-lock_delay_ns // MS_NS),
        behavior,
        ttl,
        -(-_ttl(context, ttl) // MS_NS),
        node_checks,
        service_checks,
        lock_delay_ns,
    )


def _lock_delay(fields: Fields) -> int:
    """The lock-delay in nanoseconds.

    Consul accepts a duration or a number, and reads either as seconds if it is below 1000 ns; any
    other type counts as zero, null as absent.
    """
    value = fields.get("lockdelay")
    if value is None:
        return LOCK_DELAY_NS
    if isinstance(value, str):
        delay_ns = duration_ns(text_in(fields, "LockDelay"))
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    elif isinstance(value, float) and not isfinite(value):
        raise TextError("json: cannot unmarshal number into field LockDelay of type duration")
    else:
        delay_ns = int(value)
    if delay_ns < LOCK_DELAY_PLAIN_MAX:
        delay_ns *= SECOND_NS
    if not 0 <= delay_ns <= DURATION_NS_MAX:
        raise TextError(f"json: field LockDelay must be between 0 and {DURATION_NS_MAX} ns")
    return delay_ns


def _checks(fields: Fields) -> tuple[str, ...]:
    for name in ("NodeChecks", "Checks"):
        if name.lower() in fields:
            checks = texts_in(fields, name)
            if len(checks) > CHECKS_MAX:
                raise TextError(f"json: field {name} has more than {CHECKS_MAX} checks")
            return tuple(checks)
    return (SERF_HEALTH,)


def _service_checks(fields: Fields) -> tuple[str, ...]:
    value = fields.get("servicechecks")
    if value is None:
        return ()
    if not is_list(value) or len(value) > CHECKS_MAX:
        raise TextError(f"json: field ServiceChecks must be a list of at most {CHECKS_MAX} checks")
    return tuple(text_in(fields_of(item, None, "a check"), "ID") for item in value)


def _ttl(context: Context, text: str) -> int:
    """A TTL in nanoseconds; 0 for none."""
    if not text:
        return 0
    try:
        ttl_ns = duration_ns(text)
    except TextError as error:
        raise HttpError(500, f"Session TTL '{text}' invalid: {error}") from error
    least_ns = int(context.config.session_ttl_min_s * SECOND_NS)
    if ttl_ns and not least_ns <= ttl_ns <= TTL_MAX_NS:
        limits = f"[{go_duration(least_ns)}={go_duration(TTL_MAX_NS)}]"
        raise HttpError(500, f"Invalid Session TTL '{ttl_ns}', must be between {limits}")
    return ttl_ns


def destroy(context: Context, request: Request, params: Params, name: bytes) -> None:
    """End a session."""
    check_enterprise(request, params)
    session = _named(name, "session")
    context.check_datacenter(params)

    def then(outcome: Outcome) -> None:
        lines = b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.value(request, outcome.value, lines=lines)

    context.submit(request, SessionDestroy(session), then)


def renew(context: Context, request: Request, params: Params, name: bytes) -> None:
    """Renew a session: its TTL starts again."""
    check_enterprise(request, params)
    session = _named(name, "session")
    context.check_datacenter(params)

    def done(found: Renewal[SessionRow] | None, outcome: Outcome | None) -> None:
        if found is None:
            raise _gone(session)
        lines = b"" if outcome is None else b"X-Quorate-Index: %d\r\n" % outcome.index
        context.responses.value(request, [shown(found.value)], lines=lines)

    look = partial(session_renewal, session=session)
    renewals.renew(context.serving, HttpCaller(context, request), look, done)


def _gone(session: str) -> HttpError:
    return HttpError(404, f"Session id '{session}' not found")
