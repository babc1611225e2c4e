"""Batch delay: commands wait a moment for others, so that one bundle carries many.

A bundle, its batch, the syncs and the messages cost the same for one command as for a hundred, and
clients that got their responses together often send the next requests together. So a node that had
many commands in flight holds commands back until nearly as many have arrived again.

DLY-1: with few commands in flight there is no delay.
DLY-2: the delay is at most `LONGEST_S`, and shorter if the expected commands can arrive earlier.
DLY-3: after a delay in vain the next bundles are sent at once: twice as many each time.

Known from databases as a commit delay: https://www.postgresql.org/docs/current/runtime-config-wal.html
"""

from math import inf

WANTED_SHARE = 0.9
"""Share of the peak in flight that ends a delay: some clients are always late."""

FADES = 0.9
"""The peak decays by this factor with each bundle: clients disconnect, too."""

BASE_S = 0.0005
EACH_S = 0.00003
"""A client's answer and next command take about this long, one after the other."""

LONGEST_S = 0.003
LEAVE_AT_ONCE_MAX = 64


class BatchDelay:
    """Decides when waiting commands are sent.

    Args:
        few: With fewer commands in flight than this there is no delay.
        most: The most commands of one bundle.

    Attributes:
        due_s: When the waiting commands are sent at the latest; infinite if none are delayed.
    """

    def __init__(self, few: int, most: int) -> None:
        self._few = few
        self._most = most
        self._under_way = 0
        self._peak = 0.0
        self._misses = 0
        self._at_once = 0
        self.due_s = inf

    def may_leave(self, waiting: int, now_s: float) -> bool:
        """Whether the waiting commands should be sent now; else call again, by `due_s`."""
        if self._at_once or self._peak < self._few or waiting >= self._wanted:
            return True
        if self.due_s == inf:
            self.due_s = now_s + min(BASE_S + EACH_S * self._peak, LONGEST_S)
        return now_s >= self.due_s

    def on_left(self, commands: int, now_s: float) -> None:
        """A bundle was sent."""
        if self._at_once:
            self._at_once -= 1
        elif self.due_s < inf and commands >= self._wanted:
            self._misses = 0
        elif self.due_s <= now_s:
            self._misses += 1
            self._at_once = min(2**self._misses, LEAVE_AT_ONCE_MAX)
        self.due_s = inf
        self._under_way += commands
        self._peak = max(self._peak * FADES, self._under_way)

    def on_withdrawn(self) -> None:
        """No command is waiting any more."""
        self.due_s = inf

    def on_arrived(self, commands: int) -> None:
        """A bundle was applied here."""
        self._under_way -= commands

    @property
    def _wanted(self) -> float:
        return min(WANTED_SHARE * self._peak, self._most)
