"""Commands of the machine itself: transactions, restoring a user's snapshot, and cleaning up.

A restore is a sequence of ordinary commands that fill a shadow generation of the tables; then one
command makes it current. The previous generation is swept in slices.
"""

from quorate.base.command import Command
from quorate.base.txn import TxnOp


class Txn(Command, frozen=True, array_like=True, tag=41):
    """Apply all operations, or none. Value: a `TxnResult`."""

    ops: tuple[TxnOp, ...]


class TxnMixed(Command, frozen=True, array_like=True, tag=42):
    """As `Txn`, of operations of any type: each is the number of its type, and itself encoded."""

    ops: tuple[tuple[int, bytes], ...]


class TxnUnlimited(Command, frozen=True, array_like=True, tag=40):
    """As `Txn`, without limits on results and removals. Only in logs of format 1."""

    ops: tuple[TxnOp, ...]


class TombstonesReap(Command, frozen=True, array_like=True, tag=8, gc=False):
    """Drop tombstones up to this index, at most `rows_max`; raises the floor. Value None."""

    index: int
    rows_max: int


class RestoreBegin(Command, frozen=True, array_like=True, tag=50):
    """Open an empty shadow generation under this id; an older unfinished one is dropped."""

    restore_id: str


class RestoreRows(Command, frozen=True, array_like=True, tag=51):
    """Put rows (table byte + key, value) into the shadow. Ignored if the id is not current.

    Value True, or False if ignored.
    """

    restore_id: str
    rows: tuple[tuple[bytes, bytes], ...]


class RestoreCommit(Command, frozen=True, array_like=True, tag=52):
    """Make the shadow current if it holds `rows` rows; wakes every watcher.

    The index continues at max(current, `index`) + 1. Membership, dedup and log time stay.
    Value True, or False if the shadow is not the one named or not complete.
    """

    restore_id: str
    rows: int
    index: int


class Sweep(Command, frozen=True, array_like=True, tag=54, gc=False):
    """Remove up to `rows_max` rows of generations no longer current. Value: rows removed."""

    rows_max: int


class SweepAll(Command, frozen=True, array_like=True, tag=53, gc=False):
    """As `Sweep`, but all lock-delays are examined. Only in logs of format 1."""

    rows_max: int
