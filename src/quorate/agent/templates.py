"""Address templates: `{{ GetInterfaceIP "eth0" }}` and its relatives in Consul's files.

A template names a source of addresses of this machine, and functions that select among them,
joined by `|`. Supported are every source, `include`, `exclude`, `sort`, `limit`, `offset`,
`unique`, `attr` and `join`; not the arithmetic (`math`).

One result differs on purpose: `GetInterfaceIP` of an interface that has only addresses that no
router forwards (`lo`) gives the first of them, where Consul finds none.

Source: https://pkg.go.dev/github.com/hashicorp/go-sockaddr/template.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from ipaddress import ip_network
from operator import attrgetter
from typing import Any, TypeVar

from quorate.net.interfaces import InterfaceAddress

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|([A-Za-z_]\w*|-?\d+)|(\|)')


def _networks(text: str) -> list[Any]:
    return [ip_network(network) for network in text.split()]


# RFC 6890: blocks with a special purpose, and those of them that no router forwards
_SPECIAL = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
    "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "240.0.0.0/4 ::1/128 ::/128 64:ff9b::/96 ::ffff:0:0/96 100::/64 2001::/23 2001:db8::/32 "
    "2002::/16 fc00::/7 fe80::/10"
)
_LOCAL = _networks(
    "0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 "
    "203.0.113.0/24 240.0.0.0/4 ::1/128 ::/128 ::ffff:0:0/96 2001:db8::/32 2001:10::/28 fe80::/10"
)
_RFCS = {
    "1122": "127.0.0.0/8 0.0.0.0/8", "1918": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "2544": "198.18.0.0/15", "3849": "2001:db8::/32", "3927": "169.254.0.0/16",
    "4193": "fc00::/7", "4291": "::1/128 ::/128 fe80::/10",
    "5737": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24", "6598": "100.64.0.0/10",
    "6890": " ".join(map(str, _SPECIAL)),
}  # fmt: skip


class TemplateError(Exception):
    """A template cannot be read, or finds no address; the text says why."""


Addresses = list[InterfaceAddress]
Value = Addresses | str
Test = Callable[[InterfaceAddress], object]
Entry = TypeVar("Entry")


def expand(text: str, addresses: Callable[[], Addresses]) -> str:
    """A text with each template, `{{ … }}` anywhere in it, replaced by its result.

    Raises:
        TemplateError: A template cannot be read, or gives nothing.
    """
    if "{{" not in text:
        return text
    expanded = _TEMPLATE.sub(lambda found: _evaluated(found[1], addresses()), text)
    if "{{" in expanded:
        raise TemplateError(f"{text!r}: a template does not end")
    return expanded.strip()


def _evaluated(inner: str, addresses: Addresses) -> str:
    source, *functions = _calls(inner)
    value = _called(_SOURCES, "source of addresses", source, addresses)
    for call in functions:
        if isinstance(value, str):
            raise TemplateError(f"{{{{{inner}}}}}: {call[0]} cannot follow a text")
        value = _called(_FUNCTIONS, "function", call, value)
    if isinstance(value, list):
        raise TemplateError(f'{{{{{inner}}}}} gives interfaces: end it with | attr "address"')
    if not value:
        raise TemplateError(f"{{{{{inner}}}}} finds no address on this machine")
    return value


def _calls(inner: str) -> list[list[str]]:
    """The words of each part between bars."""
    calls: list[list[str]] = [[]]
    text = inner.strip().strip("-")  # {{- and -}} only trim
    if unread := _WORD.sub("", text).strip():
        raise TemplateError(f"{{{{{inner}}}}}: {unread!r} cannot be read")
    for quoted, raw, word, bar in _WORD.findall(text):
        if bar:
            calls.append([])
        else:
            calls[-1].append(re.sub(r"\\(.)", r"\1", quoted) or raw or word)
    if not all(calls):
        raise TemplateError(f"{{{{{inner}}}}}: a function is missing")
    return calls


Function = tuple[int, Callable[..., Value]]
"""How many arguments a function takes besides the addresses, and what it does."""


def _called(
    table: Mapping[str, Function], kind: str, call: Sequence[str], addresses: Addresses
) -> Value:
    name, *arguments = call
    count, function = table.get(name, (-1, list))
    if len(arguments) != count:
        raise TemplateError(f"{' '.join(call)}: no such {kind}")
    return function(addresses, *arguments)


# --- sources -----------------------------------------------------------------------------------


def _texts(addresses: Iterable[InterfaceAddress]) -> str:
    return " ".join(each.text for each in addresses)


def _of_interface(addresses: Addresses, name: str) -> Addresses:
    return _sorted(_selected(addresses, "name", name), "type,size")


def _interface_ip(addresses: Addresses, name: str) -> str:
    found = _of_interface(addresses, name)
    return _texts(([each for each in found if not each.is_in(_LOCAL)] or found)[:1])


def _interface_ips(addresses: Addresses, name: str) -> str:
    return _texts(_of_interface(addresses, name))


def _of_default_route(addresses: Addresses) -> Addresses:
    return [each for each in addresses if each.is_default]


def _usable(addresses: Addresses, *, is_private: bool) -> Addresses:
    usable = [each for each in addresses if "up" in each.flags and not each.is_in(_LOCAL)]
    ordered = _sorted(usable, "default,type,size")
    return [each for each in ordered if each.is_in(_SPECIAL) == is_private]


def _first(addresses: Addresses, *, is_private: bool) -> str:
    return _texts(_usable(addresses, is_private=is_private)[:1])


def _all(addresses: Addresses, *, is_private: bool) -> str:
    """As `_usable`, whatever the state and the routes of an interface; private ones forwarded."""
    return _texts(
        each
        for each in _sorted(addresses, "type,size")
        if each.is_in(_SPECIAL) == is_private and not (is_private and each.is_in(_LOCAL))
    )


_SOURCES: dict[str, Function] = {
    "GetAllInterfaces": (0, list),
    "GetDefaultInterfaces": (0, _of_default_route),
    "GetPrivateInterfaces": (0, partial(_usable, is_private=True)),
    "GetPublicInterfaces": (0, partial(_usable, is_private=False)),
    "GetPrivateIP": (0, partial(_first, is_private=True)),
    "GetPublicIP": (0, partial(_first, is_private=False)),
    "GetPrivateIPs": (0, partial(_all, is_private=True)),
    "GetPublicIPs": (0, partial(_all, is_private=False)),
    "GetInterfaceIP": (1, _interface_ip),
    "GetInterfaceIPs": (1, _interface_ips),
}

# --- functions ---------------------------------------------------------------------------------


def _selected(
    addresses: Addresses, kind: str, value: str, *, is_excluded: bool = False
) -> Addresses:
    test = _known(_TESTS, kind, f"include or exclude by {kind!r} is not built")(value)
    return [each for each in addresses if bool(test(each)) is not is_excluded]


def _sorted(addresses: Addresses, keys: str) -> Addresses:
    """Sorted by several keys, the first counts most; `-` before one reverses it."""
    ordered = list(addresses)
    for key in reversed(keys.split(",")):
        name = key.strip()
        by = _known(_KEYS, name.lstrip("+-"), f"sort by {key!r} is not built")
        ordered.sort(key=by, reverse=name.startswith("-"))
    return ordered


def _unique(addresses: Addresses, name: str) -> Addresses:
    found = {_attribute(each, name): each for each in reversed(addresses)}
    return list(found.values())[::-1]


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise TemplateError(f"{text!r} is no number") from None


def _limited(addresses: Addresses, count: str) -> Addresses:
    return addresses[: max(_count(count), 0)]


def _from_offset(addresses: Addresses, count: str) -> Addresses:
    return addresses[_count(count) :]


def _attribute_of_first(addresses: Addresses, name: str) -> str:
    return _attribute(addresses[0], name) if addresses else ""


def _joined(addresses: Addresses, name: str, by: str) -> str:
    return by.join(_attribute(each, name) for each in addresses)


_FUNCTIONS: dict[str, Function] = {
    "include": (2, _selected),
    "exclude": (2, partial(_selected, is_excluded=True)),
    "sort": (1, _sorted),
    "limit": (1, _limited),
    "offset": (1, _from_offset),
    "unique": (1, _unique),
    "attr": (1, _attribute_of_first),
    "join": (2, _joined),
}


def _known(table: Mapping[str, Entry], name: str, otherwise: str) -> Entry:
    if (found := table.get(name.lower())) is None:
        raise TemplateError(otherwise)
    return found


def _by(attribute: str, pattern: str) -> Test:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise TemplateError(f"expression {pattern!r}: {error}") from None
    return lambda each: expression.search(_attribute(each, attribute))


_INTERFACE_FLAGS = {"up", "broadcast", "multicast", "loopback", "point-to-point"}


def _by_flags(value: str) -> Test:
    """Matches an interface that has all these flags; or a forwarded address, if that is one."""
    wanted = set(value.lower().split("|"))
    if unknown := wanted - _INTERFACE_FLAGS - {"forwardable"}:
        raise TemplateError(f"flag {min(unknown)!r} is not known")
    flags, is_forwardable = wanted & _INTERFACE_FLAGS, "forwardable" in wanted
    return lambda each: (
        (flags and flags <= each.flags) or (is_forwardable and not each.is_in(_LOCAL))
    )


def _by_type(value: str) -> Test:
    words = set(value.lower().split("|"))
    return lambda each: {"ip", f"ipv{each.address.version}"} & words


def _by_rfcs(value: str) -> Test:
    texts = (_known(_RFCS, each, f"RFC {each} is not known") for each in value.split("|"))
    networks = _networks(" ".join(texts))
    return lambda each: each.is_in(networks)


def _by_networks(value: str) -> Test:
    try:
        networks = [ip_network(network) for network in value.split("|")]
    except ValueError as error:
        raise TemplateError(f"network {value!r}: {error}") from None
    return lambda each: each.is_in(networks)


_TESTS: dict[str, Callable[[str], Test]] = {
    "name": partial(_by, "name"),
    "address": partial(_by, "address"),
    "network": _by_networks,
    "type": _by_type,
    **dict.fromkeys(("flag", "flags"), _by_flags),
    **dict.fromkeys(("rfc", "rfcs"), _by_rfcs),
}
_ATTRIBUTES: dict[str, Callable[[InterfaceAddress], str]] = {
    "address": attrgetter("text"),
    "name": attrgetter("name"),
    "network": lambda each: str(each.address.network.network_address),
}
_KEYS: dict[str, Callable[[InterfaceAddress], Any]] = {
    "address": lambda each: (each.address.version, each.address.ip),
    "default": lambda each: not each.is_default,
    "name": attrgetter("name"),
    "private": lambda each: not each.is_in(_SPECIAL),
    "size": lambda each: each.address.network.prefixlen,
    "type": attrgetter("address.version"),
}


def _attribute(address: InterfaceAddress, name: str) -> str:
    return _known(_ATTRIBUTES, name, f"attribute {name!r} is not built")(address)
