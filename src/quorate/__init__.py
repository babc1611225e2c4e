"""Quorate: a fault-tolerant backbone for services, on Multi-Paxos.

The root stays light: importing it loads neither the server nor its libraries, and the client
only when it is first used. `__init__.pyi` tells type checkers what there is.
"""
# pyright: reportUnsupportedDunderAll=false
# (it knows that `__getattr__` answers, but not for which names)

import importlib

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "quorate.client",
    "AsyncElection": "quorate.client",
    "AsyncKv": "quorate.client",
    "AsyncLock": "quorate.client",
    "AsyncPaxos": "quorate.client",
    "AsyncSemaphore": "quorate.client",
    "AsyncSessions": "quorate.client",
    "AsyncSnapshots": "quorate.client",
    "AsyncStatus": "quorate.client",
    "AsyncTxn": "quorate.client",
    "AsyncWatch": "quorate.client",
    "Client": "quorate.client",
    "ConflictError": "quorate.base.errors",
    "Consul": "quorate.client",
    "Election": "quorate.client",
    "ForbiddenError": "quorate.base.errors",
    "Held": "quorate.client",
    "Kv": "quorate.client",
    "KvEntry": "quorate.client",
    "Leader": "quorate.client",
    "Lock": "quorate.client",
    "LockHeldError": "quorate.client",
    "LockLostError": "quorate.client",
    "MemberInfo": "quorate.client",
    "NotFoundError": "quorate.base.errors",
    "OutcomeUnknownError": "quorate.base.errors",
    "Paxos": "quorate.client",
    "PeerError": "quorate.base.errors",
    "QuorateError": "quorate.base.errors",
    "Reply": "quorate.client",
    "RequestError": "quorate.base.errors",
    "Semaphore": "quorate.client",
    "SemaphoreError": "quorate.client",
    "Session": "quorate.client",
    "Sessions": "quorate.client",
    "Snapshots": "quorate.client",
    "Status": "quorate.client",
    "StorageError": "quorate.base.errors",
    "Txn": "quorate.client",
    "TxnDone": "quorate.client",
    "TxnFault": "quorate.client",
    "UnavailableError": "quorate.base.errors",
    "Watch": "quorate.client",
    "Written": "quorate.client",
}

__all__ = [
    "AsyncClient",
    "AsyncElection",
    "AsyncKv",
    "AsyncLock",
    "AsyncPaxos",
    "AsyncSemaphore",
    "AsyncSessions",
    "AsyncSnapshots",
    "AsyncStatus",
    "AsyncTxn",
    "AsyncWatch",
    "Client",
    "ConflictError",
    "Consul",
    "Election",
    "ForbiddenError",
    "Held",
    "Kv",
    "KvEntry",
    "Leader",
    "Lock",
    "LockHeldError",
    "LockLostError",
    "MemberInfo",
    "NotFoundError",
    "OutcomeUnknownError",
    "Paxos",
    "PeerError",
    "QuorateError",
    "Reply",
    "RequestError",
    "Semaphore",
    "SemaphoreError",
    "Session",
    "Sessions",
    "Snapshots",
    "Status",
    "StorageError",
    "Txn",
    "TxnDone",
    "TxnFault",
    "UnavailableError",
    "Watch",
    "Written",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next one finds it without us
    return value
