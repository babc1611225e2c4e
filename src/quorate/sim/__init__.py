"""A deterministic simulator of clusters: the same node, one thread, virtual time, one seed."""
