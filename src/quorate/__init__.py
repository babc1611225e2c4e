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
    "AsyncPaxos": "quorate.client",
    "Client": "quorate.client",
    "ConflictError": "quorate.base.errors",
    "ForbiddenError": "quorate.base.errors",
    "LockHeldError": "quorate.client",
    "LockLostError": "quorate.client",
    "NotFoundError": "quorate.base.errors",
    "OutcomeUnknownError": "quorate.base.errors",
    "Paxos": "quorate.client",
    "PeerError": "quorate.base.errors",
    "QuorateError": "quorate.base.errors",
    "RequestError": "quorate.base.errors",
    "StorageError": "quorate.base.errors",
    "UnavailableError": "quorate.base.errors",
}

__all__ = [
    "AsyncClient",
    "AsyncPaxos",
    "Client",
    "ConflictError",
    "ForbiddenError",
    "LockHeldError",
    "LockLostError",
    "NotFoundError",
    "OutcomeUnknownError",
    "Paxos",
    "PeerError",
    "QuorateError",
    "RequestError",
    "StorageError",
    "UnavailableError",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next one finds it without us
    return value
