"""Views: nodes, services and checks as the API shows them.

Source: https://developer.hashicorp.com/consul/api-docs/catalog and `/health`.
"""

from collections.abc import Sequence
from typing import Any

from quorate.catalog.fields import Service
from quorate.catalog.queries import Instance
from quorate.catalog.tables import CheckRow, InstanceRow, NodeRow

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
    if service.socket_path:
        view["SocketPath"] = service.socket_path
    view["Weights"] = weights_view(service)
    view["EnableTagOverride"] = service.enable_tag_override
    view["Proxy"] = _proxy()
    view["Connect"] = {}
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


def _proxy() -> JsonView:
    return {"Mode": "", "MeshGateway": {}, "Expose": {}}


def service_node_view(node: NodeRow, row: InstanceRow) -> JsonView:
    """An instance of a service and its node in one flat object."""
    service = row.service
    return {
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
        "ServicePorts": None,
        "ServiceSocketPath": service.socket_path,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": _proxy(),
        "ServiceConnect": {},
        "ServiceLocality": None,
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def check_view(row: CheckRow, tags: Sequence[str]) -> JsonView:
    """A check, with the tags of its service."""
    return {
        "Node": row.node,
        "CheckID": row.id,
        "Name": row.name,
        "Status": row.status,
        "Notes": row.notes,
        "Output": row.output,
        "ServiceID": row.service_id,
        "ServiceName": row.service_name,
        "ServiceTags": tags,
        "Type": row.type,
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
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
