"""Space: whether the disk has room for what the log and the tables take (APL-2).

The log reports a shortage itself. The tables show one by what cannot be applied. Mostly they only
have to be enlarged, which takes a few tries: a shortage of theirs counts when it lasts. It may be
theirs alone: a limit of the size of a file, or a quota, is met by the largest file, while the log
still writes into segments that it has.
"""

from math import inf

from quorate.base.effects import Effect, Note
from quorate.node.applying import Applying

LASTING_S = 1.0


class SpaceWatch:
    """Room on the disk.

    Args:
        applying: What waits for the tables.

    Attributes:
        is_log_full: The log has no room: nothing new is voted for, but noops.
        is_full: No command is taken here, and leadership is handed over.
    """

    def __init__(self, applying: Applying) -> None:
        self._applying = applying
        self._short_since_s = inf
        self.is_log_full = self.is_full = self._is_lasting = False

    @property
    def is_short(self) -> bool:
        """The log cannot grow, or, at this moment, the tables cannot."""
        return self.is_log_full or self._applying.is_stalled

    def on_log(self, *, is_full: bool) -> list[Effect]:
        """The log has no room any more, or has some again."""
        self.is_log_full = is_full
        return self._judge()

    def tick(self, now_s: float) -> list[Effect]:
        """Time passed."""
        is_stalled = self._applying.is_stalled
        self._short_since_s = min(self._short_since_s, now_s) if is_stalled else inf
        self._is_lasting = is_stalled and now_s - self._short_since_s >= LASTING_S
        return self._judge()

    def _judge(self) -> list[Effect]:
        is_full = self.is_log_full or self._is_lasting
        if is_full == self.is_full:
            return []
        self.is_full = is_full
        return [Note("disk full" if is_full else "disk has space", {})]
