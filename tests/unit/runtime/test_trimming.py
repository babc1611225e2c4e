"""Free pages of the heap go back to the system when much of it is free, and not again and again."""

from quorate.runtime.trimming import ADDED_BYTES_MIN, HeapTrimmer, private_bytes, trim

MIB = 1024 * 1024


def decisions(*mib: int) -> list[bool]:
    """What is decided while this much is resident, one figure for each look."""
    figures = iter(figure * MIB for figure in mib)
    trimmer = HeapTrimmer(lambda: next(figures))
    return [trimmer.is_due() for _ in mib[1:]]


def test_much_that_was_added_is_trimmed_once_it_grows_no_more() -> None:
    assert decisions(50, 50, 300, 400, 400, 60) == [False, False, False, True, False]


def test_little_is_left_alone() -> None:
    assert decisions(50, 113, 113, 113) == [False, False, False]
    assert ADDED_BYTES_MIN == 64 * MIB


def test_what_is_still_there_after_a_trim_is_in_use() -> None:
    assert decisions(50, 200, 200, 195, 195, 195) == [False, True, False, False, False]
    assert decisions(50, 200, 200, 195, 300, 300) == [False, True, False, False, True]


def test_memory_that_went_by_itself_counts_again_when_it_comes_back() -> None:
    assert decisions(300, 50, 300, 300) == [False, False, True]


def test_a_system_that_tells_nothing_is_left_alone() -> None:
    assert decisions(0, 0, 0) == [False, False]


def test_what_is_freed_below_a_block_in_use_leaves_the_process() -> None:
    blocks = [b"x" * 60_000 for _ in range(3000)]
    kept = blocks[::100]
    full_bytes = private_bytes()
    del blocks
    trim()
    assert full_bytes - private_bytes() > 100 * MIB
    assert len(kept) == 30
