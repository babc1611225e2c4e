"""Operators: `/v1/operator/*`: members, votes, leadership, health.

Source: https://developer.hashicorp.com/consul/api-docs/operator.
"""

import time
from functools import partial

from quorate.base.batches import Member, majority
from quorate.base.errors import ConflictError, NotFoundError, QuorateError, RequestError
from quorate.base.ids import NodeId
from quorate.base.ports import Status
from quorate.base.versions import QUORATE_META
from quorate.catalog.queries import node_get
from quorate.gateways.http.agent import build_of
from quorate.gateways.http.blocking import confirmed, mode_of
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params, path_text, quoted
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader

_NEVER = "2562047h47m16.854775807s"  # the longest duration of Go
_STARTED = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def configuration(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The members, which of them vote, and the leader."""
    mode_of(context, request, params, knows_namespaces=False)

    def step() -> None:
        status = context.local.status()
        servers = [_server(member, status) for member in status.configuration.members]
        context.responses.value(request, {"Servers": servers, "Index": 0})

    confirmed(context, request, step)


def _server(member: Member, status: Status) -> JsonView:
    return {
        "ID": member.id,
        "Node": member.name,
        "Address": member.address,
        "Leader": status.leader is not None and member.id == status.leader.id,
        "ProtocolVersion": "3",
        "Voter": member.id in status.configuration.voter_ids,
        "LastIndex": status.watermark_of(member.id),
    }


def cluster(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Every member as this node knows it, without waiting: also while there is no leader."""
    status = context.local.status()
    reader = context.reader()
    body = {
        "Cluster": status.cluster_id,
        "Node": status.node.name,
        "Role": status.role,
        "Leader": "" if status.leader is None else status.leader.name,
        "Reason": status.reason,
        "Members": [_member(each, status, reader) for each in status.configuration.members],
    }
    context.responses.value(request, body)


def _member(member: Member, status: Status, reader: Reader) -> JsonView:
    seen = status.seen.get(member.id)
    row = node_get(reader, member.name).value
    is_leader = status.leader is not None and member.id == status.leader.id
    lag = None if seen is None else max(0, status.watermark - seen.watermark)
    is_voter = member.id in status.configuration.voter_ids
    return {
        "ID": member.id,
        "Name": member.name,
        "Address": member.address,
        "HTTP": member.http,
        "Role": "leader" if is_leader else "follower" if is_voter else "learner",
        "Voter": is_voter,
        "Alive": member.id in status.healthy,
        "Watermark": None if seen is None else seen.watermark,
        "Lag": 0 if is_leader else lag,  # the leader's known watermark may be older than our own
        "LastHeard": None if seen is None else round(seen.last_contact_s, 3),
        "Version": "" if row is None else row.meta.get(QUORATE_META, ""),
    }


# --- changes ----------------------------------------------------------------------------------


def remove_peer(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Remove a member from the configuration; the response says that it may be shut down."""
    found = _peer(context, params, "remove")
    context.local.change(request.context, "remove", found, partial(_changed, context, request))


def force_leave(context: Context, request: Request, _: Params, name: bytes) -> None:
    """Remove a member that failed; one that is alive stays, as in Consul it would come back."""
    text = path_text(name, "node name")
    status = context.local.status()
    configuration = status.configuration
    known = (*configuration.members, *configuration.left)
    found = next((member for member in known if member.name == text), None)
    if found is None:
        raise HttpError(500, f"agent: No node found with name '{text}'", code="not_found")
    is_member = configuration.member(found.id) is not None
    if not is_member or found.id in status.healthy or found.id == status.node.id:
        context.responses.empty(request)
        return
    context.local.change(request.context, "remove", found, partial(_changed, context, request))


def promote_peer(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Give a learner a vote; 500 until it has caught up. Consul has no such request."""
    found = _peer(context, params, "promote")
    context.local.change(request.context, "promote", found, partial(_changed, context, request))


def _peer(context: Context, params: Params, verb: str) -> Member:
    """The member that a query names by its id or its address."""
    context.check_datacenter(params)
    has_id, has_address = "id" in params, "address" in params
    if not has_id and not has_address:
        raise HttpError(
            400,
            "Must specify either ?id with the server's ID or ?address with IP:port of peer "
            f"to {verb}",
        )
    if has_id and has_address:
        raise HttpError(400, "Must specify only one of ?id or ?address")
    key = "id" if has_id else "address"
    value = params.text(key)
    configuration = context.local.status().configuration
    members = configuration.members
    if verb == "remove" and has_id:  # repeated: the response was lost, or too late
        members = (*members, *configuration.left)
    found = next((m for m in members if (m.id if has_id else m.address) == value), None)
    if found is None:
        raise HttpError(
            500, f"{key} {quoted(value)} was not found in the Raft configuration", code="not_found"
        )
    return found


def _changed(context: Context, request: Request, error: QuorateError | None) -> None:
    if error is None:
        context.responses.empty(request)
    else:
        context.fail(request, _as_consul(error))


def transfer(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Transfer leadership to the named member, or to a healthy one."""
    context.check_datacenter(params)
    status = context.local.status()
    wanted = params.text("id")
    leader = status.leader
    others = [m for m in status.configuration.voters if leader is None or m.id != leader.id]
    if wanted:
        found = next((m for m in status.configuration.voters if m.id == wanted), None)
        if found is None:
            text = f"no server that votes has the id {wanted}"
            raise HttpError(500, text, code="not_found")
    else:
        healthy = [m for m in others if m.id in status.healthy]
        found = max(healthy, key=lambda m: status.watermark_of(m.id), default=None)
        if found is None:
            raise HttpError(500, "cannot find peer", code="not_found")
    context.local.change(
        request.context, "transfer", found, partial(_transferred, context, request)
    )


def _transferred(context: Context, request: Request, error: QuorateError | None) -> None:
    if error is None:
        context.responses.value(request, {"Success": True})
    else:
        context.fail(request, _as_consul(error))


def _as_consul(error: QuorateError) -> Exception:
    """A refused change is 500, as Consul has it."""
    if isinstance(error, ConflictError | NotFoundError | RequestError):
        return HttpError(500, error.text, code=error.code)
    return error


# --- health -----------------------------------------------------------------------------------


def health(context: Context, request: Request, params: Params, _: bytes) -> None:
    """Whether every member is healthy, and how many more may fail; 429 if not."""
    context.check_datacenter(params)
    status = context.local.status()
    voters = status.configuration.voters
    well = sum(member.id in status.healthy for member in voters)
    quorum = majority(len(voters))
    has_leader = status.leader is not None and status.is_serving
    is_well = has_leader and all(m.id in status.healthy for m in status.configuration.members)
    body = {
        "Healthy": is_well,
        "FailureTolerance": max(well - quorum, 0) if has_leader else 0,
        "Servers": [_health(context, member, status) for member in status.configuration.members],
    }
    context.responses.value(request, body, status=200 if is_well else 429)


def _health(context: Context, member: Member, status: Status) -> JsonView:
    is_well = member.id in status.healthy
    return {
        "ID": member.id,
        "Name": member.name,
        "Address": member.address,
        "SerfStatus": "alive" if is_well else "failed",
        "Version": build_of(context, member).partition(":")[0],
        "Leader": status.leader is not None and member.id == status.leader.id,
        "LastContact": _last_contact(member.id, status),
        "LastTerm": status.ballot.round,
        "LastIndex": status.watermark_of(member.id),
        "Healthy": is_well,
        "Voter": member.id in status.configuration.voter_ids,
        "StableSince": _STARTED,
    }


def _last_contact(node: NodeId, status: Status) -> str:
    """The time since the last contact with a member, as Go writes durations."""
    seen = status.seen.get(node)
    return (
        _NEVER
        if seen is None
        else f"{seen.last_contact_s * 1000:.6g}ms"
        if seen.last_contact_s
        else "0s"
    )
