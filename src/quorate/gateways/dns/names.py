"""Names: what a question is about, by the labels of its name.

Labels are read from the right, within the domain: the first keyword decides what the name is, what
is right of it must name this datacenter, what is left of it is the subject. So the names of nodes
may contain dots, and those of tags too.

Source: https://developer.hashicorp.com/consul/docs/services/discovery/dns-static-lookups.
"""

from collections.abc import Sequence
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

Address = IPv4Address | IPv6Address

TCP = "tcp"
"""As a tag in `_service._tcp`: no tag."""


class Kind(Enum):
    """What a name is about."""

    DOMAIN = "domain"  # the domain itself
    NODE = "node"
    SERVICE = "service"
    PORT = "port"  # a named port of a service
    LITERAL = "addr"  # an address, in the name itself
    QUERY = "query"  # a prepared query
    VIRTUAL = "virtual"  # of the mesh: there are none
    NOTHING = ""  # nothing has such a name


class Subject(msgspec.Struct, frozen=True):
    """What a name in a domain is about.

    Attributes:
        kind: See `Kind`; the other fields are those that it needs.
        name: Of the node or service; of the query: its name or id.
        tag: That instances must have; "": none.
        port: Name of a port.
        address: The literal address.
    """

    kind: Kind
    name: str = ""
    tag: str = ""
    port: str = ""
    address: Address | None = None


NOTHING = Subject(Kind.NOTHING)
_ADDRESS_DIGITS = (8, 32)


def subject_of(labels: Sequence[str], datacenter: str, *, is_srv: bool) -> Subject:
    """What a name is about.

    Args:
        labels: Of the name, in lower case, without those of the domain.
        datacenter: Of this node, in lower case.
        is_srv: The question is for SRV: `_service._tag` needs no keyword.
    """
    if not labels:
        return Subject(Kind.DOMAIN)
    place = next((at for at in reversed(range(len(labels))) if labels[at] in _KEYWORDS), None)
    if place is None:
        is_rfc = is_srv and len(labels) >= 2 and labels[0][:1] == labels[1][:1] == "_"
        if not is_rfc or not _is_here(labels[2:], datacenter):
            return NOTHING
        return _service(labels[:2])
    keyword, left, right = labels[place], labels[:place], labels[place + 1 :]
    if keyword == "addr":
        return _literal(left)
    if not left or not _is_here(right, datacenter):
        return NOTHING
    return _KEYWORDS[keyword](left) if keyword != "port" or not right else NOTHING


def _is_here(labels: Sequence[str], datacenter: str) -> bool:
    """Whether the labels right of a keyword name this datacenter, or nothing."""
    return tuple(labels) in {(), (datacenter,), (datacenter, "dc")}


def _node(left: Sequence[str]) -> Subject:
    return Subject(Kind.NODE, ".".join(left))


def _service(left: Sequence[str]) -> Subject:
    if len(left) == 2 and left[0][:1] == left[1][:1] == "_":
        tag = left[1][1:]
        return Subject(Kind.SERVICE, left[0][1:], "" if tag == TCP else tag)
    return Subject(Kind.SERVICE, left[-1], ".".join(left[:-1]))


def _port(left: Sequence[str]) -> Subject:
    if len(left) == 3 and left[1] == "service":
        return Subject(Kind.PORT, left[0], port=left[2])
    return NOTHING


def _query(left: Sequence[str]) -> Subject:
    """The name of a query may contain dots; `_name._tcp` is another spelling of it."""
    if len(left) >= 2 and left[0][:1] == left[-1][:1] == "_":
        return Subject(Kind.QUERY, ".".join(left[:-1])[1:])
    return Subject(Kind.QUERY, ".".join(left))


def _virtual(_: Sequence[str]) -> Subject:
    return Subject(Kind.VIRTUAL)


def _nothing(_: Sequence[str]) -> Subject:
    return NOTHING


def _literal(left: Sequence[str]) -> Subject:
    if len(left) != 1 or len(left[0]) not in _ADDRESS_DIGITS:
        return NOTHING
    try:
        packed = bytes.fromhex(left[0])
    except ValueError:
        return NOTHING
    if len(packed) not in {4, 16}:  # `fromhex` ignores spaces
        return NOTHING
    return Subject(Kind.LITERAL, address=ip_address(packed))


_KEYWORDS = {
    "node": _node,
    "service": _service,
    "port": _port,
    "addr": _literal,
    "virtual": _virtual,
    "connect": _nothing,
    "ingress": _nothing,
    "query": _query,
}


def reverse_address(labels: Sequence[str]) -> Address | None:
    """The address that a name of a PTR question asks about (RFC 1035, 3.5; RFC 3596, 2.5).

    Args:
        labels: Of the whole name, in lower case.

    Returns:
        None: it is no whole address.
    """
    suffix, parts = tuple(labels[-2:]), labels[:-2][::-1]
    try:
        if suffix == ("in-addr", "arpa") and len(parts) == 4:
            return IPv4Address(".".join(parts))
        if suffix == ("ip6", "arpa") and len(parts) == 32 and all(len(one) == 1 for one in parts):
            return IPv6Address(bytes.fromhex("".join(parts)))
    except ValueError:
        return None
    return None
