"""Watch keys of sessions: what a blocking read of sessions waits for."""

from quorate.base.subjects import key_part, name_part

SESSION, NODE_SESSIONS = b"s", b"n"
"""The letters of subjects of this domain."""


def of_session(session: str) -> bytes:
    """One session."""
    return SESSION + key_part(session)


def of_node_sessions(node: str) -> bytes:
    """The sessions of a node."""
    return NODE_SESSIONS + name_part(node)
