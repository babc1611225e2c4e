"""Attempts: a command that may come too early is repeated when its preconditions hold."""

from collections.abc import Callable
from functools import partial

from quorate.base.command import Command
from quorate.base.errors import QuorateError
from quorate.base.outcomes import Outcome
from quorate.base.ports import WatchHandle
from quorate.machine.queries import Reader
from quorate.serving.ports import Caller, Timer
from quorate.serving.serving import Serving

ATTEMPTS_MAX = 8
"""A command is submitted this often at most; then the last outcome is the answer."""


class Attempt:
    """A command under way.

    Args:
        serving: Of the node.
        caller: Who made the request. It gets errors as the response.
        command: What to apply.
        then: Gets the outcome; see `ports.Caller.conclude`.
        is_early: Whether this outcome only means that something does not exist yet.
        missing: Watch keys of what does not exist yet; empty: all exists.
        timeout_s: For how long to try, unless the caller disconnects before.
    """

    __slots__ = (
        "_attempts",
        "_caller",
        "_command",
        "_is_early",
        "_missing",
        "_serving",
        "_then",
        "_timer",
        "_until_s",
        "_watch",
    )

    def __init__(
        self,
        serving: Serving,
        caller: Caller,
        command: Command,
        then: Callable[[Outcome], None],
        *,
        is_early: Callable[[Outcome], bool],
        missing: Callable[[Reader], tuple[bytes, ...]],
        timeout_s: float,
    ) -> None:
        self._serving = serving
        self._caller = caller
        self._command = command
        self._then = then
        self._is_early = is_early
        self._missing = missing
        self._until_s = min(serving.backend.now_s + timeout_s, caller.context.deadline_s)
        self._attempts = 0
        self._timer: Timer | None = None
        self._watch: WatchHandle | None = None

    def begin(self) -> None:
        """Have the command applied."""
        self._attempts += 1
        self._serving.submit(self._caller.context, self._command, self._done)

    def _done(self, outcome: Outcome | QuorateError) -> None:
        left_s = self._until_s - self._serving.backend.now_s
        may_repeat = left_s > 0 and self._attempts < ATTEMPTS_MAX
        if may_repeat and isinstance(outcome, Outcome) and self._is_early(outcome):
            self._caller.run(partial(self._wait, left_s))
        else:
            self._caller.conclude(outcome, self._then)

    def _wait(self, left_s: float) -> None:
        caller, serving = self._caller, self._serving
        if caller.is_lost:
            return
        missing = self._missing(serving.reader())
        if not missing:
            self.begin()
        elif caller.begin_wait(self._forget):
            self._watch = serving.backend.watch(caller.context, missing, self._again)
            self._timer = serving.call_later(left_s, self._again)

    def _again(self) -> None:
        self._forget()
        self.begin()

    def _forget(self) -> None:
        self._caller.end_wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
