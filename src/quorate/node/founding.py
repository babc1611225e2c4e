"""Founding: how a directory that is nobody's comes to belong to a cluster.

Three ways: alone (`-bootstrap`, `-dev`), together with a fixed number of others
(`-bootstrap-expect N`), or by joining a cluster that exists.

F1: a directory stores one founding in its life.
F2: a founding by N nodes counts only when all N have stored it, so two halves that both count N
    can never both found.
F3: a node that finds a founded cluster joins it instead, unless it has stored a founding.
F4: what is stored is the *first* configuration; later ones are in the log and in snapshots.

The one with the lowest id proposes. If it stops in between, the founding goes on when it is back.
"""

from collections.abc import Iterable, Iterator

from quorate.base.batches import Configuration, Member
from quorate.base.effects import Effect, Note, Persist, Reply, Send
from quorate.base.ids import NodeId
from quorate.base.messages import (
    Found,
    FoundDone,
    FoundStored,
    Join,
    Meet,
    Message,
    Welcome,
)
from quorate.base.ports import Rng
from quorate.base.records import Founded, Record

REPEAT_S = 0.5
"""Questions that nobody answered are asked again this often."""


def founding_first(records: Iterable[Record]) -> Iterator[Record]:
    """Replay order: what stands before the founding comes right after it.

    A log whose oldest segments are gone begins with the head of a later one, and that repeats the
    promise before the founding. A promise dropped there would break A1.
    """
    early: list[Record] = []
    is_founded = False
    for record in records:
        if isinstance(record, Founded):
            yield record
            is_founded = is_founded or record.complete
            if is_founded:
                yield from early
                early.clear()
        elif is_founded:
            yield record
        else:
            early.append(record)


class Founding:
    """The state of a directory before, and right after, it belongs to a cluster.

    Args:
        me: This node as a member.
        expect: Number of founders this node waits for; 0 or 1 if it only joins.
        rng: Chance for a cluster id.
    """

    def __init__(self, me: Member, expect: int, rng: Rng) -> None:
        self._me = me
        self._expect = expect
        self._rng = rng
        self.founded: Founded | None = None
        self._known: dict[NodeId, Member] = {me.id: me}
        self._peers: dict[NodeId, Member] = {}
        self._gone: set[NodeId] = set()
        self._blank: set[NodeId] = set()
        self._clusters: dict[NodeId, str] = {}
        self._stored: set[NodeId] = set()
        self._due_s = float("-inf")

    @property
    def is_done(self) -> bool:
        """The directory belongs to a cluster that exists."""
        return self.founded is not None and self.founded.complete

    @property
    def cluster_id(self) -> str:
        """The id for handshakes; "" as long as the cluster does not exist."""
        return self.founded.cluster_id if self.founded and self.founded.complete else ""

    @property
    def linked(self) -> set[NodeId]:
        """Peers to whom a link stands, whatever they belong to."""
        return self._blank | set(self._clusters)

    @property
    def names_of_linked(self) -> str:
        """The names of those to whom a link stands, for people."""
        return ", ".join(sorted(self._peers[node].name for node in self.linked))

    @property
    def reason(self) -> str:
        """What a node that belongs to no cluster waits for, for people."""
        linked = self.names_of_linked
        if self.founded is not None:
            voters = self.founded.configuration.voters
            if min(self.founded.configuration.voter_ids) == self._me.id:
                waiting = sorted(m.name for m in voters if m.id not in self._stored | {self._me.id})
            else:
                waiting = [min(voters, key=lambda member: member.id).name]
            return f"bootstrapping: waiting for {', '.join(waiting)} to confirm the new cluster"
        if self._clusters:
            cluster_id = min(self._clusters.values())
            return f"joining cluster {cluster_id}: not answered yet"
        if self._expect > 1:
            met = len(self._known.keys() & (self._blank | {self._me.id}))
            missing = max(self._expect - met, 0)
            if missing:
                heard = f"heard {linked}" if linked else "none heard"
                return f"waiting for {missing} of {self._expect} nodes to bootstrap: {heard}"
            return f"bootstrapping: waiting for {self._known[min(self._known)].name} to begin"
        heard = f"heard {linked}, which belong to none yet" if linked else "no other node heard"
        return f"waiting for a cluster to join: {heard}"

    def remember(self, record: Founded) -> None:
        """Replay a record of the log."""
        self.founded = record

    def alone(self) -> list[Effect]:
        """Found a cluster of one, if this directory is nobody's."""
        if self.founded is not None:
            return []
        return self._store(self._new_id(), (self._me,), complete=True)

    def on_connected(self, peer: Member, cluster_id: str) -> list[Effect]:
        """A link stands: what does its other end belong to?"""
        self._due_s = float("-inf")
        self._replace(peer)
        self._peers[peer.id] = peer
        if cluster_id:
            self._blank.discard(peer.id)
            self._clusters[peer.id] = cluster_id
            if self.founded and not self.founded.complete and cluster_id == self.founded.cluster_id:
                return self._complete()
        else:
            self._clusters.pop(peer.id, None)
            self._blank.add(peer.id)
        return []

    def _replace(self, peer: Member) -> None:
        """Whoever else was met at this address had another directory, which is gone."""
        self._gone.discard(peer.id)
        for member in list(self._known.values()):
            if member.address == peer.address and member.id not in (peer.id, self._me.id):
                del self._known[member.id]
                self._gone.add(member.id)

    def on_disconnected(self, peer: NodeId) -> None:
        """The link is gone."""
        self._blank.discard(peer)
        self._clusters.pop(peer, None)
        self._peers.pop(peer, None)

    def tick(self, now_s: float) -> list[Effect]:
        """Say again what still waits for an answer."""
        if self.is_done or now_s < self._due_s:
            return []
        self._due_s = now_s + REPEAT_S
        if self.founded is not None:
            return self._offer(self.founded)
        if self._clusters:
            return [Send(peer, Join(self._me)) for peer in sorted(self._clusters)]
        if self._expect < 2:
            return []
        meet = Meet(self._expect, tuple(self._known[node] for node in sorted(self._known)))
        return [Send(peer, meet) for peer in sorted(self._blank)] + self._try_to_found()

    def receive(self, sender: NodeId, message: Message) -> list[Effect]:
        """Take a message of the founding conversation."""
        if isinstance(message, Meet):
            return self._on_meet(message)
        if isinstance(message, Found):
            return self._on_found(sender, message)
        if isinstance(message, FoundStored):
            return self._on_stored(sender, message)
        if isinstance(message, FoundDone):
            pending = self.founded
            if pending and not pending.complete and pending.cluster_id == message.cluster_id:
                return self._complete()
        if isinstance(message, Welcome) and self.founded is None:
            return self._store(message.cluster_id, message.configuration.voters, complete=True)
        return []

    def _on_meet(self, message: Meet) -> list[Effect]:
        if self.founded is not None or message.expect != self._expect:
            return []
        for member in message.known:
            if member.id not in self._gone:
                self._known.setdefault(member.id, member)
        return self._try_to_found()

    def _try_to_found(self) -> list[Effect]:
        if self.founded is not None or self._clusters or len(self._known) < self._expect:
            return []
        founders = sorted(self._known)[: self._expect]
        if founders[0] != self._me.id or not set(founders[1:]) <= self._blank:
            return []
        members = tuple(self._known[node] for node in founders)
        effects = self._store(self._new_id(), members, complete=False)
        self._stored = {self._me.id}
        return effects + (self._offer(self.founded) if self.founded else [])

    def _offer(self, founded: Founded) -> list[Effect]:
        found = Found(founded.cluster_id, founded.configuration)
        others = sorted(founded.configuration.voter_ids - {self._me.id})
        if min(founded.configuration.voter_ids) != self._me.id:
            stored = FoundStored(founded.cluster_id)  # whoever knows it complete says so again
            return [Reply(peer, stored) for peer in others if peer in self.linked]
        self._stored.add(self._me.id)
        return [Reply(peer, found) for peer in others if peer in self._blank]

    def _on_found(self, sender: NodeId, message: Found) -> list[Effect]:
        if self.founded is None:
            if self._me.id not in message.configuration.voter_ids:
                return []
            stored = self._store(message.cluster_id, message.configuration.voters, complete=False)
            return [*stored, Reply(sender, FoundStored(message.cluster_id))]
        if self.founded.cluster_id == message.cluster_id:
            return [Reply(sender, FoundStored(message.cluster_id))]
        return [Note("founding refused", {"asked": sender, "stored": self.founded.cluster_id})]

    def _on_stored(self, sender: NodeId, message: FoundStored) -> list[Effect]:
        founded = self.founded
        if founded is None or founded.cluster_id != message.cluster_id:
            return []
        done = FoundDone(founded.cluster_id)
        if founded.complete:
            return [Reply(sender, done)]
        self._stored.add(sender)
        if not founded.configuration.voter_ids <= self._stored:
            return []
        others = sorted(founded.configuration.voter_ids - {self._me.id})
        return self._complete() + [Reply(peer, done) for peer in others]

    def _complete(self) -> list[Effect]:
        pending = self.founded
        if pending is None:
            return []
        self.founded = Founded(pending.cluster_id, pending.configuration, complete=True)
        return [Persist(self.founded)]

    def _store(
        self, cluster_id: str, voters: tuple[Member, ...], *, complete: bool
    ) -> list[Effect]:
        configuration = Configuration(1, 0, voters)
        self.founded = Founded(cluster_id, configuration, complete)
        return [Persist(self.founded)]

    def _new_id(self) -> str:
        text = "".join("0123456789abcdef"[self._rng.randrange(16)] for _ in range(32))
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
