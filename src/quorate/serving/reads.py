"""Reads: carries out the steps of `reading` between a node and a caller."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from quorate.base.errors import QuorateError
from quorate.base.ports import WatchHandle
from quorate.base.results import Answer, LongAnswer
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated
from quorate.serving.ports import Caller, Timer
from quorate.serving.reading import Act, Reading
from quorate.serving.search import Search
from quorate.serving.serving import Serving

_JITTER_SHARE = 16

Evaluate = Callable[[Reader], Answer[Any] | LongAnswer]
"""Evaluates a query on one state."""


class Query(msgspec.Struct, frozen=True):
    """A query, and how to wait for its result.

    Attributes:
        evaluate: See there.
        index: Respond when something is newer than this; 0: at once.
        wait_s: How long to wait for that.
        is_compared: See `reading.Reading`.
        is_list: Likewise. It alternates with other long work, even if it fits in one turn.
    """

    evaluate: Evaluate
    index: int = 0
    wait_s: float = 0.0
    is_compared: bool = False
    is_list: bool = False


class Provenance(msgspec.Struct, frozen=True):
    """How a result was obtained.

    Attributes:
        is_stale: From the tables of this node, without confirmation.
        asked: The index in the request.
    """

    is_stale: bool
    asked: int

    def index(self, reader: Reader, header: int) -> int:
        """The index to return: not below the one in the request, if this state has reached that."""
        return max(header, self.asked) if self.asked <= reader.index else header


class ReadCaller(Caller, Protocol):
    """The caller of a read."""

    def question(self) -> bytes:
        """Identifies the query: equal for callers of one principal that get the same result."""
        ...

    def digest(self, found: Evaluated) -> bytes:
        """A digest of the result: all that each of thousands of waiting reads keeps of it."""
        ...

    def answer(self, found: Evaluated, reader: Reader, provenance: Provenance) -> None:
        """Respond.

        Args:
            found: The result, or a `LongAnswer`: its pieces are read in later turns, on a held
                state.
            reader: The state that was evaluated; valid within this call.
            provenance: How the result was obtained.
        """
        ...


class Read:
    """One read under way.

    Args:
        serving: Of the node.
        caller: Who made the request.
        query: See there.
        is_stale: See `reading.Reading`.
    """

    __slots__ = ("_caller", "_query", "_search", "_serving", "_steps", "_timer", "_watch")

    def __init__(
        self, serving: Serving, caller: ReadCaller, query: Query, *, is_stale: bool
    ) -> None:
        self._serving = serving
        self._caller = caller
        self._query = query
        self._steps = Reading(
            query.index,
            is_stale=is_stale,
            is_compared=query.is_compared,
            is_list=query.is_list,
        )
        self._search: Search | None = None
        self._watch: WatchHandle | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Respond, now or later."""
        self._do(self._steps.begin())

    def _do(self, act: Act) -> None:
        if act is Act.CONFIRM:
            backend = self._serving.backend
            backend.read(self._caller.context, partial(self._confirmed, backend.now_s))
        elif act is Act.EVALUATE:
            self._caller.run(self._look)
        elif act is Act.FINISH:
            self._finish()

    def _confirmed(self, asked_s: float, log_time_ms: int | QuorateError) -> None:
        if isinstance(log_time_ms, QuorateError):
            self._fail(log_time_ms)
            return
        self._serving.note_fresh(asked_s)
        self._do(self._steps.confirmed())

    # --- evaluation ----------------------------------------------------------------------------

    def _look(self) -> None:
        if self._caller.is_lost:
            self._forget()
            return
        try:
            self._evaluate()
        except BaseException:
            self._forget()  # the error is the response: without this it would be woken again
            raise

    def _evaluate(self) -> None:
        caller, steps = self._caller, self._steps
        reader = self._serving.reader()
        found = self._evaluated(reader)
        answer = found.answer
        if isinstance(answer, LongAnswer):
            act = steps.is_long(answer.changed, is_exact=answer.search is None)
        else:
            digest = partial(caller.digest, found)
            act = steps.evaluated(answer.changed, digest, tables=reader.index)
        if act is Act.ANSWER:
            self._forget()
            caller.when_wanted(self._answer)
        elif act is not Act.WAIT:
            self._do(act)
        elif self._wait(answer.subjects) and isinstance(answer, LongAnswer):
            self._search_for(answer)

    def _evaluated(self, reader: Reader) -> Evaluated:
        """The result in this state; equal waiting queries are evaluated once."""
        evaluate = self._query.evaluate
        if not self._query.index:
            return Evaluated(evaluate(reader))
        caller = self._caller
        return self._serving.evaluations.answer(
            reader.state, caller.context.principal, caller.question(), partial(evaluate, reader)
        )

    def _search_for(self, long: LongAnswer) -> None:
        """Search for a change in slices, while watching for the next one."""
        index, serving = self._query.index, self._serving
        if long.search is not None and long.changed > index:
            tables = serving.backend.tables
            self._search = Search(
                tables,
                serving.slices,
                self._caller,
                long.search,
                index,
                self._searched,
                self._forget,
            )

    def _searched(self, newest: int) -> None:
        self._search = None
        self._do(self._steps.searched(newest))

    # --- waiting -------------------------------------------------------------------------------

    def _wait(self, subjects: tuple[bytes, ...]) -> bool:
        """Watch these keys; False if the caller may not wait, and has got that error."""
        serving, caller = self._serving, self._caller
        if self._timer is None:
            if not caller.begin_wait(self._forget):
                return False
            wait_s = self._query.wait_s * (1 + serving.rng.random() / _JITTER_SHARE)
            self._timer = serving.call_later(wait_s, self._timed_out)
        self._watch = serving.backend.watch(caller.context, subjects, self._woken)
        return True

    def _woken(self) -> None:
        self._watch = None
        self._drop_search()
        removal = self._serving.backend.removal
        if removal is not None:
            self._fail(removal)
        else:
            self._do(self._steps.woken(self._serving.reader().index))

    def _timed_out(self) -> None:
        self._stop_watching()
        removal = self._serving.backend.removal
        if removal is not None:
            self._fail(removal)
        else:
            self._do(self._steps.timed_out())

    def _stop_watching(self) -> None:
        self._drop_search()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _drop_search(self) -> None:
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def _forget(self) -> None:
        """Stop waiting."""
        if self._timer is not None:
            self._timer.cancel()
        self._stop_watching()
        self._caller.end_wait()

    # --- the response --------------------------------------------------------------------------

    def _fail(self, error: QuorateError) -> None:
        self._forget()
        self._caller.fail(error)

    def _finish(self) -> None:
        self._forget()
        if self._query.is_list:
            self._serving.slices.add(self._finish_in_turn)
        else:
            self._caller.when_wanted(self._answer)

    def _finish_in_turn(self) -> int:
        self._caller.when_wanted(self._answer)
        return False

    def _answer(self) -> None:
        reader = self._serving.reader()
        provenance = Provenance(self._steps.is_stale, self._query.index)
        self._caller.answer(self._evaluated(reader), reader, provenance)


def read(serving: Serving, caller: ReadCaller, query: Query) -> None:
    """Respond to a read, now or when its result has changed.

    Raises:
        UnavailableError: `removed`: see `Serving.may_read`.
    """
    Read(serving, caller, query, is_stale=serving.may_read(caller.context)).begin()


def confirmed(serving: Serving, caller: Caller, step: Callable[[], None]) -> None:
    """Run a step when the tables are as new as requested, and its response can be sent.

    Raises:
        UnavailableError: `removed`: see `Serving.may_read`.
    """
    if serving.may_read(caller.context):
        caller.when_wanted(step)
        return
    asked_s = serving.backend.now_s

    def done(log_time_ms: int | QuorateError) -> None:
        if isinstance(log_time_ms, QuorateError):
            caller.fail(log_time_ms)
        else:
            serving.note_fresh(asked_s)
            caller.when_wanted(step)

    serving.confirm(caller.context, done)
