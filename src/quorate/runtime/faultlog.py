"""Internal errors in the log: one line each, with an id, and without any value of a caller.

The message of an exception may quote what it failed on, and local variables hold keys, values and
tokens; so the line names the classes of the error and its causes, and the places that it came
through. The id is a fingerprint of that: the same fault has the same id on every node, and is in
the log under it although only some of its occurrences are.
"""

from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Any
from zlib import crc32

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from quorate.base.errors import InvariantError
from quorate.base.ports import Clock

PERIOD_S = 10.0
"""A fault is written at most once in this time."""

FAULTS_MAX = 256
PLACES_MAX = 12
_CAUSES_MAX = 4


def kinds_of(error: BaseException) -> str:
    """The classes of an error and of what caused it, newest first."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < _CAUSES_MAX:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return " < ".join(names)


def places_of(error: BaseException) -> str:
    """Where an error came through, innermost first: file, line and function."""
    places = list(_places(error.__traceback__))
    return " < ".join(reversed(places[-PLACES_MAX:]))


def _places(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f"{PurePath(code.co_filename).name}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next


def without_values(_: Any, __: str, event: EventDict) -> EventDict:
    """A processor of structlog: the classes and places of an error in place of its traceback."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["error"] = kinds_of(error)
        event["at"] = places_of(error)
        if isinstance(error, InvariantError):
            event["why"] = str(error)  # our own text
    return event


def silent_log() -> FilteringBoundLogger:
    """A log that writes nothing."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.ReturnLogger(), wrapper_class=structlog.make_filtering_bound_logger("critical")
    )
    return log


class FaultLog:
    """Writes internal errors.

    Args:
        log: Where to.
        clock: Monotonic seconds.
    """

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def report(self, error: BaseException, trace_id: str = "") -> str:
        """Write an error, if that is due; returns its id.

        Args:
            error: What was raised.
            trace_id: Of the request that met it; "" if it has none.
        """
        kinds, places = kinds_of(error), places_of(error)
        fault = f"{crc32(f'{kinds} {places}'.encode()):08x}"
        now_s = self._clock()
        written_s, times = self._seen.pop(fault, (float("-inf"), 0))
        if now_s - written_s < PERIOD_S:
            self._seen[fault] = (written_s, times + 1)
            return fault
        if len(self._seen) >= FAULTS_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[fault] = (now_s, 0)
        more: dict[str, object] = {"unwritten": times} if times else {}
        if trace_id:
            more["trace"] = trace_id
        self._log.error("internal error", id=fault, error=kinds, at=places, **more)
        return fault
