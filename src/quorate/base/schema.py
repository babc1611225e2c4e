"""Where rows lie: the machine's own, and what every table's keys have in common.

The numbers are part of the storage format: never reuse or renumber one. Tables of domains are
listed by the domains; `base.numbers` keeps them apart.
"""

from enum import IntEnum

SUBJECTS = 9
"""Table: subject of a blocking query -> index of its newest change, if no row has it."""

TOMBSTONES = 10
"""Table: index as 8 bytes, subject -> nothing: what was removed, oldest first."""


class Meta(IntEnum):
    """Rows of the machine itself, outside every generation."""

    STATE = 1  # applied slot, indexes, log time, digest, generation: one row, written per batch
    ORIGINS = 2  # node id -> incarnation, sequence
    CONFIGURATIONS = 3  # slot of each configuration in force or to come
    RESTORE = 4  # a restore under way
    SHOWN = 5  # node id -> base.batches.Shown; outside the digest: no state of the machine
    DERIVED = 6  # number of each secondary index -> version of its rows; outside the digest


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after all that begin with `prefix`; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


def index_key(index: int) -> bytes:
    """A number as bytes that sort as it does."""
    return index.to_bytes(8, "big")


def index_of(data: bytes) -> int:
    """The number that `index_key` made bytes of."""
    return int.from_bytes(data[:8], "big")
