"""Addresses as people write them: `host`, `host:port`, `[v6]:port`."""

import ipaddress
import socket

from quorate.base.errors import RequestError

PORT_MAX = 65535


def split_address(text: str, port_default: int | None = None) -> tuple[str, int]:
    """Host and port of an address.

    Args:
        text: A name, an IPv4 address or an IPv6 address (in brackets if a port follows).
        port_default: For an address without a port; None: it must have one.

    Raises:
        RequestError: `bad_request`: it is no address.
    """
    if "," in text:
        raise RequestError(
            "bad_request", f"{text!r}: addresses are given one by one, without commas"
        )
    host, port_text = text.strip(), ""
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _not_an_address(text)
        port_text = rest[1:]
    elif host.count(":") == 1:
        host, _, port_text = host.partition(":")
    if not port_text:
        if port_default is None:
            raise _not_an_address(text)
        port = port_default
    elif port_text.isascii() and port_text.isdigit():
        port = int(port_text)
    else:
        raise _not_an_address(text)
    if not host or not 0 <= port <= PORT_MAX or any(c in host for c in " /@"):
        raise _not_an_address(text)
    if ":" in host and not _is_v6(host):
        raise _not_an_address(text)
    return host, port


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def join_address(host: str, port: int) -> str:
    """The text of an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_unspecified(host: str) -> bool:
    """Whether this stands for every address of the machine (0.0.0.0 or ::)."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


def is_loopback(text: str) -> bool:
    """Whether an address, with or without a port, can be reached from this machine alone."""
    try:
        host, _ = split_address(text, 1)
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (RequestError, ValueError):  # no address, or a name
        return False


def reachable_host(bind: str) -> str:
    """The address to announce to others when this node listens on `bind`.

    For every address of the machine: the one that its default route leaves by, or 127.0.0.1.
    Nothing is sent to find out.
    """
    if not is_unspecified(bind):
        return bind
    is_v6 = ":" in bind
    family, far = (socket.AF_INET6, "2001:db8::1") if is_v6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:  # no route: this machine is alone
        return "::1" if is_v6 else "127.0.0.1"


def _not_an_address(text: str) -> RequestError:
    return RequestError("bad_request", f"{text!r} is no address: write host:port")
