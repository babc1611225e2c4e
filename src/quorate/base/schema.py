"""Which tables exist: the first byte of every row's key, after the generation.

`kv` and `registry` are strangers that share one ordered map; this list keeps them apart.
The numbers are part of the storage format: never reuse or renumber one.
"""

from enum import IntEnum


class Table(IntEnum):
    """A table of replicated state. The comment says: key -> row."""

    KV = 1  # key bytes -> kv.store.KvRow
    KV_TOMB = 2  # key bytes -> index of its removal
    KV_LOCKS = 3  # session id, 0x00, key bytes -> nothing: what a session holds
    KV_DELAY = 4  # key bytes -> logged time in ms until which acquire fails
    SESSIONS = 5  # session id -> registry.sessions.SessionRow
    NODES = 6  # lower-cased node name -> registry.catalog.NodeRow
    SERVICES = 7  # lower-cased service name, 0x00, node, 0x00, id -> registry.catalog.ServiceRow
    CHECKS = 8  # lower-cased node name, 0x00, check id -> registry.catalog.CheckRow
    SUBJECTS = 9  # subject of a blocking query -> index of its newest change, if no row tells it
    GRAVEYARD = 10  # index as 8 bytes, subject -> nothing: what was removed, oldest first
    NODE_SERVICES = 11  # lower-cased node name, 0x00, service id -> lower-cased service name


class Meta(IntEnum):
    """Rows of the machine itself, outside every generation."""

    STATE = 1  # applied slot, indexes, stamps, digest, generation: one row, written per batch
    ORIGINS = 2  # node id -> incarnation, sequence
    CONFIGURATIONS = 3  # slot of each configuration in force or to come
    RESTORE = 4  # a restore under way
    SHOWN = 5  # node id -> base.batches.Shown; outside the digest: no state of the machine


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after all that begin with `prefix`; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None
