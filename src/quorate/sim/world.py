"""World: virtual time, and chance that a seed decides.

One heap of (time, number, deed). Nothing else moves time, and nothing here asks a real clock.
Chance is split per concern, so that one more draw in one place shifts nothing in another.
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any
from zlib import crc32

DEEDS_MAX = 500_000
"""A run with more deeds than this is a storm of messages; a lively one has a tenth of it."""

Deed = Callable[..., None]


class ViolationError(Exception):
    """A checker found that a promise was broken."""


def chance(seed: object, concern: str) -> random.Random:
    """A stream of chance; equal in every process, for it is seeded by text (SHA-512)."""
    return random.Random(f"{seed}:{concern}")


class Trace:
    """What happened, as one number; and as lines, if somebody listens."""

    def __init__(self, listener: Callable[[str], None] | None = None) -> None:
        self.digest = 0
        self.listener = listener

    def add(self, data: bytes) -> None:
        """Mix bytes into the digest."""
        self.digest = crc32(data, self.digest)

    def say(self, now_s: float, text: str) -> None:
        """Mix a line into the digest, and show it."""
        self.digest = crc32(text.encode(), self.digest)
        if self.listener is not None:
            self.listener(f"{now_s:10.4f} {text}")


class World:
    """Time and the list of what is to come.

    Args:
        seed: Decides all chance.
        listener: Gets each line of the trace.
    """

    def __init__(self, seed: object, listener: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.now = 0.0
        self.deeds = 0
        self.trace = Trace(listener)
        self._heap: list[tuple[float, int, Deed, tuple[Any, ...]]] = []
        self._number = 0

    def chance(self, concern: str) -> random.Random:
        """A stream of chance for one concern."""
        return chance(self.seed, concern)

    def after(self, delay_s: float, deed: Deed, *args: Any) -> None:
        """Do something later; what is due at the same time goes in the order asked for."""
        self._number += 1
        heappush(self._heap, (self.now + delay_s, self._number, deed, args))

    def say(self, text: str) -> None:
        """A line of the trace."""
        self.trace.say(self.now, text)

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
        self.now, _, deed, args = heappop(self._heap)
        self.deeds += 1
        if self.deeds > DEEDS_MAX:
            raise ViolationError(f"a storm: {self.deeds} deeds within {self.now:.1f} s")
        deed(*args)
