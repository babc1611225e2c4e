"""Periodic tasks of a node, and further ones of a leader.

Each node registers itself once it finds a serving leader, and again after a restored snapshot,
which may not contain it; and requests admission while it is in no configuration. The leader runs
the failure detector, ends what has expired, promotes and hands over.
"""

from collections.abc import Sequence
from math import inf

from quorate.base.batches import Member
from quorate.base.command import Command, encode_command
from quorate.base.config import NodeSettings
from quorate.base.effects import Effect, Note
from quorate.base.errors import UnavailableError
from quorate.node.detector import FailureDetector, registration
from quorate.node.group import Group
from quorate.node.links import Links
from quorate.node.overview import Overviews
from quorate.node.reconfiguration import Reconfiguration
from quorate.node.status import is_removed
from quorate.paxos.replica import Replica

STALL_S = 0.3
"""A longer gap between ticks means that the loop was blocked: no verdicts for as long."""

TASKS_S = 0.1
"""A leader looks for expired sessions, silent members and learners to promote this often."""


LEARNER_S = 5.0
"""A learner that was not promoted for this long logs how to do it."""


class PeriodicTasks:
    """See above.

    Args:
        me: This node.
        settings: See `base.config`.
        group: Its log and state.
        links: They request a place in the configuration.
        reconfiguration: Of membership.
        overviews: The progress of the members.
        now_s: When the node was made.
    """

    def __init__(
        self,
        me: Member,
        settings: NodeSettings,
        group: Group,
        links: Links,
        reconfiguration: Reconfiguration,
        overviews: Overviews,
        now_s: float,
    ) -> None:
        self._me, self._settings = me, settings
        self._group = group
        self._links = links
        self._reconfiguration = reconfiguration
        self._overviews = overviews
        self._detector: FailureDetector | None = None
        self._registered_in: int | None = None  # generation of the tables
        self._ticked_s = now_s
        self._judge_after_s = now_s
        self._due_s = now_s
        self._learner_since_s = inf
        self._has_said_learner = False

    def on_leader(self, is_leading: bool) -> None:
        """Another node serves, or none: whether it is this one."""
        if is_leading:
            self._detector = FailureDetector(self._me.id, self._settings.timing.dead_s, TASKS_S)
        else:
            self._detector = None
            self._reconfiguration.stop_leading()

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed."""
        gap_s = now_s - self._ticked_s
        if gap_s > STALL_S:
            self._judge_after_s = now_s + gap_s
        self._ticked_s = now_s
        replica = self._group.replica
        if replica is None or now_s < self._due_s:
            return []
        self._due_s = now_s + TASKS_S
        return self._own(replica, now_s) + self._leaders(replica, now_s)

    def _own(self, replica: Replica, now_s: float) -> list[Effect]:
        group, me = self._group, self._me
        newest = replica.membership.newest
        generation = group.machine.generation
        is_registered = self._registered_in == generation
        may_register = group.leader is not None and not group.space.is_full and not is_registered
        if may_register and newest.member(me.id) is not None:
            self._registered_in = generation
            self._propose(registration(me, self._settings))
        if is_removed(replica):
            return self._leave(now_s)
        group.admit()
        is_unknown = newest.member(me.id) != me
        is_forgotten = me.id not in newest.voter_ids and group.leader is None
        effects = self._links.ask_to_join(now_s) if is_unknown or is_forgotten else []
        return effects + self._say_learner(newest.learners, now_s)

    def _leave(self, now_s: float) -> list[Effect]:
        """The cluster has removed this node: refuse clients, and log it once."""
        group, name = self._group, self._me.name
        if group.refusal is not None:
            return []
        refusal = UnavailableError(
            "removed",
            f"this node, {name}, was removed from cluster {group.cluster_id} and keeps up "
            "with nothing any more: ask another one",
        )
        why = (
            "the cluster has removed it: stop it when the removal is answered; it may come back "
            "with an empty data directory, as a new node"
        )
        note = Note("removed", {"node": name, "cluster": group.cluster_id, "why": why}, True)
        return [note, *group.refuse(refusal, now_s)]

    def _say_learner(self, learners: Sequence[Member], now_s: float) -> list[Effect]:
        """A node that stays a learner for a while logs what that means, once."""
        if self._me not in learners:
            self._learner_since_s = inf
            return []
        self._learner_since_s = min(self._learner_since_s, now_s)
        if self._has_said_learner or now_s - self._learner_since_s < LEARNER_S:
            return []
        self._has_said_learner = True
        why = (
            "it holds everything and has no vote, as it joined unannounced; to let it vote: "
            f"quorate cluster add {self._me.name}"
        )
        return [Note("learner", {"node": self._me.name, "why": why})]

    def _leaders(self, replica: Replica, now_s: float) -> list[Effect]:
        group, detector, leadership = self._group, self._detector, replica.leadership
        if leadership is None or not leadership.is_serving or detector is None:
            return []
        membership = replica.membership
        if group.space.is_full:
            self._reconfiguration.hand_over(leadership, membership.newest.voter_ids, now_s)
        if self._me.id in membership.members:  # else nothing of ours counts any more (DUP-1)
            generation = group.machine.generation
            for verdict in detector.verdicts(leadership, membership, generation, now_s):
                self._propose(verdict)
            if now_s >= self._judge_after_s:
                for command in group.machine.expirations(group.log_time_ms(now_s)):
                    self._propose(command)
        effects = self._overviews.tick(leadership, membership, replica.watermark, now_s)
        if not group.space.is_full:
            effects += group.reports.tick(leadership, group.log_time_ms(now_s), now_s)
        return effects + self._reconfiguration.tick(leadership, replica, now_s)

    def _propose(self, command: Command) -> None:
        self._group.origin.submit(encode_command(command), None, float("inf"), urgent=True)
