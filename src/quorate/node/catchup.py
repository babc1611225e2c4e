"""Catch-up by snapshot: for a node that lacks slots which its peers do not keep in memory any more.

The requester pulls chunk by chunk, so it controls the rate: it requests no more while its disk has
not stored what arrived. The source holds one view of its tables per requester and keeps the last
chunk for a repeat. Rows are written to a fresh copy of the tables; the switch is atomic, and only
then the node continues from that slot.

SNP-1: a chunk is taken only with a matching checksum, and only the one asked for.
SNP-2: every chunk of a transfer is of one slot; a source that cannot continue refuses, and the
    requester begins again.
SNP-3: a snapshot is taken only if it is above everything released here, and from its last chunk
    until the tables are replaced nothing is released: they never go back.
"""

from collections.abc import Iterator

import msgspec

from quorate.base.config import Limits
from quorate.base.effects import Effect, Install, Note, Send
from quorate.base.errors import StorageError
from quorate.base.formats import STATE
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import SnapshotAsk, SnapshotChunk
from quorate.base.ports import HeldView, Tables
from quorate.chunks import Chunk, chunk_of, rows_of
from quorate.machine.machine import Machine
from quorate.paxos.learning import Learning
from quorate.paxos.replica import Replica
from quorate.wire.checksum import crc32c

CHUNK_TIMEOUT_S = 2.0
"""An unanswered request for a chunk is repeated after this long."""

UNSTORED_MAX = 8
"""This many chunks may wait for the disk; the next one is requested when one of them is stored."""

TRIES_MAX = 5
"""Unanswered requests after which the requester looks for another source."""

SOURCE_IDLE_S = 60.0
"""A source closes its view when the requester was silent for this long."""


class OutgoingTransfer(msgspec.Struct):
    """One transfer, at its source."""

    transfer: int
    view: HeldView
    rows: Iterator[tuple[bytes, bytes]]
    slot: Slot
    asked_s: float
    last: SnapshotChunk | None = None


class Source:
    """Gives snapshots of this node's tables to peers, one transfer each."""

    def __init__(self, tables: Tables, limits: Limits) -> None:
        self._tables = tables
        self._limits = limits
        self._servings: dict[NodeId, OutgoingTransfer] = {}

    def on_ask(
        self, sender: NodeId, message: SnapshotAsk, applied: Slot, now_s: float
    ) -> list[Effect]:
        """Answer with the chunk asked for."""
        serving = self._servings.get(sender)
        if message.number == 0 and (serving is None or serving.transfer != message.transfer):
            self._close(sender)
            view = self._tables.hold()
            serving = OutgoingTransfer(message.transfer, view, view.range(b""), applied, now_s)
            self._servings[sender] = serving
        if serving is None or serving.transfer != message.transfer:
            return [self._refuse(sender, message, "that transfer is not open here")]
        serving.asked_s = now_s
        last = serving.last
        if last is not None and last.number == message.number:
            return [Send(sender, last)]
        if message.number != (last.number + 1 if last is not None else 0):
            return [self._refuse(sender, message, "chunks go in order")]
        try:
            serving.last = self._next(serving, message.number)
        except StorageError as error:  # the view was closed: it pinned too much
            if error.code != "locked":
                raise
            self._close(sender)
            return [self._refuse(sender, message, "too much changed meanwhile: begin anew")]
        return [Send(sender, serving.last)]

    def tick(self, now_s: float) -> None:
        """Close views that are not requested any more."""
        for peer in [p for p, s in self._servings.items() if now_s - s.asked_s > SOURCE_IDLE_S]:
            self._close(peer)

    def close(self) -> None:
        """Close every view: the tables are being replaced or the node stops."""
        for peer in list(self._servings):
            self._close(peer)

    def _next(self, serving: OutgoingTransfer, number: int) -> SnapshotChunk:
        rows: list[tuple[bytes, bytes]] = []
        size, is_last = 0, False
        while size < self._limits.chunk_bytes_max:
            row = next(serving.rows, None)
            if row is None:
                is_last = True
                break
            rows.append(row)
            size += len(row[0]) + len(row[1])
        chunk = chunk_of(rows, crc32c)
        return SnapshotChunk(serving.transfer, number, serving.slot, *chunk, is_last)

    def _refuse(self, sender: NodeId, message: SnapshotAsk, why: str) -> Send:
        chunk = SnapshotChunk(message.transfer, message.number, Slot(0), b"", 0, True, why)
        return Send(sender, chunk)

    def _close(self, peer: NodeId) -> None:
        serving = self._servings.pop(peer, None)
        if serving is not None:
            serving.view.close()


class SnapshotRequester:
    """Takes a snapshot from a peer, one at a time."""

    def __init__(self, incarnation: int) -> None:
        self._transfer = incarnation << 32
        self._number = 0
        self._slot: Slot = Slot(0)
        self._asked_s = 0.0
        self._tries = 0
        self._unstored = 0  # chunks that wait for the disk
        self._is_full = False  # so many that no more is asked for
        self.source: NodeId | None = None
        self.is_installing = False
        self.has_failed = False
        self._refusal: str = ""  # the last one that was logged; repeated ones are not

    def begin(self, source: NodeId, now_s: float) -> list[Effect]:
        """Ask a peer for its tables."""
        self._transfer += 1
        self.has_failed = False
        self.source, self._number, self._tries, self._asked_s = source, 0, 0, now_s
        self._unstored, self._is_full = 0, False
        note = [] if self._refusal else [Note("snapshot asked", {"source": source})]
        return [*note, Send(source, SnapshotAsk(self._transfer, 0))]

    def give_up(self) -> None:
        """Forget the transfer; the replica will find again which slots it lacks."""
        self.source = None
        self.is_installing = False

    def take_failure(self) -> bool:
        """Did the last transfer fail? True once, so that another one may begin."""
        has_failed, self.has_failed = self.has_failed, False
        return has_failed

    def on_chunk(
        self, sender: NodeId, message: SnapshotChunk, released: Slot, now_s: float
    ) -> list[Effect]:
        """Take a chunk (SNP-1, SNP-2, SNP-3); Install it and ask for the next."""
        if (sender, message.transfer, message.number) != (
            self.source,
            self._transfer,
            self._number,
        ) or self.is_installing:
            return []
        is_stale = message.slot <= released or (self._number and message.slot != self._slot)
        refused = message.refused or STATE.refusal("the peer's snapshot", message.format)
        if refused or is_stale:
            self.give_up()
            self.has_failed = True
            why = refused or "it is too old"
            if why == self._refusal:
                return []
            self._refusal = why
            return [Note("snapshot refused", {"why": why, "source": sender})]
        chunk = Chunk(message.rows, message.crc)
        if not (chunk.is_whole(crc32c) and _is_readable(chunk)):
            return self._ask_again(now_s)
        self._slot = message.slot
        self._refusal = ""
        effects: list[Effect] = [
            Install(self._transfer, message.slot, *chunk, message.number == 0, message.is_last)
        ]
        self._number += 1
        self._tries, self._asked_s = 0, now_s
        self._unstored += 1
        self.is_installing = message.is_last
        self._is_full = self._unstored >= UNSTORED_MAX
        if not (self.is_installing or self._is_full):
            effects.append(Send(sender, SnapshotAsk(self._transfer, self._number)))
        return effects

    def tick(self, now_s: float) -> list[Effect]:
        """Ask again for a chunk that did not come; give up after some tries."""
        is_idle = self.source is None or self.is_installing or self._is_full
        if is_idle or now_s - self._asked_s < CHUNK_TIMEOUT_S:
            return []
        return self._ask_again(now_s)

    def on_stored(self, transfer: int, now_s: float) -> list[Effect]:
        """The disk has stored a chunk: ask for the next one, if that waited for it."""
        if transfer != self._transfer or self.source is None:
            return []
        self._unstored -= 1
        if not self._is_full or self.is_installing:
            return []
        self._is_full, self._asked_s = False, now_s
        return [Send(self.source, SnapshotAsk(self._transfer, self._number))]

    def is_done(self, transfer: int) -> bool:
        """The runtime has completed the last Install of this transfer."""
        if transfer != self._transfer or not self.is_installing:
            return False
        self.give_up()
        return True

    def _ask_again(self, now_s: float) -> list[Effect]:
        self._tries += 1
        self._asked_s = now_s
        if self.source is None or self._tries > TRIES_MAX:
            self.give_up()
            self.has_failed = True
            return []
        return [Send(self.source, SnapshotAsk(self._transfer, self._number))]


def _is_readable(chunk: Chunk) -> bool:
    """Whether it holds rows; if not, a peer's bug or lie, it is handled as a wrong checksum."""
    try:
        rows_of(chunk.data)
    except ValueError:
        return False
    return True


class CatchUp:
    """Both ends, for one group: gives its tables to others, and takes those of a peer.

    Args:
        machine: Knows the applied slot of the tables.
        tables: Which.
        limits: See `base.config`.
        incarnation: Of this node: no transfer has the number of one of another incarnation.
    """

    def __init__(self, machine: Machine, tables: Tables, limits: Limits, incarnation: int) -> None:
        self._machine = machine
        self._source, self._requester = Source(tables, limits), SnapshotRequester(incarnation)

    def on_ask(self, sender: NodeId, message: SnapshotAsk, now_s: float) -> list[Effect]:
        """A peer asks for a chunk of our tables."""
        is_new = message.number == 0
        if self._requester.is_installing or (is_new and self._machine.is_applying):
            return []  # asked again, of these tables or elsewhere
        return self._source.on_ask(sender, message, self._machine.applied, now_s)

    def on_chunk(
        self, sender: NodeId, message: SnapshotChunk, replica: Replica, now_s: float
    ) -> list[Effect]:
        """A chunk came; after the last one the replica releases nothing (SNP-3)."""
        effects = self._requester.on_chunk(sender, message, replica.watermark, now_s)
        if self._requester.is_installing:
            replica.release.stop()
            self._source.close()  # the tables it shows are about to go
        return effects

    def on_stored(self, transfer: int, now_s: float) -> list[Effect]:
        """The disk has stored a chunk of a peer's tables."""
        return self._requester.on_stored(transfer, now_s)

    def is_done(self, transfer: int) -> bool:
        """The last Install of the transfer that is awaited was closed."""
        return self._requester.is_done(transfer)

    def tick(self, learning: Learning, now_s: float) -> list[Effect]:
        """Time passed: repeat a request, or choose another source; close idle views."""
        effects = self._requester.tick(now_s)
        if learning.snapshot_source and self._requester.take_failure():
            learning.drop_snapshot_source()
        self._source.tick(now_s)
        return effects

    def begin(self, learning: Learning, now_s: float) -> list[Effect]:
        """Ask for a snapshot, if one is needed and no transfer is under way."""
        source = learning.snapshot_source
        if source is None or self._requester.source is not None:
            return []
        return self._requester.begin(source, now_s)

    def close(self) -> None:
        """The node stops: close every view."""
        self._source.close()
