"""The body of a node: event loop, sockets, disk; without opinions about the protocol."""
