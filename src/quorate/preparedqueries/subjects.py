"""Watch keys of prepared queries: what a blocking read of them waits for."""

from quorate.base.subjects import key_part

QUERY, ANY_QUERY = b"q", b"Q"
"""The letters of subjects of this domain."""


def of_query(id_: str) -> bytes:
    """One query."""
    return QUERY + key_part(id_)


def of_queries() -> bytes:
    """All queries: which one a name means may follow from any of them."""
    return ANY_QUERY
