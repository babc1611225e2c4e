"""What a read does next: rules BLK-1 to BLK-4, without a node."""

import pytest

from quorate.base.errors import InvariantError
from quorate.serving.reading import Act, Reading


def never() -> bytes:
    raise AssertionError("the value decides nothing here")


def waiting(index: int = 5, *, is_stale: bool = False, is_list: bool = False) -> Reading:
    """A read that waits for something newer than that index."""
    made = Reading(index, is_stale=is_stale, is_list=is_list)
    made.begin()
    if not is_stale:
        made.confirmed()
    assert made.evaluated(index, never, tables=9) is Act.WAIT
    return made


def test_a_default_read_is_confirmed_before_it_is_evaluated() -> None:
    made = Reading(0, is_stale=False)
    assert made.begin() is Act.CONFIRM
    assert made.confirmed() is Act.FINISH


def test_a_stale_read_is_never_confirmed() -> None:
    assert Reading(0, is_stale=True).begin() is Act.FINISH
    made = Reading(5, is_stale=True)
    assert made.begin() is Act.EVALUATE
    assert made.evaluated(5, never, tables=9) is Act.WAIT
    assert made.timed_out() is Act.FINISH


def test_something_newer_is_an_answer() -> None:
    made = Reading(5, is_stale=False)
    made.begin()
    assert made.confirmed() is Act.EVALUATE
    assert made.evaluated(6, never, tables=9) is Act.ANSWER


def test_a_wake_is_followed_by_a_look_without_a_new_read_index() -> None:
    made = waiting()
    assert made.woken(9) is Act.EVALUATE
    assert made.evaluated(5, never, tables=9) is Act.WAIT  # it was something else
    assert made.woken(10) is Act.EVALUATE
    assert made.evaluated(10, never, tables=9) is Act.ANSWER


def test_unchanged_is_said_only_under_a_fresh_read_index() -> None:
    made = waiting()
    assert made.timed_out() is Act.CONFIRM
    assert made.confirmed() is Act.FINISH


def test_a_list_is_not_looked_through_when_a_change_of_it_woke_its_reader() -> None:
    assert waiting(is_list=True).woken(6) is Act.FINISH
    assert waiting(is_list=True).woken(5) is Act.EVALUATE  # an index from the future


def test_what_is_too_long_is_searched_for_while_it_waits() -> None:
    made = Reading(5, is_stale=True, is_list=True)
    made.begin()
    assert made.is_long(9, is_exact=False) is Act.WAIT
    assert made.searched(5) is Act.WAIT
    assert made.searched(6) is Act.FINISH


@pytest.mark.parametrize(("changed", "act"), [(5, Act.WAIT), (6, Act.FINISH)])
def test_what_is_too_long_may_know_its_newest_change(changed: int, act: Act) -> None:
    made = Reading(5, is_stale=True)
    made.begin()
    assert made.is_long(changed, is_exact=True) is act


def compared() -> Reading:
    made = Reading(5, is_stale=True, is_compared=True)
    made.begin()
    return made


def test_where_more_is_watched_than_shown_only_another_value_is_a_change() -> None:
    made = compared()
    assert made.evaluated(5, lambda: b"old", tables=9) is Act.WAIT
    made.woken(6)
    assert made.evaluated(6, lambda: b"old", tables=9) is Act.WAIT
    made.woken(7)
    assert made.evaluated(7, lambda: b"new", tables=9) is Act.ANSWER


def test_the_value_of_tables_older_than_the_index_is_nothing_to_compare_with() -> None:
    """A stale read of a node that is behind: between them there may have been another value."""
    made = compared()
    assert made.evaluated(3, lambda: b"none", tables=4) is Act.WAIT
    made.woken(7)
    assert made.evaluated(7, lambda: b"none", tables=7) is Act.ANSWER


def test_who_never_waited_has_nothing_to_compare_with() -> None:
    assert compared().evaluated(6, never, tables=9) is Act.ANSWER


def test_the_value_before_the_wait_is_the_one_that_counts() -> None:
    made = compared()
    made.evaluated(4, lambda: b"old", tables=9)
    made.woken(5)
    assert (
        made.evaluated(5, never, tables=9) is Act.WAIT
    )  # not newer: nothing is compared, nothing kept
    made.woken(6)
    assert made.evaluated(6, lambda: b"old", tables=9) is Act.WAIT


@pytest.mark.parametrize("index", [0, 5])
def test_a_read_that_is_over_does_nothing_more(index: int) -> None:
    made = Reading(index, is_stale=False)
    made.begin()
    if made.confirmed() is Act.EVALUATE:
        made.evaluated(6, never, tables=9)
    for event in (made.begin, made.confirmed, lambda: made.woken(9), made.timed_out):
        with pytest.raises(InvariantError):
            event()


def test_a_read_waits_only_after_it_has_looked() -> None:
    made = Reading(5, is_stale=False)
    made.begin()
    assert not made.is_waiting
    with pytest.raises(InvariantError):
        made.timed_out()
    made.confirmed()
    made.evaluated(5, never, tables=9)
    assert made.is_waiting
