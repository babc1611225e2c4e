"""Commands that a leader should propose because log time has passed.

Each domain says which of its rows have a deadline, and what to propose when one is due
(`base.domain.TimerKind`). Deadlines are derived from the tables at start and kept up by what
commands set; never stored. One may be out of date: the row is read when it is due.
"""

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import islice

from quorate.base.command import Command
from quorate.base.ports import TableRows
from quorate.base.schema import TOMBSTONES, index_of
from quorate.machine.commands import Sweep, TombstonesReap
from quorate.machine.domains import Domains
from quorate.machine.rows import TimerChange
from quorate.machine.state import State

RETRY_MS = 2_000
"""A command that was proposed and not applied is proposed again after this."""

TOMBSTONE_MS = 15 * 60_000
"""Tombstones are kept at least this long: longer than the longest blocking query."""

DUE_MAX = 256
"""Deadlines that pass in one call of `due`."""

SPAN_MS = 100
"""Deadlines are grouped by spans of this length: each is found and changed at the same low cost."""

CHANGES_MAX = 1_000
"""Changes of deadlines taken in at once: about a millisecond."""

READ_MAX = 256
"""Rows read in one call of `due`, after the tables were replaced."""

ROWS_MAX = 1_000
UPKEEP_EVERY_MS = 100
_SAMPLE_EVERY_MS = 60_000
_SAMPLES_MAX = 64
_UPKEEP_IDLE_MS = 5_000
_OUTDATED_MAX = 1_000


_Timer = tuple[str, bytes]
"""Kind and key."""


class Timers:
    """Deadlines of all kinds and the age of tombstones, in log time.

    Args:
        domains: Which kinds there are.
        is_behind: The tables may hold deadlines that have not been set here: they are read in
            pieces, with each call of `due`. Those set meanwhile are in the rows, too.
    """

    def __init__(self, domains: Domains, *, is_behind: bool = False) -> None:
        self._kinds = domains.timers
        self._upkeeps = domains.upkeep
        self._unread = deque(self._kinds.values() if is_behind else ())  # whose rows are not read
        self._unread_from = b""  # the key in the table of the first of these
        self._deadlines: dict[_Timer, int] = {}
        self._spans: dict[int, dict[_Timer, None]] = {}  # timers by deadline; none is empty
        self._order: list[int] = []  # a heap of spans; some are empty by now
        self._reported: deque[Iterator[TimerChange]] = deque()  # changes not processed yet
        self._samples: deque[tuple[int, int]] = deque()
        self._upkeep_ms = 0
        self._is_upkeep_asked = False

    def __len__(self) -> int:
        """How many deadlines there are."""
        return len(self._deadlines)

    @property
    def spans(self) -> int:
        """Number of spans in the heap, empty ones too."""
        return len(self._order)

    def read_all(self, rows: TableRows) -> None:
        """Read all that is not read yet: at the start, when no client waits."""
        while self._unread:
            self._read_some(rows)

    def add(self, changes: list[TimerChange]) -> None:
        """Process what commands set.

        At most `CHANGES_MAX` at once: the rest with later calls, and those of `due`. A command
        that is proposed too early because of that has no effect when it is applied.
        """
        if changes:
            self._reported.append(iter(changes))
        if self._reported:
            self._take_some()

    def upkeep_applied(self) -> None:
        """A command for upkeep was applied: the next one need not wait for the retry interval."""
        if self._is_upkeep_asked:
            self._is_upkeep_asked = False
            self._upkeep_ms -= RETRY_MS - UPKEEP_EVERY_MS

    def sample(self, log_time_ms: int, index: int) -> None:
        """Record which index was reached when: it gives the age of a tombstone."""
        samples = self._samples
        if not samples or log_time_ms - samples[-1][0] >= _SAMPLE_EVERY_MS:
            samples.append((log_time_ms, index))
            if len(samples) > _SAMPLES_MAX:
                samples.popleft()

    def due(self, now_ms: int, rows: TableRows, state: State) -> list[Command]:
        """Commands to propose now; none is repeated before the retry interval has passed.

        Args:
            now_ms: The leader's log time.
            rows: Of the current generation, as last applied.
            state: As last applied.
        """
        self._take_some()
        self._read_some(rows)
        commands = self._due(now_ms, rows)
        if now_ms >= self._upkeep_ms:
            upkeep = self._upkeep(now_ms, rows, state)
            self._is_upkeep_asked = bool(upkeep)
            self._upkeep_ms = now_ms + (RETRY_MS if upkeep else _UPKEEP_IDLE_MS)
            commands += upkeep
        return commands

    def _read_some(self, rows: TableRows) -> None:
        if not self._unread:
            return
        kind = self._unread[0]
        piece = list(islice(rows.range(kind.table, self._unread_from), READ_MAX))
        for key, data in piece:
            due_ms, timer = kind.due_ms(data), (kind.name, key)
            if due_ms is not None and timer not in self._deadlines:
                self._set(timer, due_ms)
        if len(piece) == READ_MAX:
            self._unread_from = piece[-1][0] + b"\0"
        else:
            self._unread.popleft()
            self._unread_from = b""

    def _due(self, now_ms: int, rows: TableRows) -> list[Command]:
        order, spans, commands = self._order, self._spans, list[Command]()
        left = DUE_MAX
        while order and order[0] * SPAN_MS <= now_ms and left > 0:
            span = spans.get(order[0])
            if span is None:
                heappop(order)
                continue
            left -= 1
            timer = next(reversed(span))  # the one that is removed without a search
            command = self._kinds[timer[0]].command(rows, timer[1])
            if command is not None:
                commands.append(command)
            self._set(timer, now_ms + RETRY_MS)
        return commands

    def _upkeep(self, now_ms: int, rows: TableRows, state: State) -> list[Command]:
        commands: list[Command] = []
        if state.stale or any(one.is_due(rows, now_ms) for one in self._upkeeps):
            commands.append(Sweep(ROWS_MAX))
        old = self._index_before(now_ms - TOMBSTONE_MS)
        if old > 0:
            oldest = next(rows.range(TOMBSTONES, b""), None)
            if oldest is not None and index_of(oldest[0]) <= old:
                commands.append(TombstonesReap(old, ROWS_MAX))
        return commands

    def _take_some(self) -> None:
        left = CHANGES_MAX
        while self._reported and left > 0:
            piece = list(islice(self._reported[0], left))
            if not piece:
                self._reported.popleft()
            left -= len(piece)
            for kind, key, due_ms in piece:
                if due_ms is None:
                    self._cancel((kind, key))
                else:
                    self._set((kind, key), due_ms)

    def _set(self, timer: _Timer, due_ms: int) -> None:
        self._cancel(timer)
        self._deadlines[timer] = due_ms
        number = _span_of(due_ms)
        span = self._spans.get(number)
        if span is not None:
            span[timer] = None
            return
        self._spans[number] = {timer: None}
        if len(self._order) > 2 * len(self._spans) + _OUTDATED_MAX:
            self._order = list(self._spans)  # on a node that never leads they would accumulate
            heapify(self._order)
        else:
            heappush(self._order, number)

    def _cancel(self, timer: _Timer) -> None:
        due_ms = self._deadlines.pop(timer, None)
        if due_ms is None:
            return
        number = _span_of(due_ms)
        span = self._spans[number]
        del span[timer]
        if not span:
            del self._spans[number]

    def _index_before(self, time_ms: int) -> int:
        """The highest index known to have been reached by then; 0 if none is known."""
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= time_ms:
            samples.popleft()
        return samples[0][1] if samples and samples[0][0] <= time_ms else 0


def _span_of(due_ms: int) -> int:
    """The number of the span at whose end a deadline has passed."""
    return -(-due_ms // SPAN_MS)
