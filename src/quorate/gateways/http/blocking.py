"""Reads: parameters and headers become a query of `serving.reads`, its result an HTTP response.

Source: https://developer.hashicorp.com/consul/api-docs/features/blocking.
"""

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from math import inf

import msgspec
from msgspec.structs import replace

from quorate.base.context import Consistency, RequestContext
from quorate.gateways.http.callers import HttpCaller
from quorate.gateways.http.context import (
    DEFAULT_LINES,
    NO_DATACENTER,
    Context,
    check_enterprise,
)
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.longlists import Listing, LongRows, send, send_rows
from quorate.gateways.http.params import NO_PARAMS, SECOND_NS, Params, duration_ns, unsigned
from quorate.httpserver.request import Request
from quorate.kv.queries import LongList, keys_index
from quorate.machine.queries import Reader
from quorate.serving import reads
from quorate.serving.evaluations import Evaluated
from quorate.serving.reads import Evaluate, Provenance, Query

INDEX_LINES = DEFAULT_LINES + b"X-Consul-Index: %d\r\n"
STREAMED_LINES = (
    b"X-Consul-Knownleader: false\r\nX-Consul-Lastcontact: 0\r\n"
    b"X-Consul-Query-Backend: streaming\r\nX-Consul-Index: %d\r\n"
)
ERROR_LINES = (
    b"X-Consul-Knownleader: false\r\nX-Consul-Lastcontact: 0\r\n"
    b"X-Consul-Query-Backend: blocking-query\r\nX-Consul-Index: 1\r\n"
)
_CACHE_CONTROL_BYTES_MAX = 4096
_OWN = (b"index=", b"wait=")


class Mode(msgspec.Struct, frozen=True):
    """The parameters of a read, besides the context of its request.

    Attributes:
        is_cached: The client accepts a cached response: a stale read whose response says its age.
        index: Respond when a change is newer than this; 0: at once.
        wait_s: How long to wait for such a change.
        is_named: The response has `X-Consul-Effective-Consistency`.
        is_streamed: In Consul a materialised view would answer, which knows no leader and says so.
    """

    is_cached: bool = False
    index: int = 0
    wait_s: float = 0.0
    is_named: bool = False
    is_streamed: bool = False


def mode_of(
    context: Context,
    request: Request,
    params: Params,
    *,
    takes_cached: bool = False,
    is_named: bool = False,
    knows_namespaces: bool = True,
) -> Mode:
    """Parse the parameters that all reads have in common.

    The consistency that is asked for is stored in the context of the request.

    Args:
        context: Has defaults and limits.
        request: Has headers that count, too.
        params: The parameters of the query.
        takes_cached: The endpoint supports `cached`.
        is_named: The response says the consistency.
        knows_namespaces: The endpoint refuses namespaces in the query.

    Raises:
        HttpError: A parameter is invalid, or two contradict each other.
    """
    check_enterprise(request, params if knows_namespaces else NO_PARAMS)
    age_s_max = _cache_age_s(request, takes_cached)
    if not params:
        return Mode(is_named=is_named)
    is_stale, is_consistent = "stale" in params, "consistent" in params
    is_cached = "cached" in params
    if is_stale and is_consistent:
        raise HttpError(400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
    if is_cached and is_consistent:
        raise HttpError(400, "Cannot specify ?cached with ?consistent, conflicting semantics.")
    max_stale_s = _max_stale_s(params)
    if max_stale_s > 0 and not is_consistent:
        is_stale, age_s_max = True, max_stale_s
    elif not (takes_cached and is_cached):
        age_s_max = inf
    index, wait_s = _waiting(context, params)
    if (params.text("datacenter") or params.text("dc")).lower() not in (
        "",
        context.config.datacenter,
    ):
        raise HttpError(500, NO_DATACENTER, headers=ERROR_LINES)
    is_cached = is_cached and takes_cached
    if is_stale or is_cached:
        _ask_for(request, Consistency.STALE, age_s_max)
    elif is_consistent:
        _ask_for(request, Consistency.CONSISTENT)
    return Mode(is_cached, index, wait_s, is_named)


def _ask_for(request: Request, consistency: Consistency, age_s_max: float = inf) -> None:
    context = request.context
    request.set_context(replace(context, consistency=consistency, age_s_max=age_s_max))


def question(target: bytes) -> bytes:
    """The target without `index` and `wait`: equal for clients that wait for the same."""
    path, _, query = target.partition(b"?")
    return b"&".join([path + b"?", *(p for p in query.split(b"&") if not p.startswith(_OWN))])


def _max_stale_s(params: Params) -> float:
    text = params.text("max_stale")
    if not text:
        return 0.0
    try:
        return duration_ns(text) / SECOND_NS
    except TextError as error:
        raise HttpError(400, f'Invalid max_stale value "{text}"') from error


def _waiting(context: Context, params: Params) -> tuple[int, float]:
    config = context.config
    wait_s = config.default_wait_s
    text = params.text("wait")
    if text:
        try:
            asked_s = duration_ns(text) / SECOND_NS
        except TextError as error:
            raise HttpError(400, "Invalid wait time") from error
        if asked_s > 0:
            wait_s = min(asked_s, config.max_wait_s)
    text = params.text("index")
    try:
        index = unsigned(text) if text else 0
    except TextError as error:
        raise HttpError(400, "Invalid index") from error
    return index, wait_s


def _cache_age_s(request: Request, takes_cached: bool) -> float:
    """The age that `Cache-Control` allows; infinite if it sets none."""
    value = request.header(b"cache-control") if takes_cached else None
    if value is None:
        return inf
    if len(value) > _CACHE_CONTROL_BYTES_MAX:
        raise HttpError(400, "Invalid Cache-Control header.")
    found_s = inf
    for part in value.decode("latin-1").split(","):
        name, has_value, text = part.strip().partition("=")
        name = name.strip().lower()
        if name == "must-revalidate":
            found_s = 0.0
        elif name == "max-age" and has_value:
            try:
                age_s = unsigned(text)
            except TextError as error:
                raise HttpError(400, "Invalid Cache-Control header.") from error
            if found_s != 0:
                found_s = float(age_s)
    return found_s


Render = Callable[[Evaluated, bytes], None]
"""Sends a response; gets the result and the header lines with its index."""


def read(
    context: Context,
    request: Request,
    mode: Mode,
    evaluate: Evaluate,
    render: Render,
    *,
    is_compared: bool = False,
    is_by_equality: bool = False,
    listing: Listing | None = None,
) -> None:
    """Respond to a read, now or when its result has changed.

    Args:
        context: The gateway's.
        request: The request.
        mode: See `mode_of`.
        evaluate: Evaluates the read on one state.
        render: See `Render`.
        is_compared: More is watched than is shown: only a different value counts as a change.
        is_by_equality: `evaluate` depends on the index in the request, which is no number that
            grows: queries with different ones are evaluated one by one.
        listing: Formats a list that is too long for one turn; required if there may be one.
    """
    caller = _HttpReadCaller(context, request, mode, render, listing)
    if is_by_equality:
        caller = _HttpEqualityCaller(context, request, mode, render, listing)
    is_list = listing is not None
    query = Query(evaluate, mode.index, mode.wait_s, is_compared, is_list)
    reads.read(context.serving, caller, query)


def confirmed(context: Context, request: Request, step: Callable[[], None]) -> None:
    """Run a step when the tables are as new as required, and its response can be sent."""
    reads.confirmed(context.serving, HttpCaller(context, request), step)


class _HttpReadCaller(HttpCaller):
    """The caller of a read over HTTP; implements `serving.reads.ReadCaller`."""

    __slots__ = ("_listing", "_mode", "_render")

    def __init__(
        self,
        gateway: Context,
        request: Request,
        mode: Mode,
        render: Render,
        listing: Listing | None,
    ) -> None:
        super().__init__(gateway, request)
        self._mode = mode
        self._render = render
        self._listing = listing

    def question(self) -> bytes:
        """See `serving.reads.ReadCaller.question`."""
        return question(self._request.target)

    def digest(self, found: Evaluated) -> bytes:
        """See `serving.reads.ReadCaller.digest`: of the response's body."""
        encode = partial(self._gateway.responses.encoded, found.value, asked=False)
        return blake2b(found.body(False, encode), digest_size=16).digest()

    def answer(self, found: Evaluated, reader: Reader, provenance: Provenance) -> None:
        """See `serving.reads.ReadCaller.answer`."""
        gateway, request, answer = self._gateway, self._request, found.answer
        if isinstance(answer, LongRows):
            lines = partial(self._lines_at, provenance)
            send_rows(gateway, request, answer, lines)
        elif not isinstance(answer, LongList):
            self._render(found, self._lines_at(provenance, reader, answer.header))
        elif self._listing is not None:
            send(gateway, request, answer, self._listing, partial(self._long_lines, provenance))

    def _long_lines(self, facts: Provenance, reader: Reader) -> bytes:
        return self._lines_at(facts, reader, keys_index(reader))

    def _lines_at(self, facts: Provenance, reader: Reader, header: int) -> bytes:
        index = facts.index(reader, header)
        return header_lines(self._gateway, self._mode, self.context, facts, index)


class _HttpEqualityCaller(_HttpReadCaller):
    """The caller of a read whose index is compared for equality."""

    __slots__ = ()

    def question(self) -> bytes:
        """See `serving.reads.ReadCaller.question`: with the index."""
        return self._request.target


def header_lines(
    gateway: Context, mode: Mode, context: RequestContext, facts: Provenance, index: int
) -> bytes:
    """The header lines that say how new a result is, and how it was obtained."""
    if facts.is_stale:
        lines = gateway.stale_lines() + b"X-Consul-Index: %d\r\n" % index
        if mode.is_cached:
            lines += b"X-Cache: HIT\r\nAge: %d\r\n" % (gateway.contact()[1] // 1000)
    else:
        lines = (STREAMED_LINES if mode.is_streamed else INDEX_LINES) % index
        if mode.is_cached:
            lines += b"X-Cache: MISS\r\n"
    if not mode.is_named:
        return lines
    # the name that Consul gives to the consistency that was asked for, cached or not
    name = b"consistent" if context.consistency is Consistency.CONSISTENT else b"leader"
    if facts.is_stale and not mode.is_cached:
        name = b"stale"
    return lines + b"X-Consul-Effective-Consistency: %b\r\n" % name
