"""Watch keys of the catalog: what a blocking read of it waits for.

A change of a node, or of a check of a node as a whole, is a change of all instances on it. It is
noted once, under the key of the host; a read of a service waits for its hosts, too. So a check that
fails costs the same on a node with one service and on one with thousands.
"""

from quorate.base.subjects import name_part

NODE, SERVICE, HOST, HOSTS = b"h", b"v", b"w", b"W"
"""The letters of subjects of this domain."""


def of_node(node: str) -> bytes:
    """A node, its checks and its services."""
    return NODE + name_part(node)


def of_service(service: str) -> bytes:
    """A service: its instances and the checks that are theirs alone."""
    return SERVICE + name_part(service)


def of_host(node: str) -> bytes:
    """A node as the host of its instances: the node, and its checks that belong to no service."""
    return HOST + name_part(node)


def of_place(place: bytes) -> bytes:
    """As `of_host`, for a name that is already part of a key."""
    return HOST + place


def of_hosts() -> bytes:
    """All hosts, for reads of a service that is on too many to wait for each."""
    return HOSTS
