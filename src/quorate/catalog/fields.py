"""Fields of nodes, services and checks: parts of commands and of rows.

They are stored, so they grow at their end only (FMT-2 in `base.formats`).

Source: https://developer.hashicorp.com/consul/api-docs/catalog and `/agent/service`.
"""

import msgspec

SERF_HEALTH = "serfHealth"
"""The check of a member of the cluster: whether it is reachable."""

SERVER_SERVICE = "consul"
"""The service of the servers themselves, and the id of the instance of each."""

CRITICAL = "critical"
PASSING = "passing"
OUTPUTS = {PASSING: "Agent alive and reachable", CRITICAL: "Agent not live or unreachable"}
"""The output of `serfHealth` for each status."""


class NodeFields(msgspec.Struct, array_like=True, frozen=True):
    """A node, less its name. With an empty `id` the stored one is kept."""

    id: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]


class Address(msgspec.Struct, array_like=True, frozen=True):
    """One of the addresses of an instance."""

    address: str
    port: int


class Weights(msgspec.Struct, array_like=True, frozen=True):
    """The shares of an instance in DNS answers, by its health."""

    passing: int = 1
    warning: int = 1


class Service(msgspec.Struct, array_like=True, frozen=True):
    """An instance of a service, as its agent describes it. `id` is one of its node."""

    id: str
    name: str
    kind: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    tagged_addresses: dict[str, Address] = msgspec.field(default_factory=dict[str, Address])
    socket_path: str = ""
    meta: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    weights: Weights = Weights()
    enable_tag_override: bool = False


class Check(msgspec.Struct, array_like=True, frozen=True):
    """A check of a node, or of the instance `service_id` on it. `id` is one of its node."""

    id: str
    name: str
    status: str
    notes: str = ""
    output: str = ""
    service_id: str = ""
    type: str = ""
