"""Listeners of one agent that would need the same address and port."""

from collections.abc import Collection
from typing import NamedTuple

from quorate.runtime.addresses import is_unspecified, join_address


class Listening(NamedTuple):
    """Where something listens; a port None: nowhere."""

    hosts: Collection[str]
    port: int | None


def node_clash(node: Listening, http: Listening) -> str:
    """What is wrong if clients and other nodes connect to one place; empty if they do not."""
    is_any = any(map(is_unspecified, (*node.hosts, *http.hosts)))
    is_shared = is_any or any(host in http.hosts for host in node.hosts)
    if node.port != http.port or not is_shared:
        return ""
    return f"ports.http and ports.server are both {node.port} on one address"


def dns_clashes(http: Listening, dns: Listening) -> list[str]:
    """What is wrong if HTTP and DNS listen at one place, in Consul's words."""
    port = dns.port
    if port is None or port != http.port:
        return []
    return [
        f"HTTP address {join_address(host, port)} already configured for DNS"
        for host in http.hosts
        if host in dns.hosts
    ]
