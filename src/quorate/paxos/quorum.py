"""Quorum: is this set of voters enough?

Only phase-1 and phase-2 quorums need to meet. Both are majorities today; the two functions are
apart so that unequal ones can come with a configuration, never by a flag.

Q1: every phase-1 quorum meets every phase-2 quorum (tested over all subsets for n <= 7).

Source: Howard, Malkhi, Spiegelman, "Flexible Paxos" (2016), section 4.
"""

from collections.abc import Set as AbstractSet

from quorate.base.ids import NodeId


def quorum_size(voters: int) -> int:
    """How many of `voters` acceptors make a quorum: a majority."""
    return voters // 2 + 1


def is_phase1_quorum(promised: AbstractSet[NodeId], voters: AbstractSet[NodeId]) -> bool:
    """Do these promises allow to propose? Nodes that do not vote do not count."""
    return len(promised & voters) >= quorum_size(len(voters))


def is_phase2_quorum(accepted: AbstractSet[NodeId], voters: AbstractSet[NodeId]) -> bool:
    """Do these votes choose a batch? Nodes that do not vote do not count."""
    return len(accepted & voters) >= quorum_size(len(voters))


def failures_survived(voters: int) -> int:
    """How many acceptors may be lost while the others still elect and choose."""
    return voters - quorum_size(voters)


def describe(voters: int) -> str:
    """One sentence for people about what a number of voters is good for."""
    lost = failures_survived(voters)
    nodes = "node" if lost == 1 else "nodes"
    hint = "; one voter fewer would survive as many" if voters > 1 and voters % 2 == 0 else ""
    return f"{voters} voters: {quorum_size(voters)} choose, {lost} {nodes} may be lost{hint}"
