"""The log as builds of format 2 wrote it: their layout of a record, from their document."""

import contextlib
from collections.abc import Generator
from struct import pack
from unittest.mock import patch

from quorate.wire import journal
from quorate.wire.checksum import crc32c
from quorate.wire.records import Place, Stored

FIXED_BYTES = 72


def encode(record: Stored, previous_crc: int, place: Place) -> tuple[int, list[bytes]]:
    """The CRC of the header, and the record."""
    kind, slot, ballot, watermark, body, flags, group = record
    assert group == 0
    node = ballot.node.encode()
    head = pack("<III", previous_crc, crc32c(body), len(body))
    head += pack("<BBH", kind, flags | place.flags, len(node))
    head += pack("<QQQ", place.segment, place.epoch, place.commit)
    head += pack("<QQQ", slot, ballot.round, watermark) + node
    crc = crc32c(head)
    data = b"\xd1Qr\n" + crc.to_bytes(4, "little") + head + body
    return crc, [data + bytes(-len(data) % 8)]


def size_of(record: Stored) -> int:
    """Bytes that a record takes."""
    size = FIXED_BYTES + len(record.ballot.node.encode()) + len(record.body)
    return -(-size // 8) * 8


@contextlib.contextmanager
def writing() -> Generator[None, None, None]:
    """Journals write format 2 meanwhile."""
    with patch.multiple(journal, encode=encode, size_of=size_of, CLOSE_BYTES=FIXED_BYTES, FORMAT=2):
        yield
