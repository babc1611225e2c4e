"""Reads of one state of the tables: the common part of the queries of all domains.

Each domain's reads are functions in its `queries`, on a `base.results.StateView`; `Reader` is one.
"""

from functools import lru_cache
from typing import TypeVar

from quorate.base import subjects
from quorate.base.ports import View
from quorate.base.results import Answer
from quorate.base.schema import SUBJECTS, index_of
from quorate.machine.rows import ViewRows
from quorate.machine.state import STATE_KEY, State, decode_state

T = TypeVar("T")

_state = lru_cache(maxsize=2)(decode_state)  # many reads look at one state


class Reader:
    """Reads of one state. Make one per evaluation; cheap. Fills `base.results.StateView`.

    Args:
        view: The tables; must not change while the reader is used.

    Attributes:
        rows: Rows of the current generation, by table.
        restored: Index at which the state was last replaced as a whole; 0 if never.
        floor: The highest index of a tombstone that has been dropped.
    """

    __slots__ = ("_state", "floor", "restored", "rows")

    def __init__(self, view: View) -> None:
        data = view.get(STATE_KEY)
        state = State() if data is None else _state(data)
        self._state = state
        self.rows = ViewRows(view, state)
        self.restored: int = state.restored
        self.floor: int = state.floor

    @property
    def state(self) -> tuple[int, int]:
        """Identifies this state of the tables: its slot and digest."""
        return self._state.applied, self._state.digest

    @property
    def index(self) -> int:
        """The index of the newest command that changed something."""
        return self._state.index

    @property
    def log_time_ms(self) -> int:
        """The log time of this state."""
        return self._state.log_time_ms

    @property
    def applied(self) -> int:
        """The newest slot applied."""
        return self._state.applied

    def answer(self, value: T, changed: int, header: int, wait: tuple[bytes, ...]) -> Answer[T]:
        """See `base.results.StateView.answer`."""
        changed = max(changed, self.restored)
        return Answer(value, changed, max(header, changed, 1), wait)

    def of_table(self, value: T, table: int) -> Answer[T]:
        """See `base.results.StateView.of_table`."""
        index = self.table_index(table)
        return self.answer(value, index, index, (subjects.exactly(subjects.of_table(table)),))

    def table_index(self, table: int) -> int:
        """See `base.results.StateView.table_index`."""
        return self._state.indexes.get(table, 0)

    def noted(self, subject: bytes) -> int:
        """See `base.results.StateView.noted`."""
        data = self.rows.get(SUBJECTS, subject)
        return self.floor if data is None else index_of(data)
