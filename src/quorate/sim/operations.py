"""Operations: what clients asked for, when, and what they were told."""

from enum import Enum
from typing import Any

import msgspec

from quorate.base.command import Command


class Kind(Enum):
    """What an operation is."""

    WRITE = "write"
    READ = "read"  # linearizable
    STALE = "stale"
    WATCH = "watch"  # a blocking read: linearizable, then until the key changes


class End(Enum):
    """How an operation stands."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"  # surely did not happen
    UNKNOWN = "unknown"


ARCHIVE = "archive"
"""A read of everything, as a snapshot for users holds it."""


class Operation(msgspec.Struct):
    """One operation of one client; also the ticket that the node carries.

    Attributes:
        number: Its place among all operations.
        client, host: Who asked whom.
        command: Of a write.
        key: Of a read: a key, or a prefix if `is_list`.
        query: Of a read: which query of a domain; "" for keys. `ARCHIVE`: a snapshot for users.
        began, ended: Place in the total order of all beginnings and endings.
        bound: The highest (slot, position) that was known to somebody when it began.
        slot, position: Where it took effect; a read sees everything up to its slot.
        value: The outcome of a write, or what a read saw.
        index: Of a watch: wait until the key's index is above this.
        until_s: Of a watch: true time at which it is answered though nothing changed.
        since: Of a watch: the slot from which on it waits.
        watch_id: Of a watch that waits.
        restored: Of the end of a restore: value and ModifyIndex of the keys that it brings.
    """

    number: int
    client: str
    host: str
    kind: Kind
    began_s: float
    command: Command | None = None
    key: bytes = b""
    is_list: bool = False
    query: str = ""
    session: str = ""
    began: int = 0
    ended: int = 0
    ended_s: float = 0.0
    bound: tuple[int, float] = (0, 0.0)
    slot: int = 0
    position: float = 0.0
    value: Any = None
    index: int = 0
    until_s: float = 0.0
    since: int = -1
    watch_id: int = 0
    restored: dict[bytes, tuple[bytes, int]] = {}
    end: End = End.OPEN
    error: str = ""

    @property
    def place(self) -> tuple[int, float]:
        """Where it stands in the order that the log gives."""
        return (self.slot, self.position)
