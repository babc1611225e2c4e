"""Bootstrap: how an uninitialised directory comes to belong to a cluster.

Three ways: alone (`-bootstrap`, `-dev`), together with a fixed number of others
(`-bootstrap-expect N`), or by joining a cluster that exists (`node.joining`).
`docs/protocol/bootstrap.md` lists every state and what moves it on.

BST-1: a directory stores at most one complete bootstrap record.
BST-2: a bootstrap by N nodes is complete only when all N have stored it, so two sets of N nodes can
    never both complete one. Only its proposer counts.
BST-3: a node that finds an existing cluster joins it instead, unless it has stored a bootstrap.
BST-4: what is stored is the *first* configuration; later ones are in the log and in snapshots.
BST-5: an incomplete bootstrap may be given up, durably, by its proposer: no other node can complete
    it.
BST-6: when its proposer has failed, it may be complete there and at others. So another initial
    member first abandons it, durably, and announces that to all. It gives up when so many have
    abandoned it that the rest is no quorum: then that cluster has never written anything, and never
    will. It completes when so many have completed it that this cannot happen any more. What was
    given up is never stored again.

The node with the lowest id proposes. If it does not, the next one does after a while.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from quorate.base.batches import Configuration, Member
from quorate.base.config import Bootstrap
from quorate.base.effects import Close, Effect, Note, Persist, SendWhenDurable
from quorate.base.ids import NodeId
from quorate.base.messages import (
    BootstrapAbandoned,
    BootstrapCancelled,
    BootstrapDone,
    BootstrapOffer,
    BootstrapStored,
    DiscoveryReport,
    Message,
    Welcome,
)
from quorate.base.ports import Rng
from quorate.base.records import Bootstrapped, Record
from quorate.node.discovery import Discovery
from quorate.node.identities import PeerIdentities
from quorate.node.joining import Joining
from quorate.paxos.quorum import is_phase1_quorum

REPEAT_S = 0.5
"""Requests without an answer are repeated this often."""

SILENCE_S = 15.0
"""A bootstrap whose member had no link for this long is left, if there is another way."""

TURN_S = 3.0
"""A node proposes this much later for each node with a lower id that should have done so."""

BACKOFF_S = 2.0
"""A node that gave up a bootstrap waits up to this long before it proposes another one."""

GIVEN_UP_MAX = 256
"""The number of given up bootstraps that are remembered."""


def bootstrap_first(records: Iterable[Record]) -> Iterator[Record]:
    """Replay order: records before the bootstrap record come right after it.

    A log whose oldest segments were removed begins with the head of a later one, and that repeats
    the promise before the bootstrap record. A promise dropped there would break ACC-1.
    """
    early: list[Record] = []
    is_bootstrapped = False
    for record in records:
        if isinstance(record, Bootstrapped):
            yield record
            is_bootstrapped = is_bootstrapped or record.complete
            if is_bootstrapped:
                yield from early
                early.clear()
        elif is_bootstrapped:
            yield record
        else:
            early.append(record)


class BootstrapProtocol:
    """The state of a directory before, and right after, it belongs to a cluster.

    Args:
        me: This node as a member.
        bootstrap: How many nodes to wait for, and which to join.
        rng: For a cluster id, and for pauses.
        identities: The links.

    Attributes:
        bootstrapped: What is stored here: complete, pending, or None.
        discovery: The nodes that it has found.
    """

    def __init__(
        self, me: Member, bootstrap: Bootstrap, rng: Rng, identities: PeerIdentities
    ) -> None:
        self._me = me
        self._expect = bootstrap.expect
        self._rng = rng
        self._identities = identities
        self._joining = Joining(me, bootstrap.addresses)
        self.bootstrapped: Bootstrapped | None = None
        self.discovery = Discovery(me, bootstrap.expect, identities)
        self._stored: set[NodeId] = set()
        self._abandoned: set[NodeId] = set()
        self._given_up: dict[str, None] = {}
        self._seen_s: dict[NodeId, float] = {}
        self._enough_s = float("inf")
        self._pause_s = 0.0
        self._due_s = float("-inf")
        self._handlers: dict[type, Callable[[NodeId, Any], list[Effect]]] = {
            DiscoveryReport: self._on_discovery_report,
            BootstrapOffer: self._on_found,
            BootstrapStored: self._on_stored,
            BootstrapDone: self._on_done,
            BootstrapCancelled: self._on_cancelled,
            BootstrapAbandoned: self._on_abandoned,
            Welcome: self._on_welcome,
        }

    @property
    def messages(self) -> Iterable[type]:
        """The types that `receive` handles."""
        return self._handlers

    @property
    def is_done(self) -> bool:
        """The directory belongs to a cluster that exists."""
        return self.bootstrapped is not None and self.bootstrapped.complete

    @property
    def cluster_id(self) -> str:
        """The id for handshakes; "" as long as the cluster does not exist."""
        return (
            self.bootstrapped.cluster_id if self.bootstrapped and self.bootstrapped.complete else ""
        )

    @property
    def reason(self) -> str:
        """What an uninitialised node waits for, for people."""
        linked = self._identities.names
        if self.bootstrapped is not None:
            names = ", ".join(sorted(member.name for member in self._awaited(self.bootstrapped)))
            if self.bootstrapped.is_abandoned:
                return f"bootstrapping anew: waiting for {names} to say if the first try succeeded"
            return f"bootstrapping: waiting for {names} to confirm the new cluster"
        cluster_id = self._joining.asked or min(self._identities.clusters, default="")
        if cluster_id:
            return f"joining cluster {cluster_id}: not answered yet"
        if self._expect > 1:
            return self.discovery.reason
        reached = "no other node reachable"
        if linked:
            reached = f"reached {linked}, in no cluster yet; a new one needs -bootstrap-expect"
        return f"waiting for a cluster to join: {reached}"

    def remember(self, record: Bootstrapped) -> None:
        """Replay a record of the log."""
        if record.cluster_id:
            self.bootstrapped = record
            if record.is_abandoned:
                self._abandoned.add(self._me.id)
        elif self.bootstrapped is not None:
            self._remember_given_up(self.bootstrapped.cluster_id)
            self.bootstrapped = None

    def alone(self) -> list[Effect]:
        """Bootstrap a cluster of one, if this directory belongs to none that exists."""
        if self.is_done:
            return []
        return self._store(self._new_id(), (self._me,), complete=True)

    # --- links ---------------------------------------------------------------------------------

    def on_connected(self, peer: Member) -> list[Effect]:
        """A link was established, or its peer announced its cluster."""
        self._due_s = float("-inf")
        self._joining.retry_now()
        bootstrapped = self.bootstrapped
        self.discovery.on_connected(peer, bootstrapped.configuration.voters if bootstrapped else ())
        if (
            bootstrapped is not None
            and self._identities.cluster_of(peer.id) == bootstrapped.cluster_id
        ):
            return self._completed_elsewhere()
        return []

    def on_disconnected(self, peer: NodeId) -> None:
        """The link broke; the peer may connect again."""
        self.discovery.on_disconnected(peer)

    # --- time ----------------------------------------------------------------------------------

    def tick(self, now_s: float) -> list[Effect]:
        """Repeat unanswered messages; leave a bootstrap that cannot complete."""
        if self.is_done:
            return []
        if self.bootstrapped is not None:
            given_up = self._check(self.bootstrapped, now_s)
            if given_up or now_s < self._due_s:
                return given_up
            self._due_s = now_s + REPEAT_S
            return self._offer(self.bootstrapped)
        clusters = self._identities.clusters
        effects = self._joining.tick(clusters, now_s)
        for effect in effects:
            if isinstance(effect, Close):
                self._identities.on_disconnected(effect.peer)
        if clusters or self._joining.asked or self._expect < 2:  # BST-3
            return effects
        if now_s >= self._due_s:
            self._due_s = now_s + REPEAT_S
            effects += self.discovery.reports()
        return effects + self._try_to_found(now_s)

    def _try_to_found(self, now_s: float) -> list[Effect]:
        discovery = self.discovery
        if len(discovery.candidates) < self._expect:
            self._enough_s = float("inf")
            return []
        self._enough_s = min(self._enough_s, now_s)
        if now_s < self._enough_s + TURN_S * discovery.turn + self._pause_s:
            return []
        effects = self._store(self._new_id(), discovery.initial_members, complete=False)
        return effects + (self._offer(self.bootstrapped) if self.bootstrapped is not None else [])

    # --- messages ------------------------------------------------------------------------------

    def receive(self, sender: NodeId, message: Message) -> list[Effect]:
        """Handle a message of the bootstrap protocol."""
        handler = self._handlers.get(type(message))
        return [] if handler is None else handler(sender, message)

    def _on_done(self, _: NodeId, message: BootstrapDone) -> list[Effect]:
        pending = self._pending
        if pending is None or pending.cluster_id != message.cluster_id:
            return []
        return self._completed_elsewhere()

    def _on_abandoned(self, sender: NodeId, message: BootstrapAbandoned) -> list[Effect]:
        pending = self._pending
        if pending is None or pending.cluster_id != message.cluster_id:
            if message.cluster_id in self._given_up:
                return [SendWhenDurable(sender, message)]
            return []
        if self._has_begun:
            return self._cancel(f"{self._identities.name_of(sender)} does not take part")
        if sender in pending.configuration.voter_ids:
            self._abandoned.add(sender)
        return self._give_up_abandoned(pending)

    def _on_cancelled(self, sender: NodeId, message: BootstrapCancelled) -> list[Effect]:
        pending = self._pending
        if pending is None or pending.cluster_id != message.cluster_id:
            return []
        if not self._has_begun and sender != self._began:
            return []
        return self._cancel(f"{self._identities.name_of(sender)} does not take part")

    def _on_welcome(self, sender: NodeId, message: Welcome) -> list[Effect]:
        if self.bootstrapped is not None:
            return []
        if message.cluster_id != self._joining.asked:
            fields = {"node": self._identities.name_of(sender), "cluster": message.cluster_id}
            return [Note("welcome refused", fields, True)]
        return self._store(message.cluster_id, message.configuration.voters, complete=True)

    def _on_discovery_report(self, sender: NodeId, message: DiscoveryReport) -> list[Effect]:
        if self.bootstrapped is not None or sender not in self._identities.uninitialised:
            return []
        return self.discovery.on_report(sender, message)

    def _on_found(self, sender: NodeId, message: BootstrapOffer) -> list[Effect]:
        cluster_id, voters = message.cluster_id, message.configuration.voters
        bootstrapped = self.bootstrapped
        if bootstrapped is not None and bootstrapped.cluster_id == cluster_id:
            is_abandoned = bootstrapped.is_abandoned
            answer = (
                BootstrapAbandoned(cluster_id)
                if is_abandoned
                else BootstrapStored(cluster_id, sender)
            )
            return [SendWhenDurable(sender, answer)]
        is_joining = bool(self._joining.asked or self._identities.clusters)
        is_wrong = self._me not in voters or len(voters) != self._expect or is_joining
        is_wrong = is_wrong or cluster_id in self._given_up
        if bootstrapped is None and not is_wrong and voters[0].id == sender:
            stored = self._store(cluster_id, voters, complete=False)
            return [*stored, SendWhenDurable(sender, BootstrapStored(cluster_id, sender))]
        stored_id = bootstrapped.cluster_id if bootstrapped is not None else ""
        return [
            Note(
                "bootstrap refused",
                {"asked": self._identities.name_of(sender), "stored": stored_id},
            ),
            SendWhenDurable(sender, BootstrapCancelled(cluster_id)),
        ]

    def _on_stored(self, sender: NodeId, message: BootstrapStored) -> list[Effect]:
        bootstrapped = self.bootstrapped
        if bootstrapped is None or bootstrapped.cluster_id != message.cluster_id:
            is_begun_here = message.proposer == self._me.id  # and not held: so given up
            return (
                [SendWhenDurable(sender, BootstrapCancelled(message.cluster_id))]
                if is_begun_here
                else []
            )
        done = BootstrapDone(bootstrapped.cluster_id)
        if bootstrapped.complete:
            return [SendWhenDurable(sender, done)]
        if not self._has_begun:  # BST-2
            return []
        self._stored.add(sender)
        if not bootstrapped.configuration.voter_ids <= self._stored | {self._me.id}:
            return []
        others = sorted(bootstrapped.configuration.voter_ids - {self._me.id})
        return self._complete() + [SendWhenDurable(peer, done) for peer in others]

    # --- an incomplete bootstrap ---------------------------------------------------------------

    @property
    def _pending(self) -> Bootstrapped | None:
        return None if self.is_done else self.bootstrapped

    @property
    def _began(self) -> NodeId:
        """The proposer of the bootstrap that is stored here."""
        return (
            self.bootstrapped.configuration.voters[0].id
            if self.bootstrapped is not None
            else self._me.id
        )

    @property
    def _has_begun(self) -> bool:
        return self._began == self._me.id

    def _awaited(self, bootstrapped: Bootstrapped) -> list[Member]:
        """The members whose answer is missing."""
        voters = bootstrapped.configuration.voters
        if bootstrapped.is_abandoned:
            done = self._abandoned | {self._me.id}
            return [m for m in voters if m.id not in done and not self._has_completed(m.id)]
        if not self._has_begun:
            return [voters[0]]
        return [m for m in voters if m.id not in self._stored and m.id != self._me.id]

    def _offer(self, bootstrapped: Bootstrapped) -> list[Effect]:
        others = bootstrapped.configuration.voter_ids - {self._me.id}
        if bootstrapped.is_abandoned:
            abandoned = BootstrapAbandoned(bootstrapped.cluster_id)
            return [
                SendWhenDurable(peer, abandoned)
                for peer in sorted(others & self._identities.uninitialised)
            ]
        if not self._has_begun:  # a node that has completed it answers
            stored = BootstrapStored(bootstrapped.cluster_id, self._began)
            return [
                SendWhenDurable(peer, stored)
                for peer in sorted(others & self._identities.linked.keys())
            ]
        found = BootstrapOffer(bootstrapped.cluster_id, bootstrapped.configuration)
        return [
            SendWhenDurable(peer, found) for peer in sorted(others & self._identities.uninitialised)
        ]

    def _check(self, bootstrapped: Bootstrapped, now_s: float) -> list[Effect]:
        """Give it up if it cannot complete: at once (BST-5), or when enough others do (BST-6)."""
        if bootstrapped.is_abandoned:
            return []
        leave = self._cancel if self._has_begun else self._abandon
        silent: list[Member] = []
        awaited = self._awaited(bootstrapped)
        for member in bootstrapped.configuration.voters if self._has_begun else awaited:
            if member.id in self.discovery.gone:
                return leave(f"{member.name} has lost its directory")
            if self._identities.cluster_of(member.id):  # another one: else this would be complete
                return leave(f"{member.name} belongs to another cluster")
        for member in awaited:
            if member.id in self._identities.linked:
                self._seen_s[member.id] = now_s
            elif now_s - self._seen_s.setdefault(member.id, now_s) >= SILENCE_S:
                silent.append(member)
        if silent and self._may_do_without(bootstrapped):
            names = ", ".join(member.name for member in silent)
            return leave(f"{names} not reachable for {SILENCE_S:g} s")
        return []

    def _abandon(self, why: str) -> list[Effect]:
        bootstrapped = self.bootstrapped
        if bootstrapped is None:
            return []
        self.bootstrapped = msgspec.structs.replace(bootstrapped, is_abandoned=True)
        self._abandoned.add(self._me.id)
        self._due_s = float("-inf")
        note = Note("bootstrap abandoned", {"cluster": bootstrapped.cluster_id, "why": why}, True)
        return [note, Persist(self.bootstrapped), *self._give_up_abandoned(self.bootstrapped)]

    def _give_up_abandoned(self, bootstrapped: Bootstrapped) -> list[Effect]:
        """Give up if so many have abandoned it that the rest is no quorum (BST-6)."""
        voters = bootstrapped.configuration.voter_ids
        if not bootstrapped.is_abandoned or is_phase1_quorum(voters - self._abandoned, voters):
            return []
        names = ", ".join(sorted(self._identities.name_of(node) for node in self._abandoned))
        effects = self._cancel(f"abandoned by {names}")
        message = BootstrapAbandoned(bootstrapped.cluster_id)
        return effects + [SendWhenDurable(peer, message) for peer in sorted(voters - {self._me.id})]

    def _completed_elsewhere(self) -> list[Effect]:
        """Another initial member has completed it: complete it, unless it was abandoned (BST-6)."""
        pending = self._pending
        if pending is None:
            return []
        voters = pending.configuration.voter_ids
        completed = {node for node in voters if self._has_completed(node)}
        if pending.is_abandoned and not is_phase1_quorum(completed, voters):
            return []  # the others may have abandoned it, too
        return self._complete()

    def _has_completed(self, node: NodeId) -> bool:
        bootstrapped = self.bootstrapped
        return (
            bootstrapped is not None
            and self._identities.cluster_of(node) == bootstrapped.cluster_id
        )

    def _may_do_without(self, bootstrapped: Bootstrapped) -> bool:
        """Is there a cluster to join, or are there enough others to bootstrap another one?"""
        return bool(self._identities.clusters) or len(self._identities.uninitialised) + 1 >= len(
            bootstrapped.configuration.voters
        )

    def _cancel(self, why: str) -> list[Effect]:
        bootstrapped = self.bootstrapped
        if bootstrapped is None:
            return []
        others = sorted(bootstrapped.configuration.voter_ids - {self._me.id})
        messages = [
            SendWhenDurable(peer, BootstrapCancelled(bootstrapped.cluster_id)) for peer in others
        ]
        has_begun = self._has_begun
        self._remember_given_up(bootstrapped.cluster_id)
        self._forget()
        self._pause_s = self._rng.random() * BACKOFF_S
        return [
            Note("bootstrap given up", {"cluster": bootstrapped.cluster_id, "why": why}, True),
            Persist(Bootstrapped("", Configuration(0, 0, ()), complete=False)),
            *(messages if has_begun else []),
        ]

    def _forget(self) -> None:
        self.bootstrapped = None
        self._stored.clear()
        self._abandoned.clear()
        self._seen_s.clear()
        self._enough_s, self._due_s = float("inf"), float("-inf")

    def _complete(self) -> list[Effect]:
        pending = self._pending
        if pending is None:
            return []
        self.bootstrapped = Bootstrapped(pending.cluster_id, pending.configuration, complete=True)
        return [Persist(self.bootstrapped)]

    def _store(
        self, cluster_id: str, voters: tuple[Member, ...], *, complete: bool
    ) -> list[Effect]:
        self._forget()
        self.bootstrapped = Bootstrapped(cluster_id, Configuration(1, 0, voters), complete)
        return [Persist(self.bootstrapped)]

    def _remember_given_up(self, cluster_id: str) -> None:
        self._given_up[cluster_id] = None
        if len(self._given_up) > GIVEN_UP_MAX:
            del self._given_up[next(iter(self._given_up))]

    def _new_id(self) -> str:
        text = "".join("0123456789abcdef"[self._rng.randrange(16)] for _ in range(32))
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
