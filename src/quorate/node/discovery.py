"""Discovery: the nodes that a bootstrapping node has found, and those that others reported.

Linked nodes that expect the same number can bootstrap a cluster with this one. Reported nodes are
dialed, since the proposer of a bootstrap needs a link to each initial member.
"""

from collections.abc import Iterable
from typing import Any

from quorate.base.batches import Configuration, Member
from quorate.base.effects import Configured, Effect, Note, Send
from quorate.base.ids import NodeId
from quorate.base.messages import DiscoveryReport
from quorate.node.identities import PeerIdentities

KNOWN_MAX = 256
"""The number of nodes that are remembered from reports, for each purpose."""


class Discovery:
    """What is known of nodes that may bootstrap a cluster with this one.

    Args:
        me: This node as a member.
        expect: How many it waits for; below 2: it does not wait.
        identities: The links.

    Attributes:
        gone: Nodes whose address belongs to another directory now.
    """

    def __init__(self, me: Member, expect: int, identities: PeerIdentities) -> None:
        self._me = me
        self._expect = expect
        self._identities = identities
        self._met: dict[NodeId, Member] = {}  # linked, and they expect as many as we do
        self._reported: dict[NodeId, Member] = {}  # others reported them
        self._dialed: tuple[Member, ...] = ()
        self._other_expects: dict[str, int] = {}
        self.gone: dict[NodeId, None] = {}

    # --- what is known ---------------------------------------------------------------------------

    @property
    def candidates(self) -> dict[NodeId, Member]:
        """The nodes that could bootstrap a cluster now: this one, and those it has found."""
        return {self._me.id: self._me} | self._met

    @property
    def initial_members(self) -> tuple[Member, ...]:
        """The initial members of a bootstrap by this node, itself first; there must be enough."""
        others = sorted(self._met)[: self._expect - 1]
        return (self._me, *(self._met[node] for node in others))

    @property
    def turn(self) -> int:
        """How many others should propose before this node, those only reported counted as one."""
        lower = sum(node < self._me.id for node in self._met)
        return lower + any(node < self._me.id for node in self._reported)

    @property
    def reason(self) -> str:
        """What is missing, for people."""
        linked = self._identities.names
        missing = self._expect - len(self.candidates)
        if missing <= 0:
            return f"bootstrapping with {linked}: about to agree on the cluster"
        reached = f"reached {linked}" if linked else "none reachable"
        others = self._other_expects.items()
        wrong = sorted({f" {n} expects {k} nodes;" for n, k in others if k != self._expect})
        more = f";{''.join(wrong)}".rstrip(";") if wrong else ""
        return f"waiting for {missing} of {self._expect} nodes to bootstrap: {reached}{more}"

    # --- what happens ----------------------------------------------------------------------------

    def on_connected(self, peer: Member, initial_members: Iterable[Member]) -> None:
        """A link was established. Another node known at its address has lost its directory."""
        self.gone.pop(peer.id, None)
        for member in (*self._met.values(), *self._reported.values(), *initial_members):
            if member.address == peer.address and member.id not in (peer.id, self._me.id):
                self._met.pop(member.id, None)
                self._reported.pop(member.id, None)
                self._lose(member.id)
        if self._identities.cluster_of(peer.id):
            self._met.pop(peer.id, None)

    def on_disconnected(self, peer: NodeId) -> None:
        """The link broke; the peer may connect again."""
        member = self._met.pop(peer, None)
        if member is not None:
            self._reported[peer] = member

    def on_report(self, sender: NodeId, message: DiscoveryReport) -> list[Effect]:
        """A linked uninitialised node reports how many nodes it expects and which it knows."""
        if message.expect != self._expect:
            return self._other_expect(sender, message.expect)
        for member in message.known:
            if member.id == sender:
                self._met[sender] = member
                self._other_expects.pop(member.name, None)
                self._reported.pop(sender, None)
            elif member.id not in self.gone and member.id not in self.candidates:
                self._add_reported(member)
        return []

    def _add_reported(self, member: Member) -> None:
        """Another node reported it; it is gone if a different one is linked at its address."""
        linked = self._identities.linked.values()
        at_address = {peer.member.id for peer in linked if peer.member.address == member.address}
        if at_address - {member.id}:
            self._lose(member.id)
            return
        self._reported[member.id] = member
        _bound(self._reported)

    def _lose(self, node: NodeId) -> None:
        """The address of that node belongs to another directory."""
        self.gone[node] = None
        _bound(self.gone)

    def _other_expect(self, sender: NodeId, expect: int) -> list[Effect]:
        name = self._identities.name_of(sender)
        is_known = self._other_expects.get(name) == expect
        self._other_expects[name] = expect
        _bound(self._other_expects)
        if is_known or self._expect < 2:
            return []
        fields = {"node": name, "expects": expect, "here": self._expect}
        return [Note("bootstrap_expect differs", fields, True)]

    def reports(self) -> list[Effect]:
        """Report the known nodes, and request links to those that others reported."""
        known = self.candidates | self._reported
        report = DiscoveryReport(self._expect, tuple(known[node] for node in sorted(known)))
        effects: list[Effect] = [
            Send(peer, report) for peer in sorted(self._identities.uninitialised)
        ]
        others = tuple(known[node] for node in sorted(known) if node != self._me.id)
        if others != self._dialed:
            self._dialed = others
            effects.append(Configured(Configuration(0, 0, others), ""))
        return effects


def _bound(known: dict[Any, Any]) -> None:
    """Forget the oldest entry if there are too many: reports must not fill the memory."""
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
