"""Watchers and the watch keys they wait for. No cost while there are none.

A watcher waits for exact keys or for all keys with a prefix (`base.subjects`), and is woken once:
it reads again and, if need be, waits anew. A wake-up is a hint to read, not a proof of a change.

WAT-1: `mark` only records the keys that changed; `take` finds their watchers and returns a bounded
    number of tickets. The rest stays for the next call, so a change with thousands of watchers,
    or thousands of changes, take many turns.
WAT-2: each watcher that was registered when one of its keys was marked is woken, unless it was
    removed; a later one is not.
WAT-3: the number of marked keys that are not processed yet is bounded: beyond it all are woken.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from operator import itemgetter

from quorate.base.effects import Ticket
from quorate.base.errors import invariant
from quorate.base.metrics import Histogram
from quorate.base.subjects import BEGINNING, EVERYTHING, EXACTLY

TICKETS_MAX = 32
"""Watchers woken in one turn: each reads again, which takes some 100 microseconds."""

LOOKS_MAX = 1_024
"""Keys and watchers examined in one turn."""

MARKED_MAX = 64 * LOOKS_MAX
"""Keys that are marked and not processed yet: some 10 MB."""


NOTED_MAX = 1_024
"""Durations that are collected before they are counted."""


class Watches:
    """Watchers by key; tickets are returned in the order in which they were registered.

    Attributes:
        is_waking: `take` may have tickets to return.
        has_worked: Part of this turn's share is used.
        wakes: How long after the change each was woken.
    """

    def __init__(self) -> None:
        self._next_id = 1
        self._watchers: dict[int, tuple[tuple[bytes, ...], Ticket]] = {}
        self._exact: dict[bytes, dict[int, None]] = {}
        self._prefixes: dict[int, dict[bytes, dict[int, None]]] = {}
        self._marked: deque[tuple[int, Sequence[bytes], float]] = deque()
        self._size = 0  # keys of all marks that are not processed
        self._size_found = 0  # of the one that is being processed
        self._id_end = 0  # watchers registered after the mark are not woken for it
        self._marked_s = 0.0  # when that one was marked
        self._finding: Generator[int | None, None, None] | None = None
        self._tickets_left, self._looks_left = TICKETS_MAX, LOOKS_MAX
        self.is_waking = self.has_worked = False
        self.wakes = Histogram()

    def __len__(self) -> int:
        """The number of watchers."""
        return len(self._watchers)

    @property
    def marked(self) -> int:
        """The number of keys that are marked and not processed yet (WAT-3)."""
        return self._size

    def add(self, subjects: Sequence[bytes], ticket: Ticket) -> int:
        """Register a watcher of any of these keys; returns an id for `remove`.

        Args:
            subjects: Made by `base.subjects.exactly` and `beginning`.
            ticket: Returned by `take`, once.
        """
        watch_id = self._next_id
        self._next_id += 1
        self._watchers[watch_id] = (tuple(subjects), ticket)
        for subject in subjects:
            self._bucket(subject, is_new=True)[watch_id] = None
        return watch_id

    def remove(self, watch_id: int) -> None:
        """Remove a watcher; harmless if it was woken or does not exist."""
        watcher = self._watchers.pop(watch_id, None)
        if watcher is None:
            return
        for subject in watcher[0]:
            bucket = self._bucket(subject, is_new=False)
            bucket.pop(watch_id, None)
            if not bucket:
                self._clear(subject)

    def mark(self, changed_subjects: Sequence[bytes], now_s: float) -> None:
        """These keys changed: `take` finds their watchers (WAT-1). Takes over the list."""
        if not self._watchers:
            return
        self._size += len(changed_subjects)
        if self._size > MARKED_MAX and changed_subjects != [EVERYTHING]:  # WAT-3
            self._marked.clear()
            self._finding, self._size, self._size_found = None, 1, 0
            changed_subjects = [EVERYTHING]
        self._marked.append((self._next_id, changed_subjects, now_s))
        self.is_waking = True

    def give_share(self) -> None:
        """A new turn begins, with a full share."""
        self._tickets_left, self._looks_left = TICKETS_MAX, LOOKS_MAX
        self.has_worked = False

    def take(self, now_s: float) -> list[Ticket]:
        """Remove watchers of marked keys, up to this turn's share, and return their tickets.

        The tickets of one call are in the order in which they were registered.
        """
        woken: list[tuple[int, Ticket]] = []
        while self._looks_left > 0 and self._tickets_left > 0 and self.is_waking:
            if self._finding is None:
                self._id_end, changed_subjects, self._marked_s = self._marked.popleft()
                self._finding, self._size_found = (
                    self._found(changed_subjects),
                    len(changed_subjects),
                )
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
        self.wakes.collect(NOTED_MAX)
        woken.sort(key=itemgetter(0))
        return [ticket for _, ticket in woken]

    def _found(self, changed_subjects: Iterable[bytes]) -> Generator[int | None, None, None]:
        """Ids of the watchers of any of these keys; None: a step that found none."""
        for subject in changed_subjects:
            if subject == EVERYTHING:
                yield from list(self._watchers)
            elif subject[:1] == BEGINNING:
                yield from self._found_in_tree(subject[1:])
            else:
                yield from list(self._exact.get(subject, ()))
                for length in list(self._prefixes):
                    buckets = self._prefixes.get(length, {})
                    yield from list(buckets.get(subject[:length], ()))
                yield None

    def _found_in_tree(self, begin: bytes) -> Generator[int | None, None, None]:
        """Watchers of a key with this prefix, or of a prefix that covers such keys."""
        for subject in list(self._exact):
            found = self._exact.get(subject, {}) if subject.startswith(begin) else {}
            yield None
            yield from list(found)
        for length in list(self._prefixes):
            for name in list(self._prefixes.get(length, {})):
                is_changed = name.startswith(begin) or begin.startswith(name)
                found = self._prefixes.get(length, {}).get(name, {}) if is_changed else {}
                yield None
                yield from list(found)

    def _bucket(self, subject: bytes, *, is_new: bool) -> dict[int, None]:
        kind, name = subject[:1], subject[1:]
        invariant(kind in (EXACTLY, BEGINNING), "a watch key says whether it is exact or a prefix")
        if kind == EXACTLY:
            buckets = self._exact
        elif is_new:
            buckets = self._prefixes.setdefault(len(name), {})
        else:
            buckets = self._prefixes.get(len(name), {})
        return buckets.setdefault(name, {}) if is_new else buckets.get(name, {})

    def _clear(self, subject: bytes) -> None:
        kind, name = subject[:1], subject[1:]
        if kind == EXACTLY:
            self._exact.pop(name, None)
            return
        buckets = self._prefixes.get(len(name))
        if buckets is not None:
            buckets.pop(name, None)
            if not buckets:
                del self._prefixes[len(name)]
