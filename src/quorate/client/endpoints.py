"""Endpoints: which nodes a client may talk to, and which one it talks to now.

The choice is sticky: one node is used until it fails, then the next in the order given. Sticky
beats spreading here: a node gathers the writes of its clients into bundles, and what one call
wrote the next one reads from the same tables without a wait.
"""

import re
from collections.abc import Sequence

from quorate.base.errors import RequestError

PORT_DEFAULT = 8500

_ADDRESS = re.compile(r"(?:http://)?(\[[^\]/]+\]|[^:/\[\]\s]+)(?::(\d{1,5}))?/?")


class Endpoint:
    """The HTTP address of one node. Compared by identity, for it is a key on the hot path."""

    __slots__ = ("host", "name", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"


def parse(text: str) -> Endpoint:
    """Read `host`, `host:port` or `http://host:port`; IPv6 addresses in brackets.

    Raises:
        RequestError: `unsupported` for TLS and Unix sockets; `bad_request` for anything else.
    """
    if text.startswith(("https://", "unix://")):
        raise RequestError("unsupported", f"{text!r}: only plain http:// is supported so far")
    match = _ADDRESS.fullmatch(text)
    port = int(match[2] or PORT_DEFAULT) if match else 0
    if match is None or not 0 < port < 65536:
        raise RequestError(
            "bad_request", f"{text!r} is no endpoint; write host:port or http://host:port"
        )
    return Endpoint(match[1].strip("[]"), port)


class Ring:
    """The endpoints in the order given, and the one in use.

    Args:
        addresses: At least one.

    Raises:
        RequestError: No address, or one that `parse` refuses.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        if not addresses:
            raise RequestError("bad_request", "a client needs at least one endpoint")
        self.endpoints = tuple(parse(address) for address in addresses)
        self.current = self.endpoints[0]

    def leave(self, endpoint: Endpoint) -> None:
        """Go on to the next one, unless another caller has done so already."""
        if endpoint is self.current:
            place = self.endpoints.index(endpoint) + 1
            self.current = self.endpoints[place % len(self.endpoints)]
