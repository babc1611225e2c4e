"""Questions: what a client asked, read from a message of at most `QUERY_BYTES_MAX` bytes.

Source: RFC 1035, 4.1; RFC 6891 (EDNS); RFC 7871 (client subnet).
"""

from struct import Struct
from typing import Any, cast

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rdataclass
import msgspec

QUERY_BYTES_MAX = 4096
"""A longer query is refused: it holds one question and options."""

HEADER_BYTES = 12
UDP_BYTES = 512
"""A UDP answer without EDNS is not longer."""

_HEADER = Struct("!HHHHHH")
_REPLY, _OPCODE = 0x8000, 0x7800
_RECORDS_MAX = 2  # beside the question: EDNS and a signature

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
NAMES = {
    NOERROR: "NOERROR",
    FORMERR: "FORMERR",
    SERVFAIL: "SERVFAIL",
    NXDOMAIN: "NXDOMAIN",
    NOTIMP: "NOTIMP",
    REFUSED: "REFUSED",
    BADVERS: "BADVERS",
}
"""The response codes that replies have, by their names."""


class Edns(msgspec.Struct, frozen=True):
    """What a client says by EDNS.

    Attributes:
        size: Of the longest UDP answer that it takes, in bytes.
        subnet: The data of its client-subnet option; empty: it has none.
    """

    size: int
    subnet: bytes = b""


class DnsQuestion(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        section: The question section as the client wrote it.
        labels: Of the name, as the client wrote them, without the root.
        words: The same as text in lower case; what is no UTF-8 is replaced.
        qtype: The type.
        flags: To copy into the reply: RD and CD.
        edns: None: the client does not use it.
    """

    section: bytes
    labels: tuple[bytes, ...]
    words: tuple[str, ...]
    qtype: int
    flags: int
    edns: Edns | None


class BadQueryError(Exception):
    """A query that gets an error as its reply, or none.

    Args:
        rcode: The reply; None: there is none.
        flags: See `DnsQuestion.flags`.
        opcode: Of the query, as bits of the flags.
    """

    def __init__(self, rcode: int | None, flags: int = 0, opcode: int = 0) -> None:
        super().__init__(rcode)
        self.rcode = rcode
        self.flags = flags
        self.opcode = opcode


def question_of(data: bytes) -> DnsQuestion:
    """Read a query.

    Raises:
        BadQueryError: It is refused.
    """
    if len(data) < HEADER_BYTES:
        raise BadQueryError(None)
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & _REPLY:  # of a server, or to make two servers answer each other
        raise BadQueryError(None)
    kept, opcode = flags & (dns.flags.RD | dns.flags.CD), flags & _OPCODE
    if opcode != dns.opcode.QUERY:
        raise BadQueryError(NOTIMP, kept, opcode)
    is_long = len(data) > QUERY_BYTES_MAX or authorities + additional > _RECORDS_MAX
    if questions != 1 or answers or is_long:
        raise BadQueryError(FORMERR, kept)
    try:
        message = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError) as error:
        raise BadQueryError(FORMERR, kept) from error
    asked = message.question[0]
    labels = asked.name.labels[:-1]
    end = HEADER_BYTES + sum(len(label) + 1 for label in labels) + 5
    section = data[HEADER_BYTES:end]
    if section[-5:-4] != b"\0":  # a compressed name, in the first name of a message
        raise BadQueryError(FORMERR, kept)
    if message.edns > 0:
        raise BadQueryError(BADVERS, kept)
    if asked.rdclass not in {dns.rdataclass.IN, dns.rdataclass.ANY}:
        raise BadQueryError(REFUSED, kept)
    words = tuple(label.decode("utf-8", "replace").lower() for label in labels)
    return DnsQuestion(section, labels, words, int(asked.rdtype), kept, _edns(message))


def _edns(message: dns.message.Message) -> Edns | None:
    if message.edns < 0:
        return None
    subnet = b""
    for option in cast(Any, message).options:  # the library gives its elements no type
        if isinstance(option, dns.edns.ECSOption):
            subnet = option.to_wire() or b""
    return Edns(max(message.payload, UDP_BYTES), subnet)
