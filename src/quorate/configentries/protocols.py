"""Protocols of services, as configuration entries say them."""

import msgspec

from quorate.configentries.tables import PROXY_DEFAULTS

TCP = "tcp"
"""Where nothing says another one."""

ADVANCED = ("http", "http2", "grpc")
"""Those that permit routers and splitters."""


class _Config(msgspec.Struct, frozen=True):
    protocol: object = ""


class _Defaults(msgspec.Struct, frozen=True, rename="pascal"):
    protocol: str = ""
    config: _Config = _Config()


_decode = msgspec.json.Decoder(_Defaults).decode


def protocol_in(kind: str, content: bytes) -> str:
    """The protocol that defaults set; "" if none.

    Args:
        kind: `service-defaults` or `proxy-defaults`.
        content: Of the entry.
    """
    found = _decode(content)
    said = found.config.protocol if kind == PROXY_DEFAULTS else found.protocol
    return said.lower() if isinstance(said, str) else ""
