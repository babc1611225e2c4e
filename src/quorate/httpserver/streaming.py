"""Streaming: an answer of which the length is not known before its end.

The head leaves first; the body is sent in chunks. To a client that closes after the answer, as
those of HTTP/1.0 do, it goes as it is, and the end of the connection is its end.
"""

import zlib
from collections.abc import Iterable, Iterator

from quorate.httpserver.drawing import MORE
from quorate.httpserver.request import Piece, Request

GZIP_LEVEL = 1  # the loop waits for it
_GZIP_WBITS = 31


def stream(request: Request, head: bytes, body: Iterable[bytes], *, is_packed: bool) -> None:
    """Answer with a body that is made piece by piece, as the client takes it.

    None of it is made while too much is held for the client, or for all.

    Args:
        request: Whose answer.
        head: Status line and header lines, without the empty line that ends them.
        body: Each piece is made in a turn of its own; an empty one: nothing yet, but more comes.
        is_packed: The body is packed with gzip, and the head says so.
    """
    if request.needs_keep_alive:  # kept alive by HTTP/1.0, which knows no chunks
        request.ends_connection()
    pieces: Iterator[bytes] = _packed(body) if is_packed else iter(body)
    if request.is_last:
        made: Iterator[Piece] = (each or MORE for each in pieces)
    else:
        head += b"Transfer-Encoding: chunked\r\n"
        made = _chunked(pieces)
    request.answer(head + b"\r\n", _within_budget(request, made))


def _within_budget(request: Request, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, none of which is made while too much is held for this client or for all."""
    while True:
        if request.is_spent:
            request.wait_for_memory()
            yield b""
            continue
        try:
            made = [next(pieces)]
        except StopIteration:
            return
        yield made.pop()  # nothing of it stays here


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
