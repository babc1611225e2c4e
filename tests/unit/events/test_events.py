"""User events: the ring, its limits, and its snapshot."""

import pytest

from quorate.events.commands import EventFire
from quorate.events.queries import each_event
from quorate.events.tables import EVENTS_BYTES_MAX, EVENTS_MAX
from tests.unit.machine.lab import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def names(lab: Lab) -> list[str]:
    return [row.name for row in each_event(lab.read).value]


def test_events_are_listed_in_the_order_in_which_they_were_sent(lab: Lab) -> None:
    assert [lab.do(EventFire(f"{n}", f"e{n}")) for n in range(3)] == [1, 2, 3]
    assert names(lab) == ["e0", "e1", "e2"]
    assert each_event(lab.read).changed == lab.machine.index


def test_the_oldest_are_deleted_beyond_256(lab: Lab) -> None:
    for n in range(EVENTS_MAX + 3):
        lab.do(EventFire(f"{n}", f"e{n}"))
    assert names(lab) == [f"e{n}" for n in range(3, EVENTS_MAX + 3)]


def test_the_oldest_are_deleted_beyond_the_bytes_and_the_newest_is_kept(lab: Lab) -> None:
    for n in range(5):
        lab.do(EventFire(f"{n}", f"e{n}", b"x" * (EVENTS_BYTES_MAX // 3)))
    assert names(lab) == ["e3", "e4"]
    lab.do(EventFire("long", "long", b"x" * (2 * EVENTS_BYTES_MAX)))
    assert names(lab) == ["long"]
    lab.do(EventFire("short", "short"))
    assert names(lab) == ["short"]


def test_an_event_wakes_who_waits_for_events(lab: Lab) -> None:
    lab.do(EventFire("1", "e"))
    waited = each_event(lab.read).subjects
    assert waited[0][1:] in lab.changed_subjects
