"""Writing: the rest of a long answer, made piece by piece as the client reads it.

Each piece is made in a turn that all long answers of the node share (`slices`).
"""

from collections.abc import Callable, Iterator

from quorate.base.errors import StorageError
from quorate.httpserver.request import Piece
from quorate.httpserver.slices import SliceQueue

MORE = memoryview(b"")
"""Yielded instead of a piece: work was done, and more follows. `b""`: nothing is available yet."""


class CutShortError(Exception):
    """The rest of an answer cannot be made, for a reason that is not an error of this node."""


class ResponseWriter:
    """Writes the long answers of one connection, one after the other.

    Args:
        slices: Runs the steps.
        write: Writes a piece; False if the client does not read on: call `go_on` when it does.
        on_end: Called after the last piece; with False if the rest cannot be made.
    """

    __slots__ = ("_chunks", "_is_queued", "_on_end", "_slices", "_write")

    def __init__(
        self, slices: SliceQueue, write: Callable[[Piece], bool], on_end: Callable[[bool], None]
    ) -> None:
        self._slices = slices
        self._write = write
        self._on_end = on_end
        self._chunks: Iterator[Piece] | None = None
        self._is_queued = False

    def begin(self, chunks: Iterator[Piece]) -> None:
        """Begin an answer: the first piece is written at once, as it may exist, uncounted, already.

        The others follow in turns.
        """
        self._chunks = chunks
        if not self._is_queued and self._step():
            self._slices.add(self._step)

    def go_on(self) -> None:
        """The client reads again, or a piece is available again."""
        if self._chunks is not None and not self._is_queued:
            self._is_queued = True
            self._slices.add(self._step)

    def end(self) -> None:
        """Write nothing more: what the pieces are made from may be closed."""
        self._chunks = None
        del self._write, self._on_end  # methods of the connection: a reference cycle

    def _step(self) -> bool:
        chunks = self._chunks
        if chunks is None:
            self._is_queued = False
            return False
        try:
            chunk = next(chunks, None)
        except BaseException as error:  # part is sent: the client must notice that the rest lacks
            self._chunks, self._is_queued = None, False
            self._on_end(False)
            is_locked = isinstance(error, StorageError) and error.code == "locked"
            if is_locked or isinstance(error, CutShortError):  # a closed view is no error
                return False
            raise
        if chunk is None:
            self._chunks, self._is_queued = None, False
            self._on_end(True)
            return False
        self._is_queued = chunk is MORE or (bool(chunk) and self._write(chunk))
        return self._is_queued
