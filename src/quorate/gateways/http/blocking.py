"""Reads: their modes, their read points, and those that wait for a change.

A default read takes a read point before its first evaluation. An evaluation after a wake needs
none: the tables are then later than that point. Before a waiting read says "unchanged" it takes
a fresh one: a node that is cut off never certifies silence. A stale read takes none.

Source: https://developer.hashicorp.com/consul/api-docs/features/blocking.
"""

import random
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from quorate.base.answers import Answer
from quorate.base.errors import QuorateError
from quorate.base.ports import WatchHandle
from quorate.gateways.http.context import (
    DEFAULT_LINES,
    NO_DATACENTER,
    Context,
    Timer,
    check_enterprise,
)
from quorate.gateways.http.errors import HttpError, TextError, spent
from quorate.gateways.http.evaluations import question
from quorate.gateways.http.longlists import Listing, LongRows, Search, send, send_rows
from quorate.gateways.http.params import NO_PARAMS, SECOND_NS, Params, duration_ns, unsigned
from quorate.httpserver.request import Request
from quorate.kv.queries import LongList, keys_index
from quorate.machine.queries import Reader

T = TypeVar("T")

INDEX_LINES = DEFAULT_LINES + b"X-Consul-Index: %d\r\n"
ERROR_LINES = (
    b"X-Consul-Knownleader: false\r\nX-Consul-Lastcontact: 0\r\n"
    b"X-Consul-Query-Backend: blocking-query\r\nX-Consul-Index: 1\r\n"
)
_JITTER_SHARE = 16
_CACHE_CONTROL_BYTES_MAX = 4096
_WAITING_BYTES = 3072  # a watcher, its timer and what they refer to
_COPIES = 3  # of a name, besides the target itself: decoded, as a watched key, as its place there


class Mode(msgspec.Struct, frozen=True):
    """How a read is to be done.

    Attributes:
        is_stale: At once, from what this node has.
        is_consistent: The caller said so; the same as the default here.
        is_cached: The caller takes what a cache has: a stale read that says its age.
        age_ns_max: Stale only if the tables are surely not older; None: however old.
        index: Answer when something is newer than this; 0: at once.
        wait_s: How long to wait for that.
        is_named: Say the mode in the answer.
    """

    is_stale: bool = False
    is_consistent: bool = False
    is_cached: bool = False
    age_ns_max: int | None = None
    index: int = 0
    wait_s: float = 0.0
    is_named: bool = False

    @property
    def word(self) -> bytes:
        """The mode as Consul calls it: what the caller asked for, a cache or not."""
        if self.is_stale and not self.is_cached:
            return b"stale"
        return b"consistent" if self.is_consistent else b"leader"


def mode_of(
    context: Context,
    request: Request,
    params: Params,
    *,
    takes_cached: bool = False,
    is_named: bool = False,
    knows_namespaces: bool = True,
) -> Mode:
    """Read the parameters that all reads have in common.

    Args:
        context: For defaults and limits.
        request: For its headers.
        params: Of its query.
        takes_cached: This read may come from a cache.
        is_named: This read says its mode.
        knows_namespaces: It refuses those that the query names.

    Raises:
        HttpError: They make no sense.
    """
    check_enterprise(request, params if knows_namespaces else NO_PARAMS)
    age_ns_max = _cache_age(request, takes_cached)
    if not params:
        return Mode(is_named=is_named)
    is_stale, is_consistent = "stale" in params, "consistent" in params
    is_cached = "cached" in params
    if is_stale and is_consistent:
        raise HttpError(400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
    if is_cached and is_consistent:
        raise HttpError(400, "Cannot specify ?cached with ?consistent, conflicting semantics.")
    max_stale_ns = _max_stale(params)
    if max_stale_ns > 0 and not is_consistent:
        is_stale, age_ns_max = True, max_stale_ns
    elif not (takes_cached and is_cached):
        age_ns_max = None
    index, wait_s = _waiting(context, params)
    if (params.text("datacenter") or params.text("dc")).lower() not in (
        "",
        context.config.datacenter,
    ):
        raise HttpError(500, NO_DATACENTER, headers=ERROR_LINES)
    is_cached = is_cached and takes_cached
    return Mode(
        is_stale or is_cached, is_consistent, is_cached, age_ns_max, index, wait_s, is_named
    )


def _max_stale(params: Params) -> int:
    text = params.text("max_stale")
    if not text:
        return 0
    try:
        return duration_ns(text)
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


def _cache_age(request: Request, takes_cached: bool) -> int | None:
    """The age in nanoseconds that `Cache-Control` allows; None if it says nothing."""
    value = request.header(b"cache-control") if takes_cached else None
    if value is None:
        return None
    if len(value) > _CACHE_CONTROL_BYTES_MAX:
        raise HttpError(400, "Invalid Cache-Control header.")
    age_ns: int | None = None
    for part in value.decode("latin-1").split(","):
        name, has_value, text = part.strip().partition("=")
        name = name.strip().lower()
        if name == "must-revalidate":
            age_ns = 0
        elif name == "max-age" and has_value:
            try:
                age_s = unsigned(text)
            except TextError as error:
                raise HttpError(400, "Invalid Cache-Control header.") from error
            if age_ns != 0:
                age_ns = age_s * SECOND_NS
    return age_ns


Evaluate = Callable[[Reader], Answer[T] | LongList | LongRows]
Render = Callable[[Answer[T], bytes], None]


def read(
    context: Context,
    request: Request,
    mode: Mode,
    evaluate: Evaluate[T],
    render: Render[T],
    *,
    is_compared: bool = False,
    listing: Listing | None = None,
) -> None:
    """Answer a read, now or when it has changed.

    Args:
        context: The node to ask.
        request: Who asks.
        mode: See `mode_of`.
        evaluate: Reads from one state.
        render: Sends the answer; gets the header lines that tell the index.
        is_compared: What is watched is wider than what is shown: only another value is a change.
        listing: How a list is shown that is too long for one turn; needed if there may be such.
    """
    if mode.is_stale and _is_fresh(context, mode):
        _Read(context, request, mode, evaluate, render, is_compared, listing).look()
        return
    mode = msgspec.structs.replace(mode, is_stale=False) if mode.is_stale else mode
    step = _Read(context, request, mode, evaluate, render, is_compared, listing)
    context.local.read(request.context, partial(step.begin, context.local.now_s))


def confirmed(context: Context, request: Request, mode: Mode, step: Callable[[], None]) -> None:
    """Do a step when the tables are as new as the mode wants them."""
    if mode.is_stale and _is_fresh(context, mode):
        context.when_wanted(request, step)
        return

    def done(stamp: int | QuorateError) -> None:
        if isinstance(stamp, QuorateError):
            context.fail(request, stamp)
        else:
            context.when_wanted(request, step)

    context.local.read(request.context, done)


def _is_fresh(context: Context, mode: Mode) -> bool:
    """Whether a stale read may be answered from these tables.

    Raises:
        UnavailableError: They are not kept up any more.
    """
    context.check_kept_up()
    if mode.age_ns_max is None:
        return True
    return (context.local.now_s - context.fresh_s) * SECOND_NS <= mode.age_ns_max


class _Read:
    """One read under way."""

    __slots__ = (
        "_context",
        "_evaluate",
        "_is_compared",
        "_listing",
        "_mode",
        "_old",
        "_render",
        "_request",
        "_search",
        "_timer",
        "_watch",
    )

    def __init__(
        self,
        context: Context,
        request: Request,
        mode: Mode,
        evaluate: Evaluate[Any],
        render: Render[Any],
        is_compared: bool,
        listing: Listing | None = None,
    ) -> None:
        self._context = context
        self._request = request
        self._mode = mode
        self._evaluate = evaluate
        self._render = render
        self._is_compared = is_compared
        self._old = b""
        self._listing = listing
        self._search: Search | None = None
        self._watch: WatchHandle | None = None
        self._timer: Timer | None = None

    def begin(self, asked_s: float, stamp: int | QuorateError) -> None:
        """The read point is there."""
        if isinstance(stamp, QuorateError):
            self._context.fail(self._request, stamp)
            return
        self._context.note_fresh(asked_s)
        self.look()

    def look(self) -> None:
        """Answer or wait."""
        if self._mode.index:
            self._context.guarded(self._request, self._look)
        else:
            self._finish()

    def _look(self) -> None:
        context = self._context
        if self._request.is_lost:
            self._forget()
            return
        reader = context.reader()
        answer = self._evaluated(reader)
        if isinstance(answer, LongList):
            self._look_long(answer, reader)
        elif isinstance(answer, LongRows):
            if answer.changed > self._mode.index:
                self._finish()
            else:
                self._wait(answer.subjects)
        elif not self._has_changed(answer):
            self._wait(answer.subjects)
        elif self._request.is_wanted():
            self._send(answer, reader)
        else:
            self._finish()

    def _evaluated(self, reader: Reader) -> Any:
        """What this state answers; those who wait for the same find it out together."""
        if not self._mode.index:
            return self._evaluate(reader)
        asked = question(self._request.target)
        evaluations = self._context.shared.evaluations
        return evaluations.answer(reader.state, asked, lambda: self._evaluate(reader))

    def _look_long(self, long: LongList, reader: Reader) -> None:
        """Look for a change in slices, while watching for the next one."""
        index = self._mode.index
        self._wait(long.subjects)
        if keys_index(reader) > index:
            self._search = Search(self._context, self._request, long, index, self._searched)

    def _searched(self, newest: int) -> None:
        self._search = None
        if newest > self._mode.index:
            self._finish()

    def _wait(self, subjects: tuple[bytes, ...]) -> None:
        context = self._context
        if self._timer is None:
            if not self._request.hold(_WAITING_BYTES + _COPIES * len(self._request.target)):
                context.shared.budget.note_refused()
                raise spent()
            wait_s = self._mode.wait_s * (1 + random.random() / _JITTER_SHARE)  # noqa: S311
            self._timer = context.call_later(wait_s, self._time_over)
            self._request.waits(self._forget)
        self._watch = context.local.watch(self._request.context, subjects, self._fired)

    def _has_changed(self, answer: Answer[Any]) -> bool:
        if answer.changed <= self._mode.index:
            if self._is_compared and self._timer is None:
                self._old = self._digest(answer)
            return False
        is_compared = self._is_compared and self._timer is not None
        return not (is_compared and self._digest(answer) == self._old)

    def _digest(self, answer: Answer[Any]) -> bytes:
        """Of what is sent of an answer: thousands who wait need not keep it."""
        context = self._context
        encode = partial(context.answers.encoded, answer.value, asked=False)
        body = context.shared.evaluations.body(answer, encode, is_pretty=False)
        return blake2b(body, digest_size=16).digest()

    def _send(self, answer: Answer[Any], reader: Reader) -> None:
        self._forget()
        self._render(answer, self._lines_at(reader, answer.header))

    def _lines(self, index: int) -> bytes:
        mode = self._mode
        if mode.is_stale:
            lines = self._context.stale_lines() + b"X-Consul-Index: %d\r\n" % index
            if mode.is_cached:
                lines += b"X-Cache: HIT\r\nAge: %d\r\n" % (self._context.contact()[1] // 1000)
        else:
            lines = INDEX_LINES % index
            if mode.is_cached:
                lines += b"X-Cache: MISS\r\n"
        if mode.is_named:
            lines += b"X-Consul-Effective-Consistency: %b\r\n" % mode.word
        return lines

    # --- waiting -------------------------------------------------------------------------------

    def _fired(self) -> None:
        self._watch = None
        self._drop_search()
        removal, reader = self._context.local.removal, self._context.reader()
        if removal is not None:
            self._last_look(removal)
        elif self._listing is not None and reader.index > self._mode.index:
            self._finish()  # a list is woken only by a change of it
        else:
            self.look()

    def _time_over(self) -> None:
        self._drop_search()
        if self._mode.is_stale:
            self._last_look(self._context.local.removal or 0)
        else:
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None
            self._context.local.read(self._request.context, self._last_look)

    def _last_look(self, stamp: int | QuorateError) -> None:
        if isinstance(stamp, QuorateError):
            self._forget()
            self._context.fail(self._request, stamp)
            return
        self._finish()

    def _finish(self) -> None:
        """Wait no more, and answer as soon as the answer is wanted."""
        self._forget()
        if self._listing is None:
            self._context.when_wanted(self._request, self._look_and_send)
        else:
            self._context.shared.slices.add(self._finish_list)

    def _finish_list(self) -> bool:
        """Even a list that one turn can make takes turns with the others."""
        self._context.when_wanted(self._request, self._look_and_send)
        return False

    def _look_and_send(self) -> None:
        reader = self._context.reader()
        answer = self._evaluated(reader)
        if isinstance(answer, LongList) and self._listing is not None:
            send(self._context, self._request, answer, self._listing, self._long_lines)
        elif isinstance(answer, LongRows):
            send_rows(self._context, self._request, answer, self._lines_at)
        elif not isinstance(answer, LongList):
            self._send(answer, reader)

    def _lines_at(self, reader: Reader, index: int) -> bytes:
        asked = self._mode.index
        return self._lines(max(index, asked) if asked <= reader.index else index)

    def _long_lines(self, reader: Reader) -> bytes:
        return self._lines_at(reader, keys_index(reader))

    def _drop_search(self) -> None:
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._drop_search()
        self._request.waits_no_more()
