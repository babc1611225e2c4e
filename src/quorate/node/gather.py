"""Gather: lets commands wait a moment for company.

A bundle, its batch, the syncs and the messages cost the same for one command as for a hundred,
and clients that were answered together often ask again together. So a node that had many commands
under way lets what waits stay until nearly as many have come again.

DLY-1: with few commands under way nothing waits.
DLY-2: nothing waits longer than `LONGEST_S`, and not that long if the company could be here
    earlier.
DLY-3: waiting in vain makes the next bundles leave at once: twice as many each time.

Known from databases as a commit delay: https://www.postgresql.org/docs/current/runtime-config-wal.html
"""

from math import inf

WANTED_SHARE = 0.9
"""Of the commands that were under way at once: some clients are always late."""

FADES = 0.9
"""What was under way at most counts for less with each bundle: clients go, too."""

BASE_S = 0.0005
EACH_S = 0.00003
"""A client's answer and next command take about this long, one after the other."""

LONGEST_S = 0.003
LEAVE_AT_ONCE_MAX = 64


class Gather:
    """Says when what waits should leave.

    Args:
        few: With fewer commands under way than this nothing waits.
        most: More than this do not fit one bundle.

    Attributes:
        due_s: When that which waits now leaves at the latest; infinite if nothing is kept.
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
        """Whether a bundle of what waits should leave now; else ask again, by `due_s`."""
        if self._at_once or self._peak < self._few or waiting >= self._wanted:
            return True
        if self.due_s == inf:
            self.due_s = now_s + min(BASE_S + EACH_S * self._peak, LONGEST_S)
        return now_s >= self.due_s

    def on_left(self, commands: int, now_s: float) -> None:
        """A bundle left."""
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
        """Nothing waits any more that could have company."""
        self.due_s = inf

    def on_arrived(self, commands: int) -> None:
        """A bundle was applied here."""
        self._under_way -= commands

    @property
    def _wanted(self) -> float:
        return min(WANTED_SHARE * self._peak, self._most)
