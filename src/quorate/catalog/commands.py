"""Commands of the catalog: nodes, instances of services, and checks of both.

Source: Consul's catalog API, https://developer.hashicorp.com/consul/api-docs/catalog.
"""

from quorate.base.command import Command
from quorate.catalog.fields import Check, NodeFields, Service


class CatalogPut(Command, frozen=True, array_like=True, tag=39):
    """Put a node, an instance of a service on it and checks of both into the catalog. Value True.

    An entity that is equal to the stored one is not written; if nothing changes, no index is taken.
    A check gets name and tags of its service as they are then. Failures, which change nothing:
    `Missing node registration`, `Missing service registration` (of a check), and that a live node
    has the name.

    Attributes:
        node: Its name.
        details: Its new definition; None: the node must exist, and is not changed.
        service: None: none.
        checks: May be of instances that exist already.
        is_member: It is a member of this cluster: it gets a passing `serfHealth` if it has none.
        keeps_node: A node that exists keeps its definition; `details` are those of a new one.
    """

    node: str
    details: NodeFields | None = None
    service: Service | None = None
    checks: tuple[Check, ...] = ()
    is_member: bool = False
    keeps_node: bool = False


class CheckUpdate(Command, frozen=True, array_like=True, tag=36):
    """Set status and output of a check. Value True, or False if there is none.

    `serfHealth` is made if the node is known and has none.
    """

    node: str
    check: str
    status: str
    output: str


class CheckDeregister(Command, frozen=True, array_like=True, tag=37):
    """Remove a check; sessions bound to it end. Value True, or False if it was absent."""

    node: str
    check: str


class CheckOutput(Command, frozen=True, array_like=True, tag=38):
    """Set the output of a check and nothing else. Value True, or False if there is none.

    It takes no index and wakes nobody: readers see it, watchers of the check do not wait for it.
    """

    node: str
    check: str
    output: str


class ServiceDeregister(Command, frozen=True, array_like=True, tag=33):
    """Remove an instance with its checks. Value True, or False if it was absent."""

    node: str
    id: str


class NodeDeregister(Command, frozen=True, array_like=True, tag=34):
    """Remove a node with its checks, services and sessions. Value True, also if unknown."""

    name: str


# --- of logs of format 5 and older: still applied, not proposed any more --------------------------


class CatalogRegister(Command, frozen=True, array_like=True, tag=35):
    """As `CatalogPut`, but checks do not get the tags of their service."""

    node: str
    details: NodeFields | None = None
    service: Service | None = None
    checks: tuple[Check, ...] = ()
    is_member: bool = False


# --- of logs of format 3 and older (`catalog.older`) ----------------------------------------------


class NodeRegister(Command, frozen=True, array_like=True, tag=30):
    """As `CatalogRegister` of a member. `service` is JSON, as in `ServiceRegister`, or empty."""

    id: str
    name: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]
    service: bytes = b""


class NodeHealth(Command, frozen=True, array_like=True, tag=31):
    """As `CheckUpdate` of `serfHealth`, but every service on the node is changed."""

    name: str
    status: str


class ServiceRegister(Command, frozen=True, array_like=True, tag=32):
    """As `CatalogRegister` of an instance. `definition` is JSON of Consul's NodeService."""

    node: str
    id: str
    name: str
    definition: bytes
