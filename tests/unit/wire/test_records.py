import msgspec
import pytest

from quorate.base.errors import InvariantError
from quorate.base.ids import GROUP, NO_BALLOT, Ballot, GroupNumber, NodeId, Slot
from quorate.base.records import Bootstrapped, Chosen, Promised, Record, Vote
from quorate.wire.checksum import crc32c
from quorate.wire.records import (
    CLOSE,
    CLOSE_BYTES,
    COPY,
    FIXED_BYTES,
    LAST,
    MAGIC,
    Place,
    RecordHeader,
    SegmentHead,
    Stored,
    StoredKind,
    body_of,
    chain_seed,
    encode,
    head_of,
    header_at,
    record_of,
    size_of,
    stored,
    stored_head,
)
from tests.unit.wire import older
from tests.unit.wire.journals import BOOTSTRAPPED, NODE, chosen, promise, vote

WITH_MARK = Promised(Ballot(4, NODE), Slot(6))
ABANDONED = Bootstrapped("c1", BOOTSTRAPPED.configuration, complete=False, is_abandoned=True)
RECORDS: list[Record] = [
    vote(7, 100), vote(7, 101), vote(7, 0), chosen(8), promise(4), WITH_MARK,
    BOOTSTRAPPED, ABANDONED,
]  # fmt: skip
PLACE = Place(segment=5, epoch=77, commit=3, flags=LAST)


def bytes_of(record: Stored, previous_crc: int = 9) -> bytes:
    return b"".join(encode(record, previous_crc, PLACE)[1])


def header_of(data: bytes) -> RecordHeader:
    header = header_at(data, 0)
    assert header is not None
    return header


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_what_it_was_and_fills_whole_words(record: Record) -> None:
    data = bytes_of(stored(record))
    header = header_of(data)
    body = body_of(data, header)

    assert body is not None
    assert record_of(header, body) == record
    assert header.end == len(data) == size_of(stored(record))
    assert len(data) % 8 == 0
    assert (header.segment, header.epoch, header.commit, header.flags) == PLACE
    assert header.previous_crc == 9
    assert header.group == GROUP
    assert header.slot == (record.slot if isinstance(record, Vote | Chosen) else 0)
    assert header.ballot == (record.ballot if isinstance(record, Vote | Promised) else NO_BALLOT)
    assert header.watermark == (record.watermark if isinstance(record, Vote | Promised) else 0)


def test_a_node_id_may_be_as_long_as_its_length_can_say() -> None:
    longest = Promised(Ballot(4, NodeId("x" * 255)))
    data = bytes_of(stored(longest))
    assert record_of(header_of(data), b"") == longest
    with pytest.raises(InvariantError, match="at most 255 bytes"):
        bytes_of(stored(Promised(Ballot(4, NodeId("x" * 256)))))


def test_what_is_not_abandoned_is_stored_as_before_that_could_be_said() -> None:
    assert len(msgspec.msgpack.decode(stored(BOOTSTRAPPED).body)) == 3
    assert len(msgspec.msgpack.decode(stored(ABANDONED).body)) == 4


def test_the_batch_of_a_vote_is_not_copied() -> None:
    record = vote(7, 100)
    _, buffers = encode(stored(record), 0, PLACE)
    assert any(buffer is record.batch for buffer in buffers)


def test_the_journals_own_records_are_not_returned() -> None:
    head = SegmentHead(1, NODE, 3, 0, 0)
    data = bytes_of(stored_head(head))
    body = body_of(data, header_of(data))
    assert body is not None
    assert head_of(body) == head
    assert (header_of(data).slot, header_of(data).watermark) == (0, 0)
    assert stored_head(head).flags == COPY
    assert record_of(header_of(data), body) is None
    assert record_of(header_of(bytes_of(CLOSE)), b"") is None
    assert size_of(CLOSE) == CLOSE_BYTES == len(bytes_of(CLOSE))


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_says_its_group_and_one_that_is_not_here_is_an_error(record: Record) -> None:
    data = bytes_of(stored(record, group=GroupNumber(9)))
    header = header_of(data)
    body = body_of(data, header)
    assert body is not None
    assert (header.group, header.flags) == (9, LAST)
    with pytest.raises(ValueError, match="a record of group 9: there is only group 0 here"):
        record_of(header, body)


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_of_the_older_layout_is_read_and_is_of_group_0(record: Record) -> None:
    _, buffers = older.encode(stored(record), 9, PLACE)
    data = b"".join(buffers)
    header = header_of(data)
    body = body_of(data, header)

    assert body is not None
    assert record_of(header, body) == record
    assert header.end == len(data) == older.size_of(stored(record)) == size_of(stored(record)) - 8
    assert (header.segment, header.epoch, header.commit, header.flags) == PLACE
    assert (header.previous_crc, header.group) == (9, GROUP)


@pytest.mark.parametrize("offset", range(older.FIXED_BYTES + 36))
def test_every_byte_of_an_older_header_is_guarded(offset: int) -> None:
    """Its magic too: with that of the other layout it is no record of that either."""
    data = bytearray(older.encode(stored(vote(7)), 9, PLACE)[1][0])
    data[offset] ^= 0x01
    assert header_at(bytes(data), 0) is None


def test_no_older_header_is_read_beyond_the_data() -> None:
    data = older.encode(CLOSE, 9, PLACE)[1][0]
    assert len(data) == older.FIXED_BYTES == FIXED_BYTES - 8
    assert header_at(data, 0) is not None
    assert header_at(data[:-1], 0) is None
    assert header_at(data[:3], 0) is None


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="kind 99"):
        record_of(header_of(bytes_of(CLOSE))._replace(kind=99), b"")


@pytest.mark.parametrize("offset", range(FIXED_BYTES + 36))
def test_every_byte_of_a_header_is_guarded(offset: int) -> None:
    data = bytearray(bytes_of(stored(vote(7))))
    data[offset] ^= 0x10
    assert header_at(bytes(data), 0) is None


def test_a_damaged_body_keeps_its_name() -> None:
    data = bytearray(bytes_of(stored(vote(7))))
    data[-10] ^= 1
    header = header_of(bytes(data))
    assert header.slot == 7
    assert body_of(bytes(data), header) is None


def test_a_body_that_is_cut_off_is_damaged() -> None:
    data = bytes_of(stored(vote(7)))
    assert body_of(data[:-8], header_of(data)) is None


def test_no_header_is_read_beyond_the_data() -> None:
    data = bytes_of(CLOSE)
    assert header_at(data, 0) is not None
    assert header_at(data[:-1], 0) is None
    assert header_at(data, 8) is None
    assert header_at(data, -80) is None


def test_a_header_whose_node_is_no_text_is_none_even_with_the_right_sum() -> None:
    data = bytes_of(CLOSE._replace(ballot=Ballot(1, NodeId("\u00e9"))))
    checked = data[8:].replace("\u00e9".encode(), b"\xe9\xe9")
    crc = crc32c(checked[: FIXED_BYTES - 8 + 2])
    assert header_at(data, 0) is not None
    assert header_at(MAGIC + crc.to_bytes(4, "little") + checked, 0) is None


def test_the_seed_differs_by_segment_and_by_epoch() -> None:
    seeds = {chain_seed(number, epoch) for number in range(50) for epoch in range(50)}
    assert len(seeds) == 2500


def test_a_node_id_that_does_not_fit_is_a_bug() -> None:
    long = Vote(Ballot(1, NodeId("x" * 256)), Slot(1), Slot(0), b"")
    with pytest.raises(InvariantError):
        encode(stored(long), 0, PLACE)


def test_the_layout_of_the_fixed_part_is_that_of_the_document() -> None:
    ballot = Ballot(11, NO_BALLOT.node)
    record = Stored(StoredKind.VOTE, Slot(10), ballot, Slot(9), b"", group=GroupNumber(6))
    crc, (data,) = encode(record, 0x01020304, PLACE)
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(24, 80, 8)]

    assert data[:4] == MAGIC
    assert data[4:8] == crc.to_bytes(4, "little")
    assert data[8:12] == bytes([4, 3, 2, 1])
    assert data[20:24] == bytes([StoredKind.VOTE, LAST, 0, 0])
    assert words == [5, 77, 3, 10, 11, 9, 6]
    assert msgspec.msgpack.decode(stored(BOOTSTRAPPED).body)[0] == "c1"
