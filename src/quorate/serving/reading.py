"""Reading: the next step of a read, as a state machine that knows neither node nor caller.

BLK-1: a default read obtains a read index before its first evaluation. An evaluation after a
    wake-up needs none: the tables are then newer than that index.
BLK-2: before a waiting read returns "unchanged" it obtains a new read index: a node that is
    partitioned off never confirms the absence of changes. The response has what changed
    meanwhile.
BLK-3: a stale read obtains none.
BLK-4: a waiting read is woken by changes of its watch keys, and reads again: only a newer index
    ends the wait. Where the keys cover more than the result, only a value that differs from that
    of tables as new as the caller's index does.

    begin -> CONFIRM -> confirmed -> EVALUATE -> evaluated -> ANSWER
                                        ^            |
                                      woken <----- WAIT -> timed_out -> CONFIRM -> FINISH

Source: https://developer.hashicorp.com/consul/api-docs/features/blocking.
"""

from collections.abc import Callable
from enum import Enum

from quorate.base.errors import invariant


class Act(Enum):
    """What to do next, and which method of `Reading` is called after it."""

    CONFIRM = "confirm"  # obtain a read index: `confirmed`
    EVALUATE = "evaluate"  # read the tables: `evaluated` or `is_long`
    WAIT = "wait"  # for a change, with a timeout: `woken`, `searched`, `timed_out`
    ANSWER = "answer"  # with the result of this evaluation; the read is over
    FINISH = "finish"  # evaluate when the response can be sent, and respond; the read is over


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
        index: Respond when something is newer than this; 0: at once.
        is_stale: From the tables of this node (BLK-3).
        is_compared: The watch keys cover more than the result: only another value is a change.
        is_list: It is woken only by a change of the result: it need not be evaluated again.
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
        """The request was received."""
        self._enter(_Phase.CONFIRMING, _Phase.BEGUN)
        return self._look() if self.is_stale else Act.CONFIRM

    def confirmed(self) -> Act:
        """The tables are at least as new as when the read index was requested."""
        if self._phase is _Phase.CERTIFYING:
            return self._finish()
        return self._look()

    def evaluated(self, changed: int, digest: Callable[[], bytes], *, tables: int) -> Act:
        """The tables were read.

        Args:
            changed: The index of the newest change of the result.
            digest: Of the value.
            tables: The index of the newest change of any table.
        """
        if self._has_changed(changed, digest, tables):
            self._enter(_Phase.OVER, _Phase.LOOKING)
            return Act.ANSWER
        return self._wait()

    def is_long(self, changed: int, *, is_exact: bool) -> Act:
        """The result is too long to be read in this turn.

        Args:
            changed: As in `evaluated`.
            is_exact: False: it is an upper bound; the exact one is searched for (`searched`).
        """
        if is_exact and changed > self.index:
            return self._finish()
        return self._wait()

    def searched(self, newest: int) -> Act:
        """The newest change of a long result has been found."""
        return self._finish() if newest > self.index else Act.WAIT

    def woken(self, index: int) -> Act:
        """A watch key has changed; `index` is the current one of the tables."""
        if self.is_list and index > self.index:
            return self._finish()
        return self._look()

    def timed_out(self) -> Act:
        """Its wait time has passed (BLK-2)."""
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
                self._old = digest()  # the caller may not have seen the value of older tables
            return False
        return self._old is None or digest() != self._old

    def _enter(self, phase: _Phase, *before: _Phase) -> None:
        invariant(self._phase in before, "the phases of a read follow each other as in the diagram")
        self._phase = phase
