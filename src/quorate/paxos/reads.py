"""Read rounds: how a leader knows, without a clock, that it still leads.

A read that arrived before a round was sent is safe to answer at the watermark of that moment,
once a quorum has answered the round: had another leader served a later write by then, that
quorum would have promised its ballot and refused.

R1: a round's token is (ballot, counter); the counter rises with every round and is never used
    again, not for a retry either. An answer to round k confirms only what waited when k was sent.
R2: the watermark is taken before the round is sent.
R3: no round before the leader's barrier is chosen.
R4: the quorum asked is that of the configuration governing slot watermark + 1.

One round at a time serves every read waiting when it began; the next begins when it ends. That
is all the batching there is.

Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.4, with Paxos ballots.
"""

from collections.abc import Set as AbstractSet

import msgspec

from quorate.base.ids import NodeId, Slot
from quorate.paxos.quorum import is_phase1_quorum


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A node's question for a read point."""

    asker: NodeId
    number: int


class Confirmed(msgspec.Struct, frozen=True):
    """A round that a quorum answered: these questions may be answered with `slot`."""

    asks: list[Ask]
    slot: Slot
    stamp_ms: int


class ReadRounds:
    """The rounds of one ballot."""

    def __init__(self) -> None:
        self._counter = 0
        self._waiting: list[Ask] = []
        self._open: list[Ask] = []
        self._open_counter = 0
        self._slot = Slot(0)
        self._stamp_ms = 0
        self._answered: set[NodeId] = set()
        self.opened_s = 0.0

    @property
    def is_open(self) -> bool:
        """A round waits for answers."""
        return self._open_counter > 0

    @property
    def has_waiting(self) -> bool:
        """Some question is in no round yet."""
        return bool(self._waiting)

    def ask(self, ask: Ask) -> None:
        """Take a question; an older one of the same node stays: it may ride in an open round."""
        self._waiting.append(ask)

    def begin(self, watermark: Slot, stamp_ms: int, now_s: float) -> int:
        """Open the next round and return its counter. What an unanswered one held moves along."""
        self._counter += 1
        self._open += self._waiting
        self._waiting = []
        self._open_counter = self._counter
        self._slot = watermark
        self._stamp_ms = stamp_ms
        self._answered = set()
        self.opened_s = now_s
        return self._counter

    def on_answer(
        self, sender: NodeId, counter: int, voters: AbstractSet[NodeId]
    ) -> Confirmed | None:
        """Count an answer; a Confirmed when it completes the open round (R1)."""
        if counter == 0 or counter != self._open_counter:
            return None
        self._answered.add(sender)
        if not is_phase1_quorum(self._answered, voters):
            return None
        confirmed = Confirmed(self._open, self._slot, self._stamp_ms)
        self._open = []
        self._open_counter = 0
        return confirmed
