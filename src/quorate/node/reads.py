"""Reads: the linearizable reads of a node: request, read index, applied.

NRD-1: an answer serves only reads that waited when its request was sent: requests are numbered,
    numbers are never reused, not by another incarnation either, a retry is a new request. So the
    answer to request n serves the reads of request n or before.
NRD-2: a read is answered only when this node has applied its read index.
NRD-3: a node whose disk is full may never reach its read index (APL-2): it fails soon, with the
    reason.

One request at a time: reads that arrive meanwhile belong to the next one.
"""

from math import inf

import msgspec

from quorate.base.effects import ReadReady, Refused, Ticket
from quorate.base.errors import UnavailableError
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import ReadIndexRequest

FULL_HOLD_S = 1.0
"""A read waits this long on a full disk: what is missing may need no space."""

NO_LEADER = UnavailableError("no_quorum", "No cluster leader")
FULL = UnavailableError(
    "read_only",
    "this node's disk is full and it lacks what was written since; try another node, or read stale",
    5.0,
)


class Pointed(msgspec.Struct):
    """Reads that wait until `slot` is applied.

    Attributes:
        latest_s: When they are refused, whatever their own deadlines; infinite: those count.
    """

    slot: Slot
    log_time_ms: int
    reads: list[tuple[Ticket, float]]
    latest_s: float = inf


class Reads:
    """The reads of one incarnation of a node.

    Args:
        incarnation: Of the node; an answer to an earlier one may still arrive.
        resend_s: Seconds after which an unanswered request is repeated.
    """

    def __init__(self, incarnation: int, resend_s: float) -> None:
        self._resend_s = resend_s
        self._number = incarnation << 32
        self._asked_s = 0.0
        self._asked_whom: NodeId | None = None
        self._waiting: list[tuple[Ticket, float]] = []
        self._asked: list[tuple[int, list[tuple[Ticket, float]]]] = []
        self._pointed: list[Pointed] = []
        self._deadline_s = inf

    @property
    def has_waiting(self) -> bool:
        """Some read is in no request yet."""
        return bool(self._waiting)

    def add(self, ticket: Ticket, deadline_s: float) -> None:
        """A read begins."""
        self._waiting.append((ticket, deadline_s))
        self._deadline_s = min(self._deadline_s, deadline_s)

    def request(self, leader: NodeId | None, now_s: float) -> ReadIndexRequest | None:
        """The request to send to the serving leader now, if one is due (NRD-1)."""
        if leader is None or not (self._waiting or self._asked):
            return None
        is_open = bool(self._asked) and self._asked_whom == leader
        if is_open and now_s - self._asked_s < self._resend_s:
            return None
        self._number += 1
        self._asked.append((self._number, self._waiting))
        self._waiting = []
        self._asked_s, self._asked_whom = now_s, leader
        return ReadIndexRequest(self._number)

    def on_point(
        self, number: int, slot: Slot, log_time_ms: int, applied: Slot
    ) -> ReadReady | None:
        """An answer came; the reads that may be answered at once (NRD-1, NRD-2)."""
        reads = [read for asked, some in self._asked if asked <= number for read in some]
        self._asked = [one for one in self._asked if one[0] > number]
        if not reads:
            return None
        if slot > applied:
            self._pointed.append(Pointed(slot, log_time_ms, reads))
            return None
        return ReadReady([ticket for ticket, _ in reads], slot, log_time_ms)

    def on_applied(self, applied: Slot) -> list[ReadReady]:
        """The tables moved on: reads whose point they reached."""
        if not self._pointed:
            return []
        ready = [
            ReadReady([ticket for ticket, _ in one.reads], one.slot, one.log_time_ms)
            for one in self._pointed
            if one.slot <= applied
        ]
        self._pointed = [one for one in self._pointed if one.slot > applied]
        return ready

    def expire_soon(self, now_s: float) -> None:
        """The disk is full: what waits to be applied is waited for this long at most (NRD-3).

        Cost: O(points that came since the last call).
        """
        latest_s = now_s + FULL_HOLD_S
        for one in reversed(self._pointed):
            if one.latest_s < inf:
                break  # and so are all before it
            one.latest_s = latest_s
            self._deadline_s = min(self._deadline_s, latest_s)

    def expire(self, now_s: float, *, is_full: bool = False) -> list[Refused]:
        """Refuse reads whose deadline passed; a read is harmless, so the error is definite.

        Args:
            now_s: Monotonic seconds.
            is_full: The disk has no room for what reads wait for.
        """
        if now_s < self._deadline_s:
            return []
        late: list[Ticket] = []
        behind: list[Ticket] = []
        self._deadline_s = inf
        self._waiting = self._keep(self._waiting, now_s, late)
        self._asked = [
            (number, kept)
            for number, reads in self._asked
            if (kept := self._keep(reads, now_s, late))
        ]
        for one in self._pointed:
            one.reads = self._keep(one.reads, now_s, behind, one.latest_s)
        self._pointed = [one for one in self._pointed if one.reads]
        refused = [Refused(late, NO_LEADER), Refused(behind, FULL if is_full else NO_LEADER)]
        return [one for one in refused if one.tickets]

    def withdraw(self, error: UnavailableError) -> list[Refused]:
        """Refuse every read that waits."""
        waiting: list[Ticket] = []
        pointed = (one.reads for one in self._pointed)
        for reads in (self._waiting, *(r for _, r in self._asked), *pointed):
            waiting += [ticket for ticket, _ in reads]
        self._waiting, self._asked, self._pointed = [], [], []
        self._deadline_s = inf
        return [Refused(waiting, error)] if waiting else []

    def _keep(
        self,
        reads: list[tuple[Ticket, float]],
        now_s: float,
        late: list[Ticket],
        latest_s: float = inf,
    ) -> list[tuple[Ticket, float]]:
        kept: list[tuple[Ticket, float]] = []
        for ticket, deadline_s in reads:
            due_s = min(deadline_s, latest_s)
            if due_s <= now_s:
                late.append(ticket)
            else:
                kept.append((ticket, deadline_s))
                self._deadline_s = min(self._deadline_s, due_s)
        return kept
