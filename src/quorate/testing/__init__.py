"""Clusters for the tests of services: real nodes in threads of this process, on loopback.

Importing it does not load the server: pytest imports it in every run, because of the plugin.
"""
# pyright: reportUnsupportedDunderAll=false
# (it knows that there is a `__getattr__`, but not for which names)

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
    globals()[name] = value  # later accesses do not call this function
    return value
