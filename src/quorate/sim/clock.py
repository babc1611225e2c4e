"""Clock: the time that one node reads.

Its monotonic seconds have their own zero and their own rate, may stop and may jump
ahead (a suspended machine), but never go back. Its wall clock may do anything.
"""


class NodeClock:
    """The clocks of one node.

    Args:
        offset_s: Where its monotonic seconds begin.
        rate: Its seconds per true second.
        wall_ms: Its wall clock at true time 0.
    """

    def __init__(self, offset_s: float, rate: float, wall_ms: int) -> None:
        self._base_s = offset_s
        self._since_s = 0.0
        self._rate = rate
        self._wall_ms = wall_ms
        self._is_frozen = False

    def read(self, now_s: float) -> float:
        """Monotonic seconds at a true time."""
        if self._is_frozen:
            return self._base_s
        return self._base_s + (now_s - self._since_s) * self._rate

    def wall(self, now_s: float) -> int:
        """Milliseconds since 1970, as this node reads them."""
        return self._wall_ms + int(now_s * 1000)

    def set_rate(self, now_s: float, rate: float) -> None:
        """Run faster or slower from now on."""
        self._rebase(now_s)
        self._rate = rate

    @property
    def is_frozen(self) -> bool:
        """Whether it is stopped."""
        return self._is_frozen

    def freeze(self, now_s: float) -> None:
        """Stop."""
        self._rebase(now_s)
        self._is_frozen = True

    def thaw(self, now_s: float) -> None:
        """Go on from where it stopped."""
        if self._is_frozen:
            self._is_frozen = False
            self._since_s = now_s

    def leap(self, now_s: float, seconds: float) -> None:
        """Jump ahead."""
        self._rebase(now_s)
        self._base_s += max(seconds, 0.0)

    def leap_wall(self, milliseconds: int) -> None:
        """Set the wall clock to another time, in either direction."""
        self._wall_ms += milliseconds

    def _rebase(self, now_s: float) -> None:
        self._base_s = self.read(now_s)
        self._since_s = now_s
