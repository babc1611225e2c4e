"""A cluster in one process, for users' tests and for embedding: the real runtime on loopback."""

from quorate.testing.cluster import Cluster, ClusterNode

__all__ = ["Cluster", "ClusterNode"]
