"""Duties: what a node owes its cluster now and then, and a leader more than others.

Each registers itself once it finds a serving leader, and again after a restored snapshot, which
may not know it; and asks to be let in while no configuration names it. The leader judges who is
silent, ends what expired, promotes and hands over.
"""

from collections.abc import Sequence
from math import inf
from typing import Protocol

from quorate.base.batches import Member
from quorate.base.command import Command, encode_command
from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Note
from quorate.base.errors import UnavailableError
from quorate.base.ids import NodeId
from quorate.base.subjects import EVERYTHING
from quorate.machine.machine import Machine
from quorate.machine.watches import Watches
from quorate.node.changes import Changes
from quorate.node.origin import Origin
from quorate.node.overview import Overviews
from quorate.node.presence import Presence, registration
from quorate.node.reads import Reads
from quorate.node.reports import Reports
from quorate.node.routes import Routes
from quorate.node.status import is_removed
from quorate.paxos.replica import Replica

STALL_S = 0.3
"""A gap between ticks longer than this is a loop that stood still: judge nothing for as long."""

DUTIES_S = 0.1
"""A leader looks for expired sessions, silent members and learners to promote this often."""


LEARNER_S = 5.0
"""A learner that was not promoted for this long says how it is done."""


class Parts(Protocol):
    """The parts of a node that its duties need."""

    me: Member
    settings: NodeSettings
    machine: Machine
    replica: Replica | None
    origin: Origin
    changes: Changes
    presence: Presence | None
    overviews: Overviews
    leader: NodeId | None
    is_full: bool
    refusal: UnavailableError | None
    reads: Reads
    watches: Watches
    reports: Reports

    @property
    def cluster_id(self) -> str:
        """What the directory belongs to."""
        ...

    def stamp_ms(self, now_s: float) -> int:
        """Logged time."""
        ...


class Duties:
    """See above.

    Args:
        node: Whose duties.
        routes: Its roads.
        now_s: When the node was made.
    """

    def __init__(self, node: Parts, routes: Routes, now_s: float) -> None:
        self._node = node
        self._routes = routes
        self._registered_in: int | None = None  # generation of the tables
        self._ticked_s = now_s
        self._judge_after_s = now_s
        self._due_s = now_s
        self._learner_since_s = inf
        self._has_said_learner = False

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed."""
        gap_s = now_s - self._ticked_s
        if gap_s > STALL_S:
            self._judge_after_s = now_s + gap_s
        self._ticked_s = now_s
        replica = self._node.replica
        if replica is None or now_s < self._due_s:
            return []
        self._due_s = now_s + DUTIES_S
        effects = self._own(replica, now_s) + self._leaders(replica, now_s)
        return effects + replica.recall.review()

    def _own(self, replica: Replica, now_s: float) -> list[Effect]:
        node = self._node
        newest = replica.membership.newest
        generation = node.machine.generation
        is_registered = self._registered_in == generation
        may_register = node.leader is not None and not node.is_full and not is_registered
        if may_register and newest.member(node.me.id) is not None:
            self._registered_in = generation
            self._propose(registration(node.me, node.settings))
        if is_removed(replica):
            return self._leave()
        node.refusal = None
        is_unknown = newest.member(node.me.id) != node.me
        is_forgotten = node.me.id not in newest.voter_ids and node.leader is None
        effects = self._routes.join(now_s) if is_unknown or is_forgotten else []
        return effects + self._say_learner(newest.learners, now_s)

    def _leave(self) -> list[Effect]:
        """The cluster has removed this node: clients are sent away, and it is told once."""
        node = self._node
        if node.refusal is not None:
            return []
        node.refusal = UnavailableError(
            "removed",
            f"this node, {node.me.name}, was removed from cluster {node.cluster_id} and keeps up "
            "with nothing any more: ask another one",
        )
        why = (
            "the cluster has removed it: stop it when the removal is answered; it may come back "
            "with an empty data directory, as a new node"
        )
        note = Note("removed", {"node": node.me.name, "cluster": node.cluster_id, "why": why}, True)
        refused = node.origin.withdraw_all(node.refusal) + node.reads.withdraw(node.refusal)
        node.watches.mark([EVERYTHING])
        return [note, *refused]

    def _say_learner(self, learners: Sequence[Member], now_s: float) -> list[Effect]:
        """A node that stays a learner for a while says what that means, once."""
        node = self._node
        if node.me not in learners:
            self._learner_since_s = inf
            return []
        self._learner_since_s = min(self._learner_since_s, now_s)
        if self._has_said_learner or now_s - self._learner_since_s < LEARNER_S:
            return []
        self._has_said_learner = True
        why = (
            "it holds everything and has no vote, as it joined unannounced; to let it vote: "
            f"quorate cluster add {node.me.name}"
        )
        return [Note("learner", {"node": node.me.name, "why": why})]

    def _leaders(self, replica: Replica, now_s: float) -> list[Effect]:
        node, leadership = self._node, replica.leadership
        if leadership is None or not leadership.is_serving or node.presence is None:
            return []
        membership = replica.membership
        if node.is_full:
            node.changes.hand_over(leadership, membership.newest.voter_ids, now_s)
        generation = node.machine.generation
        for verdict in node.presence.verdicts(leadership, membership, generation, now_s):
            self._propose(verdict)
        if now_s >= self._judge_after_s:
            for command in node.machine.expirations(node.stamp_ms(now_s)):
                self._propose(command)
        effects = node.overviews.tick(leadership, membership, replica.watermark, now_s)
        if not node.is_full:
            effects += node.reports.tick(leadership, node.stamp_ms(now_s), now_s)
        return effects + node.changes.tick(leadership, replica, now_s)

    def _propose(self, command: Command) -> None:
        self._node.origin.submit(encode_command(command), None, float("inf"), urgent=True)
