"""Watchers: each is woken once by what it asked for, in the order in which they came."""

from hypothesis import given
from hypothesis import strategies as st

from quorate.base.subjects import EVERYTHING, beginning, exactly
from quorate.machine.watches import Watches
from tests.unit.machine.lab import fired


def test_an_exact_watcher_wakes_for_its_subject_alone() -> None:
    watches = Watches()
    watches.add([exactly(b"ka")], "a")
    assert fired(watches, [b"kab", b"k", b"kb"]) == []
    assert fired(watches, [b"kb", b"ka"]) == ["a"]
    assert fired(watches, [b"ka"]) == []
    assert len(watches) == 0


def test_a_prefix_watcher_wakes_for_all_that_begin_alike() -> None:
    watches = Watches()
    watches.add([beginning(b"kp/")], "p")
    watches.add([beginning(b"k")], "root")
    assert fired(watches, [b"kp"]) == ["root"]
    assert fired(watches, [b"sp/"]) == []
    assert fired(watches, [b"kp/x"]) == ["p"]


def test_a_mark_that_wakes_nobody_leaves_the_next_one_to_be_found() -> None:
    watches = Watches()
    watches.add([exactly(b"kb")], "b")
    watches.mark([b"ka"], 0.0)
    watches.mark([b"kb"], 0.0)
    assert watches.is_waking
    assert watches.take(0.0) == ["b"]
    assert watches.take(0.0) == []
    assert not watches.is_waking


def test_one_watcher_of_several_subjects_wakes_once() -> None:
    watches = Watches()
    watches.add([exactly(b"ka"), exactly(b"kb"), beginning(b"k")], "x")
    assert fired(watches, [b"ka", b"kb"]) == ["x"]
    assert fired(watches, [b"ka", b"kb"]) == []


def test_watchers_wake_in_the_order_in_which_they_came() -> None:
    watches = Watches()
    for number in range(20):
        watches.add([exactly(b"k%d" % (number % 3)), beginning(b"k")], number)
    assert fired(watches, [b"k2", b"k1", b"k0"]) == list(range(20))


def test_a_removed_watcher_sleeps_for_ever_and_leaves_nothing() -> None:
    watches = Watches()
    first = watches.add([exactly(b"ka"), beginning(b"k")], "a")
    watches.add([exactly(b"ka")], "b")
    watches.remove(first)
    watches.remove(first)
    assert fired(watches, [b"ka"]) == ["b"]
    watches.remove(12345)
    assert len(watches) == 0


def test_a_replaced_state_wakes_everybody() -> None:
    watches = Watches()
    watches.add([exactly(b"ka")], "a")
    watches.add([beginning(b"s")], "b")
    assert fired(watches, [EVERYTHING]) == ["a", "b"]


_subjects = st.binary(min_size=1, max_size=3).map(lambda rest: b"k" + rest)


@given(
    st.lists(st.lists(st.tuples(st.booleans(), _subjects), min_size=1, max_size=3), max_size=8),
    st.lists(_subjects, max_size=5),
)
def test_who_wakes_is_who_asked(
    asked: list[list[tuple[bool, bytes]]], changed_subjects: list[bytes]
) -> None:
    watches = Watches()
    expected: list[int] = []
    for number, wanted in enumerate(asked):
        watches.add(
            [exactly(subject) if exact else beginning(subject) for exact, subject in wanted],
            number,
        )
        if any(
            subject == seen if exact else seen.startswith(subject)
            for exact, subject in wanted
            for seen in changed_subjects
        ):
            expected.append(number)
    assert fired(watches, changed_subjects) == expected
    assert len(watches) == len(asked) - len(expected)
