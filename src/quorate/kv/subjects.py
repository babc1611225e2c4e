"""What readers of keys wait for."""

from quorate.base.subjects import beginning

KEY = b"k"
"""The letter of subjects of this domain."""


def of_key(key: bytes) -> bytes:
    """One key."""
    return KEY + key


def of_tree(prefix: bytes) -> bytes:
    """All keys that begin like this, removed at once."""
    return beginning(KEY + prefix)
