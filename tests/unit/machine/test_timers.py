"""Deadlines of sessions in log time: what is due is reported, at a bounded cost per call."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from quorate.base.subjects import key_part
from quorate.domains import DOMAINS
from quorate.machine.state import State
from quorate.machine.timers import CHANGES_MAX, DUE_MAX, RETRY_MS, SPAN_MS, Timers
from quorate.sessions.commands import SessionExpire
from quorate.sessions.tables import EXPIRY, SESSIONS, SessionRow, encode_row


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


def test_a_flood_of_changes_is_taken_in_over_many_calls() -> None:
    """Those of a batch were, at once: a node that goes with 100,000 sessions took 0.1 s."""
    timers, rows = Timers(DOMAINS), Known()
    flood = names(5 * CHANGES_MAX)
    timers.add([(EXPIRY, session, 1_000) for session in flood])
    for calls in range(1, 6):
        assert len(timers) == calls * CHANGES_MAX
        timers.add([])
    timers.add([(EXPIRY, session, None) for session in flood])
    assert len(timers) == 4 * CHANGES_MAX
    due(timers, 0, rows)
    assert len(timers) == 3 * CHANGES_MAX
    assert rows.looks == 0


def test_a_later_change_waits_for_the_earlier_ones() -> None:
    timers, rows = Timers(DOMAINS), Known()
    flood = names(2 * CHANGES_MAX)
    timers.add([(EXPIRY, session, 1_000) for session in flood])
    timers.add([(EXPIRY, flood[-1], 9_000), (EXPIRY, flood[0], None)])
    timers.add([])
    asked: set[str] = set()
    while found := due(timers, 1_000, rows):
        assert len(found) <= DUE_MAX
        asked |= found
    assert asked == {name.decode() for name in flood[1:-1]}


def test_what_was_cancelled_leaves_nothing_on_a_node_that_never_leads() -> None:
    timers = Timers(DOMAINS)
    for number in range(20_000):
        at_ms = number * SPAN_MS
        timers.add([(EXPIRY, b"a", at_ms), (EXPIRY, b"b", at_ms), (EXPIRY, b"b", None)])
    assert len(timers) == 1
    assert timers.spans < 2_000


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-1, 5_000), st.integers(0, 700)), max_size=60
    )
)
def test_what_is_due_is_reported_once_until_it_is_reported_again(
    moves: list[tuple[str, int, int]],
) -> None:
    timers, rows, now_ms = Timers(DOMAINS), Known(), 0
    expected: dict[str, int] = {}
    for name, due_ms, passed_ms in moves:
        timers.add([(EXPIRY, name.encode(), due_ms if due_ms >= 0 else None)])
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
