"""The agent: `/v1/agent/self`, `/v1/agent/members`.

Ballot rounds are shown as Raft terms, slots as log indexes.

Source: https://developer.hashicorp.com/consul/api-docs/agent.
"""

import platform
from typing import Any

from quorate.base.batches import Member
from quorate.base.durations import go_duration
from quorate.base.metrics import figures
from quorate.base.ports import Status
from quorate.base.versions import BUILD_DATE, CONSUL_META, NODE_ID_META, QUORATE_META, build
from quorate.catalog.queries import node_get
from quorate.gateways.http import filters
from quorate.gateways.http.config import HttpConfig
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.filters import filter_of, kept
from quorate.gateways.http.params import SECOND_NS, Params
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request

ALIVE, LEFT, FAILED = 1, 3, 4
_COORDINATE = {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-05}


def about(context: Context, request: Request, _: Params, __: bytes) -> None:
    """Configuration, membership and figures of this node."""
    status, config = context.local.status(), context.config
    me = status.node
    row = node_get(context.reader(), me.name).value
    meta = dict(row.meta) if row is not None else own_meta(config)
    body: JsonView = {
        "Config": {
            "Datacenter": config.datacenter,
            "PrimaryDatacenter": config.datacenter,
            "NodeName": me.name,
            "NodeID": shown_id(context, me),
            "Revision": f"quorate-{config.version}",
            "Server": True,
            "Version": config.consul_version,
            "BuildDate": BUILD_DATE,
            "BindAddr": split_address(me.address)[0],
            "SessionTTLMin": int(config.session_ttl_min_s * SECOND_NS),
        },
        "DebugConfig": _debug(context, status, meta),
        "Coord": _COORDINATE,
        "Member": member_view(context, me, ALIVE, status),
        "Stats": _stats(context, status),
        "Meta": meta,
        "xDS": {
            "SupportedProxies": {"envoy": []},
            "Port": -1,
            "Ports": {"Plaintext": -1, "TLS": -1},
        },
    }
    context.responses.value(request, body)


def own_meta(config: HttpConfig) -> dict[str, str]:
    """The metadata of this node while its row is not in the catalog."""
    return {
        "consul-network-segment": "",
        CONSUL_META: config.consul_version,
        QUORATE_META: config.version,
    }


def _debug(context: Context, status: Status, meta: dict[str, str]) -> JsonView:
    """The configuration in force, under Consul's names; durations as texts."""
    config, me = context.config, status.node
    host, port = split_address(me.address)
    http_host = split_address(me.http)[0]
    return {
        "ACLsEnabled": False,
        "AdvertiseAddrLAN": host,
        "BindAddr": host,
        "BootstrapExpect": len(status.configuration.voters),
        "BuildDate": BUILD_DATE,
        "ClientAddrs": [http_host] if http_host else [],
        "ConnectEnabled": False,
        "Datacenter": config.datacenter,
        "DefaultQueryTime": _seconds(config.default_wait_s),
        "DevMode": config.is_dev,
        "HTTPAddrs": [f"tcp://{me.http}"] if me.http else [],
        "HTTPMaxConnsPerClient": config.connections_per_client_max,
        "KVMaxValueSize": config.value_bytes_max,
        "MaxQueryTime": _seconds(config.max_wait_s),
        "NodeID": shown_id(context, me),
        "NodeMeta": {
            name: value
            for name, value in meta.items()
            if name not in own_meta(config) and name != NODE_ID_META
        },
        "NodeName": me.name,
        "PrimaryDatacenter": config.datacenter,
        "Quorate": config.version,
        "Revision": f"quorate-{config.version}",
        "SerfAdvertiseAddrLAN": f"tcp://{me.address}",  # there is no gossip: the server address
        "SerfBindAddrLAN": f"tcp://{me.address}",
        "ServerMode": True,
        "ServerPort": port,
        "SessionTTLMin": _seconds(config.session_ttl_min_s),
        "TxnMaxReqLen": config.txn_bytes_max,
        "Version": config.consul_version,
    }


def _seconds(duration_s: float) -> str:
    return go_duration(int(duration_s * SECOND_NS))


def members(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The members of the cluster, and which of them this node considers alive."""
    if params.text("segment"):
        raise HttpError(500, "Network segments are not supported in this version of Consul")
    status = context.local.status()
    keep = filter_of(params, filters.MEMBER)
    found = [
        member_view(context, member, _state(member, status), status)
        for member in status.configuration.members or (status.node,)
    ]
    found += [member_view(context, member, LEFT, status) for member in _left(status)]
    if "wan" in params:
        for view in found:
            view["Name"] = f"{view['Name']}.{context.config.datacenter}"
    context.responses.value(request, kept(found, keep))


def _left(status: Status) -> list[Member]:
    """Removed members whose name is not used by another; this node, if it is one."""
    configuration = status.configuration
    names = {member.name for member in configuration.members}
    left = {member.name: member for member in configuration.left if member.name not in names}
    if status.role == "removed" and configuration.member(status.node.id) is None:
        left[status.node.name] = status.node
    return list(left.values())


def _state(member: Member, status: Status) -> int:
    if status.role == "removed" and member.id == status.node.id:
        return LEFT
    return ALIVE if member.id in status.healthy else FAILED


def build_of(context: Context, member: Member) -> str:
    """Both versions of a member, which it writes into the catalog when it starts."""
    row = node_get(context.reader(), member.name).value
    if row is not None and row.id == member.id:
        return build(row.meta.get(QUORATE_META, ""), row.meta.get(CONSUL_META, ""))
    is_me = member.id == context.local.status().node.id
    return build(context.config.version if is_me else "", context.config.consul_version)


def shown_id(context: Context, member: Member) -> str:
    """The id of a member that the API shows: the configured one if its row has one."""
    row = node_get(context.reader(), member.name).value
    return row.shown_id if row is not None and row.id == member.id else member.id


def member_view(context: Context, member: Member, state: int, status: Status) -> JsonView:
    """A member in the format of Serf."""
    host, port = split_address(member.address)
    config = context.config
    tags = {
        "role": "consul",
        "dc": config.datacenter,
        "id": shown_id(context, member),
        "port": str(port),
        "raft_vsn": "3",
        "vsn": "2",
        "vsn_min": "2",
        "vsn_max": "3",
        "build": build_of(context, member),
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


def _stats(context: Context, status: Status) -> JsonView:
    config = context.config
    is_leader = status.role == "leader"
    leader = status.leader
    peers = len(status.configuration.voters)
    slot = str(status.watermark)
    stats: dict[str, dict[str, Any]] = {
        "agent": {"checks": "0", "services": "0"},
        "build": {
            "version": config.consul_version,
            "revision": f"quorate-{config.version}",
            "prerelease": "",
        },
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
            "last_contact": "never"
            if status.last_contact_s == float("inf")
            else f"{status.last_contact_s:.3f}s",
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
