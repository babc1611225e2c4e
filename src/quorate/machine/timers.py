"""What a leader should propose because logged time passed.

Derived from the tables at start and kept up by what apply reminds of; never stored. A reminder
may be out of date: the row is asked when it is due.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import islice

from quorate.base.commands import Command, SessionExpire, Sweep, TombstonesReap
from quorate.base.ports import TableRows
from quorate.kv import locks
from quorate.machine.state import State, index_of
from quorate.machine.upkeep import GRAVEYARD
from quorate.registry import sessions
from quorate.registry.sessions import SessionRow

RETRY_MS = 2_000
"""What was proposed and not applied is proposed again after this."""

TOMBSTONE_MS = 15 * 60_000
"""Removals are remembered at least this long: longer than the longest blocking query."""

EXPIRIES_MAX = 256
SPAN_MS = 100
"""Deadlines are kept by spans of this length: each is found and changed at the same small cost."""

REMINDERS_MAX = 1_000
"""Reminders taken in at once: about a millisecond."""

READ_MAX = 256
"""Sessions read in one call of `due`, after the tables were replaced."""

ROWS_MAX = 1_000
UPKEEP_EVERY_MS = 100
_SAMPLE_EVERY_MS = 60_000
_SAMPLES_MAX = 64
_UPKEEP_IDLE_MS = 5_000
_DELAYS_LOOKED_AT = 100
_OUTDATED_MAX = 1_000


class Timers:
    """Deadlines of sessions and age of removals, in logged time.

    Args:
        known: Sessions whose deadlines count from the start.
        is_behind: There may be others: they are read by and by, with each call of `due`. What is
            reminded of meanwhile is in the rows, too.
    """

    def __init__(self, known: Iterable[SessionRow] = (), *, is_behind: bool = False) -> None:
        self._unread: bytes | None = b"" if is_behind else None  # sessions from this key on
        self._deadlines: dict[bytes, int] = {}
        self._spans: dict[int, dict[bytes, None]] = {}  # sessions by deadline; none is empty
        self._order: list[int] = []  # a heap of spans; some are there no more
        self._told: deque[Iterator[tuple[int, bytes]]] = deque()  # reminders not taken in yet
        for row in known:
            due_ms = sessions.deadline_ms(row)
            if due_ms is not None:
                self._set(row.id.encode(), due_ms)
        self._samples: deque[tuple[int, int]] = deque()
        self._upkeep_ms = 0
        self._is_upkeep_asked = False

    def __len__(self) -> int:
        """How many sessions have a deadline."""
        return len(self._deadlines)

    @property
    def spans(self) -> int:
        """Spans that are remembered, also those of which nothing is left."""
        return len(self._order)

    def add(self, reminders: list[tuple[int, bytes]]) -> None:
        """Take in what apply reminded of; a negative time cancels.

        Not more than `REMINDERS_MAX` at once: the rest with later calls, and those of `due`. What
        is proposed too early because of that is void when it is applied.
        """
        if reminders:
            self._told.append(iter(reminders))
        if self._told:
            self._take_some()

    def upkeep_applied(self) -> None:
        """What was proposed for upkeep took effect: the next piece need not wait long."""
        if self._is_upkeep_asked:
            self._is_upkeep_asked = False
            self._upkeep_ms -= RETRY_MS - UPKEEP_EVERY_MS

    def sample(self, stamp_ms: int, index: int) -> None:
        """Remember which index was reached when, to know how old a removal is."""
        samples = self._samples
        if not samples or stamp_ms - samples[-1][0] >= _SAMPLE_EVERY_MS:
            samples.append((stamp_ms, index))
            if len(samples) > _SAMPLES_MAX:
                samples.popleft()

    def due(self, now_ms: int, rows: TableRows, state: State) -> list[Command]:
        """What to propose now; nothing twice before a retry interval passed.

        Args:
            now_ms: The leader's logged time.
            rows: Of the current generation, as last applied.
            state: As last applied.
        """
        self._take_some()
        self._read_some(rows)
        commands = self._expiries(now_ms, rows)
        if now_ms >= self._upkeep_ms:
            upkeep = self._upkeep(now_ms, rows, state)
            self._is_upkeep_asked = bool(upkeep)
            self._upkeep_ms = now_ms + (RETRY_MS if upkeep else _UPKEEP_IDLE_MS)
            commands += upkeep
        return commands

    def _read_some(self, rows: TableRows) -> None:
        if self._unread is None:
            return
        piece = list(islice(rows.range(sessions.SESSIONS, self._unread), READ_MAX))
        for _, data in piece:
            row = sessions.decode_row(data)
            due_ms, session = sessions.deadline_ms(row), row.id.encode()
            if due_ms is not None and session not in self._deadlines:
                self._set(session, due_ms)
        self._unread = piece[-1][0] + b"\0" if len(piece) == READ_MAX else None

    def _expiries(self, now_ms: int, rows: TableRows) -> list[Command]:
        order, spans, commands = self._order, self._spans, list[Command]()
        left = EXPIRIES_MAX
        while order and order[0] * SPAN_MS <= now_ms and left > 0:
            span = spans.get(order[0])
            if span is None:
                heappop(order)
                continue
            left -= 1
            session = next(reversed(span))  # the one that goes without a search
            row = sessions.session_of(rows, session.decode())
            if row is not None:
                commands.append(SessionExpire(row.id, row.renewed_ms))
            self._set(session, now_ms + RETRY_MS)
        return commands

    def _upkeep(self, now_ms: int, rows: TableRows, state: State) -> list[Command]:
        commands: list[Command] = []
        delays = islice(rows.range(locks.KV_DELAY, b""), _DELAYS_LOOKED_AT)
        if (
            state.stale
            or state.removals
            or any(int.from_bytes(until, "big") <= now_ms for _, until in delays)
        ):
            commands.append(Sweep(ROWS_MAX))
        old = self._index_before(now_ms - TOMBSTONE_MS)
        if old > 0:
            oldest = next(rows.range(GRAVEYARD, b""), None)
            if oldest is not None and index_of(oldest[0]) <= old:
                commands.append(TombstonesReap(old, ROWS_MAX))
        return commands

    def _take_some(self) -> None:
        left = REMINDERS_MAX
        while self._told and left > 0:
            piece = list(islice(self._told[0], left))
            if not piece:
                self._told.popleft()
            left -= len(piece)
            for due_ms, session in piece:
                if due_ms < 0:
                    self._cancel(session)
                else:
                    self._set(session, due_ms)

    def _set(self, session: bytes, due_ms: int) -> None:
        self._cancel(session)
        self._deadlines[session] = due_ms
        number = _span_of(due_ms)
        span = self._spans.get(number)
        if span is not None:
            span[session] = None
            return
        self._spans[number] = {session: None}
        if len(self._order) > 2 * len(self._spans) + _OUTDATED_MAX:
            self._order = list(self._spans)  # a node that never leads would keep them for ever
            heapify(self._order)
        else:
            heappush(self._order, number)

    def _cancel(self, session: bytes) -> None:
        due_ms = self._deadlines.pop(session, None)
        if due_ms is None:
            return
        number = _span_of(due_ms)
        span = self._spans[number]
        del span[session]
        if not span:
            del self._spans[number]

    def _index_before(self, time_ms: int) -> int:
        """The highest index known to have been reached by then; 0 if none is."""
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= time_ms:
            samples.popleft()
        return samples[0][1] if samples and samples[0][0] <= time_ms else 0


def _span_of(due_ms: int) -> int:
    """The number of the span at whose end a deadline has passed."""
    return -(-due_ms // SPAN_MS)
