"""The log of an agent: lines for people, or JSON objects; on stderr.

An error is one line, see `runtime.faultlog`. A line that cannot be written (the terminal is closed,
the reader of a pipe is gone, the disk is full) is dropped, and the node continues.
"""

import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from quorate.base.errors import RequestError
from quorate.runtime.faultlog import without_values

LEVELS = {
    "trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING,
    "warning": logging.WARNING, "err": logging.ERROR, "error": logging.ERROR,
}  # fmt: skip
"""The names of levels, Consul's and ours."""

LINES_MAX = 512
"""How many lines are kept for a follower that reads slowly; then the oldest are dropped."""


class Stderr:
    """Lines on stderr, unbuffered: what could not be written is not written later."""

    def __init__(self) -> None:
        self._number = sys.stderr.fileno()

    def msg(self, text: str) -> None:
        """Write a line, or drop it."""
        rest = f"{text}\n".encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._number, rest) :]

    log = debug = info = warn = warning = err = error = critical = fatal = exception = msg


class LogFollower:
    """A reader of the log while it is written; see `gateways.http.process.Follower`.

    `level` is the lowest that it gets; `wake` is called when there are new lines.
    """

    def __init__(self, level: int, wake: Callable[[], object], *, is_json: bool) -> None:
        self.is_over = False
        self._level = level
        self._wake = wake
        self._render = _renderer(is_json, colors=False)
        self._lines: deque[str] = deque(maxlen=LINES_MAX)
        self._dropped = 0

    def add(self, level: int, event: EventDict) -> None:
        """Add an event, if its level is high enough."""
        if self.is_over or level < self._level:
            return
        if len(self._lines) == LINES_MAX:
            self._dropped += 1
        self._lines.append(str(self._render(None, "", dict(event))))
        self._wake()

    def take(self) -> bytes:
        """The lines since the last call; empty if there are none."""
        lines = list(self._lines)
        self._lines.clear()
        if self._dropped:
            lines.insert(0, f"==> {self._dropped} lines were dropped: they came too quickly")
            self._dropped = 0
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")

    def close(self) -> None:
        """Stop following."""
        self.is_over = True


class Logs:
    """The log of an agent: to stderr, from a level on, and to its followers."""

    def __init__(self, level: str, *, is_json: bool) -> None:
        self._level = LEVELS[level]
        self._followers: list[LogFollower] = []
        self._stderr = Stderr()
        processors: list[Processor] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_values,
            self._pass_on,
            _renderer(is_json, colors=sys.stderr.isatty()),
        ]
        self.log: FilteringBoundLogger = structlog.wrap_logger(
            self._stderr,
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        )

    def say(self, text: str) -> None:
        """Write a text that is no event, on stderr only."""
        self._stderr.msg(text)

    def set_level(self, level: str) -> None:
        """Write this level and higher ones to stderr from now on."""
        self._level = LEVELS[level]

    def follow(self, level: str, wake: Callable[[], object], *, is_json: bool) -> LogFollower:
        """See `gateways.http.process.Process.follow`."""
        number = LEVELS.get(level.lower())
        if number is None:
            raise RequestError("bad_request", f"Unknown log level: {level}")
        follower = LogFollower(number, wake, is_json=is_json)
        self._followers.append(follower)
        return follower

    def close(self) -> None:
        """End all followers."""
        for follower in self._followers:
            follower.add(logging.CRITICAL, {"event": "the node stops", "level": "info"})
            follower.close()
        self._followers.clear()

    def _pass_on(self, _: Any, __: str, event: EventDict) -> EventDict:
        level = LEVELS.get(str(event.get("level")), logging.CRITICAL)
        for follower in self._followers:
            follower.add(level, event)
        if any(follower.is_over for follower in self._followers):
            self._followers = [each for each in self._followers if not each.is_over]
        if level < self._level:
            raise structlog.DropEvent
        return event


def _renderer(is_json: bool, *, colors: bool) -> Processor:
    as_json = structlog.processors.JSONRenderer(default=repr)
    return as_json if is_json else structlog.dev.ConsoleRenderer(colors=colors)
