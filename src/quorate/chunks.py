"""Chunks: rows of tables as bytes, with a checksum: the one form in which state leaves a node.

Whoever has a view cuts its rows into chunks, once. A chunk then goes to a peer, into a snapshot
file or into an archive as it is: who takes it from a peer writes the same bytes with the same
checksum. On disk, and in backups, a chunk is a frame:

```text
frame: length (4), checksum (4), bytes; numbers are big-endian
```

The checksum is CRC32C between nodes and on their disks. It is CRC-32 in backups, which are read
without the server's libraries, too (ADR 0030).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

HEAD_BYTES = 8
"""Of a frame, before its bytes."""

Row = tuple[bytes, bytes]
Checksum = Callable[[bytes], int]
"""32 bits of what it is given."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Row, ...]).decode


class Chunk(NamedTuple):
    """Bytes and their checksum.

    Attributes:
        data: Rows (`rows_of`), or what a file says of itself.
        crc: Checksum of `data`, as whoever made it says; see `is_whole`.
    """

    data: bytes
    crc: int

    def is_whole(self, checksum: Checksum) -> bool:
        """Whether the checksum is that of the bytes."""
        return checksum(self.data) == self.crc

    @property
    def head(self) -> bytes:
        """What stands before `data` in a frame."""
        return len(self.data).to_bytes(4, "big") + self.crc.to_bytes(4, "big")

    @property
    def frame(self) -> bytes:
        """Head and bytes."""
        return self.head + self.data


def sealed(data: bytes, checksum: Checksum) -> Chunk:
    """Bytes with their checksum."""
    return Chunk(data, checksum(data))


def chunk_of(rows: Iterable[Row], checksum: Checksum) -> Chunk:
    """Rows as a chunk."""
    return sealed(_encode(list(rows)), checksum)


def rows_of(data: bytes) -> tuple[Row, ...]:
    """The rows of a chunk.

    Raises:
        ValueError: These are no rows (`msgspec.DecodeError`, or what a text that is none raises).

    Cost: 30 µs for 150 KB in rows of 290 bytes, measured.
    """
    return _decode(data)


def head_of(head: bytes) -> tuple[int, int]:
    """Length and checksum of what follows a head, of which `HEAD_BYTES` are given."""
    return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:HEAD_BYTES], "big")


def cut(rows: Iterable[Row], bytes_max: int) -> Iterator[list[Row]]:
    """Rows in pieces of `bytes_max` or a row more; no piece is empty."""
    piece: list[Row] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += len(row[0]) + len(row[1])
        if size >= bytes_max:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
