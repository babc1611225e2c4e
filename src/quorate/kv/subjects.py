"""Watch keys of the key-value store: what a blocking read of keys waits for."""

from quorate.base.subjects import beginning

KEY = b"k"
"""The letter of subjects of this domain."""


def of_key(key: bytes) -> bytes:
    """One key."""
    return KEY + key


def of_tree(prefix: bytes) -> bytes:
    """All keys with this prefix, removed by one command."""
    return beginning(KEY + prefix)
