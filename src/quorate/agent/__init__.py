"""A node as a process: its configuration, its log, its sockets, and the order of its start."""
