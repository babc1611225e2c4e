"""Campaign: asks for the promises of one ballot, until there are enough wherever it proposes.

Prepare is sent to the voters of the configuration that governs the next slot first. A configuration
that begins to govern while the ballot leads needs promises of its own quorum (CFG-3): it is sent to
its voters before. It is sent again to those that do not answer; what a promise means is in
`proposer.Phase1`.
"""

from collections.abc import Iterable
from math import inf

from quorate.base.effects import Effect, SendWhenDurable
from quorate.base.ids import NodeId
from quorate.base.messages import Prepare
from quorate.paxos.proposer import Phase1


class Campaign:
    """The nodes that one ballot has asked for a promise.

    Args:
        me: The id of this node, whose own acceptor is asked separately.
        phase1: The promises so far.
        resend_s: An unanswered Prepare is sent again after this long.
    """

    def __init__(self, me: NodeId, phase1: Phase1, resend_s: float) -> None:
        self._me = me
        self._phase1 = phase1
        self._resend_s = resend_s
        self._prepare = Prepare(phase1.ballot, phase1.slot_first)
        self._asked_s: dict[NodeId, float] = {}

    @property
    def prepare(self) -> Prepare:
        """The message that asks for a promise."""
        return self._prepare

    def begin(self, peers: Iterable[NodeId], now_s: float) -> list[Effect]:
        """Ask these; each Prepare waits for the record of our own promise (PRO-1)."""
        effects: list[Effect] = []
        for peer in peers:
            self._asked_s[peer] = now_s
            effects.append(SendWhenDurable(peer, self._prepare))
        return effects

    def ask(self, voters: frozenset[NodeId], now_s: float) -> list[Effect]:
        """Ask those voters that have not promised, and were not asked just now (CFG-3)."""
        if self._phase1.is_enough(voters):
            return []
        missing = sorted(voters - self._phase1.promised - {self._me})
        late = [peer for peer in missing if self._is_late(self._asked_s.get(peer, -inf), now_s)]
        return self.begin(late, now_s)

    def ask_again(self, now_s: float) -> list[Effect]:
        """Ask those again that were asked `resend_s` ago, and have not promised."""
        promised = self._phase1.promised
        late = [
            peer
            for peer, asked_s in self._asked_s.items()
            if self._is_late(asked_s, now_s) and peer not in promised
        ]
        return self.begin(late, now_s)

    def on_link(self, peer: NodeId, *, is_again: bool) -> None:
        """A link was established: a Prepare sent on the one before is lost.

        `is_again`: ask this peer at the next `ask_again`, whether it is a voter or not.
        """
        self._asked_s.pop(peer, None)
        if is_again and peer not in self._phase1.promised:
            self._asked_s[peer] = -inf

    def _is_late(self, asked_s: float, now_s: float) -> bool:
        return now_s - asked_s >= self._resend_s
