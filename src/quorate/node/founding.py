"""Founding: how a directory that belongs to no cluster comes to belong to one.

Three ways: alone (`-bootstrap`, `-dev`), together with a fixed number of others
(`-bootstrap-expect N`), or by joining a cluster that exists (`node.joining`).
`docs/protocol/bootstrap.md` lists every state and what moves it on.

BST-1: a directory stores one complete founding in its life.
BST-2: a founding by N nodes counts only when all N have stored it, so two halves that both count N
    can never both found. Only the node that began it counts.
BST-3: a node that finds a founded cluster joins it instead, unless it has stored a founding.
BST-4: what is stored is the *first* configuration; later ones are in the log and in snapshots.
BST-5: a founding that is not complete may be given up, durably, by who began it: nobody else can
    complete it.
BST-6: when who began it is gone, it may be complete there and at others. So another founder first
    abandons it, durably and told to all. It gives up when those that have abandoned it are so many
    that the rest is no quorum: then no such cluster has written or ever writes anything. It
    completes when so many have completed it that this can not happen any more. What was given up
    is never stored again.

The one with the lowest id begins. If it does not, the next one does after a while.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from quorate.base.batches import Configuration, Member
from quorate.base.config import Bootstrap
from quorate.base.effects import Close, Effect, Note, Persist, SendWhenDurable
from quorate.base.ids import NodeId
from quorate.base.messages import (
    Found,
    FoundAbandoned,
    FoundCancelled,
    FoundDone,
    FoundStored,
    Meet,
    Message,
    Welcome,
)
from quorate.base.ports import Rng
from quorate.base.records import Founded, Record
from quorate.node.joining import Joining
from quorate.node.meetings import Meetings
from quorate.node.peering import Peering
from quorate.paxos.quorum import is_phase1_quorum

REPEAT_S = 0.5
"""Questions that nobody answered are asked again this often."""

PATIENCE_S = 15.0
"""A founder without a link for this long is done without, if there is a way without it."""

TURN_S = 3.0
"""A node begins this much later for each node with a lower id that should have begun."""

BACKOFF_S = 2.0
"""Who gave up a founding waits up to this long before it begins another one."""

GIVEN_UP_MAX = 256
"""So many foundings that were given up are remembered."""


def founding_first(records: Iterable[Record]) -> Iterator[Record]:
    """Replay order: what stands before the founding comes right after it.

    A log whose oldest segments are gone begins with the head of a later one, and that repeats the
    promise before the founding. A promise dropped there would break ACC-1.
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
        bootstrap: How many to wait for, and whom to join.
        rng: Chance for a cluster id, and for pauses.
        peering: The links.

    Attributes:
        founded: What is stored here: complete, pending, or None.
        meetings: Whom this node has met.
    """

    def __init__(self, me: Member, bootstrap: Bootstrap, rng: Rng, peering: Peering) -> None:
        self._me = me
        self._expect = bootstrap.expect
        self._rng = rng
        self._peering = peering
        self._joining = Joining(me, bootstrap.addresses)
        self.founded: Founded | None = None
        self.meetings = Meetings(me, bootstrap.expect, peering)
        self._stored: set[NodeId] = set()
        self._abandoned: set[NodeId] = set()
        self._given_up: dict[str, None] = {}
        self._seen_s: dict[NodeId, float] = {}
        self._enough_s = float("inf")
        self._pause_s = 0.0
        self._due_s = float("-inf")
        self._handlers: dict[type, Callable[[NodeId, Any], list[Effect]]] = {
            Meet: self._on_meet,
            Found: self._on_found,
            FoundStored: self._on_stored,
            FoundDone: self._on_done,
            FoundCancelled: self._on_cancelled,
            FoundAbandoned: self._on_abandoned,
            Welcome: self._on_welcome,
        }

    @property
    def messages(self) -> Iterable[type]:
        """What `receive` takes."""
        return self._handlers

    @property
    def is_done(self) -> bool:
        """The directory belongs to a cluster that exists."""
        return self.founded is not None and self.founded.complete

    @property
    def cluster_id(self) -> str:
        """The id for handshakes; "" as long as the cluster does not exist."""
        return self.founded.cluster_id if self.founded and self.founded.complete else ""

    @property
    def reason(self) -> str:
        """What a node that belongs to no cluster waits for, for people."""
        linked = self._peering.names
        if self.founded is not None:
            names = ", ".join(sorted(member.name for member in self._awaited(self.founded)))
            if self.founded.is_abandoned:
                return f"bootstrapping anew: waiting for {names} to say if the first try succeeded"
            return f"bootstrapping: waiting for {names} to confirm the new cluster"
        cluster_id = self._joining.asked or min(self._peering.clusters, default="")
        if cluster_id:
            return f"joining cluster {cluster_id}: not answered yet"
        if self._expect > 1:
            return self.meetings.reason
        heard = "no other node heard"
        if linked:
            heard = f"heard {linked}, in no cluster yet; a new one needs -bootstrap-expect"
        return f"waiting for a cluster to join: {heard}"

    def remember(self, record: Founded) -> None:
        """Replay a record of the log."""
        if record.cluster_id:
            self.founded = record
            if record.is_abandoned:
                self._abandoned.add(self._me.id)
        elif self.founded is not None:
            self._remember_given_up(self.founded.cluster_id)
            self.founded = None

    def alone(self) -> list[Effect]:
        """Found a cluster of one, if this directory belongs to none that exists."""
        if self.is_done:
            return []
        return self._store(self._new_id(), (self._me,), complete=True)

    # --- links ---------------------------------------------------------------------------------

    def on_connected(self, peer: Member) -> list[Effect]:
        """A link stands, or its other end said what it belongs to."""
        self._due_s = float("-inf")
        self._joining.hurry()
        founded = self.founded
        self.meetings.on_connected(peer, founded.configuration.voters if founded else ())
        if founded is not None and self._peering.cluster_of(peer.id) == founded.cluster_id:
            return self._completed_elsewhere()
        return []

    def on_disconnected(self, peer: NodeId) -> None:
        """The link is gone; its other end may come back."""
        self.meetings.on_disconnected(peer)

    # --- time ----------------------------------------------------------------------------------

    def tick(self, now_s: float) -> list[Effect]:
        """Say again what still waits for an answer; leave what leads nowhere."""
        if self.is_done:
            return []
        if self.founded is not None:
            given_up = self._check(self.founded, now_s)
            if given_up or now_s < self._due_s:
                return given_up
            self._due_s = now_s + REPEAT_S
            return self._offer(self.founded)
        clusters = self._peering.clusters
        effects = self._joining.tick(clusters, now_s)
        for effect in effects:
            if isinstance(effect, Close):
                self._peering.on_disconnected(effect.peer)
        if clusters or self._joining.asked or self._expect < 2:  # BST-3
            return effects
        if now_s >= self._due_s:
            self._due_s = now_s + REPEAT_S
            effects += self.meetings.tell()
        return effects + self._try_to_found(now_s)

    def _try_to_found(self, now_s: float) -> list[Effect]:
        meetings = self.meetings
        if len(meetings.candidates) < self._expect:
            self._enough_s = float("inf")
            return []
        self._enough_s = min(self._enough_s, now_s)
        if now_s < self._enough_s + TURN_S * meetings.turn + self._pause_s:
            return []
        effects = self._store(self._new_id(), meetings.founders, complete=False)
        return effects + (self._offer(self.founded) if self.founded is not None else [])

    # --- messages ------------------------------------------------------------------------------

    def receive(self, sender: NodeId, message: Message) -> list[Effect]:
        """Take a message of the founding conversation."""
        handler = self._handlers.get(type(message))
        return [] if handler is None else handler(sender, message)

    def _on_done(self, _: NodeId, message: FoundDone) -> list[Effect]:
        pending = self._pending
        if pending is None or pending.cluster_id != message.cluster_id:
            return []
        return self._completed_elsewhere()

    def _on_abandoned(self, sender: NodeId, message: FoundAbandoned) -> list[Effect]:
        pending = self._pending
        if pending is None or pending.cluster_id != message.cluster_id:
            if message.cluster_id in self._given_up:
                return [SendWhenDurable(sender, message)]
            return []
        if self._has_begun:
            return self._cancel(f"{self._peering.name_of(sender)} does not take part")
        if sender in pending.configuration.voter_ids:
            self._abandoned.add(sender)
        return self._give_up_abandoned(pending)

    def _on_cancelled(self, sender: NodeId, message: FoundCancelled) -> list[Effect]:
        pending = self._pending
        if pending is None or pending.cluster_id != message.cluster_id:
            return []
        if not self._has_begun and sender != self._began:
            return []
        return self._cancel(f"{self._peering.name_of(sender)} does not take part")

    def _on_welcome(self, sender: NodeId, message: Welcome) -> list[Effect]:
        if self.founded is not None:
            return []
        if message.cluster_id != self._joining.asked:
            fields = {"node": self._peering.name_of(sender), "cluster": message.cluster_id}
            return [Note("welcome refused", fields, True)]
        return self._store(message.cluster_id, message.configuration.voters, complete=True)

    def _on_meet(self, sender: NodeId, message: Meet) -> list[Effect]:
        if self.founded is not None or sender not in self._peering.uninitialised:
            return []
        return self.meetings.on_meet(sender, message)

    def _on_found(self, sender: NodeId, message: Found) -> list[Effect]:
        cluster_id, voters = message.cluster_id, message.configuration.voters
        founded = self.founded
        if founded is not None and founded.cluster_id == cluster_id:
            is_abandoned = founded.is_abandoned
            answer = FoundAbandoned(cluster_id) if is_abandoned else FoundStored(cluster_id, sender)
            return [SendWhenDurable(sender, answer)]
        is_joining = bool(self._joining.asked or self._peering.clusters)
        is_wrong = self._me not in voters or len(voters) != self._expect or is_joining
        is_wrong = is_wrong or cluster_id in self._given_up
        if founded is None and not is_wrong and voters[0].id == sender:
            stored = self._store(cluster_id, voters, complete=False)
            return [*stored, SendWhenDurable(sender, FoundStored(cluster_id, sender))]
        stored_id = founded.cluster_id if founded is not None else ""
        return [
            Note("founding refused", {"asked": self._peering.name_of(sender), "stored": stored_id}),
            SendWhenDurable(sender, FoundCancelled(cluster_id)),
        ]

    def _on_stored(self, sender: NodeId, message: FoundStored) -> list[Effect]:
        founded = self.founded
        if founded is None or founded.cluster_id != message.cluster_id:
            is_begun_here = message.proposer == self._me.id  # and not held: so given up
            return (
                [SendWhenDurable(sender, FoundCancelled(message.cluster_id))]
                if is_begun_here
                else []
            )
        done = FoundDone(founded.cluster_id)
        if founded.complete:
            return [SendWhenDurable(sender, done)]
        if not self._has_begun:  # BST-2
            return []
        self._stored.add(sender)
        if not founded.configuration.voter_ids <= self._stored | {self._me.id}:
            return []
        others = sorted(founded.configuration.voter_ids - {self._me.id})
        return self._complete() + [SendWhenDurable(peer, done) for peer in others]

    # --- a founding that is not complete -------------------------------------------------------

    @property
    def _pending(self) -> Founded | None:
        return None if self.is_done else self.founded

    @property
    def _began(self) -> NodeId:
        """Who began the founding that is stored here."""
        return self.founded.configuration.voters[0].id if self.founded is not None else self._me.id

    @property
    def _has_begun(self) -> bool:
        return self._began == self._me.id

    def _awaited(self, founded: Founded) -> list[Member]:
        """Whose answer is missing."""
        voters = founded.configuration.voters
        if founded.is_abandoned:
            settled = self._abandoned | {self._me.id}
            return [m for m in voters if m.id not in settled and not self._has_completed(m.id)]
        if not self._has_begun:
            return [voters[0]]
        return [m for m in voters if m.id not in self._stored and m.id != self._me.id]

    def _offer(self, founded: Founded) -> list[Effect]:
        others = founded.configuration.voter_ids - {self._me.id}
        if founded.is_abandoned:
            abandoned = FoundAbandoned(founded.cluster_id)
            return [
                SendWhenDurable(peer, abandoned)
                for peer in sorted(others & self._peering.uninitialised)
            ]
        if not self._has_begun:  # whoever knows it complete says so
            stored = FoundStored(founded.cluster_id, self._began)
            return [
                SendWhenDurable(peer, stored)
                for peer in sorted(others & self._peering.linked.keys())
            ]
        found = Found(founded.cluster_id, founded.configuration)
        return [
            SendWhenDurable(peer, found) for peer in sorted(others & self._peering.uninitialised)
        ]

    def _check(self, founded: Founded, now_s: float) -> list[Effect]:
        """Give it up if it leads nowhere: at once (BST-5), or when enough others do (BST-6)."""
        if founded.is_abandoned:
            return []
        leave = self._cancel if self._has_begun else self._abandon
        silent: list[Member] = []
        awaited = self._awaited(founded)
        for member in founded.configuration.voters if self._has_begun else awaited:
            if member.id in self.meetings.gone:
                return leave(f"{member.name} has lost its directory")
            if self._peering.cluster_of(member.id):  # another one: else it would be complete
                return leave(f"{member.name} belongs to another cluster")
        for member in awaited:
            if member.id in self._peering.linked:
                self._seen_s[member.id] = now_s
            elif now_s - self._seen_s.setdefault(member.id, now_s) >= PATIENCE_S:
                silent.append(member)
        if silent and self._may_do_without(founded):
            names = ", ".join(member.name for member in silent)
            return leave(f"{names} not heard for {PATIENCE_S:g} s")
        return []

    def _abandon(self, why: str) -> list[Effect]:
        founded = self.founded
        if founded is None:
            return []
        self.founded = msgspec.structs.replace(founded, is_abandoned=True)
        self._abandoned.add(self._me.id)
        self._due_s = float("-inf")
        told = Note("founding abandoned", {"cluster": founded.cluster_id, "why": why}, True)
        return [told, Persist(self.founded), *self._give_up_abandoned(self.founded)]

    def _give_up_abandoned(self, founded: Founded) -> list[Effect]:
        """Give up what so many have abandoned that the rest is no quorum (BST-6)."""
        voters = founded.configuration.voter_ids
        if not founded.is_abandoned or is_phase1_quorum(voters - self._abandoned, voters):
            return []
        names = ", ".join(sorted(self._peering.name_of(node) for node in self._abandoned))
        effects = self._cancel(f"abandoned by {names}")
        told = FoundAbandoned(founded.cluster_id)
        return effects + [SendWhenDurable(peer, told) for peer in sorted(voters - {self._me.id})]

    def _completed_elsewhere(self) -> list[Effect]:
        """Another founder has it complete: so is it here, unless it was abandoned (BST-6)."""
        pending = self._pending
        if pending is None:
            return []
        voters = pending.configuration.voter_ids
        completed = {node for node in voters if self._has_completed(node)}
        if pending.is_abandoned and not is_phase1_quorum(completed, voters):
            return []  # the others may have abandoned it, too
        return self._complete()

    def _has_completed(self, node: NodeId) -> bool:
        founded = self.founded
        return founded is not None and self._peering.cluster_of(node) == founded.cluster_id

    def _may_do_without(self, founded: Founded) -> bool:
        """Is there a cluster to join, or are there enough others to found another one?"""
        return bool(self._peering.clusters) or len(self._peering.uninitialised) + 1 >= len(
            founded.configuration.voters
        )

    def _cancel(self, why: str) -> list[Effect]:
        founded = self.founded
        if founded is None:
            return []
        others = sorted(founded.configuration.voter_ids - {self._me.id})
        told = [SendWhenDurable(peer, FoundCancelled(founded.cluster_id)) for peer in others]
        has_begun = self._has_begun
        self._remember_given_up(founded.cluster_id)
        self._forget()
        self._pause_s = self._rng.random() * BACKOFF_S
        return [
            Note("founding given up", {"cluster": founded.cluster_id, "why": why}, True),
            Persist(Founded("", Configuration(0, 0, ()), complete=False)),
            *(told if has_begun else []),
        ]

    def _forget(self) -> None:
        self.founded = None
        self._stored.clear()
        self._abandoned.clear()
        self._seen_s.clear()
        self._enough_s, self._due_s = float("inf"), float("-inf")

    def _complete(self) -> list[Effect]:
        pending = self._pending
        if pending is None:
            return []
        self.founded = Founded(pending.cluster_id, pending.configuration, complete=True)
        return [Persist(self.founded)]

    def _store(
        self, cluster_id: str, voters: tuple[Member, ...], *, complete: bool
    ) -> list[Effect]:
        self._forget()
        self.founded = Founded(cluster_id, Configuration(1, 0, voters), complete)
        return [Persist(self.founded)]

    def _remember_given_up(self, cluster_id: str) -> None:
        self._given_up[cluster_id] = None
        if len(self._given_up) > GIVEN_UP_MAX:
            del self._given_up[next(iter(self._given_up))]

    def _new_id(self) -> str:
        text = "".join("0123456789abcdef"[self._rng.randrange(16)] for _ in range(32))
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
