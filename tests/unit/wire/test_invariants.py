"""What the laws of the log exclude is brought about by force: nothing is written."""

from collections.abc import Callable

import pytest

from quorate.base.errors import InvariantError
from quorate.base.ids import Slot
from quorate.wire.journal import Journal, RecoveredLog, Segment, segment_name
from quorate.wire.records import stored
from tests.unit.wire.journals import SMALL, identity, promise, vote


class Clumsy(Journal):
    """A journal that does what no caller can make it do."""

    def place_only(self) -> None:
        """A record waits, and is not committed."""
        self._place(stored(vote(1)), [])

    def turn_over_early(self) -> None:
        """A segment is begun although something waits."""
        self.place_only()
        self._begin_segment(100, [])

    def misplace(self) -> None:
        """A newer segment comes to lie before the oldest."""
        self._segments.insert(0, Segment(99, SMALL.segment_bytes))


def a_second_opening(journal: Clumsy) -> None:
    """WAL-3: the last commit of the epoch before would be written behind this epoch's."""
    journal.open([promise(1)])


def an_empty_commit_behind_what_waits(journal: Clumsy) -> None:
    """WAL-1: records would become durable that nobody asked to sync."""
    journal.place_only()
    journal.close_idle()


def a_segment_begun_before_the_last_commit(journal: Clumsy) -> None:
    """WAL-1: what waits would be lost with the segment that it was meant for."""
    journal.turn_over_early()


def a_newer_segment_goes_first(journal: Clumsy) -> None:
    """WAL-4: the chain of segments would begin in the middle."""
    journal.misplace()
    journal.truncate(Slot(9))


def the_newest_segment_goes(journal: Clumsy) -> None:
    """WAL-4: with it, the promise."""
    journal.recycle(segment_name(journal.newest), SMALL.segment_bytes)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (a_second_opening, "WAL-3"),
        (an_empty_commit_behind_what_waits, "WAL-1"),
        (a_segment_begun_before_the_last_commit, "WAL-1"),
        (a_newer_segment_goes_first, "WAL-4"),
        (the_newest_segment_goes, "WAL-4"),
    ],
)
def test_a_broken_law_stops_the_log(broken: Callable[[Clumsy], None], law: str) -> None:
    journal = Clumsy(identity(1), SMALL, RecoveredLog())
    journal.open([])
    with pytest.raises(InvariantError, match=f"^{law}: "):
        broken(journal)


def test_a_segment_under_a_number_that_was_used_stops_the_log() -> None:
    """WAL-2: stale records of the older one would pass for records of the new one."""
    recovered_log = RecoveredLog(number=3, segments=[Segment(7, SMALL.segment_bytes)])
    with pytest.raises(InvariantError, match=r"^WAL-2: "):
        Journal(identity(2), SMALL, recovered_log).open([])
