"""Which function applies which command: one look into a table per command."""

from collections.abc import Callable, Generator
from typing import Any

from quorate.base import commands as c
from quorate.kv import store as kv
from quorate.kv import trees
from quorate.machine import ownership, restore, txn, upkeep
from quorate.machine.rows import Rows
from quorate.registry import catalog, sessions

Work = Generator[None, None, Any]
"""A command that may take long: yields when its turn's share of work is done; returns the value."""

Handler = Callable[[Rows, Any], Any]
"""Applies a command and returns the value of its outcome. A Failure changed nothing."""

LongHandler = Callable[[Rows, Any], Work]
"""Likewise, for a command that may take long."""


HANDLERS: dict[type[c.Command], Handler] = {
    c.KvSet: kv.on_set,
    c.KvCas: kv.on_cas,
    c.KvAcquire: ownership.on_acquire,
    c.KvRelease: ownership.on_release,
    c.KvDelete: kv.on_delete,
    c.KvDeleteCas: kv.on_delete_cas,
    c.SessionCreate: sessions.on_create,
    c.SessionRenew: sessions.on_renew,
    c.ServiceRegister: catalog.on_service_register,
    c.ServiceDeregister: catalog.on_service_deregister,
    c.RestoreBegin: restore.on_restore_begin,
}

LONG_HANDLERS: dict[type[c.Command], LongHandler] = {
    c.KvDeleteTree: trees.on_delete_tree,
    c.KvDeleteTreeByRow: trees.on_delete_tree_by_row,
    c.TombstonesReap: upkeep.on_tombstones_reap,
    c.SessionDestroy: ownership.on_session_destroy,
    c.SessionExpire: ownership.on_session_expire,
    c.NodeRegister: ownership.on_node_register,
    c.NodeHealth: ownership.on_node_health,
    c.NodeDeregister: ownership.on_node_deregister,
    c.Txn: txn.on_txn,
    c.TxnUnlimited: txn.on_txn_unlimited,
    c.RestoreRows: restore.on_restore_rows,
    c.RestoreCommit: restore.on_restore_commit,
    c.Sweep: upkeep.on_sweep,
    c.SweepAll: upkeep.on_sweep_all,
}
