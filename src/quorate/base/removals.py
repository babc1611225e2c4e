"""Removals of whole trees that are in force but not yet carried out row by row."""

import msgspec

NO_LIMIT = 2**62
"""More rows than there are: every tree goes row by row."""


class TreeRemoval(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Every key with a prefix was removed under one index; its rows are deleted later.

    Attributes:
        prefix: Of the removed keys; empty: all.
        index: Of the removing command. Rows with a lower ModifyIndex are gone for every reader.
        cursor: No row that is gone has a key below this one.
    """

    prefix: bytes
    index: int
    cursor: bytes
