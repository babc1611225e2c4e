"""Meetings: whom a node that bootstraps has met, and of whom others told it.

Nodes that expect as many as we do, and are linked, can found a cluster with us. Others met more:
those are dialed, since who begins a founding needs a link to each founder.
"""

from collections.abc import Iterable
from typing import Any

from quorate.base.batches import Configuration, Member
from quorate.base.effects import Configured, Effect, Note, Send
from quorate.base.ids import NodeId
from quorate.base.messages import Meet
from quorate.node.peering import Peering

KNOWN_MAX = 256
"""So many nodes are remembered from what others tell, for each purpose."""


class Meetings:
    """What is known of those that may found a cluster with this node.

    Args:
        me: This node as a member.
        expect: How many it waits for; below 2: it waits for nobody.
        peering: The links.

    Attributes:
        gone: Nodes whose address another directory has now.
    """

    def __init__(self, me: Member, expect: int, peering: Peering) -> None:
        self._me = me
        self._expect = expect
        self._peering = peering
        self._met: dict[NodeId, Member] = {}  # linked, and they expect as many as we do
        self._told: dict[NodeId, Member] = {}  # others met them
        self._dialed: tuple[Member, ...] = ()
        self._other_expects: dict[str, int] = {}
        self.gone: dict[NodeId, None] = {}

    # --- what is known ---------------------------------------------------------------------------

    @property
    def candidates(self) -> dict[NodeId, Member]:
        """Who could found a cluster now: this node, and whoever it met."""
        return {self._me.id: self._me} | self._met

    @property
    def founders(self) -> tuple[Member, ...]:
        """With whom this node would found a cluster, itself first; there must be enough."""
        others = sorted(self._met)[: self._expect - 1]
        return (self._me, *(self._met[node] for node in others))

    @property
    def turn(self) -> int:
        """How many others should begin before this node does, those heard of counted as one."""
        lower = sum(node < self._me.id for node in self._met)
        return lower + any(node < self._me.id for node in self._told)

    @property
    def reason(self) -> str:
        """What is missing, for people."""
        linked = self._peering.names
        missing = self._expect - len(self.candidates)
        if missing <= 0:
            return f"bootstrapping with {linked}: about to agree on the cluster"
        heard = f"heard {linked}" if linked else "none heard"
        others = self._other_expects.items()
        wrong = sorted({f" {n} expects {k} nodes;" for n, k in others if k != self._expect})
        more = f";{''.join(wrong)}".rstrip(";") if wrong else ""
        return f"waiting for {missing} of {self._expect} nodes to bootstrap: {heard}{more}"

    # --- what happens ----------------------------------------------------------------------------

    def on_connected(self, peer: Member, founders: Iterable[Member]) -> None:
        """A link stands. Whoever else was met at its address had another directory, now gone."""
        self.gone.pop(peer.id, None)
        for member in (*self._met.values(), *self._told.values(), *founders):
            if member.address == peer.address and member.id not in (peer.id, self._me.id):
                self._met.pop(member.id, None)
                self._told.pop(member.id, None)
                self._lose(member.id)
        if self._peering.cluster_of(peer.id):
            self._met.pop(peer.id, None)

    def on_disconnected(self, peer: NodeId) -> None:
        """The link is gone; its other end may come back."""
        member = self._met.pop(peer, None)
        if member is not None:
            self._told[peer] = member

    def on_meet(self, sender: NodeId, message: Meet) -> list[Effect]:
        """A linked node that belongs to no cluster says how many it expects and whom it knows."""
        if message.expect != self._expect:
            return self._other_expect(sender, message.expect)
        for member in message.known:
            if member.id == sender:
                self._met[sender] = member
                self._other_expects.pop(member.name, None)
                self._told.pop(sender, None)
            elif member.id not in self.gone and member.id not in self.candidates:
                self._hear_of(member)
        return []

    def _hear_of(self, member: Member) -> None:
        """Somebody met that node; if another one is linked at its address, it is gone."""
        linked = self._peering.linked.values()
        at_address = {peer.member.id for peer in linked if peer.member.address == member.address}
        if at_address - {member.id}:
            self._lose(member.id)
            return
        self._told[member.id] = member
        _bound(self._told)

    def _lose(self, node: NodeId) -> None:
        """Another directory has the address of that node."""
        self.gone[node] = None
        _bound(self.gone)

    def _other_expect(self, sender: NodeId, expect: int) -> list[Effect]:
        name = self._peering.name_of(sender)
        is_known = self._other_expects.get(name) == expect
        self._other_expects[name] = expect
        _bound(self._other_expects)
        if is_known or self._expect < 2:
            return []
        fields = {"node": name, "expects": expect, "here": self._expect}
        return [Note("bootstrap_expect differs", fields, True)]

    def tell(self) -> list[Effect]:
        """Say whom we know, and have links made to those of whom others told."""
        known = self.candidates | self._told
        meet = Meet(self._expect, tuple(known[node] for node in sorted(known)))
        effects: list[Effect] = [Send(peer, meet) for peer in sorted(self._peering.uninitialised)]
        others = tuple(known[node] for node in sorted(known) if node != self._me.id)
        if others != self._dialed:
            self._dialed = others
            effects.append(Configured(Configuration(0, 0, others), ""))
        return effects


def _bound(known: dict[Any, Any]) -> None:
    """Forget the oldest entry if there are too many: what others say must not fill the memory."""
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
