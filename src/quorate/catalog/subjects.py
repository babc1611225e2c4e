"""What readers of the catalog wait for."""

from quorate.base.subjects import name_part

NODE, SERVICE = b"h", b"v"
"""The letters of subjects of this domain."""


def of_node(node: str) -> bytes:
    """A node, its checks and its services."""
    return NODE + name_part(node)


def of_service(service: str) -> bytes:
    """A service: its instances, their checks, and the nodes that host them."""
    return SERVICE + name_part(service)
