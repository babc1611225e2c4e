"""Streaming: an answer whose length is not known before its end.

The header lines are sent first; the body is sent in chunks. If the connection ends after the
answer, as with HTTP/1.0, the body is sent as it is, and its end is that of the connection.
"""

import zlib
from collections.abc import Iterable, Iterator

from quorate.httpserver.request import Piece, Request
from quorate.httpserver.writing import MORE

GZIP_LEVEL = 1  # compression runs in the loop
_GZIP_WBITS = 31


def stream(request: Request, head: bytes, body: Iterable[bytes], *, is_packed: bool) -> None:
    """Answer with a body that is made piece by piece, as the client reads it.

    No piece is made while the memory limit of the client, or of all, is reached.

    Args:
        request: The request that is answered.
        head: Status line and header lines, without the empty line that ends them.
        body: Each piece is made in a turn of its own; an empty one: none yet, but more follow.
        is_packed: Compress the body with gzip; the head says so.
    """
    if request.needs_keep_alive:  # HTTP/1.0 has no chunks
        request.ends_connection()
    pieces: Iterator[bytes] = _packed(body) if is_packed else iter(body)
    if request.is_last:
        made: Iterator[Piece] = (each or MORE for each in pieces)
    else:
        head += b"Transfer-Encoding: chunked\r\n"
        made = _chunked(pieces)
    request.answer(head + b"\r\n", _within_budget(request, made))


def _within_budget(request: Request, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces; none is made while a memory limit is reached."""
    while True:
        if request.is_spent:
            request.wait_for_memory()
            yield b""
            continue
        try:
            made = [next(pieces)]
        except StopIteration:
            return
        yield made.pop()  # no reference to it remains here


def _packed(body: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    for piece in body:
        yield packer.compress(piece)
    yield packer.flush()


def _chunked(body: Iterable[bytes]) -> Iterator[Piece]:
    for piece in body:
        made = [b"%x\r\n%b\r\n" % (len(piece), piece) if piece else MORE]
        del piece
        yield made.pop()
    yield b"0\r\n\r\n"
