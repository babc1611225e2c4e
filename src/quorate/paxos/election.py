"""Election: who may try to lead, and when. Safety does not rest on any of this.

A node that hears no leader polls first ("would you promise?"); peers refuse while they hear a
live one, so a returning node deposes nobody (pre-vote). A leader that has not heard a quorum for
an election timeout steps down (check-quorum), so a half-connected one does not linger. To stand
at all a node needs a quorum of grants, so only quorum-connected nodes lead. A broken link to the
leader counts as silence: the node polls after a short random delay.

ELE-1: a poll promises nothing and persists nothing.
ELE-2: a node far behind is refused at first, so that little must travel; after three timeouts
    without a leader it is granted too: it may be the only one that a quorum can reach.
ELE-3: a node says farewell to a stranger only if it knows as much of the log as the stranger: else
    it may not have heard of the configuration that names it.

Source: Ng, Haridi, Carbone, "Omni-Paxos" (2023), section 5; Ongaro (2014), section 9.6.
"""

from quorate.base.config import Timing
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.ports import Rng

LAGGARD_PATIENCE = 3
"""Election timeouts without a leader after which a node far behind is granted too (ELE-2)."""

FAR_BEHIND_SLOTS = 64
"""More slots than this behind a peer is far behind (ELE-2)."""


class Election:
    """One replica's view of who leads, and its timers.

    Args:
        timing: See `base.config`.
        rng: Chance for the timeouts.
        now_s: The time of creation.
    """

    def __init__(self, timing: Timing, rng: Rng, now_s: float) -> None:
        self._timing = timing
        self._rng = rng
        self.leader = NO_BALLOT
        self.round_seen = 0
        self.is_leader_serving = False
        self.heard_s = float("-inf")
        self._lost_s = now_s
        self.due_s = now_s + timing.election_timeout_s * (0.15 + 0.35 * rng.random())
        self._poll_number = 0
        self._grants: set[NodeId] = set()

    def note_round(self, round_: int) -> None:
        """Somebody promised a ballot of this round, or we use it."""
        self.round_seen = max(self.round_seen, round_)

    def next_round(self, promised: int) -> int:
        """A round above all that we have seen, and the one that our acceptor promised."""
        return max(promised, self.round_seen, self.leader.round) + 1

    def on_leader(self, ballot: Ballot, now_s: float, is_serving: bool | None = None) -> bool:
        """A message of a leader's ballot came; True if that leader is news.

        `is_serving` None: the message did not say.
        """
        is_news = ballot > self.leader
        if is_news:
            self.leader = ballot
            self.is_leader_serving = False
        if ballot == self.leader:
            if is_serving is not None:
                is_news = is_news or (is_serving and not self.is_leader_serving)
                self.is_leader_serving = is_serving
            self.heard_s = now_s
            self._lost_s = now_s
            self.due_s = now_s + self._patience()
        return is_news

    def on_link_lost(self, peer: NodeId, now_s: float) -> bool:
        """True if that peer was the leader we heard: it counts as silent from now on."""
        if self.leader.node != peer or not self.hears_leader(now_s):
            return False
        self.forget(now_s)
        self.due_s = now_s + self._rng.random() * self._timing.reconnect_poll_s
        return True

    def forget(self, now_s: float) -> None:
        """The leader is gone, by its own word or a broken link."""
        self.heard_s = float("-inf")
        self.is_leader_serving = False
        self._lost_s = min(self._lost_s, now_s)

    def hears_leader(self, now_s: float) -> bool:
        """A leader spoke within the last election timeout."""
        return now_s - self.heard_s < self._timing.election_timeout_s

    def begin_poll(self, me: NodeId, now_s: float) -> int:
        """Number a new poll; our own grant is in. Tries again after a random while."""
        self._poll_number += 1
        self._grants = {me}
        self.due_s = now_s + self._patience() / 2
        return self._poll_number

    def on_grant(self, sender: NodeId, number: int) -> set[NodeId]:
        """Count a grant of the current poll; who granted so far (empty for an old poll)."""
        if number != self._poll_number or not self._grants:
            return set()
        self._grants.add(sender)
        return self._grants

    def end_poll(self) -> None:
        """Enough, or no longer wanted: later grants count for nothing."""
        self._grants = set()

    def postpone(self, now_s: float) -> None:
        """Begin a fresh timeout: we stand, or somebody else just did."""
        self.due_s = now_s + self._patience()

    def hurry(self, now_s: float) -> None:
        """Poll again soon, if nobody is heard leading; only for what happens a few times."""
        if not self.hears_leader(now_s):
            soon_s = now_s + self._rng.random() * self._timing.reconnect_poll_s
            self.due_s = min(self.due_s, soon_s)

    def may_grant(self, mine: Slot, theirs: Slot, now_s: float) -> bool:
        """Would we promise a candidate with watermark `theirs`, ours being `mine` (ELE-2)?"""
        if self.hears_leader(now_s):
            return False
        silence_s = now_s - self._lost_s
        is_patient = silence_s < LAGGARD_PATIENCE * self._timing.election_timeout_s
        return not (theirs + FAR_BEHIND_SLOTS < mine and is_patient)

    def _patience(self) -> float:
        return self._timing.election_timeout_s * (1 + self._rng.random())
