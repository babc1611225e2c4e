"""Tag sets: the tags of all instances of a service, in order, however many there are."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

from quorate.gateways.http.errors import spent
from quorate.gateways.http.streams import JsonMember
from quorate.httpserver.request import Request
from quorate.httpserver.writing import CutShortError

IN_TURN = 1024
"""The number of tags that are sorted in one turn; a longer set is a member of its own."""

_PIECE = 512  # tags in one piece of such a set
_TAG_BYTES = 128  # for a tag, besides its text
_STEP_BYTES = 64 * 1024


class TagSets:
    """The tags of the services being read: one name, in several spellings of case.

    Args:
        request: The memory is counted for it.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._of: dict[str, dict[str, None]] = {}
        self._uncounted_bytes = 0

    def add(self, name: str, tags: Iterable[str]) -> None:
        """Add the tags of an instance of a service.

        Raises:
            HttpError: 429: a memory limit is reached.
            CutShortError: The same, after a part of the response was sent.
        """
        own = self._of.setdefault(name, {})
        for tag in tags:
            if tag not in own:
                own[tag] = None
                self._uncounted_bytes += _TAG_BYTES + len(tag)
        if self._uncounted_bytes >= _STEP_BYTES:
            size, self._uncounted_bytes = self._uncounted_bytes, 0
            if not self._request.hold(size):
                if self._request.chunks is None:
                    raise spent()
                raise CutShortError("too many tags for what may be held for a client")

    def take_long(self) -> Iterator[JsonMember]:
        """Remove and return the sets that take more than a turn."""
        for name in [name for name, own in self._of.items() if len(own) > IN_TURN]:
            yield JsonMember(name, _in_order(self._of.pop(name)))

    def take(self) -> dict[str, list[str]]:
        """Remove and return all other sets."""
        taken, self._of = self._of, {}
        return {name: sorted(own) for name, own in taken.items()}


def _in_order(tags: Iterable[str]) -> Iterator[list[str]]:
    """The tags in order, a piece at a time; empty pieces while they are being sorted."""
    rest, runs = iter(tags), list[list[str]]()
    while run := sorted(islice(rest, IN_TURN)):
        runs.append(run)
        yield []
    merged = merge(*runs)
    while piece := list(islice(merged, _PIECE)):
        yield piece
