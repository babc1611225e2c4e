"""Read rounds: how a leader knows, without a clock, that it still leads.

A read that arrived before a round was sent is safe to answer at the watermark of that moment,
once a quorum has answered the round: had another leader served a later write by then, that
quorum would have promised its ballot and refused.

RDS-1: a round's token is (ballot, counter); the counter rises with every round and is never used
    again, not for a retry either. An answer to round k confirms what waited when k was sent, so
    also what rode in rounds before k; never what came later.
RDS-2: the watermark is taken before the round is sent.
RDS-3: no round before the leader's barrier is chosen.
RDS-4: the quorum asked is that of the configuration governing slot watermark + 1, as of RDS-2: who
    chose a later slot has promises of a quorum of it, which one of another may not meet.

Questions that arrive while a round is on its way ride in the next one. That is all the batching
there is. A round that stays unanswered is followed by a new one, which confirms it too.

Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.4, with Paxos ballots.
"""

from collections import deque
from collections.abc import Set as AbstractSet

import msgspec

from quorate.base.ids import NodeId, Slot
from quorate.paxos.quorum import is_phase1_quorum


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A node's question for a read point."""

    asker: NodeId
    number: int


class Round(msgspec.Struct):
    """A round on its way: what it will answer, and who has answered it."""

    counter: int
    asks: list[Ask]
    slot: Slot
    stamp_ms: int
    opened_s: float
    voters: AbstractSet[NodeId]
    answered: set[NodeId]


class ReadRounds:
    """The rounds of one ballot."""

    def __init__(self) -> None:
        self._counter = 0
        self._waiting: list[Ask] = []
        self._open: deque[Round] = deque()

    @property
    def has_waiting(self) -> bool:
        """Some question is in no round yet."""
        return bool(self._waiting)

    def ask(self, ask: Ask) -> None:
        """Take a question; it rides in the next round."""
        self._waiting.append(ask)

    def is_due(self, now_s: float, patience_s: float) -> bool:
        """A new round is called for: questions wait, or ride in a round that stays unanswered."""
        if not self._open:
            return bool(self._waiting)
        riding = [one for one in self._open if one.asks]
        if self._waiting:
            return not riding or now_s - riding[-1].opened_s >= patience_s
        return bool(riding) and now_s - self._open[-1].opened_s >= patience_s

    def begin(
        self, watermark: Slot, stamp_ms: int, now_s: float, voters: AbstractSet[NodeId]
    ) -> int:
        """Open the next round with all that waits, and return its counter (RDS-2, RDS-4)."""
        self._counter += 1
        asks, self._waiting = self._waiting, []
        self._open.append(Round(self._counter, asks, watermark, stamp_ms, now_s, voters, set()))
        return self._counter

    def on_answer(self, sender: NodeId, counter: int) -> Round | None:
        """Count an answer; the round it completes, with the questions of all before it (RDS-1)."""
        for place, one in enumerate(self._open):
            if one.counter == counter:
                one.answered.add(sender)
                if is_phase1_quorum(one.answered, one.voters):
                    earlier = [self._open.popleft() for _ in range(place + 1)][:-1]
                    one.asks = [ask for round_ in earlier for ask in round_.asks] + one.asks
                    return one
        return None
