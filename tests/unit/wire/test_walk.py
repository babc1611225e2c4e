import msgspec

from quorate.base.ids import Slot
from quorate.wire.records import (
    LAST,
    OPENING,
    Place,
    SegmentHead,
    Stored,
    chain_seed,
    encode,
    stored,
    stored_head,
)
from quorate.wire.walk import Walk
from tests.unit.wire.journals import NODE, promise, vote

NUMBER, EPOCH = 5, 77
HEAD = stored_head(SegmentHead(1, NODE, 1, 0, 0))
SPACE = bytes(1024)

Group = list[Stored]


class Writer:
    """Lays records as a journal does, or as one that errs."""

    def __init__(self, number: int = NUMBER, epoch: int = EPOCH) -> None:
        self.number, self.epoch = number, epoch
        self.data = b""
        self.crc = chain_seed(number, epoch)
        self.commit = 0

    def write(self, *records: Stored, number: int | None = None, epoch: int | None = None) -> int:
        """Lay one commit; return where it begins."""
        begin = len(self.data)
        self.commit += 1
        for position, record in enumerate(records):
            flags = LAST if position == len(records) - 1 else 0
            flags |= OPENING if begin == 0 else 0
            place = Place(number or self.number, epoch or self.epoch, self.commit, flags)
            self.crc, buffers = encode(record, self.crc, place)
            self.data += b"".join(buffers)
        return begin


def walked(data: bytes, end: int | None = None) -> tuple[Walk, list[int]]:
    walk = Walk(data, NUMBER, len(data) if end is None else end)
    return walk, [header.slot for header, _ in walk]


def three_commits() -> tuple[bytes, list[int]]:
    writer = Writer()
    begins = [
        writer.write(HEAD, stored(vote(1))),
        writer.write(stored(vote(2)), stored(vote(3))),
        writer.write(stored(vote(4))),
    ]
    return writer.data + SPACE, begins


def test_all_good_records_are_read_up_to_the_space_behind_them() -> None:
    data, begins = three_commits()
    walk, slots = walked(data)

    assert slots == [0, 1, 2, 3, 4]
    assert (walk.commit, walk.commit_offset, walk.is_complete) == (3, begins[2], True)
    assert walk.fault is not None
    assert walk.fault.offset == len(data) - len(SPACE)
    assert walk.later_commit_at() is None


def test_a_segment_whose_end_is_known_has_no_fault() -> None:
    data, _ = three_commits()
    walk, _ = walked(data, len(data) - len(SPACE))
    assert walk.fault is None


def test_a_damaged_body_in_the_last_commit_is_torn_and_has_a_slot() -> None:
    data, begins = three_commits()
    data = flipped(data, begins[2] + 120)
    walk, slots = walked(data)

    assert slots == [0, 1, 2, 3]
    assert walk.fault is not None
    assert walk.fault.slot == 4
    assert walk.later_commit_at() is None


def test_a_damaged_header_before_a_later_commit_is_corruption() -> None:
    data, begins = three_commits()
    walk, _ = walked(flipped(data, begins[1] + 30))
    assert walk.fault is not None
    assert walk.fault.offset == begins[1]
    assert walk.later_commit_at() == begins[2]


def test_a_whole_record_of_the_same_commit_behind_a_bad_one_is_torn() -> None:
    writer = Writer()
    writer.write(HEAD)
    begin = writer.write(stored(vote(1)), stored(vote(2)), stored(vote(3)))
    first_lost, _ = walked(flipped(writer.data, begin))
    middle_lost, _ = walked(flipped(writer.data, begin + 8 * 27 + 20))

    assert first_lost.later_commit_at() is None
    assert middle_lost.later_commit_at() is None
    assert not middle_lost.is_complete


def test_a_bad_record_inside_a_commit_that_a_later_one_follows_is_corruption() -> None:
    data, begins = three_commits()
    second = begins[1] + (begins[2] - begins[1]) // 2
    walk, slots = walked(flipped(data, second + 5))

    assert slots == [0, 1, 2]
    assert walk.later_commit_at() == begins[2]


def test_without_a_head_any_commit_but_the_opening_one_is_proof() -> None:
    data, begins = three_commits()
    opening_only, _ = walked(flipped(data, 10)[: begins[1]] + SPACE)
    more, _ = walked(flipped(data, 10))

    assert opening_only.later_commit_at() is None
    assert more.later_commit_at() == begins[1]


def test_a_stale_record_of_another_segment_never_passes() -> None:
    """M25, first lock: even if its chain fitted, it names its segment and its epoch."""
    for stale in ({"number": NUMBER - 1}, {"epoch": EPOCH + 1}):
        writer = Writer()
        writer.write(HEAD)
        writer.write(stored(vote(1)), **stale)
        writer.write(stored(vote(2)), **stale)
        walk, slots = walked(writer.data)
        assert slots == [0]
        assert walk.fault is not None
        assert "another segment or epoch" in walk.fault.reason
        assert walk.later_commit_at() is None


def test_a_record_that_does_not_follow_its_predecessor_never_passes() -> None:
    """M25, second lock: the chain begins with a seed of its segment and epoch."""
    for seed in (0, chain_seed(NUMBER - 1, EPOCH), chain_seed(NUMBER, EPOCH + 1)):
        writer = Writer()
        writer.crc = seed
        writer.write(HEAD)
        walk, slots = walked(writer.data)
        assert slots == []
        assert walk.fault is not None
        assert "does not follow" in walk.fault.reason


def test_a_segment_that_begins_with_anything_but_a_head_is_none() -> None:
    writer = Writer()
    writer.write(stored(vote(1)))
    walk, slots = walked(writer.data)
    assert slots == []
    assert walk.fault is not None
    assert "does not begin with its head" in walk.fault.reason


def test_a_record_that_reaches_over_the_known_end_is_bad() -> None:
    data, begins = three_commits()
    walk, slots = walked(data, begins[2] + 8)
    assert slots == [0, 1, 2, 3]
    assert walk.fault is not None
    assert walk.fault.slot == Slot(4)


def test_what_a_user_wrote_is_not_taken_for_a_later_commit() -> None:
    forger = Writer()
    forger.commit = 50
    forger.data = b"12345678"  # not the first, so not opening
    forger.write(stored(promise(9)))
    forged = forger.data[8:]
    writer = Writer()
    writer.write(HEAD)
    begin = writer.write(stored(promise(1)), stored(msgspec.structs.replace(vote(2), batch=forged)))
    data = flipped(writer.data, begin) + SPACE

    walk, _ = walked(data)
    assert walk.later_commit_at() is None


def test_the_magic_at_an_odd_place_is_passed_over() -> None:
    data, begins = three_commits()
    odd = data[: begins[1]] + b"x" + data[begins[1] :]
    walk, _ = walked(odd)
    assert walk.later_commit_at() is None


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]
