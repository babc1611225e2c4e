"""What readers that ask for the same share: one evaluation and one encoding for each change."""

import pytest

from quorate.base.context import ANONYMOUS, Principal
from quorate.base.results import Answer
from quorate.serving.evaluations import BYTES_MAX, ENTRIES_MAX, Evaluated, Evaluations

STATE = (1, 7)


def test_only_one_state_is_remembered_and_of_it_only_so_much() -> None:
    shared = Evaluations()
    for number in range(3 * ENTRIES_MAX):
        shared.answer(STATE, ANONYMOUS, b"%d" % number, object)
        assert len(shared) <= ENTRIES_MAX
    first = shared.answer(STATE, ANONYMOUS, b"first", object)
    assert shared.answer(STATE, ANONYMOUS, b"first", object) is first
    assert shared.answer((1, 8), ANONYMOUS, b"first", object) is not first
    assert len(shared) == 1
    for number in range(8):
        one = shared.answer(STATE, ANONYMOUS, b"%d" % number, object)
        one.body(None, lambda: bytes(BYTES_MAX // 2))
    assert len(shared) <= 4


def test_what_one_principal_is_shown_no_other_gets() -> None:
    shared = Evaluations()
    one = shared.answer(STATE, ANONYMOUS, b"same", object)
    assert shared.answer(STATE, Principal("ann"), b"same", object) is not one
    assert shared.answer(STATE, Principal("anonymous"), b"same", object) is one


def test_an_answer_is_encoded_once_in_each_form() -> None:
    found = Evaluations().answer(STATE, ANONYMOUS, b"a", object)
    bodies = iter([b"one", b"two"])
    assert [found.body(form, lambda: next(bodies)) for form in (0, 0, 1, 0)] == [
        b"one",
        b"one",
        b"two",
        b"one",
    ]


def test_an_answer_that_nobody_shares_is_encoded_each_time() -> None:
    bodies = iter([b"one", b"two"])
    found = Evaluated(object())
    assert found.body(0, lambda: next(bodies)) == b"one"
    assert found.body(0, lambda: next(bodies)) == b"two"


def test_bytes_of_an_older_state_do_not_count_against_the_newest() -> None:
    shared = Evaluations()
    old = shared.answer(STATE, ANONYMOUS, b"a", object)
    new = shared.answer((2, 7), ANONYMOUS, b"a", object)
    old.body(0, lambda: bytes(2 * BYTES_MAX))
    assert shared.answer((2, 7), ANONYMOUS, b"a", object) is new


@pytest.mark.parametrize(
    "value", [bytes(BYTES_MAX // 8), ["x" * 100] * (BYTES_MAX // 800)], ids=["bytes", "list"]
)
def test_answers_that_nobody_has_encoded_count_too(value: object) -> None:
    """Thousands may wait for as many long values, and be sent none of them for hours."""
    shared = Evaluations()
    for number in range(ENTRIES_MAX):
        shared.answer(STATE, ANONYMOUS, b"%d" % number, lambda: Answer(value, 1, 1, ()))
        assert len(shared) <= 9


def test_many_short_answers_are_remembered() -> None:
    shared = Evaluations()
    for number in range(ENTRIES_MAX):
        shared.answer(STATE, ANONYMOUS, b"%d" % number, lambda: Answer(b"short", 1, 1, ()))
    assert len(shared) == ENTRIES_MAX


def test_of_a_value_that_cannot_be_measured_the_rest_counts() -> None:
    shared = Evaluations()
    shared.answer(STATE, ANONYMOUS, b"a", lambda: Answer(object(), 1, 1, ()))
    assert len(shared) == 1
