"""Campaign: asking for the promises of one ballot, until there are enough wherever it proposes.

Voters of the configuration that governs the next slot are asked first. A configuration that begins
to govern while the ballot leads needs promises of its own quorum (CFG-3): its voters are asked
before. Who does not answer is asked again; what a promise means is in `proposer.Phase1`.
"""

from collections.abc import Iterable
from math import inf

from quorate.base.effects import Effect, SendWhenDurable
from quorate.base.ids import NodeId
from quorate.base.messages import Prepare
from quorate.paxos.proposer import Phase1


class Campaign:
    """Whom one ballot has asked for a promise.

    Args:
        me: Our id; our own acceptor is asked by itself.
        phase1: The promises so far.
        resend_s: A question that was not answered goes again after this long.
    """

    def __init__(self, me: NodeId, phase1: Phase1, resend_s: float) -> None:
        self._me = me
        self._phase1 = phase1
        self._resend_s = resend_s
        self._question = Prepare(phase1.ballot, phase1.slot_first)
        self._asked_s: dict[NodeId, float] = {}

    @property
    def question(self) -> Prepare:
        """What is asked."""
        return self._question

    def begin(self, peers: Iterable[NodeId], now_s: float) -> list[Effect]:
        """Ask these; each question waits for the record of our own promise (PRO-1)."""
        effects: list[Effect] = []
        for peer in peers:
            self._asked_s[peer] = now_s
            effects.append(SendWhenDurable(peer, self._question))
        return effects

    def ask(self, voters: frozenset[NodeId], now_s: float) -> list[Effect]:
        """Ask those for a promise who owe one, and were not asked just now (CFG-3)."""
        if self._phase1.is_enough(voters):
            return []
        owing = sorted(voters - self._phase1.promised - {self._me})
        late = [peer for peer in owing if self._is_late(self._asked_s.get(peer, -inf), now_s)]
        return self.begin(late, now_s)

    def ask_again(self, now_s: float) -> list[Effect]:
        """Ask those again who were asked a while ago, and have not promised."""
        promised = self._phase1.promised
        late = [
            peer
            for peer, asked_s in self._asked_s.items()
            if self._is_late(asked_s, now_s) and peer not in promised
        ]
        return self.begin(late, now_s)

    def on_link(self, peer: NodeId, *, is_again: bool) -> None:
        """A link was made: what was asked on the one before is lost.

        `is_again`: ask this peer at the next `ask_again`, be it a voter or not.
        """
        self._asked_s.pop(peer, None)
        if is_again and peer not in self._phase1.promised:
            self._asked_s[peer] = -inf

    def _is_late(self, asked_s: float, now_s: float) -> bool:
        return now_s - asked_s >= self._resend_s
