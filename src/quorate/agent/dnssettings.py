"""The settings of DNS, of values that are single keys."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any

import msgspec

from quorate.base.errors import QuorateError, RequestError
from quorate.client import durations
from quorate.gateways.dns.config import DnsConfig, StartOfAuthority
from quorate.runtime.addresses import split_address

DOMAIN_PORT = 53
"""Of recursors without one."""

STRATEGIES = ("sequential", "random")

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NAME_LENGTH_MAX = 150  # leaves room for the names in it
_SOA = "dns_config.soa."

Expand = Callable[[str, str], list[str]]
"""Expands the address templates in a key's value; notes what is wrong."""


def dns_config(
    values: dict[str, Any], plain: dict[str, Any], datacenter: str, expand: Expand
) -> tuple[DnsConfig, list[str]]:
    """The settings, and what is wrong with them.

    Args:
        values: Of all keys.
        plain: The fields of `DnsConfig` that are the values of their keys.
        datacenter: Of this node.
        expand: See `Expand`.
    """
    faults: list[str] = []
    strategy = values.get("dns_config.recursor_strategy") or STRATEGIES[0]
    if strategy not in STRATEGIES:
        faults.append(f"dns_config.recursor_strategy must be sequential or random, not {strategy}")
    soa = {name.removeprefix(_SOA): each for name, each in values.items() if name.startswith(_SOA)}
    faults += [
        f"{_SOA}{name} must be at least 0 and below 2^31"
        for name, each in soa.items()
        if not 0 <= each < 2**31
    ]
    config = DnsConfig(
        datacenter=datacenter,
        domain=_domain(values, "domain", "consul", faults),
        alt_domain=_domain(values, "alt_domain", "", faults),
        recursors=_recursors(values.get("recursors", []), expand, faults),
        service_ttls_s=_service_ttls(values.get("dns_config.service_ttl", {}), faults),
        picks_recursors=strategy == "random",
        compresses=not values.get("dns_config.disable_compression", False),
        soa=msgspec.convert(soa, StartOfAuthority),
        **plain,
    )
    return config, faults


def _domain(values: dict[str, Any], key: str, default: str, faults: list[str]) -> str:
    text: str = values.get(key) or default
    found = text.strip(".").lower()
    is_name = all(_LABEL.fullmatch(label) for label in found.split("."))
    if text and not (is_name and len(found) <= _NAME_LENGTH_MAX):
        faults.append(f"{key}: {text!r} is no domain name")
        return default
    return found


def _recursors(given: list[str], expand: Expand, faults: list[str]) -> tuple[tuple[str, int], ...]:
    found: list[tuple[str, int]] = []
    for word in (word for text in given for word in expand("recursors", text)):
        try:
            host, port = split_address(word, DOMAIN_PORT)
            ipaddress.ip_address(host)
        except (QuorateError, ValueError):
            faults.append(f"recursors: {word} is no IP address")
        else:
            found.append((host, port))
    return tuple(dict.fromkeys(found))


def _service_ttls(given: dict[str, str], faults: list[str]) -> tuple[tuple[str, float], ...]:
    found: list[tuple[str, float]] = []
    for service, text in given.items():
        try:
            found.append((service, durations.parse(text)))
        except RequestError as error:
            faults.append(f"dns_config.service_ttl.{service} is wrong: {error.text}")
    return tuple(sorted(found))
