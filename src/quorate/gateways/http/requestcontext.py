"""Headers with terms of a request: they become its `RequestContext`.

`X-Quorate-Deadline: 2500ms` says how long the client waits, from when the request was complete. A
request that finds no leader is held, for the node's own hold time unless its client waits for less.
What is not proposed by then, or not begun because of requests before it on its connection, is
withdrawn and refused as definite. So a client that gives up knows that its write did not happen,
instead of it being proposed when no client waits any more.

`traceparent` names the trace that a request belongs to; one that is malformed is ignored.

Source: https://www.w3.org/TR/trace-context/, 3.2.
"""

import re
from time import monotonic

import msgspec

from quorate.base.context import RequestContext
from quorate.base.errors import UnavailableError
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import SECOND_NS, duration_ns
from quorate.httpserver.request import Request

LENGTHS = frozenset({11, 18})
"""The lengths of the header names that count here or in `context.check_enterprise`."""

_DEADLINE = b"x-quorate-deadline"
_TRACE = b"traceparent"
_TRACE_VALUE = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_NO_TRACE = "0" * 32
_LATE = "the deadline passed while requests before it on its connection were carried out"


def with_headers(request: Request, context: RequestContext, now_s: float) -> RequestContext:
    """The context with the deadline and the trace that the headers of a request set.

    Args:
        request: The request.
        context: Its context so far.
        now_s: The time of the node's clock.

    Raises:
        HttpError: 400: the deadline is no positive duration.
        UnavailableError: `overloaded`: it has passed.
    """
    for name, value in request.headers:
        if len(name) not in LENGTHS:
            continue
        lower = name.lower()
        if lower == _DEADLINE:
            left_s = _duration_s(value) - _age_s(request)
            if left_s <= 0:
                raise UnavailableError("overloaded", _LATE, 1.0)
            deadline_s = min(now_s + left_s, context.deadline_s)
            context = msgspec.structs.replace(context, deadline_s=deadline_s)
        elif lower == _TRACE:
            context = msgspec.structs.replace(context, trace_id=_trace_id(value))
    return context


def _duration_s(value: bytes) -> float:
    try:
        duration_s = duration_ns(value.decode("latin-1")) / SECOND_NS
    except TextError as error:
        raise HttpError(400, f"Invalid X-Quorate-Deadline: {error}") from None
    if duration_s <= 0:
        raise HttpError(400, "Invalid X-Quorate-Deadline: it must be above zero")
    return duration_s


def _age_s(request: Request) -> float:
    return 0.0 if request.began_s is None else max(0.0, monotonic() - request.began_s)


def _trace_id(value: bytes) -> str:
    match = _TRACE_VALUE.fullmatch(value)
    found = "" if match is None else match[1].decode()
    return "" if found == _NO_TRACE else found
