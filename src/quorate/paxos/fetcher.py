"""Fetcher: which peer is sent the next Fetch, how often, and which answer counts.

FET-1: at most one Fetch is open per peer. Only the answer to an open one is used, and it closes it;
    a duplicate, or an unsolicited answer, changes nothing and causes no message.
FET-2: an answer leads to the next Fetch at once only if it raised the watermark. So the number of
    messages is bounded by the number of slots fetched, and by time.
FET-3: a Fetch that brought nothing is followed by another one after a pause, to the next peer in
    turn: first the node that reported the hole, then every other node that is linked. So all
    others are asked even if that node is unknown, or this one. The pause doubles each time all have
    been asked, up to a bound; a new link or a new leader ends it.
"""

from collections.abc import Iterable

from quorate.base.errors import invariant
from quorate.base.ids import NodeId, Slot
from quorate.base.messages import Fetch, Fetched

PAUSE_DOUBLINGS = 4
"""The pause doubles this often."""


class Fetcher:
    """The open Fetches of one replica.

    Args:
        resend_s: The first pause.
    """

    def __init__(self, resend_s: float) -> None:
        self._resend_s = resend_s
        self._open: dict[NodeId, Slot] = {}
        self._due_s = float("-inf")
        self._fruitless = 0  # Fetches since the last one that brought something

    def is_due(self, now_s: float) -> bool:
        """May a Fetch be sent?"""
        return now_s >= self._due_s

    def ask(
        self, first: Slot, last: Slot, peers: Iterable[NodeId], now_s: float
    ) -> tuple[NodeId, Fetch] | None:
        """The next Fetch, and the peer to send it to (FET-1, FET-3).

        Args:
            first: The first slot missing.
            last: The highest slot known to be chosen.
            peers: Those that are linked, the likeliest first; a repeated one counts once.
            now_s: Monotonic seconds.
        """
        invariant(first <= last, "FET-1: only what is missing is asked for")
        order = list(dict.fromkeys(peers))
        rounds, place = divmod(self._fruitless, max(len(order), 1))
        self._due_s = now_s + self._resend_s * 2 ** min(rounds, PAUSE_DOUBLINGS)
        if not order:
            return None
        peer = order[place]
        self._fruitless += 1
        self._open[peer] = first
        return peer, Fetch(first, last)

    def take(self, sender: NodeId, message: Fetched) -> bool:
        """Is this the answer to an open Fetch? It is open no more (FET-1)."""
        if self._open.get(sender) != message.slot_first:
            return False
        del self._open[sender]
        return True

    def reset_pause(self) -> None:
        """The last answer brought something, or there is a new peer to ask: end the pause."""
        self._fruitless = 0
        self._due_s = float("-inf")

    def forget(self, peer: NodeId) -> None:
        """The link was lost: nothing is in flight."""
        self._open.pop(peer, None)
