"""In force: the newest configuration that is in force by this node's *disk*.

A member that was removed may be shut down, and another one lose its disk, as soon as so many voters
of the new configuration hold durably that it is in force, that every majority of them has one of
them. Then no slot of the configuration before can need the removed member: each of them is chosen,
and every majority has a node that knows all of them, even after a power cut. So each node reports
in `HeartbeatAnswer` which configuration that is on its disk, and a leader answers the request for a
change when a quorum has reported it (rule MEM-4 in `node.reconfiguration`).

LRN-6: a node reports a configuration in force when, after a power cut, it would be: when all slots
    before its first one are chosen by what the log holds durably, or by a durable snapshot. In a
    *whole* incarnation the log proves all slots above the newest durable snapshot, once the report
    is stored that closed the old configuration (LRN-4). An incarnation is not whole if its tables
    held more than the log proves when it began (a killed process keeps its tables), or if it led
    and a slot was chosen otherwise (LDR-5). Then a snapshot of the tables is needed first.
"""

from collections.abc import Mapping

from quorate.base.effects import Effect, Send, SendWhenDurable
from quorate.base.errors import invariant
from quorate.base.ids import NO_NODE, NodeId, Slot
from quorate.base.messages import ConfigurationDurable, HeartbeatAnswer
from quorate.paxos.election import Election
from quorate.paxos.learner import Learner
from quorate.paxos.learning import Learning
from quorate.paxos.membership import Membership
from quorate.paxos.progress import Progress
from quorate.paxos.quorum import is_phase1_quorum


class Durable:
    """Which configuration is in force by this node's disk.

    Args:
        me: The id of this node.
        membership: The configurations in force and to come.
        learner: Of this node.
        learning: It stores what only a leader's report proved.
        election: It knows the leader, to which this is reported.

    Attributes:
        number: Of the newest configuration that is in force by this disk; 0 if none is known to be.
    """

    def __init__(
        self,
        me: NodeId,
        membership: Membership,
        learner: Learner,
        learning: Learning,
        election: Election,
    ) -> None:
        self._me = me
        self._membership = membership
        self._learner = learner
        self._learning = learning
        self._election = election
        self.number = membership.in_force(Slot(0))
        self._is_whole = True
        self._needed = Slot(0)  # a snapshot of this slot makes the incarnation whole

    @property
    def is_snapshot_wanted(self) -> bool:
        """Only a snapshot makes durable what is in force."""
        return not self._is_whole and self._in_force > self.number

    @property
    def _in_force(self) -> int:
        return self._membership.in_force(self._learner.watermark)

    def is_held_by_quorum(self, peers: Mapping[NodeId, Progress]) -> bool:
        """As leader: is the newest configuration in force by the disks of a quorum of its voters?

        Two majorities meet: of any voters that can elect a leader, one holds it.
        """
        newest = self._membership.newest
        holders = {node for node, peer in peers.items() if peer.in_force >= newest.number}
        if self.number >= newest.number:
            holders.add(self._me)
        return is_phase1_quorum(holders, newest.voter_ids)

    def begin(self, snapshot: Slot, applied: Slot) -> None:
        """An incarnation begins: with a durable snapshot of that slot, and tables at `applied`.

        To be called before the learner ends its recovery.
        """
        self._needed = applied
        self._is_whole = self._learner.is_proven(snapshot, applied)
        upto = self._learner.watermark if self._is_whole else snapshot
        self.number = self._membership.in_force(upto)

    def on_configuration_closed(self) -> list[Effect]:
        """A configuration went out of force: store the report that closed it, then say so."""
        return self._learning.log_report() + self._announce()

    def on_snapshot(self, slot: Slot) -> list[Effect]:
        """The tables as of `slot` are durable."""
        if slot >= self._needed:
            self._is_whole = True
        self.number = max(self.number, self._membership.in_force(slot))
        return self._announce()

    def on_contradicted(self) -> None:
        """This node led, and a slot was chosen otherwise: what is known chosen is in no record.

        Nor is what our votes chose above a slot that is not known yet.
        """
        learner = self._learner
        self._is_whole = False
        self._needed = max(learner.watermark, *learner.chosen, Slot(0))

    def on_stored(self, message: ConfigurationDurable) -> list[Effect]:
        """What the log was asked to hold is durable: report it to the leader at once."""
        leader = self._election.leader
        invariant(message.number <= self._in_force, "LRN-6: what is durable was in force before")
        self.number = max(self.number, message.number)
        if leader.node in (self._me, NO_NODE):
            return []
        watermark = self._learner.watermark
        answer = HeartbeatAnswer(leader, watermark, 0, Slot(0), 0, self.number)
        return [Send(leader.node, answer)]

    def _announce(self) -> list[Effect]:
        if not self._is_whole or self._in_force <= self.number:
            return []
        return [SendWhenDurable(self._me, ConfigurationDurable(self._in_force))]
