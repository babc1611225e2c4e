"""The engine's own commands and tables, and its assembly with a list of domains."""

from collections.abc import Iterable

from quorate.base.domain import Domain, Table
from quorate.base.schema import SUBJECTS, TOMBSTONES
from quorate.base.subjects import TABLE
from quorate.machine import restore, txn, upkeep
from quorate.machine.commands import (
    RestoreBegin,
    RestoreCommit,
    RestoreRows,
    Sweep,
    SweepAll,
    TombstonesReap,
    Txn,
    TxnMixed,
    TxnUnlimited,
)
from quorate.machine.domains import Domains

ENGINE = Domain(
    name="machine",
    tables=(
        Table(SUBJECTS, "SUBJECTS", "Index"),
        Table(TOMBSTONES, "TOMBSTONES", "Removal"),
    ),
    handlers={RestoreBegin: restore.on_restore_begin},
    long_handlers={
        TombstonesReap: upkeep.on_tombstones_reap,
        Txn: txn.on_txn,
        TxnMixed: txn.on_txn_mixed,
        TxnUnlimited: txn.on_txn_unlimited,
        RestoreRows: restore.on_restore_rows,
        RestoreCommit: restore.on_restore_commit,
        Sweep: upkeep.on_sweep,
        SweepAll: upkeep.on_sweep_all,
    },
    subjects={TABLE: None},
)


def assembled(domains: Iterable[Domain]) -> Domains:
    """The engine with these domains, in their order.

    Raises:
        ValueError: The domains conflict.
    """
    return Domains((ENGINE, *domains))
