"""Which configuration is in force by what the disk holds (LRN-6)."""

from types import SimpleNamespace
from typing import Any

import pytest

from quorate.base.effects import SendWhenDurable
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import ConfigurationDurable
from quorate.paxos.durable import Durable

ME = NodeId("me")
TURN = 10  # configuration 2 is in force by whatever holds the slots up to this one


class FakeMembership:
    """Two configurations."""

    def in_force(self, slot: Slot) -> int:
        return 2 if slot >= TURN else 1


class FakeLearner:
    """What is known chosen; `proven`: whether the log alone proves the tables."""

    def __init__(self, watermark: int, *, proven: bool) -> None:
        self.watermark = Slot(watermark)
        self.chosen: dict[Slot, bytes] = {}
        self._proven = proven

    def is_proven(self, snapshot: Slot, applied: Slot) -> bool:
        return self._proven


def made(watermark: int, *, proven: bool = True) -> tuple[Durable, FakeLearner]:
    learner, rest = FakeLearner(watermark, proven=proven), SimpleNamespace()
    parts: Any = (ME, FakeMembership(), learner, rest, rest)
    return Durable(*parts), learner


SAID = [SendWhenDurable(ME, ConfigurationDurable(2))]


def test_a_log_that_proves_its_tables_says_what_they_have_in_force() -> None:
    durable, _ = made(TURN)
    durable.begin(Slot(3), Slot(TURN))
    assert (durable.number, durable.is_snapshot_wanted) == (2, False)


def test_tables_that_hold_more_than_the_log_proves_count_up_to_their_durable_snapshot() -> None:
    durable, _ = made(TURN, proven=False)
    durable.begin(Slot(TURN - 1), Slot(TURN))
    assert (durable.number, durable.is_snapshot_wanted) == (1, True)

    durable, _ = made(TURN, proven=False)
    durable.begin(Slot(TURN), Slot(TURN))
    assert (durable.number, durable.is_snapshot_wanted) == (2, False)


def test_a_snapshot_of_all_that_the_tables_held_ends_the_doubt_and_an_older_one_does_not() -> None:
    durable, _ = made(TURN + 2, proven=False)
    durable.begin(Slot(0), Slot(TURN + 2))
    assert durable.on_snapshot(Slot(TURN - 1)) == []
    assert durable.is_snapshot_wanted
    assert durable.on_snapshot(Slot(TURN + 1)) == []
    assert durable.number == 2  # a snapshot holds all below it

    durable, learner = made(TURN - 1, proven=False)
    durable.begin(Slot(0), Slot(TURN - 1))
    assert durable.on_snapshot(Slot(TURN - 1)) == []
    learner.watermark = Slot(TURN)  # chosen since, by what the log holds
    assert not durable.is_snapshot_wanted
    assert durable.on_snapshot(Slot(1)) == SAID


@pytest.mark.parametrize("highest", [TURN, TURN + 4])
def test_a_leader_whose_slot_was_chosen_otherwise_needs_a_snapshot_of_all_it_knew(
    highest: int,
) -> None:
    durable, learner = made(TURN - 1)
    durable.begin(Slot(0), Slot(0))
    learner.chosen = {Slot(highest): b"x"}
    durable.on_contradicted()
    learner.watermark = Slot(highest)

    assert durable.is_snapshot_wanted
    assert durable.on_snapshot(Slot(TURN - 1)) == []
    assert durable.is_snapshot_wanted
    assert durable.on_snapshot(Slot(highest)) == []  # says it by `number`
    assert (durable.number, durable.is_snapshot_wanted) == (2, False)
