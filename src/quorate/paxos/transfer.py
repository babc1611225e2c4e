"""Transfer: a leader hands its leadership to a voter of its choice, without an election timeout.

It proposes nothing more, waits until its slots in flight are chosen and the successor knows them,
and tells it to campaign at once. If nothing came of that within an election timeout, it goes on.

Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 3.10.
"""

from collections.abc import Mapping

from quorate.base.config import Timing
from quorate.base.effects import Effect, Note, Send
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import TransferNow
from quorate.paxos.progress import Progress


def best_successor(watermarks: Mapping[NodeId, Slot]) -> NodeId | None:
    """Of those that could lead the one that knows most; None if there is none.

    Args:
        watermarks: The voters that are heard, without the one that leads, and how far each is.
    """
    return max(sorted(watermarks), key=lambda node: watermarks[node], default=None)


class Transfer:
    """The transfer that one leadership tries, if any.

    Args:
        ballot: Its ballot.
        timing: See `base.config`.

    Attributes:
        to: Who shall lead; None: nobody else. To be read only.
    """

    def __init__(self, ballot: Ballot, timing: Timing) -> None:
        self._ballot = ballot
        self._timing = timing
        self.to: NodeId | None = None
        self._until_s = 0.0
        self._is_quiet = False
        self._told_s = float("-inf")

    def begin(self, to: NodeId, now_s: float, *, is_quiet: bool = False) -> None:
        """Stop proposing, and hand over to `to` when it has caught up; `is_quiet`: noted before."""
        self.to = to
        self._is_quiet = is_quiet
        self._told_s = float("-inf")
        self._until_s = now_s + self._timing.election_timeout_s

    def step(self, peers: Mapping[NodeId, Progress], watermark: Slot, now_s: float) -> list[Effect]:
        """Nothing is in flight: tell the successor to campaign, if it knows what we know."""
        if self.to is None:
            return []
        peer = peers.get(self.to)
        if peer is None or peer.match < watermark:
            return []
        if now_s - self._told_s < self._timing.accept_resend_s:
            return []
        self._told_s = now_s
        return [Send(self.to, TransferNow(self._ballot))]

    def expire(self, now_s: float) -> list[Effect]:
        """Time passed: it has failed if the successor does not lead by now."""
        if self.to is None or now_s < self._until_s:
            return []
        failed, self.to = self.to, None
        return [] if self._is_quiet else [Note("transfer failed", {"to": failed})]
