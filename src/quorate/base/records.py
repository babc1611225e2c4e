"""What the log on disk remembers. One commit writes any number of them in order.

`wire/journal` defines their bytes. What replays them is the same code that made them:
`paxos.acceptor` for promises and votes, `paxos.learner` for chosen batches.
"""

import msgspec

from quorate.base.batches import Configuration
from quorate.base.ids import Ballot, Slot


class Promised(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The acceptor accepts no ballot below this one.

    With a `watermark` it also says what that of a Vote says: the leader of `ballot` knew every
    slot up to it chosen. 0: nothing is said. Versions that do not know it read it as 0.
    """

    ballot: Ballot
    watermark: Slot = Slot(0)


class Vote(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The acceptor accepted `batch` in `slot` under `ballot`; implies a promise of `ballot`.

    `watermark` came with the Accept: the leader of `ballot` knew every slot up to it chosen, so
    an own vote of the same ballot at or below it is proven chosen (rule LRN-2 in `paxos.learner`).
    """

    ballot: Ballot
    slot: Slot
    watermark: Slot
    batch: bytes


class Chosen(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """`batch` is chosen in `slot`, learned from a peer that knew; not a vote."""

    slot: Slot
    batch: bytes


class Bootstrapped(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """This directory belongs to a cluster. A directory stores at most one complete such record.

    `configuration` is the first one, governing from slot 1; for a node that joined a running
    cluster it is what the Welcome said (a hint: the log and snapshots decide).
    `complete` is False while a bootstrap by several nodes is not yet stored by all of them. Until
    then it may be given up: that is a record without a cluster id (rule BST-5 in
    `node.bootstrapping`). The first of the voters is its proposer. `is_abandoned`: this node has
    announced that it takes no part unless the bootstrap is complete already (BST-6).
    """

    cluster_id: str
    configuration: Configuration
    complete: bool
    is_abandoned: bool = False


Record = Promised | Vote | Chosen | Bootstrapped
