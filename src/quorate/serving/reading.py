"""Reading: what a read does next, as a state machine. It knows no node and no caller.

BLK-1: a default read takes a read point before its first evaluation. An evaluation after a wake
    needs none: the tables are then later than that point.
BLK-2: before a waiting read says "unchanged" it takes a fresh read point: a node that is cut off
    never certifies silence. What changed meanwhile is in the answer.
BLK-3: a stale read takes none.
BLK-4: who waits is woken by changes of subjects, and looks again: only a newer index is an answer.
    Where what is watched is wider than what is shown, only another value than that of tables as new
    as the caller's index is.

    begin -> CONFIRM -> confirmed -> EVALUATE -> evaluated -> ANSWER
                                        ^            |
                                      woken <----- WAIT -> timed_out -> CONFIRM -> FINISH

Source: https://developer.hashicorp.com/consul/api-docs/features/blocking.
"""

from collections.abc import Callable
from enum import Enum

from quorate.base.errors import invariant


class Act(Enum):
    """What to do next, and which method of `Reading` says what follows it."""

    CONFIRM = "confirm"  # take a read point: `confirmed`
    EVALUATE = "evaluate"  # read the tables: `evaluated` or `is_long`
    WAIT = "wait"  # for what is watched, and so long: `woken`, `searched`, `timed_out`
    ANSWER = "answer"  # with what was evaluated just now; the read is over
    FINISH = "finish"  # evaluate when the answer is wanted, and answer; the read is over


class _Phase(Enum):
    BEGUN = "begun"
    CONFIRMING = "confirming"  # BLK-1
    LOOKING = "looking"
    WAITING = "waiting"
    CERTIFYING = "certifying"  # BLK-2
    OVER = "over"


class Reading:
    """One read.

    Args:
        index: Answer when something is newer than this; 0: at once.
        is_stale: From what this node has (BLK-3).
        is_compared: What is watched is wider than what is shown: only another value is a change.
        is_list: It is woken only by a change of what is shown: it need not look once more.
    """

    __slots__ = ("_old", "_phase", "index", "is_compared", "is_list", "is_stale")

    def __init__(
        self, index: int, *, is_stale: bool, is_compared: bool = False, is_list: bool = False
    ) -> None:
        self.index = index
        self.is_stale = is_stale
        self.is_compared = is_compared
        self.is_list = is_list
        self._phase = _Phase.BEGUN
        self._old: bytes | None = None

    @property
    def is_waiting(self) -> bool:
        """It waits for a change."""
        return self._phase is _Phase.WAITING

    def begin(self) -> Act:
        """It was asked."""
        self._enter(_Phase.CONFIRMING, _Phase.BEGUN)
        return self._look() if self.is_stale else Act.CONFIRM

    def confirmed(self) -> Act:
        """The tables are as new as when the read point was asked for, or newer."""
        if self._phase is _Phase.CERTIFYING:
            return self._finish()
        return self._look()

    def evaluated(self, changed: int, digest: Callable[[], bytes], *, tables: int) -> Act:
        """The tables were read.

        Args:
            changed: The index of the newest change of what was asked for.
            digest: Tells one value from another.
            tables: The index of the newest change of anything.
        """
        if self._has_changed(changed, digest, tables):
            self._enter(_Phase.OVER, _Phase.LOOKING)
            return Act.ANSWER
        return self._wait()

    def is_long(self, changed: int, *, is_exact: bool) -> Act:
        """What was asked for is too long to be read in this turn.

        Args:
            changed: As in `evaluated`.
            is_exact: False: it may be less; it is looked for while the read waits (`searched`).
        """
        if is_exact and changed > self.index:
            return self._finish()
        return self._wait()

    def searched(self, newest: int) -> Act:
        """The newest change of what is too long has been found."""
        return self._finish() if newest > self.index else Act.WAIT

    def woken(self, index: int) -> Act:
        """Something that is watched has changed; `index` is that of the tables now."""
        if self.is_list and index > self.index:
            return self._finish()
        return self._look()

    def timed_out(self) -> Act:
        """It has waited for so long as it wanted (BLK-2)."""
        if self.is_stale:
            return self._finish()
        self._enter(_Phase.CERTIFYING, _Phase.WAITING)
        return Act.CONFIRM

    # --- parts ---------------------------------------------------------------------------------

    def _look(self) -> Act:
        if not self.index:
            return self._finish()
        self._enter(_Phase.LOOKING, _Phase.CONFIRMING, _Phase.WAITING)
        return Act.EVALUATE

    def _wait(self) -> Act:
        self._enter(_Phase.WAITING, _Phase.LOOKING)
        return Act.WAIT

    def _finish(self) -> Act:
        self._enter(
            _Phase.OVER, _Phase.CONFIRMING, _Phase.LOOKING, _Phase.WAITING, _Phase.CERTIFYING
        )
        return Act.FINISH

    def _has_changed(self, changed: int, digest: Callable[[], bytes], tables: int) -> bool:
        if changed <= self.index:
            if self.is_compared and self._old is None and tables >= self.index:
                self._old = digest()  # what older tables show the caller may not have seen
            return False
        return self._old is None or digest() != self._old

    def _enter(self, phase: _Phase, *before: _Phase) -> None:
        invariant(self._phase in before, "a read goes from phase to phase as drawn")
        self._phase = phase
