"""Faults that the simulator found, each as a directed test."""

import random

from quorate.base.batches import Configuration, Member
from quorate.base.command import encode_command
from quorate.base.config import local
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import SnapshotChunk
from quorate.base.records import Bootstrapped, Promised, Record, Vote
from quorate.kv.commands import KvSet
from quorate.node.catchup import SnapshotRequester
from quorate.node.node import Node
from quorate.node.origin import Origin
from quorate.sim.tables import DictTables

ANN = Member(NodeId("ann"), "ann", "127.0.0.1:1")
BOB = Member(NodeId("bob"), "bob", "127.0.0.1:2")
BOOTSTRAPPED = Bootstrapped("cluster", Configuration(1, 0, (ANN, BOB)), complete=True)


def recovered(records: list[Record]) -> Node:
    chance = random.Random(1)
    return Node(ANN, 2, local(), DictTables(), records, chance, 0.0, wall_ms=lambda: 0)


def test_a_promise_before_the_bootstrap_in_a_truncated_log_is_not_forgotten() -> None:
    """Seed 965: the head of a later segment repeats the promise first."""
    promise = Ballot(17, BOB.id)
    replica = recovered([Promised(promise), BOOTSTRAPPED]).group.replica
    assert replica is not None
    assert replica.acceptor.promised == promise


def test_a_promise_that_never_saw_a_complete_bootstrap_waits_for_one() -> None:
    pending = Bootstrapped("cluster", BOOTSTRAPPED.configuration, complete=False)
    vote = Vote(Ballot(3, BOB.id), Slot(1), Slot(0), b"x")
    assert recovered([vote, pending]).group.replica is None
    replica = recovered([vote, pending, BOOTSTRAPPED]).group.replica
    assert replica is not None
    assert replica.acceptor.votes == {Slot(1): vote}


def test_a_gap_that_this_node_has_passed_is_not_answered() -> None:
    """Seed 221: each bundle behind the gap met the gap again, and doubled."""
    origin = Origin(ANN.id, 1, local())
    for _ in range(3):
        origin.submit(encode_command(KvSet(b"k", b"v")), None, 9.0)
        origin.number(0.0)
    origin.on_jump(1, 1)
    assert origin.from_sequence(1, 1, 0.0) == []
    assert [bundle.sequence for bundle in origin.from_sequence(1, 2, 0.0)] == [2, 3]


def test_a_refused_snapshot_is_asked_for_again() -> None:
    """Seed 492: the failure was reported for ever, so no other transfer began."""
    requester = SnapshotRequester(1)
    requester.begin(BOB.id, 0.0)
    refusal = SnapshotChunk((1 << 32) + 1, 0, Slot(0), b"", 0, True, "not open here")
    requester.on_chunk(BOB.id, refusal, Slot(0), 0.1)
    assert requester.source is None
    assert requester.take_failure()
    assert not requester.take_failure()
