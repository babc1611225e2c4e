"""Addresses as templates: `{{ GetInterfaceIP "eth0" }}` and its relatives in Consul's files.

A template names a source of addresses of this machine, and functions that choose among them,
joined by `|`. What is built: every source, `include`, `exclude`, `sort`, `limit`, `offset`,
`unique`, `attr` and `join`; not the arithmetic (`math`).

One answer differs on purpose: `GetInterfaceIP` of an interface that has only addresses which no
router forwards (`lo`) gives the first of them, where Consul finds none.

Source: https://pkg.go.dev/github.com/hashicorp/go-sockaddr/template.
"""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

ROUTES = Path("/proc/net/route")

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|([A-Za-z_]\w*|-?\d+)|(\|))')

# RFC 6890: blocks with a special purpose, and those of them that no router forwards
_SPECIAL = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
    "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "240.0.0.0/4 ::1/128 ::/128 64:ff9b::/96 ::ffff:0:0/96 100::/64 2001::/23 2001:db8::/32 "
    "2002::/16 fc00::/7 fe80::/10"
)
_LOCAL = (
    "0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 "
    "203.0.113.0/24 240.0.0.0/4 ::1/128 ::/128 ::ffff:0:0/96 2001:db8::/32 2001:10::/28 fe80::/10"
)
_RFCS = {
    "1122": "127.0.0.0/8 0.0.0.0/8", "1918": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "2544": "198.18.0.0/15", "3849": "2001:db8::/32", "3927": "169.254.0.0/16",
    "4193": "fc00::/7", "4291": "::1/128 ::/128 fe80::/10",
    "5737": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24", "6598": "100.64.0.0/10",
    "6890": _SPECIAL,
}  # fmt: skip


class TemplateError(Exception):
    """A template cannot be read, or finds no address; the text says why."""


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

    def is_in(self, networks: str) -> bool:
        """Whether it is in one of these networks, separated by spaces."""
        return any(
            self.address.version == network.version and self.address.ip in network
            for network in map(ip_network, networks.split())
        )


Places = list[InterfaceAddress]
Value = Places | str
Entry = TypeVar("Entry")


def expand(text: str, places: Callable[[], Places]) -> str:
    """A text with each template, `{{ … }}` anywhere in it, replaced by what it gives.

    Raises:
        TemplateError: A template cannot be read, or gives nothing.
    """
    if "{{" not in text:
        return text
    expanded = _TEMPLATE.sub(lambda found: _evaluated(found[1], places()), text)
    if "{{" in expanded:
        raise TemplateError(f"{text!r}: a template does not end")
    return expanded.strip()


def _evaluated(inner: str, places: Places) -> str:
    (source, *arguments), *rest = _steps(inner)
    value = _source(source, arguments, places)
    for function, *arguments in rest:
        if isinstance(value, str):
            raise TemplateError(f"{{{{{inner}}}}}: {function} cannot follow a text")
        value = _chosen(function, arguments, value)
    if isinstance(value, list):
        raise TemplateError(f'{{{{{inner}}}}} gives interfaces: end it with | attr "address"')
    if not value:
        raise TemplateError(f"{{{{{inner}}}}} finds no address on this machine")
    return value


def _steps(inner: str) -> list[list[str]]:
    """The words of each part between bars."""
    steps: list[list[str]] = [[]]
    rest = inner.strip().strip("-").strip()  # {{- and -}} only trim
    at = 0
    while at < len(rest):
        match = _WORD.match(rest, at)
        if match is None:
            raise TemplateError(f"{{{{{inner}}}}}: {rest[at:].strip()!r} cannot be read")
        quoted, raw, word, bar = match.groups()
        if bar:
            steps.append([])
        elif quoted is not None:
            steps[-1].append(re.sub(r"\\(.)", r"\1", quoted))
        else:
            steps[-1].append(raw if raw is not None else word)
        at = match.end()
    if not all(steps):
        raise TemplateError(f"{{{{{inner}}}}}: a function is missing")
    return steps


# --- sources and choosers ------------------------------------------------------------------------


def _source(function: str, arguments: Sequence[str], places: Places) -> Value:
    is_all = function.endswith("IPs")
    if function in {"GetInterfaceIP", "GetInterfaceIPs"} and len(arguments) == 1:
        found = _sorted(_matching("name", arguments[0], places), ["type", "size"])
        forwarded = [each for each in found if not each.is_in(_LOCAL)]
        return _texts(found if is_all else forwarded or found, is_all)
    if function in _PLURALS and not arguments:
        found = [each for each in _sorted(places, ["type", "size"]) if _PLURALS[function](each)]
        return _texts(found, is_all)
    source = _SOURCES.get(re.sub("^(GetPrivate|GetPublic)IP$", r"\1Interfaces", function))
    if source is None or arguments:
        raise TemplateError(f"{' '.join([function, *arguments])}: no such source of addresses")
    return source(places) if function.endswith("Interfaces") else _texts(source(places), is_all)


def _texts(places: Places, is_all: bool) -> str:
    return " ".join(each.text for each in (places if is_all else places[:1]))


# The plurals look at every address, whatever the state and the routes of its interface.
_PLURALS: dict[str, Callable[[InterfaceAddress], bool]] = {
    "GetPrivateIPs": lambda place: place.is_in(_SPECIAL) and not place.is_in(_LOCAL),
    "GetPublicIPs": lambda place: not place.is_in(_SPECIAL),
}


def _usable(places: Places, *, is_private: bool) -> Places:
    usable = [each for each in places if "up" in each.flags and not each.is_in(_LOCAL)]
    ordered = _sorted(usable, ["default", "type", "size"])
    return [each for each in ordered if each.is_in(_SPECIAL) == is_private]


_SOURCES: dict[str, Callable[[Places], Places]] = {
    "GetAllInterfaces": list,
    "GetDefaultInterfaces": lambda places: [each for each in places if each.is_default],
    "GetPrivateInterfaces": lambda places: _usable(places, is_private=True),
    "GetPublicInterfaces": lambda places: _usable(places, is_private=False),
}


def _chosen(function: str, arguments: Sequence[str], places: Places) -> Value:
    chooser = _CHOOSERS.get(function)
    if chooser is None or len(arguments) != chooser[0]:
        raise TemplateError(f"{' '.join([function, *arguments])}: no such function")
    return chooser[1](places, arguments)


def _unique(places: Places, words: Sequence[str]) -> Places:
    found = {_attribute(each, words[0]): each for each in reversed(places)}
    return list(found.values())[::-1]


_CHOOSERS: dict[str, tuple[int, Callable[[Places, Sequence[str]], Value]]] = {
    "include": (2, lambda places, words: _matching(words[0], words[1], places)),
    "exclude": (2, lambda places, words: _matching(words[0], words[1], places, is_out=True)),
    "sort": (1, lambda places, words: _sorted(places, words[0].split(","))),
    "limit": (1, lambda places, words: places[: max(_count(words[0]), 0)]),
    "offset": (1, lambda places, words: places[_count(words[0]) :]),
    "unique": (1, _unique),
    "attr": (1, lambda places, words: _attribute(places[0], words[0]) if places else ""),
    "join": (2, lambda places, words: words[1].join(_attribute(each, words[0]) for each in places)),
}
"""Functions by name: how many arguments each takes, and what it does with the addresses."""


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise TemplateError(f"{text!r} is no number") from None


Test = Callable[[InterfaceAddress], object]

_NAME, _ADDRESS = attrgetter("name"), attrgetter("text")
_OF_INTERFACE = {"up", "broadcast", "multicast", "loopback", "point-to-point"}


def _matching(kind: str, value: str, places: Places, *, is_out: bool = False) -> Places:
    is_match = _known(_TESTS, kind, f"include or exclude by {kind!r} is not built")(value)
    return [each for each in places if bool(is_match(each)) is not is_out]


def _known(table: Mapping[str, Entry], name: str, otherwise: str) -> Entry:
    if (found := table.get(name.lower())) is None:
        raise TemplateError(otherwise)
    return found


def _by(pattern: str, attribute: Callable[[InterfaceAddress], str]) -> Test:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise TemplateError(f"expression {pattern!r}: {error}") from None
    return lambda place: expression.search(attribute(place))


def _by_flags(value: str) -> Test:
    """With all flags of interfaces that are wanted, or forwardable if that is."""
    wanted = set(value.lower().split("|"))
    if unknown := wanted - _OF_INTERFACE - {"forwardable"}:
        raise TemplateError(f"flag {min(unknown)!r} is not known")
    flags, is_forwardable = wanted & _OF_INTERFACE, "forwardable" in wanted
    return lambda place: (
        (flags and flags <= place.flags) or (is_forwardable and not place.is_in(_LOCAL))
    )


def _by_type(value: str) -> Test:
    words = set(value.lower().split("|"))
    return lambda place: {"ip", f"ipv{place.address.version}"} & words


def _by_rfcs(value: str) -> Test:
    networks = (_known(_RFCS, each, f"RFC {each} is not known") for each in value.split("|"))
    joined = " ".join(networks)
    return lambda place: place.is_in(joined)


def _by_networks(value: str) -> Test:
    try:
        networks = " ".join(str(ip_network(network)) for network in value.split("|"))
    except ValueError as error:
        raise TemplateError(f"network {value!r}: {error}") from None
    return lambda place: place.is_in(networks)


_TESTS: dict[str, Callable[[str], Test]] = {
    "name": lambda value: _by(value, _NAME),
    "address": lambda value: _by(value, _ADDRESS),
    "network": _by_networks,
    "type": _by_type,
    "flag": _by_flags,
    "flags": _by_flags,
    "rfc": _by_rfcs,
    "rfcs": _by_rfcs,
}

_ATTRIBUTES: dict[str, Callable[[InterfaceAddress], str]] = {
    "address": _ADDRESS,
    "name": _NAME,
    "network": lambda place: str(place.address.network.network_address),
}


def _attribute(place: InterfaceAddress, name: str) -> str:
    return _known(_ATTRIBUTES, name, f"attribute {name!r} is not built")(place)


_KEYS: dict[str, Callable[[InterfaceAddress], Any]] = {
    "address": lambda place: (place.address.version, place.address.ip),
    "default": lambda place: not place.is_default,
    "name": _NAME,
    "private": lambda place: not place.is_in(_SPECIAL),
    "size": lambda place: place.address.network.prefixlen,
    "type": lambda place: place.address.version,
}


def _sorted(places: Places, keys: Sequence[str]) -> Places:
    """Sorted by several keys, the first counts most; `-` before one turns it round."""
    ordered = list(places)
    for key in reversed(keys):
        name = key.strip()
        by = _known(_KEYS, name.lstrip("+-"), f"sort by {key!r} is not built")
        ordered.sort(key=by, reverse=name.startswith("-"))
    return ordered


# --- this machine ------------------------------------------------------------------------------


def own_addresses() -> Places:
    """The addresses of this machine, in the order of its interfaces."""
    psutil: Any = importlib.import_module("psutil")  # no types of its own
    default = default_interface(ROUTES.read_text() if ROUTES.exists() else "")
    states = psutil.net_if_stats()
    places: Places = []
    for name, found in psutil.net_if_addrs().items():
        flags = frozenset(str(states[name].flags).split(",") if name in states else [])
        for each in found:
            try:
                address = ip_interface(f"{each.address.partition('%')[0]}/{_prefix(each.netmask)}")
            except ValueError:  # the address of the hardware
                continue
            places.append(InterfaceAddress(name, address, flags, name == default))
    return places


def _prefix(netmask: str | None) -> str:
    """A netmask as `ip_interface` takes it: bits for IPv6, as it is for IPv4."""
    if netmask is None:
        return "32"
    return str(ip_interface(netmask).packed.hex().count("f") * 4) if ":" in netmask else netmask


def default_interface(routes: str) -> str:
    """The interface of the default route in the kernel's table; empty if there is none."""
    best = ("", -1)
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000":
            metric = int(fields[6])
            if best[1] < 0 or metric < best[1]:
                best = (fields[0], metric)
    return best[0]
