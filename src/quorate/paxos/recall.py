"""Recall: does a node that comes back still know what it has shown?

Whoever promises or votes shows what its disk holds. If its directory is replaced by an old copy, it
has forgotten some of that, and with it may choose what contradicts what was chosen. Its own log
cannot tell: an old copy is a sound log. But others can, who saw it. So members remember of each
other the highest promise and the highest slot voted for that they were shown, in memory as it
happens, and in the replicated state once in a while (`Batch.shown`).

RCL-1: at the begin of a link a node says which life this is, and what its log held when this life
    began (`Restarted`). That is compared with what it has shown in earlier lives: less, or a life
    that does not come after the ones seen, means that it forgot. The answer says so (`Recognized`).
RCL-2: a node told that it forgot halts, and nothing more is taken from it. It may only come back as
    another member, with an empty directory.
RCL-3: a node in its second life or a later one promises and votes for nothing, and confirms no read
    round (it would say that no higher ballot was promised), until it has been recognized by so
    many voters that every quorum it may have been part of has one of them, or for one election
    timeout in vain: then those who could tell are not there, and waiting for them would stop a
    cluster that a majority keeps alive.
RCL-4: what is shown is durable, so a node that kept its directory is never refused: its log holds
    at least what it promised and voted for, or a snapshot above it. Tables that outlived a kill may
    hold more than that, and a power cut takes it away: a life says what its log and its newest
    durable snapshot hold, and not what its tables do.
RCL-5: what the replicated state remembers is compared again with each batch that adds to it, before
    the next one is applied: a later report may be of the life that forgot, and would hide the one
    before. Of a life that is refused nothing is reported, so a report of a life is made only by
    who compared it with all reports before.

`docs/protocol/rollback.md` says which old copies are found by this, and which cannot be.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from quorate.base.batches import Shown
from quorate.base.effects import OLD_COPY, Effect, Halt, Send
from quorate.base.errors import invariant
from quorate.base.ids import NO_BALLOT, NOBODY, Ballot, NodeId, Slot
from quorate.base.messages import Recognized, Restarted
from quorate.paxos.quorum import phase2_size

KNOWN_MAX = 1024
"""So many nodes are remembered, besides those that are linked or have voted."""

ASK_S = 0.2
ASK_DOUBLINGS = 4
"""A question that stays unanswered goes again after this long, then doubling, so many times."""


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
        """The newest life of which a bundle was applied, and its number; (0, 0) if none."""
        ...


class Blank:
    """A replicated state that remembers nothing: that of a cluster without a batch."""

    shown_version = 0

    def shown(self, node: NodeId) -> Shown | None:  # noqa: ARG002 - nothing of anybody
        """Nothing."""
        return None

    def last_sequence(self, origin: NodeId) -> tuple[int, int]:  # noqa: ARG002 - likewise
        """Nothing."""
        return (0, 0)


class _Known(msgspec.Struct, gc=False):
    """What one peer has shown to us, in the life that began with `start` and in those before."""

    start: Restarted
    promised: Ballot
    slot: Slot
    is_current: bool = True  # on the link that stands it has said which life it is
    has_shown: bool = False  # something as a member, in this life or in those before


class _Asked(msgspec.Struct, gc=False):
    """A question on its way to one peer."""

    tries: int
    due_s: float


class Recall:
    """One node's memory of what others have shown, and its own return.

    Args:
        me: Our id.
        incarnation: Which of our lives this is.
        life: Drawn at start: two lives of one number differ by it.
        replicated: The tables.
    """

    def __init__(self, me: NodeId, incarnation: int, life: int, replicated: Replicated) -> None:
        self._me = me
        self._replicated = replicated
        self._start = Restarted(incarnation, life, NO_BALLOT, Slot(0))
        self._wait_until_s = float("-inf")
        self.is_confirmed = incarnation <= 1  # RCL-3: an empty directory has nothing to forget
        self.refused: set[NodeId] = set()  # RCL-2
        self._known: dict[NodeId, _Known] = {}
        self._recognized_by: set[NodeId] = set()
        self._asked: dict[NodeId, _Asked] = {}
        self._own_slot = Slot(0)
        self._reported = Slot(0)
        self._reviewed = 0

    # --- our own return ----------------------------------------------------------------------

    def begin(self, promised: Ballot, slot: Slot, until_s: float) -> None:
        """This life begins with a log that holds this; wait for others until then at most."""
        invariant(not self._recognized_by, "RCL-3: nobody recognizes a life before it begins")
        start = self._start
        self._start = Restarted(start.incarnation, start.life, promised, slot)
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
        strangers = len(others - self._recognized_by)
        return strangers < phase2_size(len(voters)) - 1

    def ask(self, peers: Iterable[NodeId], now_s: float) -> list[Effect]:
        """Tell those who have not answered yet who we are (RCL-1)."""
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
        """A link broke or began: we say it again, and the peer has to say it again."""
        self._asked.pop(peer, None)
        known = self._known.get(peer)
        if known is not None:
            known.is_current = False

    def on_recognized(self, sender: NodeId, message: Recognized) -> list[Effect]:
        """A peer compared us with what it remembers; a Halt if we forgot (RCL-2)."""
        start = self._start
        if (message.incarnation, message.life) != (start.incarnation, start.life):
            return []  # said to another life of ours
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
                f"life {message.lived}, and life {start.incarnation} began with ballot "
                f"{mine.round} and slot {start.slot}. It has forgotten what it acknowledged and "
                "must not vote again. It may come back with an empty directory only, under a new "
                "id; remove the old id from the cluster then.",
            )
        ]

    # --- what others have shown --------------------------------------------------------------

    def note(self, peer: NodeId, ballot: Ballot, slot: Slot) -> None:
        """A peer showed that its disk holds a promise of `ballot` and a vote in `slot`."""
        known = self._known.get(peer)
        if known is None or not known.is_current:
            return  # which life of it shows this, it has not said yet
        known.has_shown = True
        if slot > known.slot:  # noqa: PLR1730 - a third of the cost of `max`, for every vote
            known.slot = slot
        if ballot > known.promised:  # noqa: PLR1730
            known.promised = ballot

    def remembered(self, peer: NodeId) -> tuple[Ballot, Slot]:
        """What a peer has shown to us in the life it is in, and in those before."""
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
        """A peer says who it is: compare (RCL-1)."""
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
        """Forget one that is gone and showed nothing, if there are many: ids are made at will."""
        if len(self._known) > KNOWN_MAX:
            idle = (n for n, one in self._known.items() if not (one.is_current or one.has_shown))
            self._known.pop(next(idle, NOBODY), None)

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
                known.has_shown = False  # what it shows is of a life that forgot (RCL-5)
                effects.append(Send(peer, answer))
        return effects

    def _judged(self, peer: NodeId, message: Restarted) -> Recognized:
        """What a peer says its life began with, against what it showed in others."""
        stored, known = self._replicated.shown(peer), self._known.get(peer)
        lived = self._replicated.last_sequence(peer)[0]
        promised, slot = NO_BALLOT, Slot(0)
        is_refused = message.incarnation < lived
        if stored is not None and not _is_same(message, stored):
            promised, slot, lived = stored.promised, stored.slot, max(lived, stored.incarnation)
            is_refused |= message.incarnation <= stored.incarnation
        if known is not None and not _is_same(message, known.start):
            promised, slot = max(promised, known.promised), max(slot, known.slot)
            lived = max(lived, known.start.incarnation)
            is_refused |= message.incarnation <= known.start.incarnation
        is_refused |= message.promised < promised or message.slot < slot
        return Recognized(message.incarnation, message.life, is_refused, lived, promised, slot)

    # --- for the replicated state ------------------------------------------------------------

    def has_news(self) -> bool:
        """Has anybody shown a slot above those reported, but for the one that reports it?"""
        shown = (known.slot for known in self._known.values() if known.has_shown)
        highest = max(shown, default=Slot(0))
        return highest > self._reported + 1

    def report(self, promised: Ballot) -> tuple[Shown, ...]:
        """What members have shown, for a batch of ours; `promised`: our own, durable."""
        start = self._start
        own = Shown(self._me, start.incarnation, start.life, promised, self._own_slot)
        others = [
            Shown(node, known.start.incarnation, known.start.life, known.promised, known.slot)
            for node, known in sorted(self._known.items())
            if known.has_shown
        ]
        self._reported = max([self._own_slot, *(one.slot for one in others)])
        return (own, *others)


def _is_same(message: Restarted, one: Restarted | Shown) -> bool:
    """Is this the life that showed it?"""
    return (message.incarnation, message.life) == (one.incarnation, one.life)
