"""Commands of the catalog: nodes with their `serfHealth`, services without checks.

Source: Consul's catalog API, https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from quorate.base.command import Command


class NodeRegister(Command, frozen=True, array_like=True, tag=30):
    """Put a cluster member into the catalog with a passing `serfHealth`. Value True.

    `service` is the definition of the instance of the service `consul` that the member is, as in
    `ServiceRegister`; empty: it is none. Same content as stored: nothing changes, no index is
    taken.
    """

    id: str
    name: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]
    service: bytes = b""


class NodeHealth(Command, frozen=True, array_like=True, tag=31):
    """Set a node's `serfHealth` to "passing" or "critical". Value True or False (unknown)."""

    name: str
    status: str


class NodeDeregister(Command, frozen=True, array_like=True, tag=34):
    """Remove a node with its checks, services and sessions. Value True, also if unknown."""

    name: str


class ServiceRegister(Command, frozen=True, array_like=True, tag=32):
    """Register a service instance on a node, without checks. Value True.

    `definition` is the JSON of Consul's NodeService as it is shown, less its indexes.
    """

    node: str
    id: str
    name: str
    definition: bytes


class ServiceDeregister(Command, frozen=True, array_like=True, tag=33):
    """Remove a service instance. Value True, or False if it was absent."""

    node: str
    id: str
