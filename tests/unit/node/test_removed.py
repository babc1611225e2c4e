"""A node that its cluster has removed."""

import pytest

from quorate.base import subjects
from quorate.base.batches import Configuration
from quorate.base.command import Command
from quorate.base.effects import Note, Refused, Wake
from quorate.base.errors import UnavailableError
from quorate.base.messages import Join, Removed
from quorate.base.records import Bootstrapped
from quorate.catalog.subjects import of_node
from quorate.kv.commands import KvSet
from quorate.node.periodic import LEARNER_S
from tests.unit.node.lone import CLUSTER, Lone, member

SET = KvSet(b"a", b"1")


def removed() -> Lone:
    lone = Lone(3)
    lone.heartbeat(2)
    lone.receive(2, Removed(9))
    lone.wait(0.2)
    return lone


def warnings(lone: Lone) -> list[Note]:
    return [note for note in lone.all(Note) if note.what == "removed" and note.is_warning]


def test_a_removed_node_says_so_once() -> None:
    lone = removed()
    lone.wait(3.0)
    lone.receive(2, Removed(9))
    lone.wait(1.0)
    (note,) = warnings(lone)
    assert (note.fields["node"], note.fields["cluster"]) == ("n1", CLUSTER)


def test_a_removed_node_refuses_at_once_and_definitely() -> None:
    lone = removed()
    with pytest.raises(UnavailableError) as caught:
        lone.submit(SET, "write")
    assert (caught.value.code, caught.value.definite) == ("removed", True)
    assert CLUSTER in caught.value.text


def test_what_waits_when_a_node_is_removed_is_refused_and_woken() -> None:
    lone = Lone(3)
    lone.submit(SET, "write")
    lone.node.read("read", lone.now_s + 5.0)
    lone.node.watch([subjects.exactly(of_node("x"))], "watch")
    lone.receive(2, Removed(9))
    lone.wait(0.2)
    assert lone.refused() == {"write": "removed", "read": "removed"}
    assert ["watch"] in [list(effect.tickets) for effect in lone.all(Wake)]
    assert [one.error.definite for one in lone.all(Refused)] == [True, True]


def test_a_removed_node_asks_nobody_to_be_let_in_again() -> None:
    lone = removed()
    lone.said(Join)
    lone.wait(2.0)
    assert lone.said(Join) == []


def test_a_learner_that_has_no_leader_asks_so_that_it_learns_if_it_was_removed() -> None:
    learning = Configuration(1, 0, (member(2), member(3)), (member(1),))
    lone = Lone(2, records=[Bootstrapped(CLUSTER, learning, complete=True)])
    lone.said(Join)
    lone.wait(1.0)
    assert lone.said(Join, to=2) != []
    lone.heartbeat(2)
    lone.said(Join)
    lone.wait(0.6)
    assert lone.said(Join) == []


def test_a_node_that_stays_a_learner_says_once_how_it_gets_a_vote() -> None:
    learning = Configuration(1, 0, (member(2), member(3)), (member(1),))
    lone = Lone(2, records=[Bootstrapped(CLUSTER, learning, complete=True)])
    lone.wait(LEARNER_S / 2)
    assert [note for note in lone.all(Note) if note.what == "learner"] == []
    lone.wait(LEARNER_S * 2)
    (note,) = [note for note in lone.all(Note) if note.what == "learner"]
    assert note.fields["why"].endswith("to let it vote: quorate cluster add n1")


def test_a_removed_leader_proposes_no_expirations_until_it_has_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would count for nothing (DUP-1), and be repeated as long as it leads."""
    lone = Lone(0, is_alone=True)
    lone.wait(1.0)
    group = lone.node.group
    proposed: list[object] = []

    def expirations(_: int) -> list[Command]:
        return [SET]

    def submit(command: bytes, ticket: object, due_s: float, *, urgent: bool = False) -> None:
        proposed.append((command, ticket, due_s, urgent))

    monkeypatch.setattr(group.machine, "expirations", expirations)
    monkeypatch.setattr(group.origin, "submit", submit)
    lone.wait(0.3)
    assert proposed, "it is a member"
    assert group.replica is not None
    monkeypatch.setattr(group.replica.membership, "members", {})
    proposed.clear()
    lone.wait(0.3)
    assert group.replica.is_serving
    assert proposed == []
