"""Transfer: a leader hands its leadership to a voter of its choice, without an election timeout.

It proposes nothing more, waits until its slots in flight are chosen and the successor knows them,
and sends it TransferNow, upon which it campaigns at once. If the successor does not lead within an
election timeout, the leader goes on.

Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 3.10.
"""

from collections.abc import Mapping

from quorate.base.config import Timing
from quorate.base.effects import Effect, Note, Send
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import TransferNow
from quorate.paxos.progress import Progress


def best_successor(watermarks: Mapping[NodeId, Slot]) -> NodeId | None:
    """The candidate with the highest watermark; None if there is none.

    Args:
        watermarks: Of the reachable voters, without the one that leads.
    """
    return max(sorted(watermarks), key=lambda node: watermarks[node], default=None)


class Transfer:
    """The transfer that one leadership attempts, if any.

    Args:
        ballot: Its ballot.
        timing: See `base.config`.

    Attributes:
        to: The successor; None: there is no transfer. To be read only.
    """

    def __init__(self, ballot: Ballot, timing: Timing) -> None:
        self._ballot = ballot
        self._timing = timing
        self.to: NodeId | None = None
        self._until_s = 0.0
        self._is_quiet = False
        self._sent_s = float("-inf")

    def begin(self, to: NodeId, now_s: float, *, is_quiet: bool = False) -> None:
        """Stop proposing; hand over to `to` when it has caught up; `is_quiet`: log no failure."""
        self.to = to
        self._is_quiet = is_quiet
        self._sent_s = float("-inf")
        self._until_s = now_s + self._timing.election_timeout_s

    def step(self, peers: Mapping[NodeId, Progress], watermark: Slot, now_s: float) -> list[Effect]:
        """Nothing is in flight: let the successor campaign, if it has caught up."""
        if self.to is None:
            return []
        peer = peers.get(self.to)
        if peer is None or peer.match < watermark:
            return []
        if now_s - self._sent_s < self._timing.accept_resend_s:
            return []
        self._sent_s = now_s
        return [Send(self.to, TransferNow(self._ballot))]

    def expire(self, now_s: float) -> list[Effect]:
        """Time passed: it has failed if the successor does not lead by now."""
        if self.to is None or now_s < self._until_s:
            return []
        failed, self.to = self.to, None
        return [] if self._is_quiet else [Note("transfer failed", {"to": failed})]
