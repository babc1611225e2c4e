"""Endpoints: the nodes that a client may use, and the one in use.

The choice is sticky: one node is used until it fails, then the next in the order given. That is
better than spreading requests over the nodes: a node batches the writes of its clients into
bundles, and what one call wrote, the next one reads from the same tables without a wait.
"""

import re
from collections.abc import Sequence

from quorate.base.errors import RequestError
from quorate.client.arguments import texts

PORT_DEFAULT = 8500

_ADDRESS = re.compile(r"(?:http://)?(\[[^\]/]+\]|[^:/\[\]\s@]*)(?::(\d{1,5}))?/?", re.ASCII)
_UNIX = "unix://"


class Endpoint:
    """The HTTP address of one node. Compared by identity, as it is a key on the hot path.

    Attributes:
        host: Name or address; empty for a Unix socket.
        port: 0 for a Unix socket.
        path: Of the Unix socket; empty for TCP.
        name: For messages; `Client` takes it as an address.
        has_answered: It has sent at least one HTTP reply.
    """

    __slots__ = ("has_answered", "host", "name", "path", "port")

    def __init__(self, host: str, port: int, path: str = "") -> None:
        self.host = host
        self.port = port
        self.path = path
        self.has_answered = False
        if path:
            self.name = f"{_UNIX}{path}"
        else:
            self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    @property
    def host_header(self) -> str:
        """The value of the header `Host`."""
        return "localhost" if self.path else self.name


def parse(text: str) -> Endpoint:
    """Parse `host`, `host:port`, `http://host:port` or `unix:///path`; IPv6 addresses in brackets.

    A port alone, as in `:8500`, means this machine.

    Raises:
        RequestError: `unsupported` for TLS; `bad_request` for anything else.
    """
    if text.startswith("https://"):
        raise RequestError(
            "unsupported", f"{text!r}: Quorate does not have TLS yet; write http:// without it"
        )
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path or not path.isprintable():
            raise RequestError("bad_request", f"{text!r} is no endpoint; write unix:///path")
        return Endpoint("", 0, path)
    match = _ADDRESS.fullmatch(text)
    if match is None or not (match[1] or match[2]) or match[1].isdigit():
        raise _no_endpoint(text)
    port = PORT_DEFAULT if match[2] is None else int(match[2])
    if not 0 < port < 65536:
        raise _no_endpoint(text)
    return Endpoint(match[1].strip("[]") or "127.0.0.1", port)


def _no_endpoint(text: str) -> RequestError:
    return RequestError(
        "bad_request", f"{text!r} is no endpoint; write host:port, http://host:port or unix:///path"
    )


class EndpointList:
    """The endpoints in the order given, and the one in use.

    Args:
        addresses: At least one.

    Raises:
        TypeError: They are no texts.
        RequestError: No address, or one that `parse` refuses.
    """

    def __init__(self, addresses: str | Sequence[str]) -> None:
        given = (addresses,) if isinstance(addresses, str) else texts("endpoints", addresses)
        if not given:
            raise RequestError("bad_request", "a client needs at least one endpoint")
        self.endpoints = tuple(parse(address) for address in given)
        self.current = self.endpoints[0]

    def leave(self, endpoint: Endpoint) -> bool:
        """Select the next one, unless another caller has done so already, or there is none."""
        if endpoint is not self.current or len(self.endpoints) == 1:
            return False
        index = self.endpoints.index(endpoint) + 1
        self.current = self.endpoints[index % len(self.endpoints)]
        return True
