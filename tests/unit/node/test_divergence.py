"""Do replicas hold the same tables?"""

from quorate.base.ids import Slot
from quorate.node.divergence import KEPT, DivergenceCheck
from tests.unit.node.lone import initial_members, member

ME, TWO, THREE = (member(number).id for number in (1, 2, 3))
ALL = initial_members(3)


def divergence(**digests: int) -> DivergenceCheck:
    made = DivergenceCheck(ME, 10)
    for slot, digest in digests.items():
        is_checkpoint = made.note(Slot(int(slot[1:])), digest)
        assert is_checkpoint == (int(slot[1:]) % 10 == 0)
    return made


def test_only_digests_of_the_same_slot_are_compared() -> None:
    made = divergence(s10=1, s15=2, s20=3)
    assert made.on_report(TWO, Slot(15), 9, ALL) is None
    assert made.on_report(TWO, Slot(0), 9, ALL) is None
    assert made.check(Slot(15), 9) is None
    assert made.check(Slot(30), 9) is None
    assert made.check(Slot(10), 1) is None


def test_what_most_voters_had_is_agreed() -> None:
    made = divergence(s10=1, s20=3)
    assert made.on_report(TWO, Slot(20), 3, ALL) is None
    assert made.agreed == (20, 3)
    assert made.on_report(TWO, Slot(10), 1, ALL) is None
    assert made.agreed == (20, 3), "the newest stays"
    assert made.on_report(THREE, Slot(20), 4, ALL) is None, "the other one will be notified"


def test_who_differs_from_most_stops_and_says_where() -> None:
    made = divergence(s10=1)
    assert made.on_report(TWO, Slot(10), 2, ALL) is None
    halt = made.on_report(THREE, Slot(10), 2, ALL)
    assert halt is not None
    assert (halt.code, "slot 10" in halt.reason) == ("corrupt", True)
    reported = made.check(Slot(10), 2)
    assert reported is not None


def test_learners_have_no_say() -> None:
    made = divergence(s10=1)
    for number in (4, 5, 6):
        assert made.on_report(member(number).id, Slot(10), 2, ALL) is None


def test_only_the_newest_checkpoints_are_kept() -> None:
    made = DivergenceCheck(ME, 1)
    for slot in range(1, KEPT + 3):
        made.note(Slot(slot), slot)
        made.on_report(TWO, Slot(slot), slot, ALL)
    assert made.check(Slot(2), 9) is None
    assert made.check(Slot(3), 9) is not None
