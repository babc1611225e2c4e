"""Slices: work that is too long for one turn of the event loop, done a step at a time.

All long answers of a node share one queue and are served round-robin, so that forty of them delay
other requests no more than one does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from quorate.base.errors import InvariantError
from quorate.base.slices import LATER, Step

TURN_S = 0.003
"""The part of each turn that is spent on steps; a step that was begun is finished."""


def soon(step: Callable[[], None]) -> None:
    """Run a step in the next turn of the running loop."""
    asyncio.get_running_loop().call_soon(step)


class SliceQueue:
    """The queue.

    Args:
        call_soon: Runs a step in the next turn.
        clock: Monotonic seconds.

    Attributes:
        clock: See above.
        on_error: Called with what a step raised; the other steps go on.
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
        """From now on call this with what a step raised."""
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: Step) -> None:
        """Run a step in later turns, until it returns that it is complete."""
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
            except (Exception, InvariantError) as error:  # noqa: BLE001 - answered already; for the log
                self.on_error(error)
            if self.clock() >= end_s:
                break
        steps.extend(later)
        self._is_due = False
        self._wake()


def _raise(error: BaseException) -> None:
    raise error
