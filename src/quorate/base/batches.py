"""What a slot holds: a batch of bundles, a configuration, or nothing.

A *bundle* holds the commands that waited at one node when it could next send; a *batch* is the
bundles that share a slot, with the log time. `paxos` treats a batch as opaque bytes but for the
first byte, its kind; `machine` decodes the rest.
"""

from enum import IntEnum
from functools import cached_property

import msgspec

from quorate.base.ids import Ballot, NodeId, Slot


class BatchKind(IntEnum):
    """First byte of every batch."""

    NOOP = 0
    BUNDLES = 1
    CONFIGURATION = 2


class Bundle(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Commands of one origin under one sequence number.

    Applied exactly once: in sequence per (origin, incarnation); repeats are ignored.
    The payload is a msgpack array of `count` commands (`base.command`).
    """

    origin: NodeId
    incarnation: int
    sequence: int
    count: int
    body: bytes


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A node as its cluster knows it. Addresses are `host:port`."""

    id: NodeId
    name: str
    address: str
    http: str = ""


def majority(voters: int) -> int:
    """The smallest number that is more than a half of so many: any two majorities meet."""
    return voters // 2 + 1


class Configuration(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """Who votes and who only learns, valid from a slot on.

    `number` counts configurations from 1; `predecessor` is the number it was made from: if that
    is no longer the newest when its slot comes, the batch counts as a noop. `removed` names those
    who were members once: an id is never used again, and late bundles of it are ignored. `left`
    are the last of them, for people.
    """

    number: int
    predecessor: int
    voters: tuple[Member, ...]
    learners: tuple[Member, ...] = ()
    removed: tuple[NodeId, ...] = ()
    left: tuple[Member, ...] = ()

    @cached_property
    def voter_ids(self) -> frozenset[NodeId]:
        """The ids of the voting members."""
        return frozenset(member.id for member in self.voters)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Voters, then learners."""
        return self.voters + self.learners

    def member(self, node: NodeId) -> Member | None:
        """The member with this id, voting or learning."""
        return next((member for member in self.members if member.id == node), None)


class Shown(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a member has shown its disk to hold: a promise of `promised`, a vote in `slot`.

    `incarnation` and `epoch` identify the process; `epoch` is drawn at each start.
    """

    node: NodeId
    incarnation: int
    epoch: int
    promised: Ballot
    slot: Slot


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """A decoded batch.

    Attributes:
        ballot: The ballot under which it was first proposed. Not the current one: a
            late old batch may be chosen after batches of newer ballots.
        log_time_ms: The leader's log time, milliseconds since the bootstrap of the cluster; apply
            takes the higher of the last one and this one.
        wall_ms: The leader's wall clock, milliseconds since 1970, for people only.
        bundles: In proposal order; empty unless kind is BUNDLES.
        configuration: Only if kind is CONFIGURATION.
        shown: What members have shown, now and then (`paxos.recall`); versions that do not know
            it skip it.
    """

    ballot: Ballot
    log_time_ms: int
    wall_ms: int
    bundles: tuple[Bundle, ...] = ()
    configuration: Configuration | None = None
    shown: tuple[Shown, ...] = ()


NOOP = bytes([BatchKind.NOOP])
"""A batch that changes nothing and carries nothing."""

_CONFIGURATION = bytes([BatchKind.CONFIGURATION])

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """Encode; the kind follows from what the batch carries."""
    if batch.configuration is not None:
        kind = BatchKind.CONFIGURATION
    elif batch.bundles:
        kind = BatchKind.BUNDLES
    else:
        kind = BatchKind.NOOP
    return bytes([kind]) + _encoder.encode(batch)


def kind_of(data: bytes) -> BatchKind:
    """The kind of an encoded batch.

    Raises:
        ValueError: The bytes are no batch.
    """
    if not data:
        raise ValueError("an empty batch")
    return BatchKind(data[0])


def is_configuration(data: bytes) -> bool:
    """Is this an encoded configuration? Never fails: other kinds may come from newer versions."""
    return data[:1] == _CONFIGURATION


def decode_batch(data: bytes) -> Batch:
    """Decode what `encode_batch` made; a bare `NOOP` gives an empty batch.

    Raises:
        ValueError: The bytes are no batch (msgspec's DecodeError is one).
    """
    kind = kind_of(data)
    if len(data) == 1 and kind is BatchKind.NOOP:
        return Batch(Ballot(0, NodeId("")), 0, 0)
    return _decoder.decode(memoryview(data)[1:])
