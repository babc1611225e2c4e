"""World: virtual time, and random numbers that follow from a seed.

One heap of (time, number, action). Nothing else moves time, and nothing here reads a real clock.
Each concern has its own stream of random numbers, so that one more draw in one place shifts nothing
in another.
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any
from zlib import crc32

ACTIONS_MAX = 500_000
"""A run with more actions than this has run away; a busy one has a tenth of it."""

Action = Callable[..., None]


class ViolationError(Exception):
    """A checker found that a guarantee was broken."""


def seeded_rng(seed: object, concern: str) -> random.Random:
    """A stream of random numbers; equal in every process, for it is seeded by text (SHA-512)."""
    return random.Random(f"{seed}:{concern}")


class Trace:
    """What happened, as one number; and as lines, if there is a listener."""

    def __init__(self, listener: Callable[[str], None] | None = None) -> None:
        self.digest = 0
        self.listener = listener

    def add(self, data: bytes) -> None:
        """Mix bytes into the digest."""
        self.digest = crc32(data, self.digest)

    def log(self, now_s: float, text: str) -> None:
        """Mix a line into the digest, and pass it to the listener."""
        self.digest = crc32(text.encode(), self.digest)
        if self.listener is not None:
            self.listener(f"{now_s:10.4f} {text}")


class World:
    """Time, and the actions that are scheduled.

    Args:
        seed: Determines all random numbers.
        listener: Gets each line of the trace.
    """

    def __init__(self, seed: object, listener: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.now = 0.0
        self.actions = 0
        self.trace = Trace(listener)
        self._heap: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._number = 0

    def rng(self, concern: str) -> random.Random:
        """The stream of random numbers of one concern."""
        return seeded_rng(self.seed, concern)

    def after(self, delay_s: float, action: Action, *args: Any) -> None:
        """Schedule an action; those due at the same time run in the order of these calls."""
        self._number += 1
        heappush(self._heap, (self.now + delay_s, self._number, action, args))

    def log(self, text: str) -> None:
        """A line of the trace."""
        self.trace.log(self.now, text)

    def run(self, until_s: float) -> None:
        """Let time pass up to `until_s`."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self._do_next()
        self.now = max(self.now, until_s)

    def run_while(self, goes_on: Callable[[], bool], until_s: float) -> bool:
        """Let time pass until `goes_on()` is false; False if time was up first."""
        while goes_on():
            if not self._heap or self._heap[0][0] > until_s:
                self.now = max(self.now, until_s)
                return False
            self._do_next()
        return True

    def _do_next(self) -> None:
        self.now, _, action, args = heappop(self._heap)
        self.actions += 1
        if self.actions > ACTIONS_MAX:
            raise ViolationError(f"too many actions: {self.actions} within {self.now:.1f} s")
        action(*args)
