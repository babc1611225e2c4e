"""How an agent logs: lines for people, or JSON objects; on stderr."""

import logging
import sys

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def agent_log(level: str, *, is_json: bool) -> FilteringBoundLogger:
    """A log that shows `level` and what is worse."""
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if is_json:
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ]
    else:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    kind = structlog.make_filtering_bound_logger(getattr(logging, level.upper()))
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), processors=processors, wrapper_class=kind
    )
    return log
