"""Read rounds: how a leader confirms, without a clock, that it still leads.

A read that arrived before a round was sent may be answered at the watermark of that moment, the
read index, once a quorum has answered the round: had another leader served a later write by then,
a node of that quorum would have promised its ballot and refused.

RDS-1: a round's token is (ballot, counter); the counter rises with every round and is never used
    again, not for a retry either. An answer to round k confirms what waited when k was sent, so
    also what rounds before k carried; never what came later.
RDS-2: the watermark is taken before the round is sent.
RDS-3: no round before the leader's barrier is chosen.
RDS-4: the quorum asked is that of the configuration governing slot watermark + 1, as of RDS-2: a
    leader that chose a later slot has promises of a quorum of it, which a quorum of another
    configuration need not meet.

Requests that arrive while a round is in flight are carried by the next one. That is all the
batching there is. A round that stays unanswered is followed by a new one, which confirms it too.

Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.4, with Paxos ballots.
"""

from collections import deque
from collections.abc import Set as AbstractSet

import msgspec

from quorate.base.ids import NodeId, Slot
from quorate.paxos.quorum import is_phase1_quorum


class ReadRequest(msgspec.Struct, frozen=True, gc=False):
    """A node's request for a read index."""

    node: NodeId
    number: int


class Round(msgspec.Struct):
    """A round in flight: the requests that it confirms, and the nodes that have answered it."""

    counter: int
    requests: list[ReadRequest]
    slot: Slot
    log_time_ms: int
    opened_s: float
    voters: AbstractSet[NodeId]
    answered: set[NodeId]


class ReadRounds:
    """The rounds of one ballot."""

    def __init__(self) -> None:
        self._counter = 0
        self._waiting: list[ReadRequest] = []
        self._open: deque[Round] = deque()

    @property
    def has_waiting(self) -> bool:
        """Some request is in no round yet."""
        return bool(self._waiting)

    def add(self, request: ReadRequest) -> None:
        """Take a request; the next round carries it."""
        self._waiting.append(request)

    def is_due(self, now_s: float, timeout_s: float) -> bool:
        """A new round is due: requests wait, or are in a round that stays unanswered."""
        if not self._open:
            return bool(self._waiting)
        carrying = [one for one in self._open if one.requests]
        if self._waiting:
            return not carrying or now_s - carrying[-1].opened_s >= timeout_s
        return bool(carrying) and now_s - self._open[-1].opened_s >= timeout_s

    def begin(
        self, watermark: Slot, log_time_ms: int, now_s: float, voters: AbstractSet[NodeId]
    ) -> int:
        """Open the next round with all that waits, and return its counter (RDS-2, RDS-4)."""
        self._counter += 1
        requests, self._waiting = self._waiting, []
        self._open.append(
            Round(self._counter, requests, watermark, log_time_ms, now_s, voters, set())
        )
        return self._counter

    def on_answer(self, sender: NodeId, counter: int) -> Round | None:
        """Count an answer; the round it completes, with the requests of all before it (RDS-1)."""
        for place, one in enumerate(self._open):
            if one.counter == counter:
                one.answered.add(sender)
                if is_phase1_quorum(one.answered, one.voters):
                    earlier = [self._open.popleft() for _ in range(place + 1)][:-1]
                    before = [each for round_ in earlier for each in round_.requests]
                    one.requests = before + one.requests
                    return one
        return None
