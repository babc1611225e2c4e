"""Forwarding: numbered bundles of this node on their way to the leader that it follows.

The leader may be this node: then they wait in the `intake` with those of others. What is lost on
the way is sent again by the rules of `origin` (ORG-1, ORG-2); a gap is reported to the sender of
the bundle (INT-1).
"""

from quorate.base.batches import Bundle
from quorate.base.effects import Effect, Send
from quorate.base.ids import NodeId
from quorate.base.messages import Forward, ForwardGap
from quorate.node.dispatch import Handlers
from quorate.node.intake import Intake
from quorate.node.origin import Origin


class Forwarding:
    """The way from one node's origin to the leader.

    Args:
        origin: Where the bundles are numbered and kept.

    Attributes:
        leader: Who serves, as far as this node knows. To be read only, as the next one:
        intake: What waits for a slot here; None unless this node serves as leader.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.leader: NodeId | None = None
        self.intake: Intake | None = None

    @property
    def handlers(self) -> Handlers:
        """Which messages are taken here."""
        return {Forward: self._on_forward, ForwardGap: self._on_forward_gap}

    def follow(self, leader: NodeId | None, intake: Intake | None) -> None:
        """From now on bundles go to this node; an intake, if that is this one."""
        self.leader, self.intake = leader, intake

    def forward(self, bundle: Bundle) -> list[Effect]:
        """Bring a bundle of this node to the leader."""
        if self.intake is not None:
            self.intake.offer(bundle)
            return []
        return [] if self.leader is None else [Send(self.leader, Forward(bundle))]

    def send_again(self, now_s: float) -> list[Effect]:
        """Every bundle on the way goes to the leader again, in order."""
        return self._all(self._origin.all_again(now_s)) if self.leader is not None else []

    def send_overdue(self, now_s: float) -> list[Effect]:
        """All on the way go again, if the oldest was not applied for its growing time-out."""
        return self._all(self._origin.overdue(now_s)) if self.leader is not None else []

    def _all(self, bundles: list[Bundle]) -> list[Effect]:
        return [effect for bundle in bundles for effect in self.forward(bundle)]

    def _on_forward(self, sender: NodeId, message: Forward, now_s: float) -> list[Effect]:
        if self.intake is None:
            return []  # not serving: the origin sends again to the node that is
        gap = self.intake.offer(message.bundle)
        return [] if gap is None else [Send(sender, gap)]

    def _on_forward_gap(self, sender: NodeId, message: ForwardGap, now_s: float) -> list[Effect]:
        if sender != self.leader:
            return []
        first = (message.incarnation, message.sequence)
        return self._all(self._origin.from_sequence(*first, now_s))
