"""Pending: entries whose rows in the catalog may differ from the local state.

An entry is marked whenever it changes. One command at a time tells the catalog; if the entry
changed again meanwhile it stays marked, and goes again.
"""

from collections.abc import Iterable
from itertools import islice

Key = tuple[str, str]
"""What an entry is ("service" or "check"), and its id."""


def service_key(service: str) -> Key:
    """The key of a service."""
    return ("service", service)


def check_key(check: str) -> Key:
    """The key of a check."""
    return ("check", check)


class PendingEntries:
    """The entries that are marked: ready to be sent, covered by a command under way, or failed."""

    def __init__(self) -> None:
        self._versions: dict[Key, int] = {}
        self._ready: dict[Key, None] = {}
        self._failed: dict[Key, None] = {}
        self._sent: dict[Key, int] = {}
        self._version = 0

    def __len__(self) -> int:
        return len(self._versions)

    def __contains__(self, key: Key) -> bool:
        return key in self._versions or key in self._sent

    @property
    def has_ready(self) -> bool:
        """Whether an entry is ready to be sent."""
        return bool(self._ready)

    @property
    def has_failed(self) -> bool:
        """Whether a command failed whose entries were not tried again."""
        return bool(self._failed)

    def mark(self, key: Key) -> None:
        """An entry changed."""
        self._version += 1
        self._versions[key] = self._version
        self._failed.pop(key, None)
        if key not in self._sent:
            self._ready[key] = None

    def clear(self) -> None:
        """No entry is marked any more."""
        self._versions.clear()
        self._ready.clear()
        self._failed.clear()

    def forget(self, key: Key) -> None:
        """The catalog needs nothing about an entry."""
        self._versions.pop(key, None)
        self._ready.pop(key, None)
        self._failed.pop(key, None)

    def first(self, most: int) -> list[Key]:
        """Entries that are ready, in the order in which they were marked."""
        return list(islice(self._ready, most))

    def is_ready(self, key: Key) -> bool:
        """Whether an entry is marked, and no command covers it."""
        return key in self._ready

    def begin(self, keys: Iterable[Key]) -> None:
        """A command covers these entries as they are now."""
        for key in keys:
            self._ready.pop(key, None)
            self._failed.pop(key, None)
            self._sent[key] = self._versions.get(key, 0)

    def end(self, keys: Iterable[Key], *, is_applied: bool) -> None:
        """A command ended. What changed again is ready; what it did not change has failed."""
        for key in keys:
            sent, version = self._sent.pop(key, 0), self._versions.get(key)
            if version is None:
                continue
            if version != sent:
                self._ready[key] = None
            elif is_applied:
                del self._versions[key]
            else:
                self._failed[key] = None

    def retry(self) -> None:
        """What failed is ready again."""
        self._ready.update(self._failed)
        self._failed.clear()
