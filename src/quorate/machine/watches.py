"""Who waits for which subject. Free when nobody waits.

A watcher asks for subjects exactly or for all that begin alike (`base.subjects`), and is woken
once: it looks again and, if need be, asks anew. A wake-up says "look", not "it changed".

WAT-1: `mark` only notes what changed; `take` finds who waits for it and hands back a bounded number
    of tickets. What is left stays for the next call, so a change that thousands wait for, or
    thousands of changes, take many turns.
WAT-2: whoever waited when a subject was marked is woken, unless it was removed; who came later is
    not.
WAT-3: what is marked and not looked at yet is bounded: beyond that everybody who waits is woken.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from operator import itemgetter

from quorate.base.effects import Ticket
from quorate.base.errors import invariant
from quorate.base.metrics import Histogram
from quorate.base.subjects import BEGINNING, EVERYTHING, EXACTLY

TICKETS_MAX = 32
"""Woken in one turn: each looks again, which takes some 100 microseconds."""

LOOKS_MAX = 1_024
"""Subjects and watchers looked at in one turn."""

MARKED_MAX = 64 * LOOKS_MAX
"""Subjects that are marked and wait to be looked at: some 10 MB."""


NOTED_MAX = 1_024
"""Durations that are noted before they are counted."""


class Watches:
    """Watchers by subject; tickets are handed back in the order in which they came.

    Attributes:
        is_waking: `take` may have something to give.
        has_worked: Some of this turn's share is used.
        wakes: How long after the change each was woken.
    """

    def __init__(self) -> None:
        self._next_id = 1
        self._watchers: dict[int, tuple[tuple[bytes, ...], Ticket]] = {}
        self._exact: dict[bytes, dict[int, None]] = {}
        self._prefixes: dict[int, dict[bytes, dict[int, None]]] = {}
        self._marked: deque[tuple[int, Sequence[bytes], float]] = deque()
        self._size = 0  # subjects of all marks that are not done
        self._size_found = 0  # of the one that is being looked at
        self._id_end = 0  # who came after the mark is not woken for it
        self._marked_s = 0.0  # when that one was marked
        self._finding: Generator[int | None, None, None] | None = None
        self._tickets_left, self._looks_left = TICKETS_MAX, LOOKS_MAX
        self.is_waking = self.has_worked = False
        self.wakes = Histogram()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._watchers)

    @property
    def marked(self) -> int:
        """How many subjects are marked and not looked at yet (WAT-3)."""
        return self._size

    def add(self, subjects: Sequence[bytes], ticket: Ticket) -> int:
        """Wait for any of these subjects; returns an id for `remove`.

        Args:
            subjects: Made by `base.subjects.exactly` and `beginning`.
            ticket: Given back by `fire`, once.
        """
        watch_id = self._next_id
        self._next_id += 1
        self._watchers[watch_id] = (tuple(subjects), ticket)
        for subject in subjects:
            self._shelf(subject, is_new=True)[watch_id] = None
        return watch_id

    def remove(self, watch_id: int) -> None:
        """Wait no more; harmless if it fired or never was."""
        watcher = self._watchers.pop(watch_id, None)
        if watcher is None:
            return
        for subject in watcher[0]:
            shelf = self._shelf(subject, is_new=False)
            shelf.pop(watch_id, None)
            if not shelf:
                self._clear(subject)

    def mark(self, touched: Sequence[bytes], now_s: float) -> None:
        """These subjects changed: `take` finds who waits (WAT-1). The list is given away."""
        if not self._watchers:
            return
        self._size += len(touched)
        if self._size > MARKED_MAX and touched != [EVERYTHING]:  # WAT-3
            self._marked.clear()
            self._finding, self._size, self._size_found = None, 1, 0
            touched = [EVERYTHING]
        self._marked.append((self._next_id, touched, now_s))
        self.is_waking = True

    def give_share(self) -> None:
        """A new turn begins: `take` may wake again."""
        self._tickets_left, self._looks_left = TICKETS_MAX, LOOKS_MAX
        self.has_worked = False

    def take(self, now_s: float) -> list[Ticket]:
        """Wake some of those who wait for what was marked, up to this turn's share; forget them.

        The tickets of one call come in the order in which they were added.
        """
        woken: list[tuple[int, Ticket]] = []
        while self._looks_left > 0 and self._tickets_left > 0 and self.is_waking:
            if self._finding is None:
                self._id_end, touched, self._marked_s = self._marked.popleft()
                self._finding, self._size_found = self._found(touched), len(touched)
            try:
                watch_id = next(self._finding)
            except StopIteration:
                self._finding = None
                self._size -= self._size_found
                self.is_waking = bool(self._marked)
                continue
            self._looks_left -= 1
            self.has_worked = True
            watcher = None if watch_id is None else self._watchers.get(watch_id)
            if watch_id is not None and watch_id < self._id_end and watcher is not None:
                woken.append((watch_id, watcher[1]))
                self._tickets_left -= 1
                self.wakes.note(now_s - self._marked_s)
                self.remove(watch_id)
        self.wakes.gather(NOTED_MAX)
        woken.sort(key=itemgetter(0))
        return [ticket for _, ticket in woken]

    def _found(self, touched: Iterable[bytes]) -> Generator[int | None, None, None]:
        """Ids of those who wait for any of these subjects; None: one was looked at in vain."""
        for subject in touched:
            if subject == EVERYTHING:
                yield from list(self._watchers)
            elif subject[:1] == BEGINNING:
                yield from self._found_in_tree(subject[1:])
            else:
                yield from list(self._exact.get(subject, ()))
                for length in list(self._prefixes):
                    shelves = self._prefixes.get(length, {})
                    yield from list(shelves.get(subject[:length], ()))
                yield None

    def _found_in_tree(self, begin: bytes) -> Generator[int | None, None, None]:
        """Those who wait for a subject that begins like this, or for many among which are such."""
        for subject in list(self._exact):
            found = self._exact.get(subject, {}) if subject.startswith(begin) else {}
            yield None
            yield from list(found)
        for length in list(self._prefixes):
            for name in list(self._prefixes.get(length, {})):
                is_touched = name.startswith(begin) or begin.startswith(name)
                found = self._prefixes.get(length, {}).get(name, {}) if is_touched else {}
                yield None
                yield from list(found)

    def _shelf(self, subject: bytes, *, is_new: bool) -> dict[int, None]:
        kind, name = subject[:1], subject[1:]
        invariant(kind in (EXACTLY, BEGINNING), "a watcher says how it compares")
        if kind == EXACTLY:
            shelves = self._exact
        elif is_new:
            shelves = self._prefixes.setdefault(len(name), {})
        else:
            shelves = self._prefixes.get(len(name), {})
        return shelves.setdefault(name, {}) if is_new else shelves.get(name, {})

    def _clear(self, subject: bytes) -> None:
        kind, name = subject[:1], subject[1:]
        if kind == EXACTLY:
            self._exact.pop(name, None)
            return
        shelves = self._prefixes.get(len(name))
        if shelves is not None:
            shelves.pop(name, None)
            if not shelves:
                del self._prefixes[len(name)]
