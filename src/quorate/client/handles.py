"""Classes named after an algorithm that use a cluster."""

from quorate.client.aio.paxos import AsyncPaxos
from quorate.client.sync.paxos import Paxos

__all__ = ["AsyncPaxos", "Paxos"]
