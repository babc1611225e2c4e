"""Which configuration governs which slot."""

import msgspec
import pytest

from quorate.base.batches import Configuration
from quorate.base.errors import (
    ConflictError,
    InvariantError,
    NotFoundError,
    QuorateError,
    RequestError,
)
from quorate.base.ids import Slot
from quorate.paxos.membership import LEFT_MAX, Membership
from quorate.paxos.quorum import phase1_size, phase2_size
from tests.unit.paxos.harness import member

FIRST = Configuration(1, 0, (member(1), member(2)))


def membership() -> Membership:
    return Membership([(Slot(0), FIRST)], alpha=8)


def test_a_configuration_governs_alpha_slots_after_its_own() -> None:
    made = membership()
    second = made.derive("add", member(3))
    made.judge(Slot(5), second)
    assert [made.governing(Slot(slot)).number for slot in (1, 12, 13, 99)] == [1, 1, 2, 2]
    assert made.newest_from == 13
    assert set(made.members) == {"n1", "n2", "n3"}


def test_a_configuration_is_void_when_its_predecessor_is_gone() -> None:
    made = membership()
    stale, second = made.derive("add", member(4)), made.derive("add", member(3))
    assert made.judge(Slot(5), second) is second
    assert made.judge(Slot(6), stale) is None
    skipping = Configuration(4, 2, FIRST.voters)
    assert made.judge(Slot(7), skipping) is None
    assert made.newest is second


def test_what_governs_no_slot_any_more_is_dropped() -> None:
    made = membership()
    made.judge(Slot(5), made.derive("remove", member(2)))
    made.prune(Slot(11))
    assert set(made.members) == {"n1", "n2"}
    made.prune(Slot(12))
    assert set(made.members) == {"n1"}
    assert made.governing(Slot(1)).number == 2, "the oldest kept answers for what is past"


def test_a_node_learns_first_votes_then_and_leaves_for_good() -> None:
    made = membership()
    for slot, verb in ((1, "add"), (9, "promote"), (17, "remove")):
        made.judge(Slot(slot), made.derive(verb, member(3)))
        newest = made.newest
        states = (member(3) in newest.learners, member(3) in newest.voters)
        assert states == {"add": (True, False), "promote": (False, True)}.get(verb, (False, False))
    assert made.newest.removed == ("n3",)
    with pytest.raises(ConflictError):
        made.derive("add", member(3))


def test_a_known_member_may_change_its_address() -> None:
    made = membership()
    moved = Configuration(1, 0, (member(1),)).voters[0]
    moved = type(moved)(moved.id, moved.name, "elsewhere:1")
    newest = made.derive("add", moved)
    assert newest.voters == (moved, member(2))
    made.judge(Slot(1), made.derive("add", member(3)))
    third = type(moved)(member(3).id, "n3", "elsewhere:3")
    assert made.derive("add", third).learners == (third,)


@pytest.mark.parametrize(
    ("verb", "number", "kind"),
    [
        ("add", 1, ConflictError),
        ("promote", 1, ConflictError),
        ("promote", 9, NotFoundError),
        ("remove", 9, NotFoundError),
        ("shuffle", 1, RequestError),
    ],
)
def test_what_cannot_be_is_refused(verb: str, number: int, kind: type[QuorateError]) -> None:
    with pytest.raises(kind):
        membership().derive(verb, member(number))


def test_the_last_voter_cannot_be_removed() -> None:
    with pytest.raises(RequestError):
        Membership([(Slot(0), Configuration(1, 0, (member(1),)))], 8).derive("remove", member(1))


def test_a_replica_has_a_configuration() -> None:
    with pytest.raises(InvariantError):
        Membership([], 8)


@pytest.mark.parametrize(("voters", "size"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_majority_is_a_quorum_of_either_phase(voters: int, size: int) -> None:
    assert (phase1_size(voters), phase2_size(voters)) == (size, size)


def test_a_change_of_one_member_leaves_the_others_as_they_are() -> None:
    made = membership()
    for slot, number in enumerate((7, 8), 1):
        made.judge(Slot(slot), made.derive("add", member(number)))
    moved = msgspec.structs.replace(member(8), address="elsewhere:1")
    assert made.derive("add", moved).learners == (member(7), moved)
    voter = made.newest.voters[0]
    moved = msgspec.structs.replace(voter, address="elsewhere:2")
    changed = made.derive("add", moved)
    assert changed.voters == (moved, *made.newest.voters[1:])
    assert changed.learners == (member(7), member(8))
    left = made.derive("remove", member(7))
    assert (left.voters, left.learners) == (made.newest.voters, (member(8),))
    assert (left.removed, left.left) == ((member(7).id,), (member(7),))


def test_the_last_that_left_are_remembered_with_their_addresses() -> None:
    made = membership()
    for number in range(20):
        newcomer = member(100 + number)
        made.judge(Slot(2 * number + 1), made.derive("add", newcomer))
        made.judge(Slot(2 * number + 2), made.derive("remove", newcomer))
    assert len(made.newest.removed) == 20
    assert made.newest.left == tuple(member(100 + number) for number in range(20 - LEFT_MAX, 20))
