"""Answering: calls the callbacks of clients, over several turns if they are many.

What a callback raises is logged, and affects no other client; but a damaged row that it found ends
the node: tables with such rows must not be served any more.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from quorate.base.effects import Ticket
from quorate.base.errors import StorageError
from quorate.base.metrics import Histogram
from quorate.base.outcomes import Outcome
from quorate.base.ports import Clock

CALLS_S = 0.004
"""How long one turn calls callbacks that are due together; the rest are called in the next turns.

A read index stays valid meanwhile: later tables satisfy it, too.
"""

CALLS_PER_LOOK = 8
"""Callbacks called between two readings of the clock."""


class Answering:
    """Calls tickets.

    Args:
        clock: Monotonic seconds.
        durations: Records the turns that only call callbacks.
        report: Gets what a callback raised.
        fail: Gets an error after which the node must end.
    """

    def __init__(
        self,
        clock: Clock,
        durations: Histogram,
        report: Callable[[BaseException], object],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._clock = clock
        self._durations = durations
        self._report = report
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._begun: deque[tuple[Iterator[Ticket], object]] = deque()  # in an earlier turn

    def __bool__(self) -> bool:
        """Some who waited have not got their answer yet."""
        return bool(self._begun)

    def forget(self) -> None:
        """Give no more answers."""
        self._begun.clear()

    def call(self, tickets: Sequence[Ticket], *answer: object) -> None:
        """Give the same answer to all, at once.

        Raises:
            StorageError: `corrupt`.
        """
        for ticket in tickets:
            try:
                ticket(*answer)
            except Exception as error:  # noqa: BLE001 - it affects this client only
                self._failed(error)

    def call_each(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
        """Give each its own, at once.

        Raises:
            StorageError: `corrupt`.
        """
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            try:
                ticket(outcome)
            except Exception as error:  # noqa: BLE001 - it affects this client only
                self._failed(error)

    def give(self, tickets: Sequence[Ticket], answer: object) -> None:
        """Give the same answer to all, over several turns if they are many.

        Raises:
            StorageError: `corrupt`.
        """
        if len(tickets) <= CALLS_PER_LOOK and not self._begun:
            self.call(tickets, answer)
            return
        self._begun.append((iter(tickets), answer))
        if len(self._begun) == 1:
            self._give_some()

    def _give_some(self) -> None:
        begun, end_s = self._begun, self._clock() + CALLS_S
        while begun:
            tickets, answer = begun.popleft()
            piece = tuple(islice(tickets, CALLS_PER_LOOK))
            if len(piece) == CALLS_PER_LOOK:
                begun.appendleft((tickets, answer))
            self.call(piece, answer)
            if begun and self._clock() >= end_s:
                self._loop.call_soon(self._go_on)
                break

    def _go_on(self) -> None:
        began_s = self._clock()
        try:
            self._give_some()
        except BaseException as error:  # noqa: BLE001 - reported to the owner of the process
            self._fail(error)
        self._durations.note(self._clock() - began_s)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, StorageError) and error.code == "corrupt":
            raise error
        self._report(error)
