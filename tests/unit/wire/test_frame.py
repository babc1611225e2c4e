import msgspec
import pytest

from quorate.base.batches import Bundle
from quorate.base.errors import PeerError
from quorate.base.formats import STATE
from quorate.base.ids import Ballot, GroupNumber, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    Fetched,
    Forward,
    Message,
    Promise,
    SnapshotChunk,
)
from quorate.wire.checksum import crc32c
from quorate.wire.codec import FetchedMeta, SnapshotChunkMeta, decode_message, encode_message
from quorate.wire.frame import FRAME_BYTES_MAX, FrameReader, encode_frame

BALLOT = Ballot(3, NodeId("ann"))
BATCH = b"\x01" + b"x" * 4095
ACCEPT = Accept(BALLOT, Slot(7), Slot(6), BATCH)
CHUNK = SnapshotChunk(9, 2, Slot(70), b"rows", 1234, True, "")
OLDER_CHUNK = SnapshotChunk(9, 2, Slot(70), b"rows", 1234, True, "", STATE.newest - 1)


def stream(*messages: Message) -> bytes:
    return b"".join(part for message in messages for part in encode_frame(message))


def fed(reader: FrameReader, data: bytes) -> list[Message]:
    arrived = reader.feed(data)
    assert all(group == 0 for group, _ in arrived)
    return [message for _, message in arrived]


@pytest.mark.parametrize(
    ("message", "big"),
    [
        (ACCEPT, [BATCH]),
        (Fetched(Slot(1), (b"first", BATCH), Slot(2), Slot(1)), [b"first", BATCH]),
        (CHUNK, [CHUNK.rows]),
        (OLDER_CHUNK, [OLDER_CHUNK.rows]),
        (Forward(Bundle(NodeId("bob"), 1, 4, 2, BATCH)), [BATCH]),
        (Accepted(BALLOT, Slot(7)), []),
    ],
)
def test_big_fields_leave_uncopied_behind_the_head(message: Message, big: list[bytes]) -> None:
    _, *body = encode_frame(message)

    assert [id(part) for part in body] == [id(part) for part in big]
    assert fed(FrameReader(), stream(message)) == [message]


def test_an_empty_batch_and_no_batches_arrive_too() -> None:
    sent: list[Message] = [
        Accept(BALLOT, Slot(1), Slot(0), b""),
        Fetched(Slot(5), (), Slot(9), Slot(8)),
        Fetched(Slot(5), (b"", b"x", b""), Slot(9), Slot(5)),
    ]
    assert fed(FrameReader(), stream(*sent)) == sent


def test_a_stream_may_come_byte_by_byte() -> None:
    reader = FrameReader()
    data = stream(ACCEPT, Accepted(BALLOT, Slot(7)))

    arrived = [m for i in range(len(data)) for m in fed(reader, data[i : i + 1])]

    assert arrived == [ACCEPT, Accepted(BALLOT, Slot(7))]


def test_a_frame_may_come_in_many_pieces_and_bring_the_next_one_along() -> None:
    reader = FrameReader()
    data = stream(ACCEPT)
    pieces = [data[begin : begin + 100] for begin in range(0, len(data), 100)]
    for piece in pieces[:-1]:
        assert reader.feed(piece) == []
    assert fed(reader, pieces[-1] + data + data[:5]) == [ACCEPT, ACCEPT]
    assert fed(reader, data[5:]) == [ACCEPT]


def test_a_message_is_there_with_its_last_byte_wherever_the_pieces_are_cut() -> None:
    """A reader that waits for one byte too many would leave a message lying until the next."""
    data = stream(Accepted(BALLOT, Slot(7)), ACCEPT)
    for cut in range(len(data)):
        reader = FrameReader()
        assert reader.held_bytes == 0
        first = fed(reader, data[:cut])
        assert reader.held_bytes == cut - len(stream(*first))
        assert first + fed(reader, data[cut:]) == [Accepted(BALLOT, Slot(7)), ACCEPT]
        assert reader.held_bytes == 0


def test_the_longest_frame_leaves_and_arrives_and_one_byte_more_does_neither() -> None:
    meta, body = encode_message(ACCEPT)
    length = len(meta) + sum(map(len, body))
    assert FrameReader(length).feed(b"".join(encode_frame(ACCEPT, bytes_max=length)))
    with pytest.raises(PeerError, match=f"at most {length - 1}"):
        encode_frame(ACCEPT, bytes_max=length - 1)
    with pytest.raises(PeerError, match=f"announced a frame of {length} bytes"):
        FrameReader(length - 1).feed(stream(ACCEPT))


@pytest.mark.parametrize("place", [0, 5, 9, 13, 17, 21, 60, -1])
def test_one_damaged_byte_is_refused(place: int) -> None:
    data = bytearray(stream(ACCEPT, ACCEPT))
    data[place] ^= 1
    with pytest.raises(PeerError) as caught:
        FrameReader().feed(bytes(data))
    assert caught.value.code == "remote"


def test_a_huge_length_is_refused_before_anything_is_kept_for_it() -> None:
    for length in (FRAME_BYTES_MAX + 1, 2**32 - 1):
        head = bytes(4) + length.to_bytes(4, "little") + bytes(12)
        with pytest.raises(PeerError, match=str(length)):
            FrameReader().feed(head)


def test_a_meta_longer_than_its_frame_is_refused() -> None:
    head = bytes(4) + (8).to_bytes(4, "little") + (9).to_bytes(4, "little") + bytes(8)
    with pytest.raises(PeerError, match="announced"):
        FrameReader().feed(head)


def test_a_broken_reader_stays_broken() -> None:
    reader = FrameReader()
    with pytest.raises(PeerError):
        reader.feed(b"\xff" * 20)
    with pytest.raises(PeerError):
        reader.feed(stream(ACCEPT))


def test_a_message_that_no_peer_would_take_does_not_leave() -> None:
    with pytest.raises(PeerError, match="Accept of") as caught:
        encode_frame(Accept(BALLOT, Slot(1), Slot(0), bytes(FRAME_BYTES_MAX)))
    assert caught.value.code == "local"
    assert encode_frame(ACCEPT, bytes_max=5000)


def test_a_body_behind_a_message_that_has_none_is_refused() -> None:
    meta, _ = encode_message(Accepted(BALLOT, Slot(7)))
    with pytest.raises(PeerError, match="Accepted with a body"):
        decode_message(meta, b"?")


@pytest.mark.parametrize("lengths", [(3,), (5,), (-1, 5), (2**40,), ()])
def test_batches_that_do_not_fill_the_body_exactly_are_refused(lengths: tuple[int, ...]) -> None:
    meta = msgspec.msgpack.encode(FetchedMeta(Slot(1), lengths, Slot(9), Slot(1)))
    with pytest.raises(PeerError):
        decode_message(meta, b"four")


@pytest.mark.parametrize(
    "meta",
    [b"", b"\xc0", b"\x93\x05", b"\x92\x63\x01", b"\xa1\xff", b"\x93\x05\x92\x01\xa1\xff\x01"],
)
def test_what_is_no_message_is_refused(meta: bytes) -> None:
    with pytest.raises(PeerError, match="no message") as caught:
        decode_message(meta, b"")
    assert caught.value.code == "remote"


def test_a_message_from_a_newer_peer_with_more_fields_is_understood() -> None:
    fields = [18, 9, 2, 70, 1234, True, "", STATE.newest, "a field of the future"]
    assert decode_message(msgspec.msgpack.encode(fields), b"rows") == CHUNK


def test_the_tags_of_the_metas_are_those_of_their_messages() -> None:
    promise = Promise(BALLOT, Slot(1), Slot(0), 0, 1, ())
    assert encode_message(promise)[0][1] == 2
    for message, tag in ((ACCEPT, 3), (CHUNK, 18)):
        assert encode_message(message)[0][1] == tag == msgspec.msgpack.encode(message)[1]
    assert SnapshotChunkMeta.__struct_config__.tag == 18


def test_a_frame_says_its_group() -> None:
    frames = b"".join(
        part for group in (0, 7, 2**32 - 1) for part in encode_frame(ACCEPT, GroupNumber(group))
    )
    assert FrameReader().feed(frames) == [(0, ACCEPT), (7, ACCEPT), (2**32 - 1, ACCEPT)]


def test_head_and_body_are_summed_apart() -> None:
    head, body = encode_frame(ACCEPT)
    assert int.from_bytes(head[12:16], "little") == crc32c(body)
    assert int.from_bytes(head[:4], "little") == crc32c(head[4:])
