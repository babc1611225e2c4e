"""Streams: JSON lists that are too long to be made in one turn, sent while they are made.

The head leaves first, so the length is not known: the body is sent in chunks, as Consul sends its
long answers. To a client that closes after the answer, as those of HTTP/1.0 do, it goes as it is.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from quorate.gateways.http.answers import (
    GZIP_LEVEL,
    JSON,
    Answers,
    asks_pretty,
    go_json,
    takes_gzip,
)
from quorate.gateways.http.drawing import MORE
from quorate.gateways.http.request import Piece, Request

_GZIP_WBITS = 31

Batch = list[Any]
"""Values of one piece; may be empty."""


def send_list(
    answers: Answers,
    request: Request,
    batches: Iterable[Batch],
    *,
    begin: bytes = b"[",
    end: bytes = b"]",
    lines: bytes = b"",
) -> None:
    """Answer with a JSON list, drawn batch by batch as the client takes it.

    Args:
        answers: Knows heads and whether JSON is indented.
        request: Whose.
        batches: Each is encoded in one turn: at most some tens of KiB.
        begin: What stands before the values.
        end: What stands behind them.
        lines: Further header lines.
    """
    asked = asks_pretty(request.target)
    is_pretty = asked or answers.is_pretty
    is_packed = takes_gzip(request)
    if is_packed:
        lines += b"Content-Encoding: gzip\r\n"
    if request.needs_word:  # kept alive by HTTP/1.0, which knows no chunks
        request.is_last = True
    is_chunked = not request.is_last
    if is_chunked:
        lines += b"Transfer-Encoding: chunked\r\n"
    head = b"%b%b\r\n" % (answers.head(200, JSON), lines)
    if is_pretty:
        end = b"\n" + end
    body = _joined(batches, begin, end + b"\n" if asked else end, is_pretty=is_pretty)
    pieces = _packed(body) if is_packed else body
    request.answer(head, _chunked(pieces) if is_chunked else (each or MORE for each in pieces))


def _joined(
    batches: Iterable[Batch], begin: bytes, end: bytes, *, is_pretty: bool
) -> Iterator[bytes]:
    """The text of the list; a piece for each batch, and one for the end."""
    before, cut = begin, len(b"\n]") if is_pretty else len(b"]")
    for batch in batches:
        if batch:
            made = [before + go_json(batch, is_pretty=is_pretty)[1:-cut]]
            before = b","
            del batch  # a client that takes nothing for long keeps one piece in memory
            yield made.pop()
        else:
            yield b""
    yield begin + end if before is begin else end


def _packed(body: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    for piece in body:
        yield packer.compress(piece)
    yield packer.flush()


def _chunked(body: Iterator[bytes]) -> Iterator[Piece]:
    for piece in body:
        made = [b"%x\r\n%b\r\n" % (len(piece), piece) if piece else MORE]
        del piece
        yield made.pop()
    yield b"0\r\n\r\n"
