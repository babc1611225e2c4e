"""Keys and values."""

from collections.abc import Callable
from typing import TypeVar

from quorate.base.errors import RequestError
from quorate.client import bodies
from quorate.client.durations import spell
from quorate.client.replies import Reply
from quorate.client.requests import Lane, Request, head, kv_path, put_request, query
from quorate.client.structs import KvEntry, Written
from quorate.client.sync.road import Road
from quorate.client.sync.watching import PATIENCE_S, Watch

State = TypeVar("State")


class Kv:
    """The key-value store.

    Keys are text of at most 4 KiB; values are bytes, at most 512 KiB. Reads are linearizable
    unless they say `stale`: then the node answers at once from what it has, even without a
    leader. Every method takes `deadline_s`, seconds from the call; the client's own if None.

    Raises (every method):
        RequestError: The key or value cannot be sent.
        UnavailableError: Definite: it was not done, and the deadline came.
        OutcomeUnknownError: Indefinite, writes only: it may or may not have been done.
    """

    def __init__(self, road: Road) -> None:
        self._road = road
        self.now_s = road.now_s

    # --- reads --------------------------------------------------------------------------------

    def get(
        self, key: str, *, stale: bool = False, deadline_s: float | None = None
    ) -> KvEntry | None:
        """Read a key with all that is stored about it; None if it does not exist."""
        request = _read(key, query(stale=stale), Lane.LOCAL if stale else Lane.SHARED)
        return bodies.entry(self._road.call(request, deadline_s))

    def read(
        self, key: str, *, stale: bool = False, deadline_s: float | None = None
    ) -> bytes | None:
        """Read only the value of a key; None if the key does not exist. Cheaper than `get`."""
        what = query(raw=True, stale=stale)
        request = _read(key, what, Lane.LOCAL if stale else Lane.SHARED)
        reply = self._road.call(request, deadline_s)
        return reply.body if reply.status == 200 else None

    def tree(
        self, prefix: str = "", *, stale: bool = False, deadline_s: float | None = None
    ) -> list[KvEntry]:
        """Read all keys that begin with a prefix, ordered by key; empty if there are none."""
        request = _read(prefix, query(recurse=True, stale=stale), Lane.ALONE)
        return bodies.entries(self._road.call(request, deadline_s))

    def keys(
        self,
        prefix: str = "",
        *,
        separator: str = "",
        stale: bool = False,
        deadline_s: float | None = None,
    ) -> list[str]:
        """Name all keys that begin with a prefix, in order.

        Args:
            prefix: Empty means all.
            separator: Names are cut after the first one past the prefix, each part once: with
                "/" this lists a folder.
            stale: See the class.
            deadline_s: See the class.
        """
        what = query(keys=True, separator=separator or None, stale=stale)
        return bodies.names(self._road.call(_read(prefix, what, Lane.ALONE), deadline_s))

    # --- writes -------------------------------------------------------------------------------

    def put(
        self, key: str, value: bytes, *, flags: int = 0, deadline_s: float | None = None
    ) -> int:
        """Write a key, whatever it holds.

        Returns:
            The index of the command; the current one if the key already held just this.
        """
        request = put_request(key, query(flags=flags) if flags else "", value)
        return (self._road.call(request, deadline_s)).write_index

    def cas(
        self,
        key: str,
        value: bytes,
        index: int,
        *,
        flags: int = 0,
        deadline_s: float | None = None,
    ) -> Written:
        """Write a key only if it was not changed since it was read.

        After OutcomeUnknownError do not simply repeat: if the first one took place, the second
        is refused. Read the key and look.

        Args:
            key: The key.
            value: Its new value.
            index: `modify_index` of the entry that was read; 0: only if the key does not exist.
            flags: See KvEntry.
            deadline_s: See the class.
        """
        request = put_request(key, query(cas=index, flags=flags or None), value)
        return bodies.written(self._road.call(request, deadline_s))

    def delete(
        self, key: str, *, index: int | None = None, deadline_s: float | None = None
    ) -> Written:
        """Remove a key; done, too, if there is none.

        Args:
            key: The key.
            index: Only if its `modify_index` is this.
            deadline_s: See the class.
        """
        request = Request(head("DELETE", _named(key), query(cas=index)))
        return bodies.written(self._road.call(request, deadline_s))

    def delete_tree(self, prefix: str, *, deadline_s: float | None = None) -> Written:
        """Remove all keys that begin with a prefix, at once. An empty prefix removes all keys."""
        request = Request(head("DELETE", kv_path(prefix), query(recurse=True)))
        return bodies.written(self._road.call(request, deadline_s))

    # --- locks, as the store sees them --------------------------------------------------------

    def acquire(
        self,
        key: str,
        value: bytes,
        session: str,
        *,
        flags: int = 0,
        deadline_s: float | None = None,
    ) -> Written:
        """Take a key for a session, and write it. `client.lock` does the rest of the recipe.

        Returns:
            Done if the session holds the key now; `index` is the fencing token then. Not done if
            another session holds it, or held it and the lock-delay runs.

        Raises:
            RequestError: The session does not exist.
        """
        what = query(acquire=session, flags=flags or None)
        request = put_request(key, what, value, is_repeatable=True)
        return bodies.written(self._road.call(request, deadline_s))

    def release(
        self,
        key: str,
        value: bytes,
        session: str,
        *,
        flags: int = 0,
        deadline_s: float | None = None,
    ) -> Written:
        """Give a key back, and write it; not done if the session does not hold it."""
        what = query(release=session, flags=flags or None)
        request = put_request(key, what, value)
        return bodies.written(self._road.call(request, deadline_s))

    # --- watches ------------------------------------------------------------------------------

    def watch(self, key: str, *, patience_s: float = PATIENCE_S) -> Watch[KvEntry | None]:
        """Follow a key: its state now, then each change; None while it does not exist.

        Quick changes may be seen as one, but the last state is never missed.

        Args:
            key: The key.
            patience_s: The watch raises UnavailableError when no node answers for so long.
        """
        return self.watch_as(key, bodies.entry, patience_s)

    def watch_as(self, key: str, read: Callable[[Reply], State], patience_s: float) -> Watch[State]:
        """Follow what `read` makes of a key; states that are equal count as one."""
        path = _named(key)
        return Watch(
            self._road, lambda index, wait_s: _blocking(path, index, wait_s), read, patience_s
        )

    def watch_tree(self, prefix: str, *, patience_s: float = PATIENCE_S) -> Watch[list[KvEntry]]:
        """Follow all keys that begin with a prefix; each state is the whole list, as `tree`."""
        path = kv_path(prefix)
        return Watch(
            self._road,
            lambda index, wait_s: _blocking(path, index, wait_s, recurse=True),
            bodies.entries,
            patience_s,
        )


def _named(key: str) -> bytes:
    if not key:
        raise RequestError("bad_request", "a key must not be empty")
    return kv_path(key)


def _read(key: str, what: str, lane: Lane) -> Request:
    path = kv_path(key) if lane is Lane.ALONE else _named(key)
    return Request(head("GET", path, what), lane=lane, is_repeatable=True, accepts=404)


def _blocking(path: bytes, index: int, wait_s: float, *, recurse: bool = False) -> Request:
    what = query(
        recurse=recurse, index=index or None, wait=spell(max(wait_s, 0.001)) if index else None
    )
    return Request(head("GET", path, what), lane=Lane.ALONE, is_repeatable=True, accepts=404)
