"""Watch keys of configuration entries: reads wait for the table, nobody for one entry."""

ENTRY = b"g"
"""The letter of subjects of this domain."""


def of_entry(key: bytes) -> bytes:
    """One entry, by its key."""
    return ENTRY + key
