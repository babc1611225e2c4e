"""The key-value store as a domain."""

from quorate.base.domain import Domain
from quorate.base.facts import IsSessionAlive, SessionEnded
from quorate.kv import apply, locks, trees
from quorate.kv.commands import (
    KvAcquire,
    KvCas,
    KvDelete,
    KvDeleteCas,
    KvDeleteTree,
    KvDeleteTreeByRow,
    KvRelease,
    KvSet,
)
from quorate.kv.model import SIMULATION
from quorate.kv.subjects import KEY
from quorate.kv.tables import KV_TOMBSTONES, TABLES
from quorate.kv.upkeep import UPKEEP
from quorate.kv.verbs import OPERATIONS

KV_DOMAIN = Domain(
    name="kv",
    tables=TABLES,
    handlers={
        KvSet: apply.on_set,
        KvCas: apply.on_cas,
        KvAcquire: locks.on_acquire,
        KvRelease: locks.on_release,
        KvDelete: apply.on_delete,
        KvDeleteCas: apply.on_delete_cas,
    },
    long_handlers={
        KvDeleteTree: trees.on_delete_tree,
        KvDeleteTreeByRow: trees.on_delete_tree_by_row,
    },
    reactions={SessionEnded: locks.on_session_ended},
    asks=(IsSessionAlive,),
    subjects={KEY: KV_TOMBSTONES},
    upkeep=UPKEEP,
    operations=(OPERATIONS,),
    simulation=SIMULATION,
)
