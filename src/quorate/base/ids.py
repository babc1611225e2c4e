"""Identifiers: nodes, ballots, slots, indexes.

They have no behaviour beyond order and equality. `docs/glossary.md` defines each term.
"""

from typing import NewType

import msgspec

NodeId = NewType("NodeId", str)
"""A uuid in lower case, minted with the data directory, never configured, never reused."""

Slot = NewType("Slot", int)
"""Position in the log, from 1; holds one batch. 0 means "before the first"."""

Index = NewType("Index", int)
"""Consul's index: counts commands that changed something. 0 means "never"."""

GroupNumber = NewType("GroupNumber", int)
"""Which group a record or message is of: a *group* is one replicated log and its state."""

GROUP = GroupNumber(0)
"""The group that every node hosts; there is no other yet."""

NO_NODE = NodeId("")


class Ballot(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """(round, node): totally ordered, used once. Lamport's proposal number."""

    round: int
    node: NodeId


NO_BALLOT = Ballot(0, NO_NODE)
"""Lower than every ballot that a node can hold."""
