"""The client library: what a program needs to use a cluster, importable without the server.

Loaded when first used, so that importing it costs nothing; `__init__.pyi` tells type checkers
what there is.
"""
# pyright: reportUnsupportedDunderAll=false
# (it knows that there is a `__getattr__`, but not for which names)

import importlib

_HOMES = {
    "AsyncChooser": "quorate.client.aio.choosing",
    "AsyncClient": "quorate.client.aio.client",
    "AsyncElection": "quorate.client.aio.elections",
    "AsyncKv": "quorate.client.aio.kv",
    "AsyncLock": "quorate.client.aio.locks",
    "AsyncOperator": "quorate.client.aio.operator",
    "AsyncPaxos": "quorate.client.handles",
    "AsyncSemaphore": "quorate.client.aio.semaphores",
    "AsyncSessions": "quorate.client.aio.session",
    "AsyncSnapshots": "quorate.client.aio.snapshot",
    "AsyncStatus": "quorate.client.aio.status",
    "AsyncTxn": "quorate.client.aio.txn",
    "AsyncWatch": "quorate.client.aio.watching",
    "Chooser": "quorate.client.sync.choosing",
    "Client": "quorate.client.sync.client",
    "ClusterMember": "quorate.client.membership",
    "ClusterOverview": "quorate.client.membership",
    "ConfiguredServer": "quorate.client.membership",
    "Election": "quorate.client.sync.elections",
    "Held": "quorate.client.holding",
    "Kv": "quorate.client.sync.kv",
    "KvEntry": "quorate.client.structs",
    "Leader": "quorate.client.structs",
    "Lock": "quorate.client.sync.locks",
    "LockHeldError": "quorate.client.errors",
    "LockLostError": "quorate.client.errors",
    "MemberInfo": "quorate.client.structs",
    "Operator": "quorate.client.sync.operator",
    "Paxos": "quorate.client.handles",
    "Pick": "quorate.client.picks",
    "Reply": "quorate.client.replies",
    "Semaphore": "quorate.client.sync.semaphores",
    "SemaphoreError": "quorate.client.errors",
    "ServiceInstance": "quorate.client.choices",
    "Session": "quorate.client.structs",
    "Sessions": "quorate.client.sync.session",
    "Snapshots": "quorate.client.sync.snapshot",
    "Status": "quorate.client.sync.status",
    "Txn": "quorate.client.sync.txn",
    "TxnDone": "quorate.client.structs",
    "TxnFault": "quorate.client.structs",
    "Watch": "quorate.client.sync.watching",
    "Written": "quorate.client.structs",
}

__all__ = [
    "AsyncChooser",
    "AsyncClient",
    "AsyncElection",
    "AsyncKv",
    "AsyncLock",
    "AsyncOperator",
    "AsyncPaxos",
    "AsyncSemaphore",
    "AsyncSessions",
    "AsyncSnapshots",
    "AsyncStatus",
    "AsyncTxn",
    "AsyncWatch",
    "Chooser",
    "Client",
    "ClusterMember",
    "ClusterOverview",
    "ConfiguredServer",
    "Election",
    "Held",
    "Kv",
    "KvEntry",
    "Leader",
    "Lock",
    "LockHeldError",
    "LockLostError",
    "MemberInfo",
    "Operator",
    "Paxos",
    "Pick",
    "Reply",
    "Semaphore",
    "SemaphoreError",
    "ServiceInstance",
    "Session",
    "Sessions",
    "Snapshots",
    "Status",
    "Txn",
    "TxnDone",
    "TxnFault",
    "Watch",
    "Written",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # later accesses do not call this function
    return value
