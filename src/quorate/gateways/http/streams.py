"""Streams: JSON lists and objects too long for one turn, sent while they are made."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple
from uuid import uuid4

from quorate.gateways.http.responses import (
    INDENT,
    JSON,
    Responses,
    asks_pretty,
    go_json,
    takes_gzip,
)
from quorate.httpserver.request import Request
from quorate.httpserver.streaming import stream


class JsonMember(NamedTuple):
    """A member of an object whose value is a list that is too long for one piece.

    Attributes:
        name: Its name, which no other piece has.
        pieces: The list in pieces; empty ones while it is being sorted.
    """

    name: str
    pieces: Iterator[list[Any]]


Batch = list[Any] | dict[str, Any] | JsonMember
"""The values of one piece; may be empty."""

HERE = uuid4().hex
"""The placeholder for the list in a frame; a client cannot know it."""


def send_list(
    responses: Responses,
    request: Request,
    batches: Iterable[Batch],
    *,
    frame: Any = HERE,
    brackets: bytes = b"[]",
    lines: bytes = b"",
) -> None:
    """Respond with a JSON list or object, made batch by batch as the client reads it.

    Args:
        responses: Makes the head, and says whether JSON is indented.
        request: The request.
        batches: Each is encoded in one turn: at most some tens of KiB.
        frame: The value around the list: `HERE` itself, or an object with it as one member.
        brackets: `{}`: batches are parts of an object.
        lines: Further header lines.
    """
    asked = asks_pretty(request.target)
    is_pretty = asked or responses.is_pretty
    is_packed = takes_gzip(request)
    if is_packed:
        lines += b"Content-Encoding: gzip\r\n"
    before, _, after = go_json(frame, is_pretty=is_pretty).partition(b'"%b"' % HERE.encode())
    depth = 0 if frame is HERE else 1
    body = _joined(batches, brackets, depth, is_pretty=is_pretty)
    after += b"\n" * asked
    body = chain((before,) if before else (), body, (after,) if after else ())
    stream(request, responses.head(200, JSON) + lines, body, is_packed=is_packed)


def _joined(
    batches: Iterable[Batch], brackets: bytes, depth: int, *, is_pretty: bool
) -> Iterator[bytes]:
    """The JSON text of the list; a piece for each batch, and one for the end."""
    begin, end = brackets[:1], brackets[1:]
    before, cut = begin, 2 if is_pretty else 1
    margin = b"\n" + b" " * (INDENT * depth) if is_pretty else b""
    for batch in batches:
        if isinstance(batch, JsonMember):
            own = go_json(batch.name) + (b": " if is_pretty else b":")
            yield before + (margin + b" " * INDENT if is_pretty else b"") + own
            before = b","
            yield from _joined(batch.pieces, b"[]", depth + 1, is_pretty=is_pretty)
        elif batch:
            text = go_json(batch, is_pretty=is_pretty)[1:-cut]
            if is_pretty and depth:
                text = text.replace(b"\n", margin)  # within strings it is escaped
            made = [before + text]
            before = b","
            del batch, text  # while a client does not read, one piece stays in memory
            yield made.pop()
        else:
            yield b""
    yield begin + end if before is begin else margin + end
