"""Events: what the runtime reports to a node. Each effect that takes time ends with one."""

import msgspec

from quorate.base.batches import Member
from quorate.base.ids import GROUP, GroupNumber, NodeId, Slot
from quorate.base.messages import Message


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message came in from a node whose handshake was accepted."""

    sender: NodeId
    message: Message
    group: GroupNumber = GROUP


class Persisted(msgspec.Struct, frozen=True, gc=False):
    """The first `mark` records asked for since this node was made are durable.

    Those of all groups are counted together: they share one log.
    """

    mark: int


class Connected(msgspec.Struct, frozen=True):
    """A new link to `peer` was established; messages on an older one may be lost.

    `cluster_id` is the cluster of the peer's directory, "" if none yet; `announced` is the one in
    our own Hello, None: the current one.
    """

    peer: Member
    cluster_id: str
    announced: str | None = None


class Disconnected(msgspec.Struct, frozen=True):
    """The last link to `peer` broke."""

    peer: NodeId


class SnapshotTaken(msgspec.Struct, frozen=True):
    """A durable snapshot of the tables as of applied `slot` exists on this node's disk."""

    slot: Slot
    group: GroupNumber = GROUP


class Installed(msgspec.Struct, frozen=True):
    """Closes the Install with `is_last`: the tables now are that snapshot, durably."""

    transfer: int
    group: GroupNumber = GROUP


class ChunkStored(msgspec.Struct, frozen=True):
    """Closes an Install without `is_last`: its rows are in the copy."""

    transfer: int
    group: GroupNumber = GROUP


class SpaceChanged(msgspec.Struct, frozen=True):
    """The disk holding the log ran low (writes are refused) or has room again."""

    is_full: bool


Event = (
    Received
    | Persisted
    | Connected
    | Disconnected
    | SnapshotTaken
    | ChunkStored
    | Installed
    | SpaceChanged
)
