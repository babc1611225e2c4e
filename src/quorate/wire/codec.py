"""Messages as a small *meta* and the bytes that follow it.

Four messages are large: Accept, Fetched, SnapshotChunk and Forward. Their big field is sent as it
is, as the body of a frame, and their meta is another struct without it, under the same tag. All
others are meta only. The tags are those of `base.messages`: part of the wire format.

A hostile meta costs no more than its length: the types fix how deep it nests, and unknown fields
are skipped under the interpreter's own recursion limit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from quorate.base.batches import Bundle
from quorate.base.errors import PeerError
from quorate.base.formats import STATE
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import (
    Accept,
    Accepted,
    BootstrapAbandoned,
    BootstrapCancelled,
    BootstrapDone,
    BootstrapOffer,
    BootstrapStored,
    ChangeAnswer,
    ChangeAsk,
    DiscoveryReport,
    Fetch,
    Fetched,
    Forward,
    ForwardGap,
    Heartbeat,
    HeartbeatAnswer,
    Identity,
    Join,
    Message,
    Nack,
    Overview,
    Prepare,
    PreVote,
    PreVoteAnswer,
    Promise,
    ReadIndexAnswer,
    ReadIndexRequest,
    Recognized,
    Removed,
    Restarted,
    SnapshotAsk,
    SnapshotChunk,
    TransferNow,
    Welcome,
)


class AcceptMeta(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """`Accept` without its batch."""

    ballot: Ballot
    slot: Slot
    watermark: Slot


class ForwardMeta(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """`Forward` without the commands of its bundle."""

    origin: NodeId
    incarnation: int
    sequence: int
    count: int


class FetchedMeta(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """`Fetched` with the lengths of its batches for the batches."""

    slot_first: Slot
    lengths: tuple[int, ...]
    watermark: Slot
    slot_tail: Slot


class SnapshotChunkMeta(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """`SnapshotChunk` without its rows."""

    transfer: int
    number: int
    slot: Slot
    crc: int
    is_last: bool
    refused: str = ""
    format: int = STATE.newest


Meta = (
    Prepare
    | Promise
    | AcceptMeta
    | Accepted
    | Nack
    | Heartbeat
    | HeartbeatAnswer
    | PreVote
    | PreVoteAnswer
    | ReadIndexRequest
    | ReadIndexAnswer
    | ForwardMeta
    | ForwardGap
    | Fetch
    | FetchedMeta
    | TransferNow
    | SnapshotAsk
    | SnapshotChunkMeta
    | ChangeAsk
    | ChangeAnswer
    | DiscoveryReport
    | BootstrapOffer
    | BootstrapStored
    | BootstrapDone
    | Welcome
    | Join
    | Removed
    | Overview
    | Identity
    | BootstrapCancelled
    | BootstrapAbandoned
    | Restarted
    | Recognized
)

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Meta] = msgspec.msgpack.Decoder(Meta).decode


def encode_message(message: Message) -> tuple[bytes, Sequence[bytes]]:
    """The meta of a message, and the buffers of its body, which are not copied."""
    divide = _DIVIDE.get(type(message))
    return (_encode(message), ()) if divide is None else divide(message)


def decode_message(meta: bytes, body: bytes) -> Message:
    """The message of which `encode_message` made this. `body` is kept, not copied, if possible.

    Raises:
        PeerError: `remote`: the bytes are no message.
    """
    try:
        decoded = _decode(meta)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise PeerError("remote", f"the peer sent what is no message: {error}") from error
    unite = _UNITE.get(type(decoded))
    if unite is not None:
        return unite(decoded, body)
    if body:
        raise PeerError("remote", f"the peer sent a {type(decoded).__name__} with a body")
    return decoded  # type: ignore[return-value]  # every other meta is its message


def _divide_accept(message: Accept) -> tuple[bytes, Sequence[bytes]]:
    meta = AcceptMeta(message.ballot, message.slot, message.watermark)
    return _encode(meta), (message.batch,)


def _divide_forward(message: Forward) -> tuple[bytes, Sequence[bytes]]:
    bundle = message.bundle
    meta = ForwardMeta(bundle.origin, bundle.incarnation, bundle.sequence, bundle.count)
    return _encode(meta), (bundle.body,)


def _divide_fetched(message: Fetched) -> tuple[bytes, Sequence[bytes]]:
    lengths = tuple([len(batch) for batch in message.batches])
    meta = FetchedMeta(message.slot_first, lengths, message.watermark, message.slot_tail)
    return _encode(meta), message.batches


def _divide_chunk(message: SnapshotChunk) -> tuple[bytes, Sequence[bytes]]:
    meta = SnapshotChunkMeta(
        message.transfer,
        message.number,
        message.slot,
        message.crc,
        message.is_last,
        message.refused,
        message.format,
    )
    return _encode(meta), (message.rows,)


def _unite_accept(meta: AcceptMeta, body: bytes) -> Message:
    return Accept(meta.ballot, meta.slot, meta.watermark, body)


def _unite_forward(meta: ForwardMeta, body: bytes) -> Message:
    return Forward(Bundle(meta.origin, meta.incarnation, meta.sequence, meta.count, body))


def _unite_fetched(meta: FetchedMeta, body: bytes) -> Message:
    batches: list[bytes] = []
    offset = 0
    for length in meta.lengths:
        if not 0 <= length <= len(body) - offset:
            raise PeerError("remote", "the peer sent a Fetched whose lengths do not fit its body")
        batches.append(body[offset : offset + length])
        offset += length
    if offset != len(body):
        raise PeerError("remote", "the peer sent a Fetched with more bytes than batches")
    return Fetched(meta.slot_first, tuple(batches), meta.watermark, meta.slot_tail)


def _unite_chunk(meta: SnapshotChunkMeta, body: bytes) -> Message:
    return SnapshotChunk(
        meta.transfer,
        meta.number,
        meta.slot,
        body,
        meta.crc,
        meta.is_last,
        meta.refused,
        meta.format,
    )


_DIVIDE: dict[type, Callable[[Any], tuple[bytes, Sequence[bytes]]]] = {
    Accept: _divide_accept,
    Forward: _divide_forward,
    Fetched: _divide_fetched,
    SnapshotChunk: _divide_chunk,
}
_UNITE: dict[type, Callable[[Any, bytes], Message]] = {
    AcceptMeta: _unite_accept,
    ForwardMeta: _unite_forward,
    FetchedMeta: _unite_fetched,
    SnapshotChunkMeta: _unite_chunk,
}
