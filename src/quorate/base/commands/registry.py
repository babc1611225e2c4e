"""Commands of the registry: sessions, nodes with their `serfHealth`, services without checks.

Source: Consul's session and catalog API, https://developer.hashicorp.com/consul/api-docs.
"""

import msgspec


class SessionCreate(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """Create a session under an id drawn at the gateway. Value: the id.

    `behavior` is "release" or "delete"; `ttl` is the text as the caller spelt it ("" if none),
    `ttl_ms` its value (0 if none). `lock_delay_ns` is what the caller gave, `lock_delay_ms` that in
    whole milliseconds, rounded up. Failures carry Consul's texts: `Missing node registration`,
    `Missing check 'x' registration`, `Check 'x' is in critical state`.
    """

    id: str
    name: str
    node: str
    lock_delay_ms: int
    behavior: str
    ttl: str
    ttl_ms: int
    node_checks: tuple[str, ...]
    service_checks: tuple[str, ...] = ()
    lock_delay_ns: int = 0


class SessionDestroy(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """End a session and free what it holds. Value True, also if unknown."""

    id: str


class SessionRenew(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """Log a renewal at the batch's stamp. Value True, or False if unknown."""

    id: str


class SessionExpire(msgspec.Struct, frozen=True, array_like=True, tag=23):
    """End a session whose row still has this `renewed_ms`; else nothing. Value True or False."""

    id: str
    renewed_ms: int


class NodeRegister(msgspec.Struct, frozen=True, array_like=True, tag=30):
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


class NodeHealth(msgspec.Struct, frozen=True, array_like=True, tag=31):
    """Set a node's `serfHealth` to "passing" or "critical". Value True or False (unknown)."""

    name: str
    status: str


class NodeDeregister(msgspec.Struct, frozen=True, array_like=True, tag=34):
    """Remove a node with its checks, services and sessions. Value True, also if unknown."""

    name: str


class ServiceRegister(msgspec.Struct, frozen=True, array_like=True, tag=32):
    """Register a service instance on a node, without checks. Value True.

    `definition` is the JSON of Consul's NodeService as it is shown, less its indexes.
    """

    node: str
    id: str
    name: str
    definition: bytes


class ServiceDeregister(msgspec.Struct, frozen=True, array_like=True, tag=33):
    """Remove a service instance. Value True, or False if it was absent."""

    node: str
    id: str
