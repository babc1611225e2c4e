"""How an agent logs: lines for people, or JSON objects; on stderr.

An error is one line, without local variables and without the message of a foreign exception:
either may hold a key's value or a token.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from quorate.base.errors import InvariantError
from quorate.runtime.faultlog import kinds_of, places_of


def without_values(_: Any, __: str, event: EventDict) -> EventDict:
    """Put the classes and places of an error in the place of its traceback."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["error"] = kinds_of(error)
        event["at"] = places_of(error)
        if isinstance(error, InvariantError):
            event["why"] = str(error)  # our own words
    return event


def agent_log(level: str, *, is_json: bool) -> FilteringBoundLogger:
    """A log that shows `level` and what is worse."""
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_values,
    ]
    if is_json:
        processors.append(structlog.processors.JSONRenderer(default=repr))
    else:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    kind = structlog.make_filtering_bound_logger(getattr(logging, level.upper()))
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), processors=processors, wrapper_class=kind
    )
    return log
