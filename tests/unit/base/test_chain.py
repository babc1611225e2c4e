"""Which configuration governs which slot, and which are out of force."""

from quorate.base.batches import Configuration, Member, majority
from quorate.base.chain import Chain
from quorate.base.ids import NodeId, Slot

ALPHA = 8


def made(number: int, *names: str) -> Configuration:
    voters = tuple(Member(NodeId(name), name, f"{name}:{number}") for name in names)
    return Configuration(number, number - 1, voters)


FIRST, SECOND, THIRD = made(1, "a", "b"), made(2, "b", "c"), made(3, "c")


def chain() -> Chain:
    first = Chain([(Slot(0), FIRST)], ALPHA)
    return first.followed_by(Slot(5), SECOND).followed_by(Slot(20), THIRD)


def test_the_first_governs_from_slot_1_and_the_others_alpha_slots_after_their_own() -> None:
    assert chain().governing == ((1, FIRST), (13, SECOND), (28, THIRD))


def test_members_of_all_are_known_as_the_newest_names_them() -> None:
    members = chain().members
    assert list(members) == ["a", "b", "c"]
    assert [members[NodeId(name)].address for name in "abc"] == ["a:1", "b:2", "c:3"]


def test_what_governs_no_slot_above_goes_and_the_last_one_stays() -> None:
    whole = chain()
    assert whole.above(Slot(11)) is whole, "slot 12 is still governed by the first"
    assert whole.above(Slot(12)).chosen == ((5, SECOND), (20, THIRD))
    assert whole.above(Slot(27)).chosen == ((20, THIRD),)
    assert whole.above(Slot(1000)).chosen == ((20, THIRD),)


def test_a_longer_chain_leaves_the_shorter_one_as_it_was() -> None:
    one = Chain([(Slot(0), FIRST)], ALPHA)
    one.followed_by(Slot(1), SECOND)
    assert one.chosen == ((0, FIRST),)


def test_any_two_majorities_meet() -> None:
    for voters in range(1, 20):
        assert 2 * majority(voters) > voters >= majority(voters)
