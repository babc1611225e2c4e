"""What serving asks of the node, of the loop that it runs in, and of whoever asked."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from quorate.base.context import RequestContext
from quorate.base.errors import QuorateError, UnavailableError
from quorate.base.outcomes import Outcome
from quorate.base.ports import HeldView, ReadIndex, Submit, Watch
from quorate.base.slices import Step


class Backend(Submit, ReadIndex, Watch, Protocol):
    """The node, or the way to one, as far as serving needs it; `base.ports.Local` fills it."""

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def removal(self) -> UnavailableError | None:
        """See `base.ports.Local.removal`."""
        ...


class Timer(Protocol):
    """Something that will be done later."""

    def cancel(self) -> None:
        """It will not be done."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]
"""Has something done after so many seconds."""


class Slices(Protocol):
    """Work that is too long for one turn, done a piece at a time; all of a node's take turns."""

    def add(self, step: Step) -> None:
        """Do this in later turns, until it says that there is no more."""
        ...


class Closable(Protocol):
    """Something to close."""

    def close(self) -> None:
        """Let it go."""
        ...


class Caller(Protocol):
    """Who asked, and waits for one answer."""

    @property
    def context(self) -> RequestContext:
        """Who it is, and under which terms it asks."""
        ...

    @property
    def is_lost(self) -> bool:
        """It is gone: nobody will read the answer."""
        ...

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        ...

    def run(self, step: Callable[[], None]) -> None:
        """Do a step; what it raises becomes the answer."""
        ...

    def when_wanted(self, step: Callable[[], None]) -> None:
        """As `run`, but not before the answer that the step makes can leave."""
        ...

    def conclude(self, outcome: Outcome | QuorateError, then: Callable[[Outcome], None]) -> None:
        """Go on with what became of a command; an error or refusal is answered instead."""
        ...

    def begin_wait(self, on_lost: Callable[[], None]) -> bool:
        """It waits from now on: count what that holds for it, and tell if it goes.

        Returns:
            False: too much is held for it already, and that is what it was told.
        """
        ...

    def end_wait(self) -> None:
        """It waits no more: nobody need be told if it goes."""
        ...

    def own(self, held: Closable) -> None:
        """Have something closed when the answer has left, or when nobody will get it."""
        ...

    def release(self) -> None:
        """Close what is owned."""
        ...


@runtime_checkable
class Holdable(Protocol):
    """Tables of which a state can be held."""

    def hold(self, *, is_for_client: bool) -> HeldView:
        """See `base.ports.Tables.hold`."""
        ...
