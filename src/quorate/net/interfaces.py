"""Interfaces: the addresses of this machine."""

import importlib
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, NamedTuple

ROUTES = Path("/proc/net/route")


class InterfaceAddress(NamedTuple):
    """One address of this machine."""

    name: str  # of its interface
    address: IPv4Interface | IPv6Interface  # with the size of its network
    flags: frozenset[str]  # of the interface: `up`, `loopback`, `broadcast`, `multicast`, …
    is_default: bool  # the default route leaves by this interface

    @property
    def text(self) -> str:
        """The address alone."""
        return str(self.address.ip)

    def is_in(self, networks: Iterable[Any]) -> bool:
        """Whether it is in one of these networks."""
        return any(self.address.ip in network for network in networks)


def own_addresses() -> list[InterfaceAddress]:
    """The addresses of this machine, in the order of its interfaces."""
    psutil: Any = importlib.import_module("psutil")  # no types of its own
    default = default_interface(ROUTES.read_text() if ROUTES.exists() else "")
    states = psutil.net_if_stats()
    addresses: list[InterfaceAddress] = []
    for name, found in psutil.net_if_addrs().items():
        flags = frozenset(str(states[name].flags).split(",") if name in states else [])
        for each in found:
            try:
                address = ip_interface(f"{each.address.partition('%')[0]}/{_prefix(each.netmask)}")
            except ValueError:  # the address of the hardware
                continue
            addresses.append(InterfaceAddress(name, address, flags, name == default))
    return addresses


def _prefix(netmask: str | None) -> str:
    """A netmask as `ip_interface` takes it: bits for IPv6, unchanged for IPv4."""
    if netmask is None:
        return "32"
    return str(ip_interface(netmask).packed.hex().count("f") * 4) if ":" in netmask else netmask


def default_interface(routes: str) -> str:
    """The interface of the default route in the kernel's table; empty if there is none."""
    rows = [line.split() for line in routes.splitlines()[1:]]
    found = [
        (int(fields[6]), place, fields[0])
        for place, fields in enumerate(rows)
        if len(fields) > 7 and fields[1] == fields[7] == "00000000"
    ]
    return min(found, default=(0, 0, ""))[2]
