"""Handles: the algorithms by name, over a cluster."""

from quorate.client.aio.paxos import AsyncPaxos
from quorate.client.sync.paxos import Paxos

__all__ = ["AsyncPaxos", "Paxos"]
