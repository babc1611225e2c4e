"""Views: nodes, services and checks as the API shows them.

Source: https://developer.hashicorp.com/consul/api-docs/catalog and `/health`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quorate.base.durations import go_duration
from quorate.catalog.fields import NO_DEFINITION, Definition, Service
from quorate.catalog.queries import Instance
from quorate.catalog.tables import CheckRow, InstanceRow, NodeRow
from quorate.gateways.http.meshbodies import proxy_of

JsonView = dict[str, Any]


def node_view(row: NodeRow) -> JsonView:
    """A node of the catalog."""
    return {
        "ID": row.shown_id,
        "Node": row.name,
        "Address": row.address,
        "Datacenter": row.datacenter,
        "TaggedAddresses": row.tagged_addresses or None,
        "Meta": row.meta or None,
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def service_view(row: InstanceRow) -> JsonView:
    """An instance of a service, as part of something larger."""
    service = row.service
    view: JsonView = {"Kind": service.kind} if service.kind else {}
    view.update(ID=service.id, Service=service.name, Tags=service.tags, Address=service.address)
    if service.tagged_addresses:
        view["TaggedAddresses"] = tagged_view(service)
    view["Meta"] = service.meta or None
    if service.port:
        view["Port"] = service.port
    if service.ports:
        view["Ports"] = ports_view(service)
    if service.socket_path:
        view["SocketPath"] = service.socket_path
    view["Weights"] = weights_view(service)
    view["EnableTagOverride"] = service.enable_tag_override
    view["Proxy"] = proxy_view(service)
    view["Connect"] = _connect(service)
    if service.locality:
        view["Locality"] = locality_view(service)
    view["PeerName"] = ""
    view["CreateIndex"] = row.create_index
    view["ModifyIndex"] = row.modify_index
    return view


def tagged_view(service: Service) -> JsonView | None:
    """The tagged addresses of a service; None if it has none."""
    tagged = service.tagged_addresses.items()
    return {tag: {"Address": at.address, "Port": at.port} for tag, at in tagged} or None


def weights_view(service: Service) -> JsonView:
    """The weights of a service."""
    return {"Passing": service.weights.passing, "Warning": service.weights.warning}


def ports_view(service: Service) -> list[JsonView] | None:
    """The named ports of a service; None if it has none."""
    ports = service.ports
    return [{"Name": at.name, "Port": at.port, "Default": at.is_default} for at in ports] or None


def proxy_view(service: Service) -> JsonView:
    """What a service says of itself as a proxy."""
    return {"Mode": "", "MeshGateway": {}, "Expose": {}, **proxy_of(service)}


def _connect(service: Service) -> JsonView:
    return {"Native": True} if service.is_native else {}


def locality_view(service: Service) -> JsonView | None:
    """Where a service is; None if it does not say."""
    if not service.locality:
        return None
    region, zone = service.locality
    return {"Region": region, "Zone": zone}


def service_node_view(node: NodeRow, row: InstanceRow) -> JsonView:
    """An instance of a service and its node in one flat object."""
    service = row.service
    view = {
        "ID": node.shown_id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses or None,
        "NodeMeta": node.meta or None,
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": service.tags,
        "ServiceAddress": service.address,
        "ServiceTaggedAddresses": tagged_view(service),
        "ServiceWeights": weights_view(service),
        "ServiceMeta": service.meta,
        "ServicePort": service.port,
        "ServicePorts": ports_view(service),
        "ServiceSocketPath": service.socket_path,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": proxy_view(service),
        "ServiceConnect": _connect(service),
        "ServiceLocality": locality_view(service),
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }
    if not service.tagged_addresses:
        del view["ServiceTaggedAddresses"]
    return view


_DEFINITION = {
    "deregister_after_ns": "DeregisterCriticalServiceAfter", "ttl_ns": "TTL",
    "interval_ns": "Interval", "timeout_ns": "Timeout", "http": "HTTP",
    "tls_server_name": "TLSServerName", "tls_skip_verify": "TLSSkipVerify", "header": "Header",
    "method": "Method", "body": "Body", "disable_redirects": "DisableRedirects", "tcp": "TCP",
    "tcp_use_tls": "TCPUseTLS", "udp": "UDP", "h2ping": "H2PING", "h2ping_use_tls": "H2PingUseTLS",
    "os_service": "OSService", "output_bytes_max": "OutputMaxSize", "args": "ScriptArgs",
    "docker": "DockerContainerID", "shell": "Shell", "grpc": "GRPC", "grpc_use_tls": "GRPCUseTLS",
    "alias_node": "AliasNode", "alias_service": "AliasService",
}  # fmt: skip


def definition_view(definition: Definition) -> JsonView:
    """What a check says that a monitor has to do: what was given."""
    if definition == NO_DEFINITION:
        return {}
    said = msgspec.structs.asdict(definition)
    return {
        shown: go_duration(said[name]) if name.endswith("_ns") else said[name]
        for name, shown in _DEFINITION.items()
        if said[name]
    }


def check_view(row: CheckRow, tags: Sequence[str]) -> JsonView:
    """A check, with the tags of its service.

    Args:
        row: The check.
        tags: Those of its service now, for a check that was written without them.
    """
    return {
        "Node": row.node,
        "CheckID": row.id,
        "Name": row.name,
        "Status": row.status,
        "Notes": row.notes,
        "Output": row.output,
        "ServiceID": row.service_id,
        "ServiceName": row.service_name,
        "ServiceTags": tags if row.service_tags is None else row.service_tags,
        "Type": row.type,
        "Interval": row.interval,
        "Timeout": row.timeout,
        "ExposedPort": row.exposed_port,
        "Definition": definition_view(row.definition),
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def instance_view(instance: Instance) -> JsonView:
    """An instance with its node and every check that decides about it."""
    tags = instance.service.tags
    return {
        "Node": node_view(instance.node),
        "Service": service_view(instance.row),
        "Checks": [
            check_view(check, tags if check.service_id else ()) for check in instance.checks
        ],
    }
