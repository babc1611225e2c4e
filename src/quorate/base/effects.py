"""Effects: what a pure package requests of the runtime.

The order of the list matters: a SendWhenDurable is sent only after every Persist before it, in this
list or an earlier one, is durable. A Send never waits. `node.gate` enforces that for whole nodes:
the runtime sees Persist and Send, and reports by `Persisted` how much is durable. So the runtime
cannot reorder effects, and the simulator can inject faults at each of them.

Effects on what each group has of its own (records, messages, tables) say which group they are for.
Others need not: a ticket is the caller's, links and the log file belong to the whole node.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quorate.base.batches import Configuration
from quorate.base.errors import QuorateError
from quorate.base.ids import GROUP, GroupNumber, NodeId, Slot
from quorate.base.messages import Message
from quorate.base.outcomes import Outcome
from quorate.base.records import Record

Ticket = Any
"""What the runtime passed in with a request and gets back with its result; opaque."""


class Persist(msgspec.Struct, frozen=True, gc=False):
    """Write to the log. Closed by Persisted."""

    record: Record
    group: GroupNumber = GROUP


class SendWhenDurable(msgspec.Struct, frozen=True, gc=False):
    """A message that is true only if the disk holds its reason. Seen inside `node` only."""

    to: NodeId
    message: Message


class Send(msgspec.Struct, frozen=True, gc=False):
    """A message that promises nothing: a request, a refusal, a heartbeat."""

    to: NodeId
    message: Message
    group: GroupNumber = GROUP


class Applied(msgspec.Struct, frozen=True, gc=False):
    """Own commands took effect: `outcomes[i]` answers `tickets[i]`.

    `position` is the place of the first one in the batch of `slot`, for checkers; `made_s` is when
    their bundle was made, for the measure of how long that took.
    """

    tickets: Sequence[Ticket]
    outcomes: Sequence[Outcome]
    slot: Slot
    position: int
    made_s: float = 0.0


class Refused(msgspec.Struct, frozen=True):
    """These commands or reads end with this error."""

    tickets: Sequence[Ticket]
    error: QuorateError


class ReadReady(msgspec.Struct, frozen=True, gc=False):
    """The tables have reached the read index of these reads: answer now, in this turn.

    `log_time_ms` is the leader's log time when it confirmed the index.
    """

    tickets: Sequence[Ticket]
    slot: Slot
    log_time_ms: int


class Wake(msgspec.Struct, frozen=True, gc=False):
    """What these watchers wait for has changed (or their deadline passed: not said here)."""

    tickets: Sequence[Ticket]


class ChangeDone(msgspec.Struct, frozen=True):
    """The answer to a membership change asked for on this node; `error` None if accepted."""

    ticket: Ticket
    error: QuorateError | None


class Truncate(msgspec.Struct, frozen=True):
    """The log's records of slots up to this one may be removed (the promise may not)."""

    slot: Slot
    group: GroupNumber = GROUP


class Install(msgspec.Struct, frozen=True):
    """Put the rows of a chunk into a fresh copy of the tables, beside the current one.

    The first chunk (`is_first`) starts it anew; after the last one the copy replaces the tables
    and is made durable as a snapshot of `slot`, of the very chunks that came: `data` are rows that
    can be read, `crc` is their checksum (see `quorate.chunks`). Closed by Installed; those before
    by ChunkStored.
    """

    transfer: int
    slot: Slot
    data: bytes
    crc: int
    is_first: bool
    is_last: bool
    group: GroupNumber = GROUP


class Configured(msgspec.Struct, frozen=True):
    """These are the members from now on: keep links to them and to no others.

    Without a cluster id: nodes that were reported during bootstrap. Links to them are wanted beside
    those to the addresses to join.
    """

    configuration: Configuration
    cluster_id: str


NOTES = (
    "another cluster found",
    "bootstrap_expect differs",
    "change",
    "disk full",
    "disk has space",
    "following",
    "bootstrap abandoned",
    "bootstrap given up",
    "bootstrap refused",
    "join refused",
    "joining a cluster",
    "joining given up",
    "leader lost",
    "leading",
    "learner",
    "removed",
    "snapshot asked",
    "snapshot installed",
    "snapshot refused",
    "campaigning",
    "stepped down",
    "transfer failed",
    "welcome refused",
)
"""The names of notes: each is a metric on every node from its start."""


class Close(msgspec.Struct, frozen=True):
    """End the link to this peer, and log the reason; it is dialed again after a while.

    Messages that still arrive on it have no effect.
    """

    peer: NodeId
    why: str


class Note(msgspec.Struct, frozen=True):
    """A fact for the log and the metrics; `what` is one of `NOTES`.

    `is_warning`: a person should look at it.
    """

    what: str
    fields: dict[str, Any]
    is_warning: bool = False


OLD_COPY = "old_copy"
"""Code of a Halt: the directory is an old copy; the node may begin anew with an empty one."""


class Halt(msgspec.Struct, frozen=True):
    """This node must halt: its tables differ from most others, or its disk lost records."""

    code: str
    reason: str


Effect = (
    Persist
    | SendWhenDurable
    | Send
    | Applied
    | Refused
    | ReadReady
    | Wake
    | ChangeDone
    | Truncate
    | Install
    | Configured
    | Close
    | Note
    | Halt
)
