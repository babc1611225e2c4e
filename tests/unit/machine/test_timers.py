"""Deadlines of sessions in logged time: what is due is told, at a bounded cost for each call."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from quorate.base.commands import SessionExpire
from quorate.base.subjects import key_part
from quorate.machine.state import State
from quorate.machine.timers import EXPIRIES_MAX, REMINDERS_MAX, RETRY_MS, SPAN_MS, Timers
from quorate.registry.sessions import SESSIONS, SessionRow, encode_row


class Known:
    """Rows in which every session is there; counts how many were looked up."""

    removals = ()

    def __init__(self) -> None:
        self.looks = 0

    def get(self, table: int, key: bytes) -> bytes | None:
        assert table == SESSIONS
        self.looks += 1
        name = key.decode()
        return encode_row(SessionRow(name, name, "Ann", 0, "release", "", 10_000, (), (), 1, 1, 0))

    def range(
        self, table: int, first: bytes, last: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


def due(timers: Timers, now_ms: int, rows: Known) -> set[str]:
    commands = timers.due(now_ms, rows, State())
    return {one.id for one in commands if isinstance(one, SessionExpire)}


def names(count: int) -> list[bytes]:
    return [key_part(f"s{number:05d}") for number in range(count)]


def test_a_flood_of_reminders_is_taken_in_over_many_calls() -> None:
    """Those of a batch were, at once: a node that goes with 100,000 sessions took 0.1 s."""
    timers, rows = Timers(), Known()
    flood = names(5 * REMINDERS_MAX)
    timers.add([(1_000, session) for session in flood])
    for calls in range(1, 6):
        assert len(timers) == calls * REMINDERS_MAX
        timers.add([])
    timers.add([(-1, session) for session in flood])
    assert len(timers) == 4 * REMINDERS_MAX
    due(timers, 0, rows)
    assert len(timers) == 3 * REMINDERS_MAX
    assert rows.looks == 0


def test_a_later_reminder_waits_for_the_earlier_ones() -> None:
    timers, rows = Timers(), Known()
    flood = names(2 * REMINDERS_MAX)
    timers.add([(1_000, session) for session in flood])
    timers.add([(9_000, flood[-1]), (-1, flood[0])])
    timers.add([])
    asked: set[str] = set()
    while found := due(timers, 1_000, rows):
        assert len(found) <= EXPIRIES_MAX
        asked |= found
    assert asked == {name.decode() for name in flood[1:-1]}


def test_what_was_cancelled_leaves_nothing_on_a_node_that_never_leads() -> None:
    timers = Timers()
    for number in range(20_000):
        timers.add([(number * SPAN_MS, b"a"), (number * SPAN_MS, b"b"), (-1, b"b")])
    assert len(timers) == 1
    assert timers.spans < 2_000


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-1, 5_000), st.integers(0, 700)), max_size=60
    )
)
def test_what_is_due_is_told_once_until_it_is_told_again(
    moves: list[tuple[str, int, int]],
) -> None:
    timers, rows, now_ms = Timers(), Known(), 0
    expected: dict[str, int] = {}
    for name, due_ms, passed_ms in moves:
        timers.add([(due_ms, name.encode())])
        expected.pop(name, None)
        if due_ms >= 0:
            expected[name] = due_ms
        now_ms += passed_ms
        wanted = {
            one for one, at_ms in expected.items() if -(-at_ms // SPAN_MS) * SPAN_MS <= now_ms
        }
        assert due(timers, now_ms, rows) == wanted
        expected.update(dict.fromkeys(wanted, now_ms + RETRY_MS))
        assert len(timers) == len(expected)
