"""Keys and values."""

from collections.abc import Callable
from typing import TypeVar

from quorate.client import arguments, bodies
from quorate.client.arguments import Data
from quorate.client.replies import Reply
from quorate.client.requests import (
    ClientRequest,
    Lane,
    blocking,
    flags_of,
    head,
    kv_path,
    put_request,
    query,
)
from quorate.client.structs import KvEntry, Written
from quorate.client.sync.requester import Requester
from quorate.client.sync.watching import WATCH_TIMEOUT_S, Watch

State = TypeVar("State")


class Kv:
    """The key-value store.

    Keys are text of at most 4 KiB; values are bytes, at most 512 KiB; a text is stored as UTF-8,
    and read as bytes. Reads are linearizable unless they are `stale`: then the node answers at once
    from its own state, even without a leader. Every method takes `deadline_s`, seconds from the
    call; the client's own if None.

    Raises (every method):
        TypeError: An argument is of another type; the text names it.
        RequestError: The key or value cannot be sent.
        PeerError: The address serves no HTTP API of Quorate or Consul.
        UnavailableError: Definite: it was not executed before the deadline.
        OutcomeUnknownError: Indefinite, writes only: it may or may not have been executed.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self.now_s = requester.now_s
        self.deadline_s = requester.deadline_s

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._requester!r}>"

    # --- reads --------------------------------------------------------------------------------

    def get(
        self, key: str, *, stale: bool = False, deadline_s: float | None = None
    ) -> KvEntry | None:
        """Read a key with all that is stored about it; None if it does not exist."""
        request = _read(key, query(stale=_flag(stale)), Lane.LOCAL if stale else Lane.SHARED)
        return bodies.entry(self._requester.call(request, deadline_s))

    def read(
        self, key: str, *, stale: bool = False, deadline_s: float | None = None
    ) -> bytes | None:
        """Read only the value of a key; None if the key does not exist. Cheaper than `get`."""
        what = query(raw=True, stale=_flag(stale))
        request = _read(key, what, Lane.LOCAL if stale else Lane.SHARED)
        reply = self._requester.call(request, deadline_s)
        return reply.body if bodies.is_found(reply) else None

    def tree(
        self, prefix: str = "", *, stale: bool = False, deadline_s: float | None = None
    ) -> list[KvEntry]:
        """Read all keys that begin with a prefix, ordered by key; empty if there are none."""
        request = _read(prefix, query(recurse=True, stale=_flag(stale)), Lane.EXCLUSIVE)
        return bodies.entries(self._requester.call(request, deadline_s))

    def keys(
        self,
        prefix: str = "",
        *,
        separator: str = "",
        stale: bool = False,
        deadline_s: float | None = None,
    ) -> list[str]:
        """List the names of all keys that begin with a prefix, in order.

        Args:
            prefix: Empty means all.
            separator: Names are cut after its first occurrence behind the prefix, and listed once:
                with "/" this lists a folder.
            stale: See the class.
            deadline_s: See the class.
        """
        cut = arguments.text("separator", separator) or None
        what = query(keys=True, separator=cut, stale=_flag(stale))
        return bodies.key_names(
            self._requester.call(_read(prefix, what, Lane.EXCLUSIVE), deadline_s)
        )

    # --- writes -------------------------------------------------------------------------------

    def put(self, key: str, value: Data, *, flags: int = 0, deadline_s: float | None = None) -> int:
        """Write a key unconditionally.

        Args:
            key: The key.
            value: Bytes, or text, which is stored as UTF-8.
            flags: See KvEntry.
            deadline_s: See the class.

        Returns:
            The index of the command; the current one if the key had this value and flags already.
        """
        what = query(flags=flags_of(flags)) if flags or type(flags) is not int else ""
        request = put_request(key, what, value)
        return bodies.written(self._requester.call(request, deadline_s)).index

    def cas(
        self,
        key: str,
        value: Data,
        index: int,
        *,
        flags: int = 0,
        deadline_s: float | None = None,
    ) -> Written:
        """Write a key only if it was not changed since it was read.

        After OutcomeUnknownError do not simply repeat it: if the first one took place, the second
        fails. Read the key first.

        Args:
            key: The key.
            value: Its new value.
            index: `modify_index` of the entry that was read; 0: only if the key does not exist.
            flags: See KvEntry.
            deadline_s: See the class.
        """
        what = query(cas=arguments.whole("index", index), flags=flags_of(flags))
        request = put_request(key, what, value)
        return bodies.written(self._requester.call(request, deadline_s))

    def delete(
        self, key: str, *, index: int | None = None, deadline_s: float | None = None
    ) -> Written:
        """Remove a key; it succeeds, too, if the key does not exist.

        Args:
            key: The key.
            index: Only if its `modify_index` is this.
            deadline_s: See the class.
        """
        cas = None if index is None else arguments.whole("index", index)
        request = ClientRequest(head("DELETE", _named(key), query(cas=cas)))
        return bodies.written(self._requester.call(request, deadline_s))

    def delete_tree(self, prefix: str, *, deadline_s: float | None = None) -> Written:
        """Remove all keys that begin with a prefix, at once. An empty prefix removes all keys."""
        request = ClientRequest(head("DELETE", kv_path(prefix), query(recurse=True)))
        return bodies.written(self._requester.call(request, deadline_s))

    # --- the operations that locks are made of ------------------------------------------------

    def acquire(
        self,
        key: str,
        value: Data,
        session: str,
        *,
        flags: int = 0,
        deadline_s: float | None = None,
    ) -> Written:
        """Acquire a key for a session, and write it; `client.lock` is a whole lock.

        Returns:
            True if the session holds the key now; `index` is the fencing token then. False if
            another session holds it, or its lock-delay has not passed.

        Raises:
            NotFoundError: The session does not exist.
        """
        session = arguments.filled("session", session)
        what = query(acquire=session, flags=flags_of(flags))
        request = put_request(key, what, value, is_repeatable=True)
        return bodies.written(self._requester.call(request, deadline_s))

    def release(
        self,
        key: str,
        value: Data,
        session: str,
        *,
        flags: int = 0,
        deadline_s: float | None = None,
    ) -> Written:
        """Release a key, and write it; false if the session does not hold it."""
        session = arguments.filled("session", session)
        what = query(release=session, flags=flags_of(flags))
        request = put_request(key, what, value)
        return bodies.written(self._requester.call(request, deadline_s))

    # --- watches ------------------------------------------------------------------------------

    def watch(self, key: str, *, patience_s: float = WATCH_TIMEOUT_S) -> Watch[KvEntry | None]:
        """Watch a key: its state now, then each change; None while it does not exist.

        Changes in quick succession may be seen as one, but the last state is never missed.

        Args:
            key: The key.
            patience_s: The watch raises UnavailableError when no node has replied for so long.
        """
        return self.watch_as(key, bodies.entry, patience_s)

    def watch_as(self, key: str, read: Callable[[Reply], State], patience_s: float) -> Watch[State]:
        """Watch a key, of which `read` makes the states; equal states count as one."""
        path = _named(key)
        return Watch(
            self._requester,
            lambda index, wait_s: blocking(path, index, wait_s),
            read,
            patience_s,
            repr(key),
        )

    def watch_tree(
        self, prefix: str, *, patience_s: float = WATCH_TIMEOUT_S
    ) -> Watch[list[KvEntry]]:
        """Watch all keys that begin with a prefix; each state is the whole list, as `tree`."""
        path = kv_path(prefix)
        return Watch(
            self._requester,
            lambda index, wait_s: blocking(path, index, wait_s, recurse=True),
            bodies.entries,
            patience_s,
            f"keys below {prefix!r}",
        )


def _named(key: str) -> bytes:
    if not key:
        arguments.filled("key", key)
    return kv_path(key)


def _flag(stale: bool) -> bool:
    return stale if stale is False else arguments.flag("stale", stale)


def _read(key: str, what: str, lane: Lane) -> ClientRequest:
    path = kv_path(key) if lane is Lane.EXCLUSIVE else _named(key)
    return ClientRequest(head("GET", path, what), lane=lane, is_repeatable=True, accepts=404)
