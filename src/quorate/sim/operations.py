"""Operations: what clients requested, when, and with which result."""

from enum import Enum
from math import inf
from typing import Any

import msgspec

from quorate.base.command import Command


class OperationKind(Enum):
    """What an operation is."""

    WRITE = "write"
    READ = "read"  # linearizable
    STALE = "stale"
    WATCH = "watch"  # a blocking read: until what is read changes
    RENEW = "renew"  # of a session: a read, then a write if that is needed


class OperationStatus(Enum):
    """The state of an operation."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"  # it did not happen, for certain
    UNKNOWN = "unknown"


Subject = tuple[str, bytes, bool, bool]

ARCHIVE = "archive"
"""A read of everything, as a snapshot for users holds it."""


class Operation(msgspec.Struct):
    """One operation of one client.

    Attributes:
        number: Its place among all operations.
        client, host: The client, and the host it called.
        command: Of a write.
        key: Of a read: a key, or a prefix if `is_list`.
        query: Of a read: which query of a domain; "" for keys. `ARCHIVE`: a snapshot for users.
        began, ended: Place in the total order of all beginnings and endings.
        bound: The highest (slot, position) that was known to somebody when it began.
        slot, position: Where it took effect; a read sees everything up to its slot.
        value: The outcome of a write, or what a read saw.
        index: Of a watch: wait until the index of what is read is above this.
        wait_s: Of a watch: for how long.
        is_stale: Of a watch: of what the host has.
        is_long: Of a list: it is read as one that is too long for one turn.
        age_s_max: Of a stale read: from tables that are surely not older.
        deadline_s: On its host's clock, when its client stops waiting.
        reported_index: The index in its response.
        index_bound: The highest that was reported for the same subject before it began.
        since: Of a watch: the slot from which on it waits.
        watch_id: Of a watch that waits.
        checks_late: How often it was found open after its deadline.
        log_time_ms: Of a renewal: log time at which it was looked at.
        restored: Of the end of a restore: value and ModifyIndex of the keys that it brings.
        planted: The error that the seed injected; its client must get that one.
    """

    number: int
    client: str
    host: str
    kind: OperationKind
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
    wait_s: float = 0.0
    is_stale: bool = False
    is_long: bool = False
    age_s_max: float = inf
    deadline_s: float = inf
    reported_index: int = 0
    index_bound: int = 0
    since: int = -1
    watch_id: int = 0
    checks_late: int = 0
    log_time_ms: int = 0
    restored: dict[bytes, tuple[bytes, int]] = {}
    planted: str = ""
    end: OperationStatus = OperationStatus.OPEN
    error: str = ""

    @property
    def subject(self) -> Subject:
        """What it reads, as far as indexes compare: a long list reports the index of all keys."""
        return (self.query, self.key, self.is_list, self.is_long)

    @property
    def is_linearizable(self) -> bool:
        """Whether it is a read that must reflect all that was known when it began."""
        return self.kind is OperationKind.READ or (
            self.kind is OperationKind.WATCH and not self.is_stale
        )

    @property
    def may_have_written(self) -> bool:
        """Whether a command of it was submitted to a node."""
        return self.command is not None

    def writes(self, command: Command) -> None:
        """This is what it submits to a node: of a renewal, that is known only now."""
        self.command = command

    def watches(self, watch_id: int, slot: int) -> None:
        """It waits for what changes after this slot."""
        self.watch_id, self.since = watch_id, slot

    def stops_watching(self) -> None:
        """It was woken, or no longer waits."""
        self.watch_id = 0

    @property
    def place(self) -> tuple[int, float]:
        """Its place in the order of the log."""
        return (self.slot, self.position)
