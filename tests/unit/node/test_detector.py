"""The failure detector of members: silence counts only while the leader itself was awake."""

from types import SimpleNamespace
from typing import cast

import pytest

from quorate.catalog.fields import CRITICAL, PASSING
from quorate.node.detector import FailureDetector
from quorate.paxos.leadership import Leadership
from quorate.paxos.membership import Membership
from tests.unit.node.lone import member

DEAD_S = 3.0
TICK_S = 0.1


class Members:
    """A leader and two members, which answer each tick unless they are silent."""

    def __init__(self) -> None:
        self.members = [member(number) for number in (1, 2, 3)]
        self.peers = {
            each.id: SimpleNamespace(last_contact_s=0.0, has_answered=True)
            for each in self.members[1:]
        }
        self.detector = FailureDetector(self.members[0].id, DEAD_S, TICK_S)
        self.now_s = 0.0
        self.silent = set[int]()

    def look(self) -> dict[str, str]:
        """The verdicts that are new."""
        commands = self.detector.verdicts(
            cast("Leadership", SimpleNamespace(peers=self.peers)),
            cast("Membership", SimpleNamespace(newest=SimpleNamespace(members=self.members))),
            1,
            self.now_s,
        )
        return {each.node: each.status for each in commands}

    def run(self, seconds: float) -> dict[str, str]:
        found: dict[str, str] = {}
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            found |= self.look()
            for number in {2, 3} - self.silent:
                self.peers[member(number).id].last_contact_s = self.now_s
        return found


def test_a_silent_member_is_critical_and_passing_when_it_answers() -> None:
    members = Members()
    assert members.run(1.0) == {"n2": PASSING, "n3": PASSING}
    members.silent.add(3)
    assert members.run(2.8) == {}
    assert members.run(0.4) == {"n3": CRITICAL}
    members.silent.clear()
    assert members.run(0.2) == {"n3": PASSING}


@pytest.mark.parametrize("seconds", [2.9, 3.1, 60.0])
def test_a_leader_that_stood_still_takes_nobody_for_dead(seconds: float) -> None:
    members = Members()
    members.run(1.0)
    members.now_s += seconds  # and looks before it has received what came meanwhile
    assert members.look() == {}
    assert members.run(10.0) == {}


def test_a_member_that_died_meanwhile_is_found_in_the_time_that_is_left() -> None:
    members = Members()
    members.run(1.0)
    members.silent.add(3)
    members.run(1.0)
    members.now_s += 60.0
    assert members.look() == {}
    assert members.run(1.5) == {}
    assert members.run(0.6) == {"n3": CRITICAL}


def test_a_leader_that_stalls_again_and_again_still_finds_the_dead() -> None:
    members = Members()
    members.run(1.0)
    members.silent.add(3)
    found: dict[str, str] = {}
    for _ in range(8):
        members.now_s += 1.0
        found |= members.run(0.5)
    assert found == {"n3": CRITICAL}
