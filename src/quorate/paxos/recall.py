"""Recall: does a node that restarts still hold what it has shown?

A node that promises or votes shows what its disk holds. If its directory is replaced by an old
copy, some of that is lost, and the node may choose what contradicts what was chosen. Its own log
does not show that: an old copy is a sound log. But the members that received its messages can
detect it. So each member remembers of every other one the highest promise and the highest slot
voted for that it has shown: in memory as it happens, and in the replicated state once in a while
(`Batch.shown`).

RCL-1: when a link is established a node sends its incarnation, and what its log held when that
    began (`Restarted`). The peer compares it with what the node has shown in earlier incarnations:
    less, or an incarnation that does not come after those seen, means that something was lost. The
    answer says so (`Recognized`).
RCL-2: a node that is refused halts, and nothing more is taken from it. It may only come back as
    another member, with an empty directory.
RCL-3: a node in its second incarnation or a later one promises and votes for nothing, and confirms
    no read round (that would confirm that no higher ballot was promised), until so many voters have
    recognized it that every quorum it may have been part of has one of them, or until one election
    timeout has passed: then those that could detect a loss are not reachable, and waiting for them
    would stop a cluster that has a majority.
RCL-4: what is shown is durable, so a node that kept its directory is never refused: its log holds
    at least what it promised and voted for, or a snapshot above it. Tables that survived a kill may
    hold more than that, and a power cut takes it away: a node reports what its log and its newest
    durable snapshot held when its incarnation began, not what its tables did.
RCL-5: what the replicated state remembers is compared again with each batch that adds to it, before
    the next one is applied: a later report may be of the incarnation that lost something, and would
    hide the one before. Of an incarnation that is refused nothing is reported, so each report of an
    incarnation is made by a node that compared it with all reports before.

`docs/protocol/rollback.md` says which old copies are found by this, and which cannot be.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from quorate.base.batches import Shown
from quorate.base.effects import OLD_COPY, Effect, Halt, Send
from quorate.base.errors import invariant
from quorate.base.ids import NO_BALLOT, NO_NODE, Ballot, NodeId, Slot
from quorate.base.messages import Recognized, Restarted
from quorate.paxos.quorum import phase2_size

KNOWN_MAX = 1024
"""At most this many nodes are remembered, besides those that are linked or have voted."""

ASK_S = 0.2
ASK_DOUBLINGS = 4
"""An unanswered Restarted is sent again after this long, then doubling, this many times."""


class Replicated(Protocol):
    """What the replicated state remembers of members."""

    @property
    def shown_version(self) -> int:
        """Rises whenever it remembers more."""
        ...

    def shown(self, node: NodeId) -> Shown | None:
        """The newest record of what a member has shown."""
        ...

    def last_sequence(self, origin: NodeId) -> tuple[int, int]:
        """The newest incarnation of which a bundle was applied, and its number; (0, 0) if none."""
        ...


class Blank:
    """A replicated state that remembers nothing: that of a cluster without a batch."""

    shown_version = 0

    def shown(self, node: NodeId) -> Shown | None:  # noqa: ARG002 - nothing of any node
        """Nothing."""
        return None

    def last_sequence(self, origin: NodeId) -> tuple[int, int]:  # noqa: ARG002 - likewise
        """Nothing."""
        return (0, 0)


class _Known(msgspec.Struct, gc=False):
    """What one peer has shown, in the incarnation that began with `start` and in those before."""

    start: Restarted
    promised: Ballot
    slot: Slot
    is_current: bool = True  # it has sent its incarnation on the present link
    has_shown: bool = False  # something as a member, in this incarnation or in those before


class _Asked(msgspec.Struct, gc=False):
    """A Restarted that one peer has not answered."""

    tries: int
    due_s: float


class Recall:
    """What one node remembers that others have shown, and the recognition of its own restart.

    Args:
        me: The id of this node.
        incarnation: Of this node; rises with each start.
        epoch: Drawn at start: two incarnations of one number differ by it.
        replicated: The tables.
    """

    def __init__(self, me: NodeId, incarnation: int, epoch: int, replicated: Replicated) -> None:
        self._me = me
        self._replicated = replicated
        self._start = Restarted(incarnation, epoch, NO_BALLOT, Slot(0))
        self._wait_until_s = float("-inf")
        self.is_confirmed = incarnation <= 1  # RCL-3: an empty directory has nothing to forget
        self.refused: set[NodeId] = set()  # RCL-2
        self._known: dict[NodeId, _Known] = {}
        self._recognized_by: set[NodeId] = set()
        self._asked: dict[NodeId, _Asked] = {}
        self._own_slot = Slot(0)
        self._reported = Slot(0)
        self._reviewed = 0

    # --- the restart of this node ------------------------------------------------------------

    def begin(self, promised: Ballot, slot: Slot, until_s: float) -> None:
        """This incarnation begins with a log that holds this; others may answer until then."""
        invariant(not self._recognized_by, "RCL-3: a node is recognized after it has begun")
        start = self._start
        self._start = Restarted(start.incarnation, start.epoch, promised, slot)
        self._own_slot = slot
        self._wait_until_s = until_s

    def confirm(self, configurations: Iterable[AbstractSet[NodeId]], now_s: float) -> bool:
        """May we promise and vote (RCL-3)? Once so, it stays so."""
        if not self.is_confirmed:
            self.is_confirmed = now_s >= self._wait_until_s or all(
                self._is_enough(voters) for voters in configurations
            )
        return self.is_confirmed

    def _is_enough(self, voters: AbstractSet[NodeId]) -> bool:
        """Does every quorum with us among these voters have another one that recognized us?"""
        others = voters - {self._me}
        if self._me not in voters or not others:
            return True
        missing = len(others - self._recognized_by)
        return missing < phase2_size(len(voters)) - 1

    def ask(self, peers: Iterable[NodeId], now_s: float) -> list[Effect]:
        """Send what our log held to those that have not answered yet (RCL-1)."""
        effects: list[Effect] = []
        for peer in peers:
            asked = self._asked.get(peer)
            if asked is None:
                asked = self._asked[peer] = _Asked(0, now_s)
            if now_s >= asked.due_s and asked.tries <= ASK_DOUBLINGS:
                asked.due_s = now_s + ASK_S * 2**asked.tries
                asked.tries += 1
                effects.append(Send(peer, self._start))
        return effects

    def unlink(self, peer: NodeId) -> None:
        """A link was lost or established: both sides send their Restarted again."""
        self._asked.pop(peer, None)
        known = self._known.get(peer)
        if known is not None:
            known.is_current = False

    def on_recognized(self, sender: NodeId, message: Recognized) -> list[Effect]:
        """A peer compared us with what it remembers; a Halt if we lost something (RCL-2)."""
        start = self._start
        if (message.incarnation, message.epoch) != (start.incarnation, start.epoch):
            return []  # the answer to another incarnation
        self._asked[sender] = _Asked(ASK_DOUBLINGS + 1, 0.0)
        if not message.is_refused:
            self._recognized_by.add(sender)
            return []
        ballot, mine = message.promised, start.promised
        return [
            Halt(
                OLD_COPY,
                f"this data directory is an old copy: member {sender} remembers that this node had "
                f"promised ballot {ballot.round} and stored votes up to slot {message.slot} in its "
                f"incarnation {message.incarnation_seen}, and incarnation {start.incarnation} "
                f"began with ballot {mine.round} and slot {start.slot}. It has lost what it "
                "acknowledged and must not vote again. It may come back with an empty "
                "directory only, under a new id; remove the old id from the cluster then.",
            )
        ]

    # --- what others have shown --------------------------------------------------------------

    def note(self, peer: NodeId, ballot: Ballot, slot: Slot) -> None:
        """A peer showed that its disk holds a promise of `ballot` and a vote in `slot`."""
        known = self._known.get(peer)
        if known is None or not known.is_current:
            return  # it has not sent its incarnation yet
        known.has_shown = True
        if slot > known.slot:  # noqa: PLR1730 - a third of the cost of `max`, for every vote
            known.slot = slot
        if ballot > known.promised:  # noqa: PLR1730
            known.promised = ballot

    def remembered(self, peer: NodeId) -> tuple[Ballot, Slot]:
        """What a peer has shown in its present incarnation and in those before."""
        known = self._known.get(peer)
        return (NO_BALLOT, Slot(0)) if known is None else (known.promised, known.slot)

    def note_own(self, slot: Slot) -> None:
        """Our own vote in `slot` is durable."""
        self._own_slot = max(self._own_slot, slot)

    @property
    def own_slot(self) -> Slot:
        """The highest slot in which our disk holds a vote, or more than that."""
        return self._own_slot

    def on_restarted(self, sender: NodeId, message: Restarted) -> list[Effect]:
        """A peer sent what its log held: compare (RCL-1)."""
        known = self._known.get(sender)
        answer = self._judged(sender, message)
        if answer.is_refused:
            if known is None or message.incarnation >= known.start.incarnation:  # else it is late
                self.refused.add(sender)
        else:
            self.refused.discard(sender)
            if known is not None and _is_same(message, known.start):
                known.is_current = True
            else:
                new = _Known(message, message.promised, message.slot)
                new.has_shown = known is not None and known.has_shown
                self._known[sender] = new
                self._bound()
        return [Send(sender, answer)]

    def _bound(self) -> None:
        """Drop one that is gone and showed nothing, if there are many: any id may connect."""
        if len(self._known) > KNOWN_MAX:
            idle = (n for n, one in self._known.items() if not (one.is_current or one.has_shown))
            self._known.pop(next(idle, NO_NODE), None)

    def review(self) -> list[Effect]:
        """Compare again if the replicated state remembers more than when links began."""
        if self._replicated.shown_version == self._reviewed:
            return []
        self._reviewed = self._replicated.shown_version
        effects: list[Effect] = []
        for peer, known in sorted(self._known.items()):
            answer = self._judged(peer, known.start)
            if answer.is_refused:
                self.refused.add(peer)
                known.has_shown = False  # this incarnation has lost something (RCL-5)
                effects.append(Send(peer, answer))
        return effects

    def _judged(self, peer: NodeId, message: Restarted) -> Recognized:
        """What a peer's incarnation began with, compared with what it showed in others."""
        stored, known = self._replicated.shown(peer), self._known.get(peer)
        incarnation_seen = self._replicated.last_sequence(peer)[0]
        promised, slot = NO_BALLOT, Slot(0)
        is_refused = message.incarnation < incarnation_seen
        if stored is not None and not _is_same(message, stored):
            promised, slot, incarnation_seen = (
                stored.promised,
                stored.slot,
                max(incarnation_seen, stored.incarnation),
            )
            is_refused |= message.incarnation <= stored.incarnation
        if known is not None and not _is_same(message, known.start):
            promised, slot = max(promised, known.promised), max(slot, known.slot)
            incarnation_seen = max(incarnation_seen, known.start.incarnation)
            is_refused |= message.incarnation <= known.start.incarnation
        is_refused |= message.promised < promised or message.slot < slot
        return Recognized(
            message.incarnation, message.epoch, is_refused, incarnation_seen, promised, slot
        )

    # --- for the replicated state ------------------------------------------------------------

    def has_news(self) -> bool:
        """Was a slot shown above those reported, other than that of the report itself?"""
        shown = (known.slot for known in self._known.values() if known.has_shown)
        highest = max(shown, default=Slot(0))
        return highest > self._reported + 1

    def report(self, promised: Ballot) -> tuple[Shown, ...]:
        """What members have shown, for a batch of ours; `promised`: our own, durable."""
        start = self._start
        own = Shown(self._me, start.incarnation, start.epoch, promised, self._own_slot)
        others = [
            Shown(node, known.start.incarnation, known.start.epoch, known.promised, known.slot)
            for node, known in sorted(self._known.items())
            if known.has_shown
        ]
        self._reported = max([self._own_slot, *(one.slot for one in others)])
        return (own, *others)


def _is_same(message: Restarted, one: Restarted | Shown) -> bool:
    """Is this the incarnation that showed it?"""
    return (message.incarnation, message.epoch) == (one.incarnation, one.epoch)
