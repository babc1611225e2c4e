"""Held states: one state of the tables for a request that reads it over many turns.

While a batch is partly applied no state can be held; then it is tried again in the next turn. A
state that pins too many old rows is closed; its read begins again on a new one as long as no part
of the response has been sent (`Anew`).
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from quorate.base.errors import StorageError, UnavailableError
from quorate.base.ports import CurrentView, HeldView, View
from quorate.base.slices import LATER
from quorate.machine.queries import Reader
from quorate.serving.ports import Caller, Holdable
from quorate.serving.serving import Serving

T = TypeVar("T")


ANEW_MAX = 3
"""A read begins again at most this often; then it is refused, as too much changes."""


class Anew:
    """How often a read may still begin again, on a new state."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = ANEW_MAX

    def after(self, error: StorageError) -> None:
        """Its state was closed: raise unless it may begin again.

        Raises:
            StorageError: That error, if it has another reason.
            UnavailableError: `overloaded`: it has begun again too often.
        """
        if error.code != "locked":
            raise error
        if not self._left:
            text = "too much changes meanwhile to read so much in one state; try again"
            raise UnavailableError("overloaded", text, 1.0) from error
        self._left -= 1


class HeldState:
    """A state held for one request, and released once.

    Args:
        view: Of that state.
        held: What to close; None: the view cannot change, as that of a test double.

    Attributes:
        view: See above.
    """

    def __init__(self, view: View, held: HeldView | None) -> None:
        self.view = view
        self._held = held

    def close(self) -> None:
        """Release it."""
        held, self._held = self._held, None
        if held is not None:
            held.close()


def hold(tables: CurrentView, *, is_for_client: bool = True) -> HeldState | None:
    """The current state of the tables; None if a batch is partly applied: try again later.

    Args:
        tables: Those of the node.
        is_for_client: See `base.ports.Tables.hold`.
    """
    if not isinstance(tables, Holdable):
        return HeldState(tables, None)
    try:
        view = tables.hold(is_for_client=is_for_client)
    except StorageError as error:
        if error.code != "locked":
            raise
        return None
    return HeldState(view, view)


def when_held(serving: Serving, caller: Caller, step: Callable[[HeldState], None]) -> None:
    """Run a step with a held state: now, or in a later turn if a batch is partly applied.

    Args:
        serving: Of the node.
        caller: Who made the request. If it disconnects meanwhile, what it owns is closed instead.
        step: Closes the state that it gets: there are few of them, so each may pin as many old rows
            as one of the node itself. What it raises becomes the response.
    """
    tables = serving.backend.tables

    def again() -> int:
        if caller.is_lost:
            caller.release()
            return False
        held = hold(tables, is_for_client=False)
        if held is not None:
            step(held)
        return LATER if held is None else False

    held = hold(tables, is_for_client=False)
    if held is not None:
        step(held)
    else:
        serving.slices.add(lambda: guarded(caller, again))


def work_through(
    serving: Serving,
    caller: Caller,
    work: Callable[[Reader], Generator[None, None, T]],
    then: Callable[[Reader, T], None],
) -> None:
    """Do the work of a read, in one turn if it is small, else in slices on one state.

    Args:
        serving: Of the node.
        caller: Who made the request.
        work: Yields when a turn's share is done.
        then: Gets the state and the value; what it raises becomes the response.
    """
    reader = serving.reader()
    try:
        next(work(reader))
    except StopIteration as end:
        then(reader, end.value)
        return
    run: Generator[Any, Any, T] | None = None
    anew = Anew()

    def step() -> int:
        nonlocal reader, run
        if caller.is_lost:
            caller.release()
            return False
        try:
            if run is None:
                held = hold(serving.backend.tables)
                if held is None:
                    return LATER
                caller.own(held)
                reader = Reader(held.view)
                run = work(reader)
            else:
                next(run)
        except StopIteration as end:
            caller.release()
            then(reader, end.value)
            return False
        except StorageError as error:
            anew.after(error)
            caller.release()
            run = None
            return LATER
        return True

    serving.slices.add(lambda: guarded(caller, step))


def guarded(caller: Caller, step: Callable[[], int]) -> int:
    """Run one step of a sequence; an error becomes the response and ends the sequence."""
    more = 0

    def run() -> None:
        nonlocal more
        more = step()

    caller.run(run)
    return more
