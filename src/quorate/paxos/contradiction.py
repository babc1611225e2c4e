"""What a node says when it must stop because two batches are said to be chosen in one slot.

Paxos rules it out, so a node has forgotten what it promised (an old copy of a data directory, a
disk that lost what it had synced), or belongs to another cluster. The node that finds its own
knowledge contradicted by a leader with a quorum stops: it is the one that differs from most.
"""

from zlib import crc32

from quorate.base.effects import Halt
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.messages import Message
from quorate.paxos.learner import ContradictionError


def contradiction(
    found: ContradictionError, sender: NodeId, message: Message, led: tuple[Ballot, Slot]
) -> Halt:
    """The end of a node, with what a person needs to find out who is wrong.

    Args:
        found: The slot, and both batches.
        sender: Who said otherwise.
        message: What it said.
        led: The newest word of a leader, by which the batch here is known to be chosen.
    """
    ballot: Ballot = getattr(message, "ballot", NO_BALLOT)
    theirs = f" under ballot {ballot.round}/{ballot.node}" if ballot != NO_BALLOT else ""
    known = f" (known under ballot {led[0].round}/{led[0].node})" if led[1] >= found.slot else ""
    return Halt(
        "corrupt",
        f"slot {found.slot} was chosen twice: this node holds the batch with digest "
        f"{crc32(found.known):08x}{known}, and {sender} says by {type(message).__name__}{theirs} "
        f"that it is {crc32(found.said):08x}. One of both has an old copy of its data directory, "
        "or a disk that lost what it had stored. Keep this directory for analysis, remove the "
        "node from the cluster and let it join again with an empty one.",
    )
