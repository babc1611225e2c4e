"""Slices: work that is too long for one turn of the loop, done a piece at a time.

All long answers of a node share one queue and take turns in it, so that forty of them delay the
rest no more than one does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from quorate.base.errors import InvariantError
from quorate.base.slices import LATER, Step

TURN_S = 0.003
"""So much of each turn is spent on slices; a piece that was begun is finished."""


def soon(step: Callable[[], None]) -> None:
    """Have the running loop do something in its next turn."""
    asyncio.get_running_loop().call_soon(step)


class SliceQueue:
    """The queue.

    Args:
        call_soon: Has something done in the next turn.
        clock: Monotonic seconds.

    Attributes:
        clock: See above.
        on_error: Told what a step raised; the others go on.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], None] = soon,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._call_soon = call_soon
        self.clock = clock
        self._steps: deque[Step] = deque()
        self._is_due = False
        self.on_error: Callable[[BaseException], None] = _raise

    def report_to(self, on_error: Callable[[BaseException], None]) -> None:
        """From now on tell this what a step raised."""
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: Step) -> None:
        """Do this in later turns, until it says that there is no more."""
        self._steps.append(step)
        self._wake()

    def _wake(self) -> None:
        if not self._is_due and self._steps:
            self._is_due = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        steps, end_s = self._steps, self.clock() + TURN_S
        later: list[Step] = []
        while steps:
            step = steps.popleft()
            try:
                if more := step():
                    (later if more == LATER else steps).append(step)
            except (Exception, InvariantError) as error:  # noqa: BLE001 - answered; for the log
                self.on_error(error)
            if self.clock() >= end_s:
                break
        steps.extend(later)
        self._is_due = False
        self._wake()


def _raise(error: BaseException) -> None:
    raise error
