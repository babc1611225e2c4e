"""Clusters for users' tests: real nodes in threads of this process, with everything on loopback.

Importing this loads nothing of the server: pytest does so in every run, for the plugin's sake.
"""
# pyright: reportUnsupportedDunderAll=false
# (it knows that `__getattr__` answers, but not for which names)

import importlib

__all__ = ["AsyncCluster", "Cluster", "ClusterNode"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value: object = getattr(importlib.import_module("quorate.testing.cluster"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("quorate"):
            raise
        text = (
            f"{name} needs the server ({error.name} is missing): pip install 'quorate[server]', "
            "in a clone: pip install '.[server]'"
        )
        raise ImportError(text) from error
    globals()[name] = value  # the next one finds it without us
    return value
