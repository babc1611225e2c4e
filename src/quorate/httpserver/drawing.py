"""Drawing: the rest of a long answer, made piece by piece as the client takes it.

Every piece is drawn in a turn that all long answers of the node share (`slices`).
"""

from collections.abc import Callable, Iterator

from quorate.base.errors import StorageError
from quorate.httpserver.request import Piece
from quorate.httpserver.slices import SliceQueue

MORE = memoryview(b"")
"""Instead of a piece: work was done, and there is more. An empty piece: nothing is there yet."""


class CutShortError(Exception):
    """The rest of an answer cannot be made, which is no fault of this node."""


class Drawer:
    """Draws the answers of one connection, one after the other.

    Args:
        slices: Turns.
        write: Takes a piece; False if the client takes no more for now: then `go_on` later.
        drawn: Called after the last piece; with False if the answer broke off.
    """

    __slots__ = ("_chunks", "_drawn", "_is_queued", "_slices", "_write")

    def __init__(
        self, slices: SliceQueue, write: Callable[[Piece], bool], drawn: Callable[[bool], None]
    ) -> None:
        self._slices = slices
        self._write = write
        self._drawn = drawn
        self._chunks: Iterator[Piece] | None = None
        self._is_queued = False

    def draw(self, chunks: Iterator[Piece]) -> None:
        """Draw these pieces: the first one at once, for it may exist already, and is not counted.

        The others follow in turns.
        """
        self._chunks = chunks
        if not self._is_queued and self._step():
            self._slices.add(self._step)

    def go_on(self) -> None:
        """The client takes something again."""
        if self._chunks is not None and not self._is_queued:
            self._is_queued = True
            self._slices.add(self._step)

    def end(self) -> None:
        """Draw nothing more: what the pieces are made of may be closed."""
        self._chunks = None
        del self._write, self._drawn  # of the connection, which would keep itself alive

    def _step(self) -> bool:
        chunks = self._chunks
        if chunks is None:
            self._is_queued = False
            return False
        try:
            chunk = next(chunks, None)
        except BaseException as error:  # half of it has left: that the rest is missing must show
            self._chunks, self._is_queued = None, False
            self._drawn(False)
            is_locked = isinstance(error, StorageError) and error.code == "locked"
            if is_locked or isinstance(error, CutShortError):  # a view that was closed is none
                return False
            raise
        if chunk is None:
            self._chunks, self._is_queued = None, False
            self._drawn(True)
            return False
        self._is_queued = chunk is MORE or (bool(chunk) and self._write(chunk))
        return self._is_queued
