"""Kept reads: what clients ask again and again is found by its target, without routing or parsing.

KRD-1: an entry is found only by a request that means the same: a GET of the same target, with no
    header that may change its meaning, of the same principal.
KRD-2: entries and their bytes are bounded; beyond a bound all are dropped.
KRD-3: a body is sent again if the tables have not changed since it was made; or if the index of
    what it shows has not, and nothing was changed under no index
    (`base.ports.Local.unindexed_changes`). Otherwise it is made anew.
"""

from collections.abc import Callable

from quorate.gateways.http.requestcontext import LENGTHS
from quorate.httpserver.request import Request

ENTRIES_MAX = 1024
BYTES_MAX = 4 * 1024 * 1024
TARGET_BYTES_MAX = 1024
ENTRY_BYTES = 4096
"""About what an entry takes without its target and body: what was made of the query."""

_SPECIAL = LENGTHS | {len(b"cache-control")}

Respond = Callable[[Request], None]


class KeptReads:
    """The reads of one gateway."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Respond] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def clear(self) -> None:
        """Drop all of them, as when the configuration changes."""
        self._entries = {}
        self._bytes = 0

    def find(self, request: Request) -> Respond | None:
        """What responds to a request that repeats a read (KRD-1)."""
        respond = self._entries.get(request.target)
        if respond is None or request.method != b"GET" or not request.context.is_common:
            return None
        return None if _is_special(request) else respond

    def may_keep(self, request: Request) -> bool:
        """Whether others may repeat this request, whose handler has set its context."""
        return (
            request.method == b"GET"
            and len(request.target) <= TARGET_BYTES_MAX
            and b"near" not in request.target  # that follows from more than state and target
            and request.context.is_common
            and not _is_special(request)
        )

    def keep(self, target: bytes, respond: Respond) -> None:
        """Keep a read."""
        if len(self._entries) >= ENTRIES_MAX:
            self.clear()
        self.count(ENTRY_BYTES + len(target))
        self._entries[target] = respond

    def count(self, size: int) -> None:
        """Count bytes that an entry takes from now on; what it took before is not taken off."""
        if self._bytes + size > BYTES_MAX:
            self.clear()
        self._bytes += size


def _is_special(request: Request) -> bool:
    """Whether a header may change the meaning of a read."""
    for name, _ in request.headers:  # noqa: SIM110 - half the cost of `any` with a generator
        if len(name) in _SPECIAL:
            return True
    return False
