"""Who waits for which subject. Free when nobody waits.

A watcher asks for subjects exactly or for all that begin alike (`base.subjects`), and is woken
once: it looks again and, if need be, asks anew. A wake-up says "look", not "it changed".
"""

from collections.abc import Iterable, Sequence

from quorate.base.effects import Ticket
from quorate.base.errors import invariant
from quorate.base.subjects import EVERYTHING, beginning, exactly

_EXACTLY = exactly(b"")
_BEGINNING = beginning(b"")


class Watches:
    """Watchers by subject; tickets are handed back in the order in which they came."""

    def __init__(self) -> None:
        self._next_id = 1
        self._watchers: dict[int, tuple[tuple[bytes, ...], Ticket]] = {}
        self._exact: dict[bytes, dict[int, None]] = {}
        self._prefixes: dict[int, dict[bytes, dict[int, None]]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._watchers)

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

    def fire(self, touched: Iterable[bytes]) -> list[Ticket]:
        """Wake who waits for any touched subject, and forget them. Cost: O(touched)."""
        if not self._watchers:
            return []
        woken: set[int] = set()
        for subject in touched:
            if subject == EVERYTHING:
                woken.update(self._watchers)
                break
            woken.update(self._exact.get(subject, ()))
            for length, shelves in self._prefixes.items():
                woken.update(shelves.get(subject[:length], ()))
        tickets: list[Ticket] = []
        for watch_id in sorted(woken):
            tickets.append(self._watchers[watch_id][1])
            self.remove(watch_id)
        return tickets

    def _shelf(self, subject: bytes, *, is_new: bool) -> dict[int, None]:
        kind, name = subject[:1], subject[1:]
        invariant(kind in (_EXACTLY, _BEGINNING), "a watcher says how it compares")
        if kind == _EXACTLY:
            shelves = self._exact
        elif is_new:
            shelves = self._prefixes.setdefault(len(name), {})
        else:
            shelves = self._prefixes.get(len(name), {})
        return shelves.setdefault(name, {}) if is_new else shelves.get(name, {})

    def _clear(self, subject: bytes) -> None:
        kind, name = subject[:1], subject[1:]
        if kind == _EXACTLY:
            self._exact.pop(name, None)
            return
        shelves = self._prefixes.get(len(name))
        if shelves is not None:
            shelves.pop(name, None)
            if not shelves:
                del self._prefixes[len(name)]
