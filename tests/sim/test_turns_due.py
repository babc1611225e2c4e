"""A turn that a node does not call for brings nothing: hosts of some seeds try it."""

import pytest

from quorate.paxos.leadership import Leadership
from quorate.sim.behaviour import Behaviour
from quorate.sim.cluster import Make
from quorate.sim.run import run
from quorate.sim.swarm import Plan, plan_of
from quorate.sim.workload import WorkloadProfile

WORKLOAD = WorkloadProfile(weights={"set": 1.0, "read": 1.0})
CHECKING = Make(behaviour=Behaviour(flush_share=1.0, is_checking_turns=True), profile=WORKLOAD)


def test_where_no_turn_is_called_for_none_is_missing() -> None:
    assert run(Plan(1, CHECKING, (), 8.0)).failure == ""


def test_a_turn_that_is_due_and_not_called_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leadership, "is_turn_due", False)
    failure = run(Plan(1, CHECKING, (), 8.0)).failure
    assert failure.startswith("no turn of ")
    assert "is due, and it brings [Send(" in failure


def test_some_seeds_try_it_and_most_do_not() -> None:
    checking = [plan_of(seed).make.behaviour.is_checking_turns for seed in range(200)]
    assert 25 < sum(checking) < 75
