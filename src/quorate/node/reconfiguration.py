"""Reconfiguration: requested on any node, made by the leader, one change at a time.

MEM-1: a change is refused unless a quorum of the configuration *after* it is reachable; that of the
    old one may have failed, which is often the reason of a change.
MEM-2: a learner gets a vote when it has caught up and is reachable; and only if an operator asks
    for it, or the leader is configured so for every learner (`auto_promote`): a node that just
    joined has no vote.
MEM-3: a leader that is no voter any more leads until its change can be answered (MEM-4), then
    hands over.
MEM-4: a change is answered when the older configuration is out of force, and a quorum of the new
    voters reports that this is durable on its disk (rule LRN-6 in `paxos.durable`). So a removed
    node may be shut down, and another node fail, as soon as there is an answer. A node whose
    leader changed repeats its request; a removed node, which knows no leader, sends it to all
    linked peers.
MEM-5: no node becomes a member under the name of another one that is reachable: the catalog, DNS
    and people identify members by name. A node with an empty directory has a new id and its old
    name: it is admitted once the old id is not reachable.
MEM-6: a transfer is answered by the successor, when it serves: the request is repeated to whoever
    leads. The leader before it answers only that the successor has not taken over in time.
"""

from collections.abc import Sequence

import msgspec

from quorate.base.batches import Member
from quorate.base.effects import ChangeDone, Effect, Note, Send, Ticket
from quorate.base.errors import (
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    QuorateError,
    RequestError,
    UnavailableError,
)
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import ChangeAnswer, ChangeAsk
from quorate.paxos.leadership import Leadership
from quorate.paxos.membership import Membership
from quorate.paxos.replica import Replica
from quorate.paxos.transfer import best_successor

PROMOTE_SLOTS = 64
"""A learner this close to the watermark may vote."""

HAND_OVER_S, HAND_OVER_DOUBLINGS = 2.0, 4
"""Seconds between the first two tries to hand over, and how often that pause doubles."""

REPEAT_S = 0.5
"""An unanswered request goes to the leader again after this long."""

AWAITED_MAX = 64
"""This many requesters get an answer without asking again."""

JOIN = 0
"""The number of the request of a node for admission (`Join`)."""

_ERRORS: dict[str, type[QuorateError]] = {
    code: kind
    for kind in (
        ConflictError,
        NotFoundError,
        OutcomeUnknownError,
        RequestError,
        UnavailableError,
    )
    for code in sorted(kind.codes)
}


class Pending(msgspec.Struct):
    """A change that a client of this node waits for."""

    ask: ChangeAsk
    ticket: Ticket
    deadline_s: float
    sent_s: float = float("-inf")
    sent_to: Sequence[NodeId] = ()


class Reconfiguration:
    """Both ends: the requests of this node, and the decisions of a leader.

    Args:
        me: This node.
        incarnation: Rises with each start on its directory.
        is_promoting: As leader, promote every learner that has caught up.

    Attributes:
        pending: What clients of this node wait for, by request. To be read only.
        refusal: Why this node was not admitted; "" if unknown. To be read only.
    """

    def __init__(self, me: NodeId, incarnation: int, *, is_promoting: bool = False) -> None:
        self._me = me
        self._is_promoting = is_promoting
        self._number = incarnation << 32  # an answer to an earlier incarnation may still arrive
        self.pending: dict[int, Pending] = {}
        self.refusal = ""
        self._awaited: dict[tuple[NodeId, int], ChangeAsk] = {}  # by requester and request
        self._hand_overs = 0
        self._hand_over_due_s = float("-inf")

    # --- the asking node ---------------------------------------------------------------------

    def ask(self, verb: str, member: Member, ticket: Ticket, deadline_s: float) -> None:
        """Take a request of a client."""
        self._number += 1
        self.pending[self._number] = Pending(
            ChangeAsk(self._number, verb, member), ticket, deadline_s
        )

    def requests(self, whom: Sequence[NodeId], now_s: float) -> list[Effect]:
        """Send what waits to the leader, or who may be it; give up what passed its deadline."""
        effects: list[Effect] = []
        for number, pending in list(self.pending.items()):
            if now_s >= pending.deadline_s:
                del self.pending[number]
                effects.append(ChangeDone(pending.ticket, self._late(pending)))
            elif whom and (now_s - pending.sent_s >= REPEAT_S or whom != pending.sent_to):
                pending.sent_s, pending.sent_to = now_s, whom
                effects += [Send(node, pending.ask) for node in whom]
        return effects

    def on_answer(self, message: ChangeAnswer) -> list[Effect]:
        """The leader decided."""
        if message.number == JOIN:
            return self._on_join_answer(message)
        pending = self.pending.get(message.number)
        if pending is None or message.code == "not_leader":
            return []  # repeated to the node that leads then
        del self.pending[message.number]
        if not message.code:
            return [ChangeDone(pending.ticket, None)]
        kind = _ERRORS.get(message.code, RequestError)
        code = message.code if message.code in kind.codes else "bad_request"
        return [ChangeDone(pending.ticket, kind(code, message.text))]

    def _on_join_answer(self, message: ChangeAnswer) -> list[Effect]:
        """Logged once for each reason: a node requests admission until it is a member."""
        is_news, self.refusal = message.text != self.refusal, message.text
        if not (message.text and is_news):
            return []
        return [Note("join refused", {"why": message.text}, True)]

    def _late(self, pending: Pending) -> QuorateError:
        if pending.sent_s == float("-inf"):
            return UnavailableError("no_quorum", "No cluster leader")
        return OutcomeUnknownError("outcome_unknown", "the change was asked for and may still come")

    # --- the leader --------------------------------------------------------------------------

    def on_ask(
        self,
        sender: NodeId,
        message: ChangeAsk,
        replica: Replica,
        now_s: float,
    ) -> list[Effect]:
        """Decide on a request; a refusal is sent at once, success when MEM-4 or 6 allows it."""
        leadership, membership = replica.leadership, replica.membership
        if leadership is None or not leadership.is_serving:
            return [Send(sender, ChangeAnswer(message.number, "not_leader", ""))]
        if message.verb == "transfer":
            return self._transfer(sender, message, leadership, membership, now_s)
        try:
            if message.verb == "add":
                _check_name(message.member, leadership, membership, now_s)
            elif message.verb == "promote":
                self._check_ready(message.member, leadership, membership, now_s)
            effects = self.propose(message.verb, message.member, leadership, membership, now_s)
        except QuorateError as error:  # the requester gets this error
            if not _is_made(message, membership):
                return [Send(sender, ChangeAnswer(message.number, error.code, error.text))]
            effects = []  # made before: it may have been asked for again after a lost answer
        self._await((sender, message.number), message)
        return effects + self.responses(replica)

    def responses(self, replica: Replica) -> list[Effect]:
        """As leader: what may be answered now (MEM-4)."""
        leadership, membership = replica.leadership, replica.membership
        if leadership is None or not self._awaited:
            return []
        if not replica.durable.is_held_by_quorum(leadership.peers):
            return []
        made = [asked for asked, one in self._awaited.items() if _is_made(one, membership)]
        for asked in made:
            del self._awaited[asked]
        return [Send(requester, ChangeAnswer(number, "", "")) for requester, number in made]

    def _check_ready(
        self, member: Member, leadership: Leadership, membership: Membership, now_s: float
    ) -> None:
        """Refuse a vote for a learner that has not caught up (MEM-2)."""
        known = membership.newest.member(member.id)
        if known not in membership.newest.learners:
            return  # `derive` has the error for that
        if not self._is_ready(member.id, leadership, now_s):
            peer = leadership.peers.get(member.id)
            place = "it is not reachable" if peer is None else f"it has slots up to {peer.match}"
            newest = leadership.watermark
            raise ConflictError(
                "precondition", f"{known.name} has not caught up yet: {place} of {newest}"
            )

    def _is_ready(self, node: NodeId, leadership: Leadership, now_s: float) -> bool:
        peer = leadership.peers.get(node)
        is_close = peer is not None and peer.match + PROMOTE_SLOTS >= leadership.watermark
        return is_close and node in leadership.healthy(now_s)

    def propose(
        self,
        verb: str,
        member: Member,
        leadership: Leadership,
        membership: Membership,
        now_s: float,
    ) -> list[Effect]:
        """Propose a change; empty if another one is under way.

        Raises:
            QuorateError: See `Membership.derive`; UnavailableError `no_quorum` (MEM-1).
        """
        if not leadership.may_change():
            return []
        configuration = membership.derive(verb, member)
        if not leadership.quorum_would_live(configuration, now_s):
            raise UnavailableError(
                "no_quorum",
                "too few voters of the new configuration are reachable; nothing changed",
            )
        note = Note("change", {"verb": verb, "member": member.name, "number": configuration.number})
        return [note, *leadership.propose_change(configuration, now_s)]

    def stop_leading(self) -> None:
        """What was proposed may still be chosen; requesters repeat their requests."""
        self._awaited.clear()
        self._hand_overs, self._hand_over_due_s = 0, float("-inf")

    def tick(self, leadership: Leadership, replica: Replica, now_s: float) -> list[Effect]:
        """Promote learners that have caught up (MEM-2); hand over if we vote no more (MEM-3)."""
        membership = replica.membership
        voters = membership.governing(Slot(replica.watermark + 1)).voter_ids
        responses = self.responses(replica)
        if self._me not in voters:
            if replica.durable.is_held_by_quorum(leadership.peers):
                self.hand_over(leadership, voters, now_s)
            return responses
        if responses or not self._is_promoting or not leadership.may_change():
            return responses
        for member in membership.newest.learners:
            if self._is_ready(member.id, leadership, now_s):
                try:
                    return self.propose("promote", member, leadership, membership, now_s)
                except QuorateError:  # not now: too few are reachable; asked again next tick
                    return []
        return []

    def hand_over(self, leadership: Leadership, voters: frozenset[NodeId], now_s: float) -> None:
        """Transfer leadership to the best of these voters, unless a transfer is under way.

        The pause before the next try doubles, and only the first failure is logged: the reason may
        last for hours, and a leader proposes nothing while it hands over.
        """
        if leadership.transfer.to is not None or now_s < self._hand_over_due_s:
            return
        healthy = leadership.healthy(now_s)
        best = best_successor(
            {
                node: peer.match
                for node, peer in leadership.peers.items()
                if node in voters and node in healthy and node != self._me
            }
        )
        if best is not None:
            leadership.transfer.begin(best, now_s, is_quiet=self._hand_overs > 0)
            pause_s = HAND_OVER_S * 2 ** min(self._hand_overs, HAND_OVER_DOUBLINGS)
            self._hand_over_due_s = now_s + pause_s
            self._hand_overs += 1

    def _transfer(
        self,
        sender: NodeId,
        message: ChangeAsk,
        leadership: Leadership,
        membership: Membership,
        now_s: float,
    ) -> list[Effect]:
        """Begin a transfer, once for each request (MEM-6)."""
        asked, to = (sender, message.number), message.member.id
        if to == self._me:
            return [Send(sender, ChangeAnswer(message.number, "", ""))]
        if to not in membership.newest.voter_ids:
            return [Send(sender, ChangeAnswer(message.number, "not_found", "no voter has that id"))]
        if asked not in self._awaited:
            self._await(asked, message)
            leadership.transfer.begin(to, now_s)
        elif leadership.transfer.to != to:
            del self._awaited[asked]
            code, text = "outcome_unknown", f"{message.member.name} has not taken over in time"
            return [Send(sender, ChangeAnswer(message.number, code, text))]
        return []

    def _await(self, asked: tuple[NodeId, int], message: ChangeAsk) -> None:
        self._awaited[asked] = message
        if len(self._awaited) > AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]


def _check_name(
    member: Member, leadership: Leadership, membership: Membership, now_s: float
) -> None:
    """Refuse a name that another living member has (MEM-5)."""
    healthy, name = leadership.healthy(now_s), member.name.lower()
    for other in membership.newest.members:
        if other.id != member.id and other.name.lower() == name and other.id in healthy:
            raise ConflictError(
                "already_exists",
                f"the name {member.name} is taken by a member that is alive, {other.id} at "
                f"{other.address}: give this node another name, or stop that member first",
            )


def _is_made(message: ChangeAsk, membership: Membership) -> bool:
    """Is the newest configuration as this change would have it?"""
    newest, member = membership.newest, message.member
    if message.verb == "remove":
        return member.id in newest.removed
    if message.verb == "promote":
        return member.id in newest.voter_ids
    return message.verb == "add" and newest.member(member.id) == member
