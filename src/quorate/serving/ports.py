"""Ports of serving: to the node, to the event loop, and to the caller of a request."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from quorate.base.context import RequestContext
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.outcomes import Outcome
from quorate.base.ports import HeldView, ReadIndex, Submit, Watch
from quorate.base.slices import Step


class Backend(Submit, ReadIndex, Watch, Protocol):
    """The node, or a connection to one, as far as serving needs it; `base.ports.Local` fills it."""

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def removal(self) -> UnavailableError | None:
        """See `base.ports.Local.removal`."""
        ...


class Timer(Protocol):
    """A call that is scheduled for later."""

    def cancel(self) -> None:
        """Cancel it."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]
"""Schedules a call after a number of seconds."""


class Slices(Protocol):
    """Runs work that is too long for one turn in steps; the work of all requests alternates."""

    def add(self, step: Step) -> None:
        """Run this in later turns, until it returns that there is no more to do."""
        ...


class Closable(Protocol):
    """Something to close."""

    def close(self) -> None:
        """Close it."""
        ...


class Caller(Protocol):
    """The sender of one request, which waits for the response."""

    @property
    def context(self) -> RequestContext:
        """Its principal and the conditions of the request."""
        ...

    @property
    def is_lost(self) -> bool:
        """It has disconnected: the response would not be read."""
        ...

    def fail(self, error: BaseException) -> None:
        """Respond with an error."""
        ...

    def run(self, step: Callable[[], None]) -> None:
        """Run a step; what it raises becomes the response."""
        ...

    def when_wanted(self, step: Callable[[], None]) -> None:
        """As `run`, but not before the response of the step can be sent."""
        ...

    def conclude(self, outcome: Outcome | QuorateError, then: Callable[[Outcome], None]) -> None:
        """Continue with the outcome of a command; an error or refusal becomes the response."""
        ...

    def begin_wait(self, on_lost: Callable[[], None]) -> bool:
        """It waits from now on: count the memory for it; `on_lost` is called if it disconnects.

        Returns:
            False: too much memory is held for it already, and it got that error.
        """
        ...

    def end_wait(self) -> None:
        """It does not wait any more: `on_lost` is not called."""
        ...

    def own(self, held: Closable) -> None:
        """Have something closed when the response has been sent, or cannot be sent any more."""
        ...

    def release(self) -> None:
        """Close what it owns."""
        ...


@runtime_checkable
class Holdable(Protocol):
    """Tables of which a state can be held."""

    def hold(self, *, is_for_client: bool) -> HeldView:
        """See `base.ports.Tables.hold`."""
        ...
