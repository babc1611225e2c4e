"""Nodes, services and checks as callers see them.

Source: https://developer.hashicorp.com/consul/api-docs/catalog and `/health`.
"""

from collections.abc import Sequence
from typing import Any

from quorate.catalog.fields import Service
from quorate.catalog.queries import Instance
from quorate.catalog.tables import CheckRow, InstanceRow, NodeRow

Shape = dict[str, Any]

NODE_FIELDS = frozenset({"ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta"})
SERVICE_NODE_FIELDS = frozenset(
    {
        "ID", "Node", "Address", "Datacenter", "TaggedAddresses", "NodeMeta", "ServiceKind",
        "ServiceID", "ServiceName", "ServiceTags", "ServiceAddress", "ServiceWeights",
        "ServiceMeta", "ServicePort", "ServiceEnableTagOverride",
    }
)  # fmt: skip
CHECK_FIELDS = frozenset(
    {
        "Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName",
        "ServiceTags", "Type",
    }
)  # fmt: skip


def node_shape(row: NodeRow) -> Shape:
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


def service_shape(row: InstanceRow) -> Shape:
    """An instance of a service, as part of something larger."""
    said = row.service
    shape: Shape = {"Kind": said.kind} if said.kind else {}
    shape.update(ID=said.id, Service=said.name, Tags=said.tags, Address=said.address)
    if said.tagged_addresses:
        shape["TaggedAddresses"] = _tagged(said)
    shape["Meta"] = said.meta or None
    if said.port:
        shape["Port"] = said.port
    if said.socket_path:
        shape["SocketPath"] = said.socket_path
    shape["Weights"] = _weights(said)
    shape["EnableTagOverride"] = said.enable_tag_override
    shape["Proxy"] = _proxy()
    shape["Connect"] = {}
    shape["PeerName"] = ""
    shape["CreateIndex"] = row.create_index
    shape["ModifyIndex"] = row.modify_index
    return shape


def _tagged(said: Service) -> Shape | None:
    tagged = said.tagged_addresses.items()
    return {tag: {"Address": at.address, "Port": at.port} for tag, at in tagged} or None


def _weights(said: Service) -> Shape:
    return {"Passing": said.weights.passing, "Warning": said.weights.warning}


def _proxy() -> Shape:
    return {"Mode": "", "MeshGateway": {}, "Expose": {}}


def service_node_shape(node: NodeRow, row: InstanceRow) -> Shape:
    """An instance of a service and its node in one flat object."""
    said = row.service
    return {
        "ID": node.shown_id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses or None,
        "NodeMeta": node.meta or None,
        "ServiceKind": said.kind,
        "ServiceID": said.id,
        "ServiceName": said.name,
        "ServiceTags": said.tags,
        "ServiceAddress": said.address,
        "ServiceTaggedAddresses": _tagged(said),
        "ServiceWeights": _weights(said),
        "ServiceMeta": said.meta,
        "ServicePort": said.port,
        "ServicePorts": None,
        "ServiceSocketPath": said.socket_path,
        "ServiceEnableTagOverride": said.enable_tag_override,
        "ServiceProxy": _proxy(),
        "ServiceConnect": {},
        "ServiceLocality": None,
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def check_shape(row: CheckRow, tags: Sequence[str]) -> Shape:
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


def instance_shape(instance: Instance) -> Shape:
    """An instance with its node and every check that decides about it."""
    tags = instance.service.tags
    return {
        "Node": node_shape(instance.node),
        "Service": service_shape(instance.row),
        "Checks": [
            check_shape(check, tags if check.service_id else ()) for check in instance.checks
        ],
    }
