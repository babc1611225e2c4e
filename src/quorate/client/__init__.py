"""Guests: what a program needs to talk to a cluster, importable without the server.

Loaded when first used, so that importing it costs nothing; `__init__.pyi` tells type checkers
what there is.
"""
# pyright: reportUnsupportedDunderAll=false
# (it knows that `__getattr__` answers, but not for which names)

import importlib

_HOMES = {
    "AsyncClient": "quorate.client.aio.client",
    "AsyncPaxos": "quorate.client.handles",
    "Client": "quorate.client.sync.client",
    "Held": "quorate.client.holding",
    "KvEntry": "quorate.client.structs",
    "Leader": "quorate.client.structs",
    "LockHeldError": "quorate.client.errors",
    "LockLostError": "quorate.client.errors",
    "MemberInfo": "quorate.client.structs",
    "Paxos": "quorate.client.handles",
    "SessionInfo": "quorate.client.structs",
    "TxnDone": "quorate.client.structs",
    "TxnFault": "quorate.client.structs",
    "Written": "quorate.client.structs",
}

__all__ = [
    "AsyncClient",
    "AsyncPaxos",
    "Client",
    "Held",
    "KvEntry",
    "Leader",
    "LockHeldError",
    "LockLostError",
    "MemberInfo",
    "Paxos",
    "SessionInfo",
    "TxnDone",
    "TxnFault",
    "Written",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next one finds it without us
    return value
