"""Contradiction: the error with which a node halts when a slot was chosen with two batches.

Paxos rules it out, so a node has lost what it promised (an old copy of a data directory, a disk
that lost what it had synced), or belongs to another cluster. The node that a leader with a quorum
contradicts halts: it is the one that differs from most.
"""

from zlib import crc32

from quorate.base.effects import Halt
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Message
from quorate.paxos.learner import ContradictionError


def contradiction(
    found: ContradictionError,
    sender: NodeId,
    message: Message,
    leader_watermark: tuple[Ballot, Slot],
) -> Halt:
    """The effect that halts a node, with what an operator needs to find out which node is wrong.

    Args:
        found: The slot, and both batches.
        sender: The node that reported the other batch.
        message: The message that did.
        leader_watermark: The newest report of a leader, by which the batch here is known chosen.
    """
    ballot: Ballot = getattr(message, "ballot", NO_BALLOT)
    theirs = f" under ballot {ballot.round}/{ballot.node}" if ballot != NO_BALLOT else ""
    leader, reported = leader_watermark
    is_known = reported >= found.slot
    number = f"{leader.round}/{leader.node}"
    known = f" (known under ballot {number})" if is_known else ""
    return Halt(
        "corrupt",
        f"slot {found.slot} was chosen twice: this node holds the batch with digest "
        f"{crc32(found.known):08x}{known}, and {sender} reports by {type(message).__name__}"
        f"{theirs} that it is {crc32(found.reported):08x}. One of both has an old copy of its data "
        "directory, or a disk that lost what it had stored. Keep this directory for analysis, "
        "remove the node from the cluster and let it join again with an empty one.",
    )
