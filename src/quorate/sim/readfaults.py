"""Read faults: reads of clients that fail because the seed says so.

An evaluation or a search may fail, tables may refuse to be held, and a held state may be closed
during a read, as one that pins too much is. The read must end with that error and no other, and
nothing may be kept for it afterwards: no watch, no account of what waits, no held state. The
history checker and the gateway check this.
"""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import msgspec

from quorate.base.errors import StorageError, UnavailableError
from quorate.base.ports import CurrentView, HeldView
from quorate.base.results import LongAnswer
from quorate.serving.ports import Holdable
from quorate.sim.operations import Operation

READS_MAX = 30
"""A held state that is closed during a read allows fewer reads than this."""


class ReadFaults(msgspec.Struct, frozen=True):
    """Shares of what fails; drawn from the seed."""

    evaluations: float = 0.0
    searches: float = 0.0  # of their steps
    holds: float = 0.0  # refused; and as many states that are held for a client are closed early


NO_FAULTS = ReadFaults()


class FailingReads:
    """Draws the faults of all reads of a run.

    Args:
        faults: How many.
        rng: Its own stream: it shifts nothing else.
        open_of: Gives the operation of a client that is not answered yet.

    Attributes:
        is_over: Nothing fails any more.
    """

    def __init__(
        self, faults: ReadFaults, rng: Random, open_of: Callable[[str], Operation | None]
    ) -> None:
        self._faults = faults
        self._rng = rng
        self._open_of = open_of
        self.is_over = False

    def draws(self, share: float) -> bool:
        """True for this share."""
        return bool(share) and not self.is_over and self._rng.random() < share

    def evaluated(self, operation: Operation, answer: Any) -> Any:
        """An answer as it was evaluated, with the steps of its search; or it fails.

        Raises:
            UnavailableError: It fails; the operation is marked.
        """
        self._may_fail(self._faults.evaluations, operation)
        if self._faults.searches and isinstance(answer, LongAnswer) and answer.search is not None:
            search = partial(self._searched, operation.client, answer.search)
            return msgspec.structs.replace(answer, search=search)
        return answer

    def _searched(
        self, client: str, search: Callable[[Any], Iterator[int]], reading: Any
    ) -> Iterator[int]:
        for index in search(reading):
            # Equal reads of one client share an answer, so it may be that of an earlier one.
            self._may_fail(self._faults.searches, self._open_of(client))
            yield index

    def _may_fail(self, share: float, operation: Operation | None) -> None:
        if operation is not None and self.draws(share):
            operation.planted = f"the seed lets read {operation.number} fail"
            raise UnavailableError("overloaded", operation.planted, 1.0)

    def tables(self, tables: CurrentView) -> "CurrentView":
        """The tables of a host, for the reads of its clients."""
        return HoldableTables(tables, self, self._faults.holds) if self._faults.holds else tables

    def reads_left(self, share: float) -> int:
        """How many reads a held state allows."""
        return self._rng.randrange(READS_MAX) if self.draws(share) else 1 << 30


class HoldableTables:
    """Fills `base.ports.CurrentView` and `serving.ports.Holdable`.

    Attributes:
        held: How many states are held and not closed.
    """

    def __init__(self, tables: CurrentView, failing: FailingReads, share: float) -> None:
        self._tables = tables
        self._failing = failing
        self._share = share
        self.held = 0

    @property
    def version(self) -> int:
        """See `base.ports.CurrentView.version`."""
        return self._tables.version

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        return self._tables.get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.View.range`."""
        return self._tables.range(first, last, reverse=reverse)

    def hold(self, *, is_for_client: bool) -> HeldView:
        """See `base.ports.Tables.hold`."""
        tables = self._tables
        if not isinstance(tables, Holdable) or self._failing.draws(self._share):
            raise StorageError("locked", "the seed lets no state be held now")
        view = tables.hold(is_for_client=is_for_client)
        left = self._failing.reads_left(self._share) if is_for_client else 1 << 30
        self.held += 1
        return FailingView(view, left, self._closed)

    def _closed(self) -> None:
        self.held -= 1


class FailingView:
    """Fills `base.ports.HeldView`; after a number of reads it is closed."""

    def __init__(self, view: HeldView, reads_left: int, on_closed: Callable[[], None]) -> None:
        self._view = view
        self._left = reads_left
        self._on_closed: Callable[[], None] | None = on_closed

    def get(self, key: bytes) -> bytes | None:
        """See `base.ports.View.get`."""
        self._count()
        return self._view.get(key)

    def range(
        self, first: bytes, last: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `base.ports.View.range`."""
        for row in self._view.range(first, last, reverse=reverse):
            self._count()
            yield row

    def close(self) -> None:
        """See `base.ports.HeldView.close`."""
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            self._view.close()
            on_closed()

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise StorageError("locked", "the seed closed this state during a read")
