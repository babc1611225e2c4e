"""Search for the newest change of a list that is too long for one turn, in slices."""

from collections.abc import Callable, Iterator

from quorate.base.errors import StorageError
from quorate.base.ports import CurrentView
from quorate.base.slices import LATER
from quorate.machine.queries import Reader
from quorate.serving.held import Anew, HeldState, hold
from quorate.serving.ports import Caller, Slices


class Search:
    """One search.

    Args:
        tables: Those of the node.
        slices: Run its steps.
        caller: Who made the request.
        search: See `base.results.LongAnswer`.
        is_enough: The search ends at an index above this.
        found: Called with the newest change.
        failed: Called if it fails, before the caller gets the error.
    """

    __slots__ = (
        "_anew",
        "_caller",
        "_changes",
        "_failed",
        "_found",
        "_held",
        "_is_enough",
        "_is_over",
        "_newest",
        "_search",
        "_tables",
    )

    def __init__(
        self,
        tables: CurrentView,
        slices: Slices,
        caller: Caller,
        search: Callable[[Reader], Iterator[int]],
        is_enough: int,
        found: Callable[[int], None],
        failed: Callable[[], None],
    ) -> None:
        self._tables = tables
        self._caller = caller
        self._search = search
        self._is_enough = is_enough
        self._found = found
        self._failed = failed
        self._held: HeldState | None = None
        self._changes: Iterator[int] | None = None
        self._newest = 0
        self._anew = Anew()
        self._is_over = False
        slices.add(self._step)

    def cancel(self) -> None:
        """End the search: its result is not needed any more."""
        self._is_over = True
        if self._held is not None:
            self._held.close()

    def _begin_anew(self, error: StorageError) -> None:
        try:
            self._anew.after(error)
        except BaseException:
            self.cancel()
            self._failed()
            raise
        if self._held is not None:
            self._held.close()
        self._held, self._changes, self._newest = None, None, 0

    def _step(self) -> int:
        if self._is_over:
            return False
        self._caller.run(self._look)
        if self._is_over:
            return False
        return True if self._held is not None else LATER

    def _look(self) -> None:
        try:
            if self._changes is None:
                self._held = hold(self._tables)
                if self._held is not None:
                    self._changes = self._search(Reader(self._held.view))
                return
            newest = next(self._changes, None)
        except StorageError as error:
            self._begin_anew(error)
            return
        except BaseException:
            self.cancel()
            self._failed()
            raise
        if newest is not None:
            self._newest = max(self._newest, newest)
        if newest is None or self._newest > self._is_enough:
            self.cancel()
            self._found(self._newest)
