"""The agent's own facts: `/v1/agent/self`, `/v1/agent/members`.

Ballot rounds are shown as Raft terms, slots as log indexes.

Source: https://developer.hashicorp.com/consul/api-docs/agent.
"""

import platform
from typing import Any

from quorate.base.batches import Member
from quorate.base.metrics import figures
from quorate.base.ports import Status
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.filters import filter_of, kept
from quorate.gateways.http.params import Params
from quorate.gateways.http.request import Request
from quorate.gateways.http.shapes import Shape

ALIVE, FAILED = 1, 4
_MEMBER_FIELDS = frozenset({"Name", "Addr", "Port", "Tags", "Status"})
_COORDINATE = {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}


def about(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Configuration, member, figures of this node."""
    status, config = context.local.status(), context.config
    me = status.node
    body: Shape = {
        "Config": {
            "Datacenter": config.datacenter,
            "PrimaryDatacenter": config.datacenter,
            "NodeName": me.name,
            "NodeID": me.id,
            "Revision": "",
            "Server": True,
            "Version": config.consul_version,
            "BuildDate": "",
            "BindAddr": split_address(me.address)[0],
        },
        "DebugConfig": {"Quorate": config.version, "DevMode": config.is_dev},
        "Coord": _COORDINATE,
        "Member": member_shape(context, me, ALIVE, status),
        "Stats": _stats(context, status),
        "Meta": {"consul-network-segment": "", "consul-version": config.consul_version},
        "xDS": {
            "SupportedProxies": {"envoy": []},
            "Port": -1,
            "Ports": {"Plaintext": -1, "TLS": -1},
        },
    }
    context.answers.value(request, body)


def members(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The members of the cluster, and who is alive as far as this node hears."""
    if params.text("segment"):
        raise HttpError(500, "Network segments are not supported in this version of Consul")
    status = context.local.status()
    keep = filter_of(params, _MEMBER_FIELDS)
    found = [
        member_shape(context, member, _state(member, status), status)
        for member in status.configuration.members or (status.node,)
    ]
    if "wan" in params:
        for shape in found:
            shape["Name"] = f"{shape['Name']}.{context.config.datacenter}"
    context.answers.value(request, kept(found, keep))


def _state(member: Member, status: Status) -> int:
    return ALIVE if member.id in status.healthy else FAILED


def member_shape(context: Context, member: Member, state: int, status: Status) -> Shape:
    """A member as Serf would show it."""
    host, port = split_address(member.address)
    config = context.config
    tags = {
        "role": "consul",
        "dc": config.datacenter,
        "id": member.id,
        "port": str(port),
        "raft_vsn": "3",
        "vsn": "2",
        "vsn_min": "2",
        "vsn_max": "3",
        "build": f"{config.consul_version}:",
        "segment": "",
        "wan_join_port": str(port),
        "ft_fs": "1",
        "ft_si": "1",
        "acls": "0",
        "expect": str(len(status.configuration.voters)),
    }
    return {
        "Name": member.name,
        "Addr": host,
        "Port": port,
        "Tags": tags,
        "Status": state,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }


def _stats(context: Context, status: Status) -> Shape:
    config = context.config
    is_leader = status.role == "leader"
    leader = status.leader
    peers = len(status.configuration.voters)
    slot = str(status.watermark)
    stats: dict[str, dict[str, Any]] = {
        "agent": {"checks": "0", "services": "0"},
        "build": {"version": config.consul_version, "revision": "", "prerelease": ""},
        "consul": {
            "server": "true",
            "leader": str(is_leader).lower(),
            "leader_addr": "" if leader is None else leader.address,
            "bootstrap": str(peers == 1).lower(),
            "known_datacenters": "1",
        },
        "raft": {
            "state": {"leader": "Leader", "candidate": "Candidate"}.get(status.role, "Follower"),
            "term": str(status.ballot.round),
            "last_log_index": slot,
            "commit_index": slot,
            "applied_index": str(status.applied),
            "num_peers": str(max(peers - 1, 0)),
            "last_contact": "never" if status.heard_s == float("inf") else f"{status.heard_s:.3f}s",
        },
        "runtime": {
            "arch": platform.machine(),
            "os": platform.system().lower(),
            "version": f"python {platform.python_version()}",
        },
        "serf_lan": {
            "members": str(len(status.configuration.members)),
            "failed": str(len(status.configuration.voter_ids - status.healthy)),
        },
        "serf_wan": {"members": "1"},
    }
    shown = figures(context.local.metrics())
    named = {name: _figure(value) for name, value in sorted(shown.items())}
    stats["quorate"] = {
        "version": config.version,
        "cluster": status.cluster_id,
        "role": status.role,
        "index": str(status.index),
        "digest": f"{status.digest:08x}",
        **named,
    }
    return stats


def _figure(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) and value % 1 else str(int(value))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a `host:port`."""
    host, _, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5
    return host.strip("[]"), int(port) if is_port else 0
