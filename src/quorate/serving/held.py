"""Held states: one state of the tables for a request that reads it over many turns.

While a batch is half applied no state can be held; it is tried again in the next turn then. A state
that pins too much is closed under its reader, who begins anew on a fresh one as long as nothing of
the answer has left (`Anew`).
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
"""So often a read begins anew before it is refused: then too much changes for it."""


class Anew:
    """How often a read may still begin anew, on a fresh state."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = ANEW_MAX

    def after(self, error: StorageError) -> None:
        """Its state was closed: may it begin anew?

        Raises:
            StorageError: That error, if it says anything else.
            UnavailableError: `overloaded`: it has begun anew too often.
        """
        if error.code != "locked":
            raise error
        if not self._left:
            text = "too much changes meanwhile to read so much in one state; try again"
            raise UnavailableError("overloaded", text, 1.0) from error
        self._left -= 1


class HeldState:
    """A state held for one request, and let go of once.

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
        """Let go of it."""
        held, self._held = self._held, None
        if held is not None:
            held.close()


def hold(tables: CurrentView, *, is_for_client: bool = True) -> HeldState | None:
    """The tables as they are now; None if a batch is half applied: try again in a later turn.

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
    """Do a step with the tables as they are when they can be held: now, or in a later turn.

    Args:
        serving: Of the node that is asked.
        caller: For whom. Is it gone meanwhile, what it owns is closed instead.
        step: Closes what it gets: there are few of them, so it may pin as much as one of the
            node's own. What it raises becomes the answer.
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
        serving: Of the node that is asked.
        caller: For whom.
        work: Yields when a turn's share is done.
        then: Gets the state and the value; what it raises becomes the answer.
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
    """Do a step of some slices; an error becomes the answer, and there is no more to do."""
    more = 0

    def run() -> None:
        nonlocal more
        more = step()

    caller.run(run)
    return more
