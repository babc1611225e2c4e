"""The runtime of a node: event loop, sockets, disk; it knows nothing of the protocol."""
