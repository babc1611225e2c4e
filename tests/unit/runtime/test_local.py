"""How long a request is held, by what the node knows of its leader."""

from math import inf
from typing import Any

import pytest

from quorate.base.config import NodeSettings
from quorate.base.context import RequestContext
from quorate.kv.commands import KvSet
from quorate.runtime.local import HOPELESS_HOLD_S, LocalNode

NOW_S = 50.0
HOLD_S = NodeSettings().timing.hold_s


class FakeStatus:
    def __init__(self, role: str) -> None:
        self.role = role


class FakeNode:
    """Notes the deadlines that it is given."""

    def __init__(self, role: str, leader: str | None, *, is_out_of_space: bool = False) -> None:
        self.group = self
        self.space = self
        self.is_short = is_out_of_space
        self.leader = leader
        self.role = role
        self.due_s: list[float] = []

    def submit(self, _: bytes, __: Any, due_s: float, ___: bool) -> None:
        self.due_s.append(due_s)

    def read(self, _: Any, due_s: float) -> None:
        self.due_s.append(due_s)

    def status(self, _: float) -> FakeStatus:
        return FakeStatus(self.role)


class FakeDriver:
    is_over = False

    def wake(self) -> None: ...


def held_s(
    role: str, leader: str | None, deadline_s: float = inf, *, is_out_of_space: bool = False
) -> list[float]:
    node = FakeNode(role, leader, is_out_of_space=is_out_of_space)
    parts: Any = (node, FakeDriver(), None, NodeSettings(), lambda: NOW_S, list)
    local = LocalNode(*parts)
    context = RequestContext(deadline_s=NOW_S + deadline_s)
    local.submit(context, KvSet(b"a", b"1"), lambda _: None)
    local.read(context, lambda _: None)
    return [due_s - NOW_S for due_s in node.due_s]


@pytest.mark.parametrize("role", ["joining", "removed"])
def test_where_no_leader_can_be_a_request_is_answered_soon(role: str) -> None:
    assert held_s(role, None) == [HOPELESS_HOLD_S, HOPELESS_HOLD_S]
    assert held_s(role, None, deadline_s=0.5) == [0.5, 0.5]


def test_a_full_disk_is_reported_soon_where_no_leader_is_known() -> None:
    assert held_s("follower", None, is_out_of_space=True) == [HOPELESS_HOLD_S, HOPELESS_HOLD_S]
    assert held_s("follower", "bob", is_out_of_space=True) == [HOLD_S, HOLD_S]


@pytest.mark.parametrize("role", ["follower", "candidate", "learner"])
def test_where_one_may_come_a_request_waits_for_it(role: str) -> None:
    assert held_s(role, None) == [HOLD_S, HOLD_S]
    assert held_s(role, "bob", deadline_s=1.5) == [1.5, 1.5]
