"""Progress: what a leader knows of one peer, and how much may be in flight to it.

Flow control: unanswered Accepts are counted in bytes per peer. A peer over the limit, or without a
link, is sent heartbeats only: they report the watermark, it fetches what it lacks, and when it has
caught up it is sent Accepts again. So a slow peer costs the leader no more than that limit.
"""

from collections import deque

from quorate.base.ids import Slot

CAUGHT_UP_SLOTS = 16
"""A paused peer this close to the watermark gets Accepts again."""


class Progress:
    """What the leader of one ballot knows of one peer.

    Attributes:
        last_contact_s: When its last message arrived.
        has_answered: Any message of it has arrived in this ballot.
        match: Its watermark, as last reported.
        in_force: The newest configuration in force by its disk (LRN-6).
        is_linked: The link to it is established.
        is_paused: It is sent no Accepts until it has caught up.
    """

    def __init__(self, now_s: float, bytes_max: int, is_linked: bool) -> None:
        self.last_contact_s = now_s
        self.has_answered = False
        self.match = Slot(0)
        self.in_force = 0
        self.is_linked = is_linked
        self.is_paused = False
        self._bytes_max = bytes_max
        self._bytes = 0
        self._sent: deque[tuple[Slot, int]] = deque()

    @property
    def takes_accepts(self) -> bool:
        """May an Accept be sent now?"""
        return self.is_linked and not self.is_paused

    def on_contact(self, now_s: float) -> None:
        """A message of the peer arrived."""
        self.last_contact_s = now_s
        self.has_answered = True

    def on_sent(self, slot: Slot, size: int) -> None:
        """An Accept of `size` bytes was sent."""
        self._sent.append((slot, size))
        self._bytes += size
        if self._bytes > self._bytes_max:
            self._pause()

    def on_answer(self, slot: Slot, now_s: float) -> None:
        """The peer accepted `slot`.

        Links are FIFO: what was sent before has arrived or is lost, and is in flight no more.
        """
        self.on_contact(now_s)
        while self._sent and self._sent[0][0] <= slot:
            self._bytes -= self._sent.popleft()[1]

    def on_watermark(self, theirs: Slot, ours: Slot, now_s: float) -> None:
        """The peer reported its watermark."""
        self.on_answer(theirs, now_s)
        self.match = max(self.match, theirs)
        if self.is_paused and theirs + CAUGHT_UP_SLOTS >= ours:
            self.is_paused = False

    def on_in_force(self, number: int) -> None:
        """The peer reported the newest configuration that is in force by its disk."""
        self.in_force = max(self.in_force, number)

    def on_link(self, is_linked: bool) -> None:
        """The link was established or lost: nothing is in flight."""
        self.is_linked = is_linked
        self._sent.clear()
        self._bytes = 0

    def _pause(self) -> None:
        self.is_paused = True
        self._sent.clear()
        self._bytes = 0
