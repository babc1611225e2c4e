"""Held tables: one state for a request that reads it over many turns.

While a batch is half applied no state can be held; it is tried again in the next turn then.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

from quorate.base.errors import StorageError
from quorate.base.ports import HeldView, View
from quorate.gateways.http.context import Context
from quorate.httpserver.request import Request
from quorate.httpserver.slices import LATER


@runtime_checkable
class _Holdable(Protocol):
    def hold(self, *, is_for_client: bool) -> HeldView: ...


class Held:
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


def hold(context: Context, *, is_for_client: bool = True) -> Held | None:
    """The tables as they are now; None if a batch is half applied: try again in a later turn.

    Args:
        context: Of the gateway.
        is_for_client: See `base.ports.Tables.hold`.
    """
    tables = context.local.tables
    if not isinstance(tables, _Holdable):
        return Held(tables, None)
    try:
        view = tables.hold(is_for_client=is_for_client)
    except StorageError as error:
        if error.code != "locked":
            raise
        return None
    return Held(view, view)


def when_held(context: Context, request: Request, step: Callable[[Held], None]) -> None:
    """Do a step with the tables as they are when they can be held: now, or in a later turn.

    Args:
        context: Of the gateway.
        request: Whose. Is its client gone meanwhile, what it owns is closed instead.
        step: Closes what it gets: there are few of them, so it may pin as much as one of the
            node's own. What it raises becomes the answer.
    """

    def again() -> int:
        if request.is_lost:
            request.release()
            return False
        held = hold(context, is_for_client=False)
        if held is not None:
            step(held)
        return LATER if held is None else False

    held = hold(context, is_for_client=False)
    if held is not None:
        step(held)
    else:
        context.shared.slices.add(partial(guarded, context, request, again))


def guarded(context: Context, request: Request, step: Callable[[], int]) -> int:
    """Do a step of some slices; an error becomes the answer, and there is no more to do."""
    more = 0

    def run() -> None:
        nonlocal more
        more = step()

    context.guarded(request, run)
    return more
