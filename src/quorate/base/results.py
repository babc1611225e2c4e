"""What a read gives, and what domains read from: one state of the tables.

*Changed* is the index of the newest command that changed the subject, removals included: a
blocked reader that holds index N is answered when changed > N. *Header* is what it gets. Where
a tombstone may have been dropped, changed is at least the floor; after a restore it is at least
the restore's index. The header is never below changed, or a reader that asks again with it would
be answered at once for ever.

Source: `docs/api`, blocking queries;
https://developer.hashicorp.com/consul/api-docs/features/blocking.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from quorate.base.command import Command
from quorate.base.ports import TableRows

T = TypeVar("T")


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """The answer to a read.

    Attributes:
        value: What was asked for.
        changed: Index of the newest change of what was asked for; 0 if never.
        header: The index to return to the caller, at least 1, before the rule that it never falls.
        subjects: What to watch to learn of the next change.
    """

    value: T
    changed: int
    header: int
    subjects: tuple[bytes, ...]


class LongAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """In place of an `Answer`: what was asked for is too long to be read in one turn.

    Attributes:
        changed: As in `Answer`; with a `search`: not below that.
        subjects: What to watch to learn of the next change.
        search: Gives, of a state, indexes whose highest is `Answer.changed`, one for each piece of
            work. None: it need not be searched for.
    """

    changed: int
    subjects: tuple[bytes, ...]
    search: "Callable[[StateView], Iterator[int]] | None" = None


class Renewal(msgspec.Struct, Generic[T], frozen=True):
    """What the renewal of something needs.

    Attributes:
        value: What is renewed.
        command: To be applied; None: it is young enough to be acknowledged as it is.
    """

    value: T
    command: Command | None


class StateView(Protocol):
    """One state of the tables, as the reads of a domain see it; `machine.queries` fills it.

    Attributes:
        rows: Its rows by table.
        restored: Index at which the state was last replaced as a whole; 0 if never.
        floor: The highest index of a tombstone that has been dropped.
    """

    @property
    def rows(self) -> TableRows:
        """See above."""
        ...

    @property
    def restored(self) -> int:
        """See above."""
        ...

    @property
    def floor(self) -> int:
        """See above."""
        ...

    def answer(self, value: T, changed: int, header: int, wait: tuple[bytes, ...]) -> Answer[T]:
        """An answer by the rules above."""
        ...

    def of_table(self, value: T, table: int) -> Answer[T]:
        """The answer to a read of a whole indexed table."""
        ...

    def table_index(self, table: int) -> int:
        """Index of the newest change of an indexed table."""
        ...

    def noted(self, subject: bytes) -> int:
        """Newest change of a subject by `Rows.note_subject`; the floor if it may be dropped."""
        ...
