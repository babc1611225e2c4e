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


class Port(msgspec.Struct, array_like=True, frozen=True):
    """One of the named ports of an instance; the default one is its `port`, too."""

    name: str
    port: int
    is_default: bool = False


class Service(msgspec.Struct, array_like=True, frozen=True):
    """An instance of a service, as its agent describes it. `id` is one of its node.

    Attributes:
        proxy: JSON of the proxy that it is, as it was given; empty: it is none.
        is_native: It speaks the protocol of the mesh by itself.
        locality: Region and zone; empty: not given.
    """

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
    # since format 6:
    proxy: bytes = b""
    is_native: bool = False
    ports: tuple[Port, ...] = ()
    locality: tuple[str, ...] = ()


SERVICE_FIELDS = 11
"""Fields of `Service` before format 6: rows hold no more where the others have their defaults."""


class Definition(msgspec.Struct, array_like=True, frozen=True):
    """What an external monitor has to do for a check. Durations in nanoseconds."""

    interval_ns: int = 0
    timeout_ns: int = 0
    deregister_after_ns: int = 0
    ttl_ns: int = 0
    http: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    header: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    tcp_use_tls: bool = False
    udp: str = ""
    h2ping: str = ""
    h2ping_use_tls: bool = False
    os_service: str = ""
    output_bytes_max: int = 0
    args: tuple[str, ...] = ()
    docker: str = ""
    shell: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    alias_node: str = ""
    alias_service: str = ""


NO_DEFINITION = Definition()


class Check(msgspec.Struct, array_like=True, frozen=True):
    """A check of a node, or of the instance `service_id` on it. `id` is one of its node.

    `interval` and `timeout` are durations as they are shown (`10s`); empty: not given.
    """

    id: str
    name: str
    status: str
    notes: str = ""
    output: str = ""
    service_id: str = ""
    type: str = ""
    # since format 6:
    interval: str = ""
    timeout: str = ""
    exposed_port: int = 0
    definition: Definition = NO_DEFINITION
