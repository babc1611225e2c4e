"""One suite for every body of the port `Tables`: the simulator must test the store that ships."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.base.errors import InvariantError, StorageError
from quorate.base.ports import HeldView, Tables, View
from quorate.runtime.longkeys import SHORT_MAX
from quorate.runtime.tables import LmdbTables
from quorate.sim.tables import DictTables

Row = tuple[bytes, bytes]


class Body(Tables, Protocol):
    def begin_install(self) -> None: ...
    def install_rows(self, rows: list[Row]) -> None: ...
    def finish_install(self) -> None: ...


Make = Callable[[], Body]
MIB = 1024 * 1024
BODIES = ["dict", "lmdb", "lmdb without a writable map"]


def made(kind: str, directory: Path) -> Body:
    if kind == "dict":
        return DictTables()
    return LmdbTables(directory, step_bytes=MIB, is_write_map=kind == "lmdb")


@pytest.fixture(params=BODIES)
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Body]:
    body = made(request.param, tmp_path)
    yield body
    if isinstance(body, LmdbTables):
        body.close()


def put(tables: Tables, *rows: Row, tries: int = 4) -> None:
    """As the port says: a body may need to grow between two tries."""
    transaction = tables.begin()
    try:
        for key, value in rows:
            transaction.put(key, value)
        transaction.commit()
    except StorageError:
        transaction.abort()
        if tries == 1:
            raise
        put(tables, *rows, tries=tries - 1)


def drop(tables: Tables, *keys: bytes) -> None:
    transaction = tables.begin()
    for key in keys:
        transaction.delete(key)
    transaction.commit()


def rows(view: View) -> list[Row]:
    return list(view.range(b""))


# --- reading and writing ----------------------------------------------------------------------


def test_a_key_that_was_never_written_is_none(tables: Body) -> None:
    assert tables.get(b"\1\1a") is None
    assert rows(tables) == []


def test_what_was_committed_is_read(tables: Body) -> None:
    put(tables, (b"\1\1b", b"2"), (b"\1\1a", b"1"), (b"\1\1c", b""))
    assert tables.get(b"\1\1b") == b"2"
    assert tables.get(b"\1\1c") == b""
    assert rows(tables) == [(b"\1\1a", b"1"), (b"\1\1b", b"2"), (b"\1\1c", b"")]


def test_a_range_has_its_first_and_not_its_last(tables: Body) -> None:
    put(tables, *((bytes((1, 1, n)), b"x") for n in range(10)))
    found = [key[2] for key, _ in tables.range(b"\1\1\3", b"\1\1\6")]
    assert found == [3, 4, 5]
    backwards = [key[2] for key, _ in tables.range(b"\1\1\3", b"\1\1\6", reverse=True)]
    assert backwards == [5, 4, 3]
    assert [key[2] for key, _ in tables.range(b"\1\1\7", reverse=True)] == [9, 8, 7]
    assert list(tables.range(b"\1\1\6", b"\1\1\3")) == []


def test_a_range_may_end_before_the_first_row_or_begin_behind_the_last(tables: Body) -> None:
    put(tables, (b"\5", b"x"))
    assert list(tables.range(b"\1", b"\2")) == []
    assert list(tables.range(b"\1", b"\2", reverse=True)) == []
    assert list(tables.range(b"\6")) == []
    assert list(tables.range(b"\6", reverse=True)) == []


def test_a_transaction_sees_its_own_writes_and_others_do_not(tables: Body) -> None:
    put(tables, (b"\1a", b"1"), (b"\1b", b"2"))
    transaction = tables.begin()
    transaction.put(b"\1a", b"9")
    transaction.put(b"\1c", b"3")
    assert transaction.delete(b"\1b")
    assert not transaction.delete(b"\1b")
    assert transaction.get(b"\1a") == b"9"
    assert transaction.get(b"\1b") is None
    assert rows(transaction) == [(b"\1a", b"9"), (b"\1c", b"3")]
    assert list(transaction.range(b"", reverse=True)) == [(b"\1c", b"3"), (b"\1a", b"9")]
    assert rows(tables) == [(b"\1a", b"1"), (b"\1b", b"2")]
    transaction.commit()
    assert rows(tables) == [(b"\1a", b"9"), (b"\1c", b"3")]


def test_an_aborted_transaction_changed_nothing(tables: Body) -> None:
    put(tables, (b"\1a", b"1"))
    transaction = tables.begin()
    transaction.put(b"\1a", b"2")
    transaction.abort()
    assert tables.get(b"\1a") == b"1"
    put(tables, (b"\1a", b"3"))
    assert tables.get(b"\1a") == b"3"


def test_only_one_transaction_writes_at_a_time(tables: Body) -> None:
    transaction = tables.begin()
    with pytest.raises(InvariantError):
        tables.begin()
    transaction.abort()


def test_deleting_says_whether_there_was_anything(tables: Body) -> None:
    put(tables, (b"\1a", b"1"))
    transaction = tables.begin()
    assert transaction.delete(b"\1a")
    assert not transaction.delete(b"\1x")
    transaction.commit()
    assert rows(tables) == []


def test_large_values_and_keys_are_taken(tables: Body) -> None:
    key, value = b"\1" + b"k" * 65_535, b"v" * MIB
    put(tables, (key, value))
    assert tables.get(key) == value
    assert rows(tables) == [(key, value)]
    assert tables.get(key[:-1]) is None


# --- held views -------------------------------------------------------------------------------


def test_a_held_view_stays_at_its_state(tables: Body) -> None:
    put(tables, (b"\1a", b"1"), (b"\1b", b"2"))
    held = tables.hold()
    put(tables, (b"\1a", b"9"), (b"\1c", b"3"))
    drop(tables, b"\1b")
    assert held.get(b"\1a") == b"1"
    assert held.get(b"\1b") == b"2"
    assert held.get(b"\1c") is None
    assert rows(held) == [(b"\1a", b"1"), (b"\1b", b"2")]
    assert list(held.range(b"", reverse=True)) == [(b"\1b", b"2"), (b"\1a", b"1")]
    assert rows(tables) == [(b"\1a", b"9"), (b"\1c", b"3")]
    held.close()


def test_no_view_is_held_while_a_transaction_is_open(tables: Body) -> None:
    transaction = tables.begin()
    with pytest.raises(StorageError) as caught:
        tables.hold()
    assert caught.value.code == "locked"
    transaction.abort()
    tables.hold().close()


def test_a_range_of_a_held_view_goes_on_while_others_commit(tables: Body) -> None:
    before = [(b"\1%05d" % n, b"%d" % n) for n in range(1_000)]
    put(tables, *before)
    held = tables.hold()
    seen: list[Row] = []
    for number, row in enumerate(held.range(b"")):
        seen.append(row)
        if number % 50 == 0:
            put(tables, (b"\1%05d" % (number + 300), b"new"), (b"\1%05dx" % number, b"new"))
            drop(tables, b"\1%05d" % (number // 2), b"\1%05d" % min(number + 200, 999))
    assert seen == before
    assert list(held.range(b"", reverse=True)) == before[::-1]
    held.close()


def test_several_views_are_held_at_once(tables: Body) -> None:
    views: list[tuple[HeldView, list[Row]]] = []
    for number in range(5):
        put(tables, (b"\1a", b"%d" % number), (b"\1%d" % number, b"x"))
        views.append((tables.hold(), rows(tables)))
    drop(tables, b"\1a", b"\1" + b"2")
    for view, expected in views:
        assert rows(view) == expected
        view.close()


def test_a_closed_view_is_not_read(tables: Body) -> None:
    put(tables, (b"\1a", b"1"))
    held = tables.hold()
    held.close()
    held.close()
    with pytest.raises(StorageError, match="closed"):
        held.get(b"\1a")


def test_a_held_view_survives_the_growth_of_the_file(tables: Body) -> None:
    before = [(b"\1%05d" % n, b"o" * 100) for n in range(500)]
    put(tables, *before)
    held = tables.hold()
    cursor = held.range(b"")
    begun = [next(cursor) for _ in range(10)]
    for number in range(40):
        put(tables, *((b"\2%d-%d" % (number, n), b"n" * 4_000) for n in range(50)))
    assert begun + list(cursor) == before
    held.close()


# --- installs ---------------------------------------------------------------------------------


def test_an_install_replaces_everything_at_its_end(tables: Body) -> None:
    put(tables, (b"\1old", b"1"), (b"\1both", b"1"))
    tables.begin_install()
    tables.install_rows([(b"\1both", b"2")])
    assert tables.get(b"\1old") == b"1"
    put(tables, (b"\1meanwhile", b"1"))
    tables.install_rows([(b"\1new", b"2"), (b"\1" + b"k" * 600, b"long")])
    tables.finish_install()
    expected = [(b"\1both", b"2"), (b"\1" + b"k" * 600, b"long"), (b"\1new", b"2")]
    assert rows(tables) == sorted(expected)
    put(tables, (b"\1after", b"3"))
    assert tables.get(b"\1after") == b"3"


def test_an_install_begun_anew_forgets_the_first(tables: Body) -> None:
    tables.begin_install()
    tables.install_rows([(b"\1a", b"1")])
    tables.begin_install()
    tables.install_rows([(b"\1b", b"2")])
    tables.finish_install()
    assert rows(tables) == [(b"\1b", b"2")]


def test_the_version_is_another_one_after_every_change_and_only_then(tables: Body) -> None:
    seen = [tables.version]
    put(tables, (b"\1a", b"1"))
    seen.append(tables.version)
    transaction = tables.begin()
    transaction.put(b"\1a", b"2")
    assert tables.version == seen[-1]
    transaction.abort()
    assert tables.version == seen[-1]
    tables.begin_install()
    tables.install_rows([(b"\1a", b"3")])
    assert tables.version == seen[-1]
    tables.finish_install()
    seen.append(tables.version)
    assert tables.get(b"\1a") == b"3"
    assert len(set(seen)) == 3


# --- order at the boundary of long keys -------------------------------------------------------

Step = tuple[str, bytes, bytes]


@st.composite
def keys(draw: st.DrawFn) -> bytes:
    """Mostly such as differ just where long keys begin to be stored otherwise."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        stem = draw(st.sampled_from([b"a", b"b", b"\xff"]))
        length = SHORT_MAX - 3 + draw(st.integers(-2, 6))
        return b"\1" + stem * length + draw(st.binary(max_size=4))
    low, high = (0, 3) if kind == 1 else (SHORT_MAX - 2, SHORT_MAX + 20)
    return b"\1" + draw(st.binary(min_size=low, max_size=high))


@st.composite
def steps_of_a_test(draw: st.DrawFn) -> list[Step]:
    verbs = st.sampled_from(["put", "put", "put", "delete", "delete", "commit", "hold"])
    return [
        (draw(verbs), draw(keys()), draw(st.binary(max_size=8)))
        for _ in range(draw(st.integers(0, 30)))
    ]


@pytest.mark.parametrize("kind", BODIES[:2])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps_of_a_test(), bounds=st.lists(st.tuples(keys(), keys()), max_size=6))
def test_every_body_orders_keys_of_any_length_as_bytes(
    kind: str, steps: list[Step], bounds: list[tuple[bytes, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tables = made(kind, Path(directory))
        model: dict[bytes, bytes] = {}
        held: list[tuple[HeldView, dict[bytes, bytes]]] = []
        transaction = tables.begin()
        for verb, key, value in steps:
            if verb == "put":
                transaction.put(key, value)
                model[key] = value
            elif verb == "delete":
                assert transaction.delete(key) == (model.pop(key, None) is not None)
            else:
                transaction.commit()
                if verb == "hold":
                    held.append((tables.hold(), dict(model)))
                transaction = tables.begin()
        check(transaction, model, bounds)
        transaction.commit()
        check(tables, model, bounds)
        for view, then in held:
            check(view, then, bounds)
        if isinstance(tables, LmdbTables):
            tables.close()


def check(view: View, model: dict[bytes, bytes], bounds: list[tuple[bytes, bytes]]) -> None:
    assert rows(view) == sorted(model.items())
    for key in [*model, *(key for pair in bounds for key in pair)]:
        assert view.get(key) == model.get(key)
    for first, last in bounds:
        expected = sorted(row for row in model.items() if first <= row[0] < last)
        assert list(view.range(first, last)) == expected
        assert list(view.range(first, last, reverse=True)) == expected[::-1]
        assert list(view.range(first)) == sorted(row for row in model.items() if row[0] >= first)
