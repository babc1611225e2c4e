"""Origin: commands of this node's clients, on their way into the log, exactly once.

Commands wait without a number and may be withdrawn. When the node may send, what waits becomes
one bundle with the next sequence of this incarnation. From then on it is sent again, byte for
byte, until this node's own replica has applied it: after a change of leader, a new connection, a
gap, or a growing time-out. A number dropped would be a gap for ever.

ORG-1: sequences of an incarnation run from 1 without a gap; a bundle's bytes never change.
ORG-2: a numbered bundle is never withdrawn; its clients may get an error "outcome unknown".
ORG-3: a command without a number is refused with a definite error at its deadline.
ORG-4: urgent commands (sessions, expiries) are numbered before others that wait.

Source: RIFL (Lee et al., SOSP 2015), with the node as client.
"""

from collections import deque
from collections.abc import Sequence
from math import inf

import msgspec

from quorate.base.batches import Bundle
from quorate.base.command import join_commands
from quorate.base.config import NodeSettings
from quorate.base.effects import Applied, Refused, Ticket
from quorate.base.errors import OutcomeUnknownError, UnavailableError, invariant
from quorate.base.ids import NodeId, Slot
from quorate.base.outcomes import Outcome
from quorate.node.batchdelay import BatchDelay

RESEND_DOUBLINGS = 4


Waiting = tuple[bytes, Ticket, float]
"""A command without a number: encoded, its ticket, its deadline."""


class Numbered(msgspec.Struct):
    """A bundle on its way; `tickets` empty once its clients have been answered."""

    bundle: Bundle
    tickets: list[Ticket]
    has_internal: bool
    deadline_s: float
    sent_s: float
    made_s: float
    tries: int = 0


class Origin:
    """The queue before the log, of one incarnation of one node."""

    def __init__(self, me: NodeId, incarnation: int, settings: NodeSettings) -> None:
        self._me = me
        self.incarnation = incarnation
        self._cluster = settings.cluster
        self._limits = settings.limits
        self._resend_s = settings.timing.forward_resend_s
        self._urgent: deque[Waiting] = deque()
        self._normal: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._deadline_s = inf
        self._sequence = 0
        self._numbered: deque[Numbered] = deque()
        self.batch_delay = BatchDelay(
            self._limits.gather_commands_min, self._cluster.batch_commands_max
        )

    @property
    def waiting(self) -> int:
        """Commands without a number."""
        return len(self._urgent) + len(self._normal)

    @property
    def has_waiting(self) -> bool:
        """Some command has no number yet."""
        return bool(self._normal or self._urgent)

    def may_number(self, now_s: float, *, is_leaving: bool = False) -> bool:
        """Something waits that should leave, and few enough bundles are on the way.

        `is_leaving`: A batch is sent anyway, so there is no batch delay.
        """
        if not (self._normal or self._urgent):
            return False
        if len(self._numbered) >= self._cluster.bundles_in_flight_max:
            return False
        if is_leaving or self._urgent or 2 * self._waiting_bytes > self._cluster.batch_bytes_max:
            return True
        return self.batch_delay.may_leave(len(self._normal), now_s)

    def submit(
        self, command: bytes, ticket: Ticket, deadline_s: float, *, urgent: bool = False
    ) -> None:
        """Take a command; a `ticket` of None asks for no answer.

        Raises:
            UnavailableError: `overloaded`, definite: too much waits here already.
        """
        queue, limits = self._normal, self._limits
        if urgent:
            queue = self._urgent
        elif (
            len(queue) >= limits.waiting_commands_max
            or self._waiting_bytes > limits.waiting_bytes_max
        ):
            raise UnavailableError("overloaded", "too many commands wait on this node", 1.0)
        queue.append((command, ticket, deadline_s))
        self._waiting_bytes += len(command)
        self._deadline_s = min(self._deadline_s, deadline_s)

    def number(self, now_s: float) -> Bundle:
        """Make one bundle of what waits, urgent ones first, up to the caps (ORG-1, ORG-4)."""
        chosen = self._take()
        invariant(bool(chosen), "a bundle holds a command")
        commands, tickets, deadlines = zip(*chosen, strict=True)
        has_internal = None in tickets
        deadline_s = max(deadlines)  # when the last client gives up
        if has_internal:  # the node itself never does
            deadline_s = max((one[2] for one in chosen if one[1] is not None), default=now_s)
        self._sequence += 1
        body = join_commands(list(commands))
        bundle = Bundle(self._me, self.incarnation, self._sequence, len(commands), body)
        numbered = Numbered(bundle, list(tickets), has_internal, deadline_s, now_s, now_s)
        self._numbered.append(numbered)
        self.batch_delay.on_left(len(commands), now_s)
        return bundle

    def _take(self) -> list[Waiting]:
        """What goes into the next bundle."""
        most, bytes_max = self._cluster.batch_commands_max, self._cluster.batch_bytes_max
        if self.waiting <= most and self._waiting_bytes <= bytes_max:
            everything = [*self._urgent, *self._normal]
            self._urgent.clear()
            self._normal.clear()
            self._waiting_bytes = 0
            return everything
        chosen: list[Waiting] = []
        size = 0
        for queue in (self._urgent, self._normal):
            while queue and len(chosen) < most:
                length = len(queue[0][0])
                if chosen and size + length > bytes_max:
                    break
                chosen.append(queue.popleft())
                size += length
        self._waiting_bytes -= size
        return chosen

    def on_applied(
        self, sequence: int, outcomes: Sequence[Outcome], slot: Slot, position: int
    ) -> Applied | None:
        """Our own replica applied a bundle of this incarnation: answer its clients.

        Raises:
            InvariantError: It is not the oldest one on the way.
        """
        invariant(bool(self._numbered), "what is applied was numbered in this incarnation")
        oldest = self._popped()
        invariant(oldest.bundle.sequence == sequence, "bundles are applied in sequence")
        if not oldest.tickets:
            return None
        invariant(len(outcomes) == len(oldest.tickets), "one outcome per command")
        if oldest.has_internal:
            pairs = [
                (ticket, outcome)
                for ticket, outcome in zip(oldest.tickets, outcomes, strict=True)
                if ticket is not None
            ]
            tickets, outcomes = [t for t, _ in pairs], [o for _, o in pairs]
            return Applied(tickets, outcomes, slot, position, oldest.made_s)
        return Applied(oldest.tickets, outcomes, slot, position, oldest.made_s)

    def on_jump(self, incarnation: int, sequence: int) -> list[Refused]:
        """A snapshot counts our bundles up to `sequence` as applied; their results are lost."""
        lost: list[Ticket] = []
        while (
            incarnation == self.incarnation
            and self._numbered
            and self._numbered[0].bundle.sequence <= sequence
        ):
            lost += [t for t in self._popped().tickets if t is not None]
        return [_unknown(lost, "this node caught up by snapshot")] if lost else []

    def _popped(self) -> Numbered:
        oldest = self._numbered.popleft()
        self.batch_delay.on_arrived(oldest.bundle.count)
        return oldest

    def all_again(self, now_s: float) -> list[Bundle]:
        """Every bundle on the way, in order: the leader or the link to it is new."""
        for numbered in self._numbered:
            numbered.sent_s, numbered.tries = now_s, 0
        return [numbered.bundle for numbered in self._numbered]

    def from_sequence(self, incarnation: int, sequence: int, now_s: float) -> list[Bundle]:
        """The leader lacks `sequence`: that one and all behind it, in order."""
        if incarnation != self.incarnation and sequence != 1:
            return []
        if not self._numbered or self._numbered[0].bundle.sequence > sequence:
            return []  # applied here, not yet there: what follows would only meet the gap again
        again = [n for n in self._numbered if n.bundle.sequence >= sequence]
        for numbered in again:
            numbered.sent_s = now_s
        return [numbered.bundle for numbered in again]

    def overdue(self, now_s: float) -> list[Bundle]:
        """All on the way, if the oldest was not applied for its growing time-out."""
        if not self._numbered:
            return []
        oldest = self._numbered[0]
        timeout_s = self._resend_s * 2 ** min(oldest.tries, RESEND_DOUBLINGS)
        if now_s - oldest.sent_s < timeout_s:
            return []
        for numbered in self._numbered:
            numbered.sent_s = now_s
            numbered.tries += 1
        return [numbered.bundle for numbered in self._numbered]

    def expire(self, now_s: float) -> list[Refused]:
        """Refuse what passed its deadline: definite without a number, else indefinite."""
        refused = [self._give_up(n) for n in self._numbered if n.tickets and n.deadline_s <= now_s]
        if now_s >= self._deadline_s:
            refused.append(self._withdraw(now_s))
        return [one for one in refused if one.tickets]

    def withdraw_all(self, error: UnavailableError) -> list[Refused]:
        """The node stops: refuse all that has no number."""
        tickets = [ticket for _, ticket, _ in (*self._urgent, *self._normal) if ticket is not None]
        self._urgent.clear()
        self._normal.clear()
        self._waiting_bytes = 0
        refused = [self._give_up(n) for n in self._numbered if n.tickets]
        return [one for one in (*refused, Refused(tickets, error)) if one.tickets]

    def _withdraw(self, now_s: float) -> Refused:
        late: list[Ticket] = []
        self._deadline_s = inf
        for queue in (self._urgent, self._normal):
            kept = [one for one in queue if one[2] > now_s]
            if len(kept) < len(queue):
                gone = [one for one in queue if one[2] <= now_s]
                late += [ticket for _, ticket, _ in gone if ticket is not None]
                self._waiting_bytes -= sum(len(command) for command, _, _ in gone)
                queue.clear()
                queue.extend(kept)
            self._deadline_s = min([self._deadline_s, *(one[2] for one in kept)])
        if not self._normal:
            self.batch_delay.on_withdrawn()
        return Refused(late, UnavailableError("no_quorum", "No cluster leader"))

    def _give_up(self, numbered: Numbered) -> Refused:
        tickets = [ticket for ticket in numbered.tickets if ticket is not None]
        numbered.tickets = []
        return _unknown(tickets, "it was proposed and not applied in time")


def _unknown(tickets: list[Ticket], why: str) -> Refused:
    text = f"the outcome is unknown: {why}; it may still take effect"
    return Refused(tickets, OutcomeUnknownError("outcome_unknown", text))
