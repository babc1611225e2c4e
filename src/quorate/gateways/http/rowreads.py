"""Reads of rows of sessions and of the catalog: lists of them, and objects made of them.

What one turn can make is made in one, what is longer in slices (`longlists`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from quorate.base.results import Answer
from quorate.gateways.http.blocking import Mode, read
from quorate.gateways.http.context import Context
from quorate.gateways.http.longlists import Pieces, object_in_turn, rows_in_turn
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated

T = TypeVar("T")


def read_rows(
    context: Context,
    request: Request,
    mode: Mode,
    find: Callable[[Reader], Answer[Iterator[T]]],
    show: Callable[[T], Any],
    *,
    is_compared: bool = False,
) -> None:
    """Respond to a read with a list of rows, now or when it has changed.

    Args:
        context: The gateway's.
        request: The request.
        mode: See `blocking.mode_of`.
        find: Finds the rows in one state.
        show: What is encoded of a row; None: it is left out.
        is_compared: See `blocking.read`. Not for long lists: they may be answered without a change.
    """

    def render(answer: Evaluated, lines: bytes) -> None:
        context.send_shared(request, answer, lambda: answer.value, lines)

    evaluate = partial(rows_in_turn, find, show)
    read(context, request, mode, evaluate, render, is_compared=is_compared)


def read_object(
    context: Context,
    request: Request,
    mode: Mode,
    find: Callable[[Reader], Answer[Iterator[T]]],
    pieces: Pieces,
    frame: Callable[[Reader], Any] | None = None,
    *,
    is_compared: bool = False,
) -> None:
    """Respond to a read with an object made of rows, now or when it has changed.

    Args:
        context: The gateway's.
        request: The request.
        mode: See `blocking.mode_of`.
        find: Finds the rows in one state.
        pieces: Makes its parts.
        frame: What is around it, see `streams.send_list`.
        is_compared: See `read_rows`.
    """

    def render(answer: Evaluated, lines: bytes) -> None:
        context.send_shared(request, answer, lambda: answer.value, lines)

    evaluate = partial(object_in_turn, find, pieces, frame)
    read(context, request, mode, evaluate, render, is_compared=is_compared)
