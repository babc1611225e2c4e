"""Reads of rows of sessions and of the catalog: lists of them, and objects made of them.

What one turn can make is made in one, what is longer in slices (`longlists`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from quorate.base.errors import QuorateError
from quorate.base.results import Answer
from quorate.gateways.http.blocking import Mode, header_lines, read
from quorate.gateways.http.context import Context
from quorate.gateways.http.longlists import (
    LongRows,
    Pieces,
    object_in_turn,
    rows_in_turn,
    send_rows,
)
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated
from quorate.serving.reads import Provenance

BODY_BYTES_MAX = 256 * 1024
"""A longer body is not kept."""

T = TypeVar("T")


def read_rows(
    context: Context,
    request: Request,
    mode: Mode,
    find: Callable[[Reader], Answer[Iterator[T]]],
    show: Callable[[T], Any],
    *,
    is_compared: bool = False,
    is_kept: bool = False,
) -> None:
    """Respond to a read with a list of rows, now or when it has changed.

    Args:
        context: The gateway's.
        request: The request.
        mode: See `blocking.mode_of`.
        find: Finds the rows in one state.
        show: What is encoded of a row; None: it is left out.
        is_compared: See `blocking.read`. Not for long lists: they may be answered without a change.
        is_kept: Requests that repeat this one get the same while nothing has changed: `find` and
            `show` depend on the state and the target alone.
    """
    kept = context.kept
    if is_kept and not mode.index and kept.may_keep(request):
        one = KeptRead(context, request, mode, find, show, is_exact=not is_compared)
        kept.keep(request.target, one.respond)

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


class KeptRead:
    """A read that does not wait, as its handler understood it, and the last response to it.

    A default read obtains a read index each time (`serving.reading`, BLK-1); its body: KRD-3.

    Args:
        gateway: The context of the gateway.
        request: The first request.
        mode, find, show: See `read_rows`.
        is_exact: The index of the result changes whenever the result does.

    `executing` has a kind of it whose responses differ in their order.
    """

    def __init__(
        self,
        gateway: Context,
        request: Request,
        mode: Mode,
        find: Callable[[Reader], Answer[Iterator[Any]]],
        show: Callable[[Any], Any],
        *,
        is_exact: bool,
    ) -> None:
        self._gateway = gateway
        self._context = request.context
        self._traffic = request.traffic
        self._mode = mode
        self._find = find
        self._show = show
        self._is_exact = is_exact
        self._provenance = Provenance(request.context.is_stale, 0)
        self._body: bytes | None = None
        self._version = -1  # of the tables for which the body is right
        self._changed = self._header = self._unindexed = 0

    def respond(self, request: Request) -> None:
        """Respond to a request that repeats this one."""
        request.set_route(self._traffic, self._context)
        serving = self._gateway.serving
        if self._context.is_stale:
            serving.check_kept_up()
            self._when_wanted(request)
        else:
            serving.confirm(self._context, partial(self._confirmed, request, serving.backend.now_s))

    def _confirmed(self, request: Request, asked_s: float, log_time_ms: int | QuorateError) -> None:
        if isinstance(log_time_ms, QuorateError):
            self._gateway.fail(request, log_time_ms)
            return
        self._gateway.serving.note_fresh(asked_s)
        self._when_wanted(request)

    def _when_wanted(self, request: Request) -> None:
        if request.is_wanted():
            self._send(request)
        else:
            request.postpone(partial(self._send, request))

    def _send(self, request: Request) -> None:
        gateway = self._gateway
        try:
            body = self._current()
            if body is None:
                self._body = None
                answer = self._made(request, gateway.reader())
                if isinstance(answer, LongRows):
                    send_rows(gateway, request, answer, self._long_lines)
                    return
                body = self._encoded(request, answer)
            lines = header_lines(gateway, self._mode, self._context, self._provenance, self._header)
            gateway.responses.send(request, body, lines=lines)
        except Exception as error:  # noqa: BLE001 - it is answered, and raised again if it is ours
            gateway.fail(request, error)

    def _current(self) -> bytes | None:
        """The body, if it is right for the tables as they are (KRD-3)."""
        local, body = self._gateway.local, self._body
        if body is None or self._version == local.tables.version:
            return body
        if not self._is_exact or self._unindexed != local.unindexed_changes:
            return None
        found = self._find(self._gateway.reader())
        if found.changed != self._changed:
            return None
        self._header, self._version = found.header, local.tables.version
        return body

    def _made(
        self,
        request: Request,  # noqa: ARG002 - a kind of this read needs it
        reader: Reader,
    ) -> Answer[Any] | LongRows:
        """The result."""
        return rows_in_turn(self._find, self._show, reader)

    def _encoded(self, request: Request, answer: Answer[Any]) -> bytes:
        """The body, which is kept if it is not too long."""
        gateway = self._gateway
        responses = gateway.responses
        body = responses.encoded(answer.value, asked=responses.asks_pretty(request))
        self._header = answer.header
        if len(body) <= BODY_BYTES_MAX:
            self._keep(body, answer.changed, len(body))
        return body

    def _keep(self, body: bytes, changed: int, size: int) -> None:
        """Keep a body that is right for the tables as they are; what is kept takes this size."""
        local = self._gateway.local
        self._body, self._changed = body, changed
        self._version, self._unindexed = local.tables.version, local.unindexed_changes
        self._gateway.kept.count(size)

    def _long_lines(self, reader: Reader, header: int) -> bytes:
        index = self._provenance.index(reader, header)
        return header_lines(self._gateway, self._mode, self._context, self._provenance, index)
