"""Election: which node may campaign, and when. Safety does not rest on any of this.

A node without a live leader sends a pre-vote first, which asks whether the voters would promise;
peers refuse while they have a live leader, so a node that comes back deposes none. A leader that
has not reached a quorum for an election timeout steps down (check-quorum), so a half-connected one
does not go on. To campaign a node needs a quorum of grants, so only quorum-connected nodes lead. A
lost link to the leader counts as a timeout: the node sends a pre-vote after a short random delay.

ELE-1: a pre-vote promises nothing and persists nothing.
ELE-2: a node far behind is refused at first, so that little must be fetched; after three timeouts
    without a leader it is granted too: it may be the only one that a quorum can reach.
ELE-3: a node answers that another one is no member only if it knows as much of the log as that
    one: else it may lack the configuration that names it.

Source: Ng, Haridi, Carbone, "Omni-Paxos" (2023), section 5; Ongaro (2014), section 9.6.
"""

from quorate.base.config import Timing
from quorate.base.ids import NO_BALLOT, Ballot, NodeId, Slot
from quorate.base.ports import Rng

LAGGARD_TIMEOUTS = 3
"""Election timeouts without a leader after which a node far behind is granted too (ELE-2)."""

FAR_BEHIND_SLOTS = 64
"""More slots than this behind a peer is far behind (ELE-2)."""


class Election:
    """Which node leads, as far as one replica knows, and the timers of its campaigns.

    Args:
        timing: See `base.config`.
        rng: For random timeouts.
        now_s: The time of creation.
    """

    def __init__(self, timing: Timing, rng: Rng, now_s: float) -> None:
        self._timing = timing
        self._rng = rng
        self.leader = NO_BALLOT
        self.round_seen = 0
        self.is_leader_serving = False
        self.last_contact_s = float("-inf")
        self._lost_s = now_s
        self.due_s = now_s + timing.election_timeout_s * (0.15 + 0.35 * rng.random())
        self._pre_vote_number = 0
        self._grants: set[NodeId] = set()

    def note_round(self, round_: int) -> None:
        """A node promised a ballot of this round, or this node uses it."""
        self.round_seen = max(self.round_seen, round_)

    def next_round(self, promised: int) -> int:
        """A round above all that were seen, and above `promised`, that of our acceptor."""
        return max(promised, self.round_seen, self.leader.round) + 1

    def on_leader(self, ballot: Ballot, now_s: float, is_serving: bool | None = None) -> bool:
        """A message of a leader's ballot arrived; True if that leader was not known.

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
            self.last_contact_s = now_s
            self._lost_s = now_s
            self.due_s = now_s + self._random_timeout_s()
        return is_news

    def on_link_lost(self, peer: NodeId, now_s: float) -> bool:
        """A link was lost; True if it was that to the live leader, which is live no more."""
        if self.leader.node != peer or not self.has_live_leader(now_s):
            return False
        self.forget(now_s)
        self.due_s = now_s + self._rng.random() * self._timing.reconnect_poll_s
        return True

    def forget(self, now_s: float) -> None:
        """The leader has stepped down, or the link to it is lost."""
        self.last_contact_s = float("-inf")
        self.is_leader_serving = False
        self._lost_s = min(self._lost_s, now_s)

    def has_live_leader(self, now_s: float) -> bool:
        """A message of the leader arrived within the last election timeout."""
        return now_s - self.last_contact_s < self._timing.election_timeout_s

    def begin_pre_vote(self, me: NodeId, now_s: float) -> int:
        """Number a new pre-vote, granted by this node. The next one is due after a random time."""
        self._pre_vote_number += 1
        self._grants = {me}
        self.due_s = now_s + self._random_timeout_s() / 2
        return self._pre_vote_number

    def on_grant(self, sender: NodeId, number: int) -> set[NodeId]:
        """Count a grant of the current pre-vote; all its grants (none for an earlier one)."""
        if number != self._pre_vote_number or not self._grants:
            return set()
        self._grants.add(sender)
        return self._grants

    def end_pre_vote(self) -> None:
        """There are enough grants, or none are wanted: later ones do not count."""
        self._grants = set()

    def postpone(self, now_s: float) -> None:
        """Begin a new timeout: this node campaigns, or another one does."""
        self.due_s = now_s + self._random_timeout_s()

    def expedite(self, now_s: float) -> None:
        """Make the next pre-vote due soon, unless a leader is live; for rare events only."""
        if not self.has_live_leader(now_s):
            soon_s = now_s + self._rng.random() * self._timing.reconnect_poll_s
            self.due_s = min(self.due_s, soon_s)

    def may_grant(self, mine: Slot, theirs: Slot, now_s: float) -> bool:
        """Would this node, with watermark `mine`, promise one with `theirs` (ELE-2)?"""
        if self.has_live_leader(now_s):
            return False
        leaderless_s = now_s - self._lost_s
        may_wait = leaderless_s < LAGGARD_TIMEOUTS * self._timing.election_timeout_s
        return not (theirs + FAR_BEHIND_SLOTS < mine and may_wait)

    def _random_timeout_s(self) -> float:
        return self._timing.election_timeout_s * (1 + self._rng.random())
