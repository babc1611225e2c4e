"""Quorum: how many voters are enough?

Only phase-1 and phase-2 quorums need to intersect. Both are majorities today. Promises, pre-votes
and read rounds use `is_phase1_quorum`; `proposer.Pipeline`, which counts the votes for a slot,
takes `phase2_size` once, when the slot is opened. So configurations may come to have unequal ones.

QRM-1: every phase-1 quorum meets every phase-2 quorum (tested over all subsets for n <= 7).

Source: Howard, Malkhi, Spiegelman, "Flexible Paxos" (2016), section 4.
"""

from collections.abc import Set as AbstractSet

from quorate.base.batches import majority
from quorate.base.ids import NodeId


def phase1_size(voters: int) -> int:
    """How many of so many acceptors must promise before anything may be proposed."""
    return majority(voters)


def phase2_size(voters: int) -> int:
    """How many of so many acceptors must vote for a batch to choose it."""
    return majority(voters)


def is_phase1_quorum(promised: AbstractSet[NodeId], voters: AbstractSet[NodeId]) -> bool:
    """Do these promises allow to propose? Nodes that do not vote do not count."""
    return len(promised & voters) >= phase1_size(len(voters))
