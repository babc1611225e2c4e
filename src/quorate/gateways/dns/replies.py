"""Replies: records put together, in another order each time, and cut to what the client takes.

Source: RFC 1035, 4.1; RFC 2181, 9 (TC); RFC 6891, 6.1.
"""

from collections.abc import Sequence
from struct import Struct

from quorate.base.ports import Rng
from quorate.gateways.dns.config import DnsConfig
from quorate.gateways.dns.lookups import Found, Piece
from quorate.gateways.dns.questions import HEADER_BYTES, UDP_BYTES, DnsQuestion, Edns

UDP_ANSWERS_MAX = 8
"""A UDP answer without EDNS has not more records, whatever is configured."""

TCP_BYTES = 65_535
UDP_PAYLOAD_MAX = 65_000
"""A UDP answer is not longer, whatever the client takes: IP and UDP have headers, too."""

QR, AA, TC, RA = 0x8000, 0x0400, 0x0200, 0x0080

_FLAGS_COUNTS = Struct("!HHHHH")
_COUNT_MAX = 65_535
_OPT = Struct("!BHHBBHH")
_OPT_TYPE, _SUBNET = 41, 8


class DnsReply:
    """A reply that is made once and sent many times, each time shuffled.

    Args:
        found: Its records.
        question: The question.
        config: The settings.
        is_stream: It is for TCP.
    """

    __slots__ = (
        "_answer_max",
        "_authority",
        "_config",
        "_extras",
        "_flags",
        "_opt",
        "_pieces",
        "_question",
        "_room",
        "_whole",
        "found",
    )

    def __init__(
        self, found: Found, question: DnsQuestion, config: DnsConfig, *, is_stream: bool
    ) -> None:
        self.found = found
        self._config = config
        self._question = question.section
        self._authority = b"".join(found.authority)
        self._extras = found.extras
        self._pieces: Sequence[Piece] = found.pieces
        self._opt = _opt(question.edns, found.rcode)
        self._flags = question.flags | QR | found.rcode & 0xF
        self._flags |= AA if found.is_authoritative else 0
        self._flags |= RA if config.recursors else 0
        if is_stream:
            size, self._answer_max = TCP_BYTES, _COUNT_MAX
        elif question.edns is None:
            size, self._answer_max = UDP_BYTES, min(config.udp_answers_max, UDP_ANSWERS_MAX)
        else:
            size, self._answer_max = min(question.edns.size, UDP_PAYLOAD_MAX), _COUNT_MAX
        self._room = size - HEADER_BYTES - len(self._question) - len(self._opt)
        self._whole: bytes | None = None
        if len(self._pieces) < 2:
            self._whole = self._joined(self._pieces)

    @property
    def size(self) -> int:
        """About how many bytes its records take."""
        whole = 0 if self._whole is None else len(self._whole)
        pieces = sum(len(piece.answer) + sum(map(len, piece.extras)) for piece in self._pieces)
        return whole + pieces + len(self._authority) + sum(map(len, self._extras))

    def body(self, rng: Rng) -> bytes:
        """All of the reply after its id."""
        if self._whole is not None:
            return self._whole
        pieces, ordered = self._pieces, self.found.ordered
        mixed = sorted(pieces[ordered:], key=lambda _: rng.random())
        return self._joined([*pieces[:ordered], *mixed] if ordered else mixed)

    def _joined(self, pieces: Sequence[Piece]) -> bytes:
        found, config = self.found, self._config
        if found.is_limited and config.a_records_max:
            pieces = pieces[: config.a_records_max]
        room, is_cut = self._room - len(self._authority), len(pieces) > self._answer_max
        answers: list[bytes] = []
        extras: list[bytes] = []
        seen: set[bytes] = set()
        for piece in pieces[: self._answer_max]:
            new = [extra for extra in piece.extras if extra not in seen]
            length, more = len(piece.answer), sum(map(len, new))
            if length > room or (answers and length + more > room):
                is_cut = True
                break
            answers.append(piece.answer)
            room -= length
            if more > room:  # the first answer stays, without what goes with it
                is_cut = True
                break
            extras += new
            seen.update(new)
            room -= more
        for extra in self._extras:
            if len(extra) <= room:
                extras.append(extra)
                room -= len(extra)
        flags = self._flags | (TC if is_cut and config.sets_truncated else 0)
        counts = _FLAGS_COUNTS.pack(
            flags, 1, len(answers), len(found.authority), len(extras) + bool(self._opt)
        )
        return b"".join((counts, self._question, *answers, self._authority, *extras, self._opt))


def error(rcode: int, flags: int, question: DnsQuestion | None = None) -> bytes:
    """A reply without records, after its id.

    Args:
        rcode: The response code; above 15 it needs EDNS.
        flags: To copy.
        question: None: it could not be read.
    """
    edns = None if question is None else question.edns
    opt = _opt(Edns(UDP_BYTES) if rcode > 0xF and edns is None else edns, rcode)
    section = b"" if question is None else question.section
    counts = _FLAGS_COUNTS.pack(QR | flags | rcode & 0xF, bool(section), 0, 0, bool(opt))
    return counts + section + opt


def _opt(edns: Edns | None, rcode: int) -> bytes:
    """The OPT record: the size asked for, and the client's subnet, for which all answers hold."""
    if edns is None:
        return b""
    options = b""
    if edns.subnet:
        family, source, address = edns.subnet[:2], edns.subnet[2:3], edns.subnet[4:]
        data = family + source + b"\0" + address
        options = _SUBNET.to_bytes(2) + len(data).to_bytes(2) + data
    return _OPT.pack(0, _OPT_TYPE, min(edns.size, 65_535), rcode >> 4, 0, 0, len(options)) + options
