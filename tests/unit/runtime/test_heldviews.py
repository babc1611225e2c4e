"""Held views: old rows are kept once for all of them, within a bound, and freed by and by."""

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.base.errors import StorageError
from quorate.runtime import heldviews
from quorate.runtime.heldviews import SLICE_ROWS, SortedKeys
from quorate.runtime.tables import LmdbTables

MIB = 1024 * 1024


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[LmdbTables]:
    made = LmdbTables(tmp_path, step_bytes=16 * MIB)
    yield made
    made.close()


def name(number: int) -> bytes:
    return b"\1\1%06d" % number


def put(tables: LmdbTables, numbers: range, value: bytes) -> None:
    transaction = tables.begin()
    for number in numbers:
        transaction.put(name(number), value)
    transaction.commit()


def fill(tables: LmdbTables, count: int, value: bytes) -> None:
    for number in range(0, count, 200):
        put(tables, range(number, number + 200), value)


def delete(tables: LmdbTables, numbers: range) -> None:
    transaction = tables.begin()
    for number in numbers:
        transaction.delete(name(number))
    transaction.commit()


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3_000)), max_size=400),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
    st.booleans(),
)
def test_keys_in_order_are_a_set_in_order(
    moves: list[tuple[bool, int]], low: int, high: int, is_reversed: bool
) -> None:
    keys, model = SortedKeys(), set[bytes]()
    for number in range(0, 3_000, 2):  # several blocks
        keys.add(name(number))
        model.add(name(number))
    for is_new, number in moves:
        (keys.add if is_new else keys.discard)(name(number))
        (model.add if is_new else model.discard)(name(number))
    assert len(keys) == len(model)
    first, last = name(low), name(high)
    wanted = sorted((key for key in model if first <= key < last), reverse=is_reversed)
    assert list(keys.between(first, last, is_reversed=is_reversed)) == wanted
    assert list(keys.between(b"", None)) == sorted(model)


def test_keys_in_order_are_emptied_and_filled_again() -> None:
    keys = SortedKeys()
    for _ in range(2):
        order = list(range(2_000))
        random.Random(1).shuffle(order)
        for number in order:
            keys.add(name(number))
        for number in order:
            keys.discard(name(number))
        assert list(keys.between(b"", None)) == []


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_view_sees_what_thousands_of_removals_took(tables: LmdbTables, is_reversed: bool) -> None:
    put(tables, range(2_000), b"old")
    view = tables.hold()
    delete(tables, range(5, 1_990))
    put(tables, range(700, 705), b"new")
    put(tables, range(2_000, 2_100), b"later")
    wanted = [(name(number), b"old") for number in range(2_000)]
    found = list(view.range(b"", reverse=is_reversed))
    assert found == (wanted[::-1] if is_reversed else wanted)
    view.close()


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_view_begun_while_older_rows_are_not_freed_yet(
    tables: LmdbTables, is_reversed: bool
) -> None:
    count = 4 * SLICE_ROWS
    put(tables, range(count), b"1")
    tables.hold().close()
    first = tables.hold()
    delete(tables, range(count))
    first.close()
    put(tables, range(count), b"2")  # nobody holds a view: what was removed is still listed
    second = tables.hold()
    assert len(list(second.range(b"", reverse=is_reversed))) == count
    delete(tables, range(0, count, 2))
    put(tables, range(1, count, 2), b"3")
    assert {value for _, value in second.range(b"")} == {b"2"}
    assert len(list(second.range(b"", reverse=is_reversed))) == count
    second.close()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400)), max_size=60))
def test_any_number_of_views_see_each_its_own_state(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int]]
) -> None:
    tables = LmdbTables(tmp_path_factory.mktemp("t"), step_bytes=MIB)
    model: dict[bytes, bytes] = {}
    views: list[tuple[heldviews.HeldRows, dict[bytes, bytes]]] = []
    for step, (verb, number) in enumerate(moves):
        value = b"%d" % step
        many = range(number, number + 1 + (number % 3) * SLICE_ROWS)
        if verb <= 1:
            put(tables, many, value)
            model.update({name(each): value for each in many})
        elif verb <= 3:
            delete(tables, many)
            for each in many:
                model.pop(name(each), None)
        elif verb == 4:
            views.append((tables.hold(), dict(model)))
        elif views:
            views.pop(number % len(views))[0].close()
    for view, then in views:
        assert dict(view.range(b"")) == then
        assert [key for key, _ in view.range(name(50), name(300), reverse=True)] == sorted(
            (key for key in then if name(50) <= key < name(300)), reverse=True
        )
        assert all(view.get(name(each)) == then.get(name(each)) for each in range(0, 450, 7))
    tables.close()


def test_old_rows_are_kept_once_however_many_views_there_are(tables: LmdbTables) -> None:
    put(tables, range(1_000), b"old")
    views = [tables.hold() for _ in range(200)]
    for step in range(5):
        put(tables, range(1_000), b"%d" % step)
    assert tables.old_rows == 1_000
    assert all(view.get(name(7)) == b"old" for view in views)
    for view in views:
        view.close()


def test_what_no_view_needs_is_freed_with_later_commits(tables: LmdbTables) -> None:
    put(tables, range(5_000), b"old")
    view = tables.hold()
    delete(tables, range(5_000))
    assert tables.old_rows == 5_000
    view.close()
    assert tables.old_rows == 5_000, "not in the turn of whoever closes it"
    before = tables.old_rows
    while before:
        put(tables, range(1), b"x")
        assert 0 < before - tables.old_rows <= heldviews._FREED_ROWS  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        before = tables.old_rows


@pytest.mark.parametrize("is_for_client", [True, False])
def test_a_view_that_pins_too_much_is_closed(
    tables: LmdbTables, monkeypatch: pytest.MonkeyPatch, is_for_client: bool
) -> None:
    monkeypatch.setattr(heldviews, "CLIENT_BYTES_MAX", 1 * MIB)
    monkeypatch.setattr(heldviews, "OWN_BYTES_MAX", 2 * MIB)
    monkeypatch.setattr(heldviews, "_OWN_PART", 1_000)
    limit = (1 if is_for_client else 2) * MIB
    fill(tables, 4_000, b"v" * 1_000)
    view = tables.hold(is_for_client=is_for_client)
    own = tables.hold()
    cursor = view.range(b"")
    next(cursor)
    for number in range(0, 4_000, 50):
        if view.pinned_bytes > limit - 100_000:
            break
        put(tables, range(number, number + 50), b"w" * 1_000)
    assert view.get(name(0)) == b"v" * 1_000
    young = tables.hold(is_for_client=True)
    put(tables, range(3_000, 3_100), b"x")
    with pytest.raises(StorageError, match="too much was changed") as caught:
        view.get(name(0))
    assert caught.value.code == "locked"
    with pytest.raises(StorageError):
        list(cursor)
    assert len(young.get(name(3_000)) or b"") == 1_000
    assert own.is_pressed
    if is_for_client:
        assert own.get(name(0)) == b"v" * 1_000
    while tables.old_rows:
        young.close()
        own.close()
        put(tables, range(1), b"y")


def test_what_is_counted_for_old_rows_is_what_they_take(tables: LmdbTables) -> None:
    fill(tables, 20_000, b"v" * 100)
    view = tables.hold()
    tracemalloc.start()
    for number in range(0, 20_000, 500):
        delete(tables, range(number, number + 500))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.5 * view.pinned_bytes < taken < 1.1 * view.pinned_bytes
    view.close()
