"""Joining: which cluster an uninitialised node asks to take it in.

JOI-1: one cluster is asked at a time, and only its Welcome counts. Links to others are closed.
JOI-2: of several the one whose address stands first among those to join is asked, else the one with
    the lowest id.
JOI-3: a cluster that cannot be reached any more, or does not answer while there is another one, is
    given up.
JOI-4: a node gets a place in a configuration only when its directory belongs to that cluster, so a
    node that gave a cluster up leaves nothing behind in it (`node.links`).
"""

from collections.abc import Mapping, Sequence

from quorate.base.batches import Member
from quorate.base.effects import Close, Effect, Note, Send
from quorate.base.messages import Join

REPEAT_S = 0.5
"""A request that was not answered goes again this often."""

CHOOSE_S = 0.25
"""After the first cluster was found, links to others get this long to come up as well."""

LOST_S = 5.0
"""A cluster without any link for this long is given up."""

ANSWER_S = 30.0
"""A cluster that did not answer for this long is given up, if there is another one."""

AVOID_S = 15.0
"""One that was given up is not asked again for this long; a closed link is redialed before."""

Clusters = Mapping[str, Sequence[Member]]
"""The linked peers of each cluster."""


class Joining:
    """The choice of one node.

    Args:
        me: This node.
        addresses: Those to join, in the order in which they were given.
    """

    def __init__(self, me: Member, addresses: Sequence[str]) -> None:
        self._me = me
        self._places = {address: place for place, address in reversed(list(enumerate(addresses)))}
        self.asked = ""
        self._found_s = float("inf")
        self._asked_s = 0.0
        self._linked_s = 0.0
        self._due_s = float("-inf")
        self._others: set[str] = set()
        self._avoided: tuple[str, float] = ("", float("-inf"))

    def retry_now(self) -> None:
        """A link has come up: ask at the next tick."""
        self._due_s = float("-inf")

    def tick(self, clusters: Clusters, now_s: float) -> list[Effect]:
        """Choose, ask, and give up (JOI-1 to JOI-3)."""
        effects = self._given_up(clusters, now_s)
        if not self.asked:
            effects += self._chosen(clusters, now_s)
        if not self.asked:
            return effects
        for cluster_id, members in sorted(clusters.items()):
            if cluster_id != self.asked:
                effects += self._left_out(cluster_id, members)
        if now_s >= self._due_s:
            self._due_s = now_s + REPEAT_S
            asked = sorted(member.id for member in clusters.get(self.asked, ()))
            effects += [Send(node, Join(self._me)) for node in asked]
        return effects

    def _given_up(self, clusters: Clusters, now_s: float) -> list[Effect]:
        if not self.asked:
            return []
        if self.asked in clusters:
            self._linked_s = now_s
        is_lost = now_s - self._linked_s >= LOST_S
        is_silent = bool(self._others) and now_s - self._asked_s >= ANSWER_S
        if not is_lost and not is_silent:
            return []
        why = "no node of it is connected" if is_lost else f"no answer within {ANSWER_S:g} s"
        note = Note("joining given up", {"cluster": self.asked, "why": why}, True)
        if is_silent:
            self._avoided = (self.asked, now_s + AVOID_S)
        self.asked, self._found_s = "", float("inf")
        self._others.clear()
        return [note]

    def _chosen(self, clusters: Clusters, now_s: float) -> list[Effect]:
        avoided, until_s = self._avoided
        found = [each for each in clusters if each != avoided or now_s >= until_s]
        if not found:
            self._found_s = float("inf")
            return []
        self._found_s = min(self._found_s, now_s)
        if now_s - self._found_s < CHOOSE_S:
            return []
        self.asked = min(found, key=lambda each: (self._place(clusters[each]), each))
        self._asked_s = self._linked_s = now_s
        self.retry_now()
        fields = {"cluster": self.asked, "nodes": _names(clusters[self.asked])}
        return [Note("joining a cluster", fields)]

    def _left_out(self, cluster_id: str, members: Sequence[Member]) -> list[Effect]:
        effects: list[Effect] = []
        why = (
            f"a node belongs to one cluster, and this one asks {self.asked}: remove the addresses "
            "of the other cluster from retry_join"
        )
        if cluster_id not in self._others:
            self._others.add(cluster_id)
            fields = {"cluster": cluster_id, "nodes": _names(members), "why": why}
            effects.append(Note("another cluster found", fields, True))
        for member in members:
            text = f"node {member.name!r} at {member.address} belongs to cluster {cluster_id}: "
            effects.append(Close(member.id, text + why))
        return effects

    def _place(self, members: Sequence[Member]) -> int:
        return min(self._places.get(member.address, len(self._places)) for member in members)


def _names(members: Sequence[Member]) -> str:
    return ", ".join(sorted(member.name for member in members))
