"""Chunks: what is cut is whole again, and damage shows."""

from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.chunks import HEAD_BYTES, Chunk, chunk_of, cut, head_of, rows_of, sealed

rows = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200)))


@given(rows, st.integers(1, 500))
def test_pieces_joined_are_all_rows_and_none_is_empty_or_too_long(
    all_rows: list[tuple[bytes, bytes]], bytes_max: int
) -> None:
    pieces = list(cut(all_rows, bytes_max))
    assert [row for piece in pieces for row in piece] == all_rows
    assert all(pieces)
    for piece in pieces:
        assert sum(len(key) + len(value) for key, value in piece[:-1]) < bytes_max


@given(rows)
def test_a_frame_says_length_and_checksum(some: list[tuple[bytes, bytes]]) -> None:
    chunk = chunk_of(some, crc32)
    length, crc = head_of(chunk.frame)
    data = chunk.frame[HEAD_BYTES:]
    assert (length, Chunk(data, crc)) == (len(data), chunk)
    assert chunk.is_whole(crc32)
    assert rows_of(data) == tuple(some)


@given(st.binary(min_size=1), st.data())
def test_a_flipped_bit_shows(data: bytes, draw: st.DataObject) -> None:
    chunk = sealed(data, crc32)
    at = draw.draw(st.integers(0, len(data) - 1))
    broken = bytearray(data)
    broken[at] ^= 1 << draw.draw(st.integers(0, 7))
    assert not Chunk(bytes(broken), chunk.crc).is_whole(crc32)


def test_what_is_no_rows_is_refused() -> None:
    for data in (b"", b"x", b"\x93\x01\x02\x03", chunk_of([(b"k", b"v")], crc32).data[:-1]):
        with pytest.raises(msgspec.MsgspecError):
            rows_of(data)
