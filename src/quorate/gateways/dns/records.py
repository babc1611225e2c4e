"""Records as bytes, ready to be put together in any order.

The names of records are compressed against the question alone, which begins every reply: so a
record has the same bytes wherever it stands, and a reply is made by joining. Names within SRV
records are never compressed (RFC 2782).

Source: RFC 1035, 3.2 and 4.1.4.
"""

from collections.abc import Iterable, Sequence
from struct import Struct

from dns.rdatatype import RdataType

from quorate.gateways.dns.config import StartOfAuthority
from quorate.gateways.dns.names import Address
from quorate.gateways.dns.questions import HEADER_BYTES, DnsQuestion

A, AAAA, SRV, TXT = RdataType.A, RdataType.AAAA, RdataType.SRV, RdataType.TXT
CNAME, NS, PTR, SOA, ANY = (
    RdataType.CNAME,
    RdataType.NS,
    RdataType.PTR,
    RdataType.SOA,
    RdataType.ANY,
)
AXFR, IXFR, OPT = RdataType.AXFR, RdataType.IXFR, RdataType.OPT

Labels = Sequence[bytes]

LABEL_BYTES_MAX = 63
NAME_BYTES_MAX = 255
TTL_S_MAX = 2**31 - 1

_RECORD = Struct("!HHIH")  # type, class, TTL, length of the data
_SRV = Struct("!HHH")
_SOA = Struct("!5I")
_POINTER = Struct("!H")
_POINTER_BITS = 0xC000
_IN = 1
_TEXT_BYTES_MAX = 255
_PRIORITY = 1


class NameFormatError(ValueError):
    """A text is no name of DNS: a label or the whole is too long, or a label is empty."""


def labels_of(text: str) -> Labels:
    """The labels of a name in text.

    Raises:
        NameFormatError: It is none.
    """
    labels = text.rstrip(".").encode().split(b".")
    if any(not 0 < len(label) <= LABEL_BYTES_MAX for label in labels):
        raise NameFormatError(text)
    return labels


def encoded(labels: Labels) -> bytes:
    """A whole name.

    Raises:
        NameFormatError: It is too long.
    """
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(name) > NAME_BYTES_MAX:
        raise NameFormatError(b".".join(labels))
    return name


class Records:
    """Makes the records of replies to one question.

    Args:
        question: The question.
        domain: The domain of its name, in lower case; or that of the node, if it is in none.
        compresses: Whether names point into the question.
    """

    def __init__(self, question: DnsQuestion, domain: Labels, *, compresses: bool) -> None:
        labels = question.labels
        self._asked = encoded(labels)
        self._compresses = compresses
        self._domain = domain
        self._pointer = b""
        before = len(labels) - len(domain)
        if compresses and before >= 0 and tuple(labels[before:]) == tuple(domain):
            at = HEADER_BYTES + sum(len(label) + 1 for label in labels[:before])
            self._pointer = _POINTER.pack(_POINTER_BITS | at)

    def asked(self) -> bytes:
        """The name of the question, as the owner of a record."""
        return _POINTER.pack(_POINTER_BITS | HEADER_BYTES) if self._compresses else self._asked

    def within(self, labels: Labels) -> bytes:
        """A name in the domain, as the owner of a record.

        Raises:
            NameFormatError: It is too long.
        """
        whole = self.whole(labels)
        if not self._pointer:
            return whole
        return b"".join(bytes((len(label),)) + label for label in labels) + self._pointer

    def whole(self, labels: Labels) -> bytes:
        """A name in the domain, uncompressed.

        Raises:
            NameFormatError: It is too long.
        """
        return encoded([*labels, *self._domain])


def record(owner: bytes, rdtype: int, ttl_s: float, data: bytes) -> bytes:
    """One record."""
    return owner + _RECORD.pack(rdtype, _IN, min(int(ttl_s), TTL_S_MAX), len(data)) + data


def address(owner: bytes, ttl_s: float, at: Address) -> bytes:
    """A or AAAA."""
    return record(owner, A if at.version == 4 else AAAA, ttl_s, at.packed)


def service(owner: bytes, ttl_s: float, weight: int, port: int, target: bytes) -> bytes:
    """SRV, of priority 1."""
    return record(owner, SRV, ttl_s, _SRV.pack(_PRIORITY, weight, port) + target)


def texts(owner: bytes, ttl_s: float, meta: Iterable[tuple[str, str]]) -> tuple[bytes, ...]:
    """TXT of each pair of metadata (RFC 1464)."""
    return tuple(record(owner, TXT, ttl_s, _text(key, value)) for key, value in meta)


def _text(key: str, value: str) -> bytes:
    if key.startswith("rfc1035-"):
        text = value
    else:
        text = f"{key.replace('`', '``').replace('=', '`=')}={value}"
    data = text.encode()
    parts = [data[at : at + _TEXT_BYTES_MAX] for at in range(0, len(data), _TEXT_BYTES_MAX)] or [
        b""
    ]
    return b"".join(bytes((len(part),)) + part for part in parts)


def authority(owner: bytes, names: Records, soa: StartOfAuthority, serial: int) -> bytes:
    """SOA."""
    numbers = _SOA.pack(serial & 0xFFFFFFFF, soa.refresh, soa.retry, soa.expire, soa.min_ttl)
    data = names.whole([b"ns"]) + names.whole([b"hostmaster"]) + numbers
    return record(owner, SOA, soa.min_ttl, data)
