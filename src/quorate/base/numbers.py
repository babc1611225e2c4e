"""Which domain may use which tags of commands and which numbers of tables.

Both are part of stored formats: tags of the log, numbers of tables also of snapshots. A number
that was ever given stays with what it was given to; `tests/unit/machine/test_numbers.py` holds
the list of all that ever were. A new command or table takes the next free number of its domain.
"""

from collections.abc import Iterable, Mapping

TAGS: Mapping[str, tuple[range, ...]] = {
    "kv": (range(1, 8), range(9, 20)),
    "machine": (range(8, 9), range(40, 60)),
    "sessions": (range(20, 30),),
    "catalog": (range(30, 40),),
    "tasks": (range(60, 80),),
    "objects": (range(80, 100),),
    "acl": (range(100, 120),),
    "configentries": (range(130, 140),),
    "events": (range(140, 145),),
    "preparedqueries": (range(120, 130),),
    "example": (range(240, 256),),
}
"""Tags of commands by domain; `example` is for domains of tests and never in a log."""

TABLES: Mapping[str, tuple[range, ...]] = {
    "kv": (range(1, 5), range(16, 24)),
    "sessions": (range(5, 6), range(24, 32)),
    "catalog": (range(6, 9), range(11, 12), range(32, 48)),
    "machine": (range(9, 11), range(12, 16)),
    "tasks": (range(64, 80),),
    "objects": (range(80, 96),),
    "acl": (range(96, 112),),
    "configentries": (range(118, 124),),
    "events": (range(124, 128),),
    "preparedqueries": (range(112, 118),),
    "example": (range(240, 256),),
}
"""Numbers of tables by domain; one byte each."""


def is_allotted(ranges: Iterable[range], number: int) -> bool:
    """Whether a number lies in one of these ranges."""
    return any(number in one for one in ranges)
