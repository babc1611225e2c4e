"""Quorate: a fault-tolerant backbone for services, on Multi-Paxos.

The root stays light: importing it loads neither the server nor its libraries.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
