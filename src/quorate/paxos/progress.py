"""Progress: what a leader knows of one peer, and how much it may have on the way to it.

Flow control: Accepts not yet answered are counted in bytes per peer. A peer over the cap, or
without a link, gets heartbeats only: they tell it the watermark, it fetches what it lacks, and
when it has caught up it is sent Accepts again. So a slow peer costs the leader nothing but a cap.
"""

from collections import deque

from quorate.base.ids import Slot

CAUGHT_UP_SLOTS = 16
"""A paused peer this close to the watermark gets Accepts again."""


class Progress:
    """One peer, as the leader of one ballot sees it."""

    def __init__(self, now_s: float, bytes_max: int, is_linked: bool) -> None:
        self.heard_s = now_s
        self.has_answered = False
        self.match = Slot(0)
        self.in_force = 0  # the newest configuration in force by its disk (LRN-6)
        self.is_linked = is_linked
        self.is_paused = False
        self._bytes_max = bytes_max
        self._bytes = 0
        self._sent: deque[tuple[Slot, int]] = deque()

    @property
    def takes_accepts(self) -> bool:
        """May an Accept be sent now?"""
        return self.is_linked and not self.is_paused

    def on_heard(self, now_s: float) -> None:
        """The peer lives."""
        self.heard_s = now_s
        self.has_answered = True

    def on_sent(self, slot: Slot, size: int) -> None:
        """An Accept of `size` bytes left."""
        self._sent.append((slot, size))
        self._bytes += size
        if self._bytes > self._bytes_max:
            self._pause()

    def on_answer(self, slot: Slot, now_s: float) -> None:
        """The peer accepted `slot`.

        Links are FIFO: what was sent before has arrived or is lost, and is on the way no more.
        """
        self.on_heard(now_s)
        while self._sent and self._sent[0][0] <= slot:
            self._bytes -= self._sent.popleft()[1]

    def on_watermark(self, theirs: Slot, ours: Slot, now_s: float) -> None:
        """The peer told its watermark."""
        self.on_answer(theirs, now_s)
        self.match = max(self.match, theirs)
        if self.is_paused and theirs + CAUGHT_UP_SLOTS >= ours:
            self.is_paused = False

    def on_in_force(self, number: int) -> None:
        """The peer told the newest configuration that is in force by its disk."""
        self.in_force = max(self.in_force, number)

    def on_link(self, is_linked: bool) -> None:
        """The link was made anew, or broke: nothing is on the way."""
        self.is_linked = is_linked
        self._sent.clear()
        self._bytes = 0

    def _pause(self) -> None:
        self.is_paused = True
        self._sent.clear()
        self._bytes = 0
