"""Done that the endpoints of the agent's services and checks have in common."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from quorate.base.errors import QuorateError
from quorate.filters.predicates import Predicate
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.streams import send_list
from quorate.gateways.http.views import JsonView
from quorate.httpserver.request import Request
from quorate.kv.queries import BATCH_BYTES
from quorate.monitoring.definitions import CheckDefinition

_size_of = msgspec.msgpack.Encoder().encode

SLICE = 32
"""Views that one turn makes of a long list."""


def refuse_probed(context: Context, definitions: Iterable[CheckDefinition]) -> None:
    """Refuse checks that this agent cannot carry out.

    Raises:
        HttpError: 501: there is one; 500: a setting forbids it.
    """
    for definition in definitions:
        refusal = context.agent.refusal(definition)
        if refusal is not None:
            if refusal.is_by_setting:
                raise HttpError(500, refusal.text)
            raise HttpError(501, refusal.text, code="unsupported")


def answer_done(context: Context, request: Request, error: QuorateError | None) -> None:
    """Respond that a change was made, or why it was not."""
    if error is not None:
        context.fail(request, error)
        return
    index = context.reader().index
    context.responses.empty(request, lines=b"X-Quorate-Index: %d\r\n" % index)


def send_map(
    context: Context,
    request: Request,
    names: Iterable[str],
    view_of: Callable[[str], JsonView | None],
    keep: Predicate | None,
) -> None:
    """Respond with an object of views by name; a long one is made in slices.

    Args:
        context: The gateway's.
        request: The request.
        names: The names, in order.
        view_of: The view of a name; None: it was removed meanwhile.
        keep: Which views are shown; None: all.
    """
    pieces = _pieces(names, view_of, keep)
    nothing: dict[str, JsonView] = {}
    first = next(pieces, nothing)
    second = next(pieces, None)
    if second is None:
        context.responses.value(request, first)
    else:
        send_list(context.responses, request, chain((first, second), pieces), brackets=b"{}")


def _pieces(
    names: Iterable[str], view_of: Callable[[str], JsonView | None], keep: Predicate | None
) -> Iterator[dict[str, JsonView]]:
    """The views, in pieces that one turn can make; one may be empty."""
    piece: dict[str, JsonView] = {}
    count = size = 0
    for name in names:
        view = view_of(name)
        count += 1
        if view is not None and (keep is None or keep(view)):
            piece[name] = view
            size += len(_size_of(view))
        if count == SLICE or size >= BATCH_BYTES:
            yield piece
            piece, count, size = {}, 0, 0
    if piece:
        yield piece
