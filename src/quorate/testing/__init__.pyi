from quorate.testing.cluster import AsyncCluster as AsyncCluster
from quorate.testing.cluster import Cluster as Cluster
from quorate.testing.nodes import ClusterNode as ClusterNode

__all__ = ["AsyncCluster", "Cluster", "ClusterNode"]
