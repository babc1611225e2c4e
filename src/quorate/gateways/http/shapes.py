"""Nodes, services and checks as callers see them.

Source: https://developer.hashicorp.com/consul/api-docs/catalog and `/health`.
"""

from typing import Any

import msgspec

from quorate.catalog.queries import Instance
from quorate.catalog.tables import CheckRow, NodeRow, ServiceRow

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


def service_shape(row: ServiceRow) -> Shape:
    """An instance of a service, as part of something larger."""
    shape: Shape = msgspec.json.decode(row.definition)
    shape["CreateIndex"] = row.create_index
    shape["ModifyIndex"] = row.modify_index
    return shape


def service_node_shape(node: NodeRow, row: ServiceRow) -> Shape:
    """An instance of a service and its node in one flat object."""
    own = service_shape(row)
    return {
        "ID": node.shown_id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses or None,
        "NodeMeta": node.meta or None,
        "ServiceKind": own.get("Kind", ""),
        "ServiceID": row.id,
        "ServiceName": row.name,
        "ServiceTags": own.get("Tags") or [],
        "ServiceAddress": own.get("Address", ""),
        "ServiceTaggedAddresses": own.get("TaggedAddresses"),
        "ServiceWeights": own["Weights"],
        "ServiceMeta": own.get("Meta") or {},
        "ServicePort": own.get("Port", 0),
        "ServicePorts": None,
        "ServiceSocketPath": own.get("SocketPath", ""),
        "ServiceEnableTagOverride": own["EnableTagOverride"],
        "ServiceProxy": own["Proxy"],
        "ServiceConnect": own["Connect"],
        "ServiceLocality": None,
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def check_shape(row: CheckRow, tags: list[str]) -> Shape:
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
    service = service_shape(instance.service)
    tags: list[str] = service.get("Tags") or []
    return {
        "Node": node_shape(instance.node),
        "Service": service,
        "Checks": [
            check_shape(check, tags if check.service_id else []) for check in instance.checks
        ],
    }
