"""Whatever comes over a connection: a message, or PeerError; never another exception."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.base.errors import PeerError
from quorate.base.ids import GroupNumber
from quorate.base.messages import Message
from quorate.wire.checksum import crc32c
from quorate.wire.frame import FrameReader, encode_frame
from quorate.wire.hello import MAGIC, HelloReader
from tests.strategies import may_fail, messages

few = settings(max_examples=150, deadline=None)
groups = st.integers(0, 2**32 - 1).map(GroupNumber)


@few
@given(st.lists(st.tuples(groups, messages), max_size=5), st.data())
def test_messages_arrive_as_they_left_however_the_stream_is_cut(
    sent: list[tuple[GroupNumber, Message]], data: st.DataObject
) -> None:
    stream = b"".join(part for group, message in sent for part in encode_frame(message, group))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()

    arrived = [
        each
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for each in reader.feed(stream[begin:end])
    ]

    assert arrived == sent


@few
@given(messages, st.integers(0), st.integers(1, 255))
def test_a_damaged_byte_is_noticed_or_awaited(message: Message, place: int, mask: int) -> None:
    stream = bytearray(b"".join(encode_frame(message)))
    stream[place % len(stream)] ^= mask

    with may_fail(PeerError, "remote"):  # a damaged length may make the reader wait for more
        assert FrameReader().feed(bytes(stream)) == []


@few
@given(st.binary(max_size=200))
def test_noise_is_refused_or_awaited(noise: bytes) -> None:
    with may_fail(PeerError, "remote"):
        FrameReader().feed(noise)
        HelloReader().feed(noise)
        HelloReader().feed(MAGIC + noise)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@few
@given(json_like | st.lists(json_like).map(lambda rest: [3, *rest]), st.binary(max_size=20))
def test_a_meta_of_any_other_shape_is_refused(meta: object, body: bytes) -> None:
    with may_fail(PeerError, "remote"):
        stream = framed(msgspec.msgpack.encode(meta), body)
        FrameReader().feed(stream)


def framed(meta: bytes, body: bytes) -> bytes:
    sizes = [len(meta) + len(body), len(meta), crc32c(body), 0]
    checked = b"".join(size.to_bytes(4, "little") for size in sizes) + meta
    return crc32c(checked).to_bytes(4, "little") + checked + body


@pytest.mark.parametrize("depth", [100, 100_000, 1_000_000])
def test_deep_nesting_is_refused_by_an_error_and_not_by_the_stack(depth: int) -> None:
    meta = b"\x93\x05" + b"\x91" * depth + b"\xc0"

    with pytest.raises(PeerError, match="no message"):
        FrameReader().feed(framed(meta, b""))


@pytest.mark.parametrize("depth", [100, 100_000, 1_000_000])
def test_deep_nesting_in_a_field_nobody_knows_is_no_danger(depth: int) -> None:
    meta = b"\x94\x1b\x01\x02" + b"\x91" * depth + b"\xc0"  # a Removed with fields to come

    with may_fail(PeerError, "remote"):
        FrameReader().feed(framed(meta, b""))
