"""The results of the client: frozen structs, decoded from Consul's JSON."""

from typing import Literal

import msgspec

from quorate.client import durations

Behavior = Literal["release", "delete"]


class KvEntry(msgspec.Struct, frozen=True):
    """One key with all that is stored about it.

    Attributes:
        value: At most 512 KiB; empty is a value.
        flags: 64 bits that belong to the application.
        create_index: Index of the command that created the key.
        modify_index: Index of the newest change; what `cas` compares.
        lock_index: How often a session took the key since it was last written without one.
        session: The session that holds the key, or empty.
    """

    key: str
    value: bytes
    flags: int = 0
    create_index: int = 0
    modify_index: int = 0
    lock_index: int = 0
    session: str = ""


class Written(msgspec.Struct, frozen=True):
    """The result of a conditional write; true if it took place.

    Attributes:
        is_done: False: the condition did not hold and nothing was written.
        index: Index of the command; the cluster's current one if nothing changed.
    """

    is_done: bool
    index: int

    def __bool__(self) -> bool:
        return self.is_done


class Leader(msgspec.Struct, frozen=True):
    """The leader, by an election.

    Attributes:
        value: The value that it wrote.
        session: Its session.
    """

    value: bytes
    session: str


class Session(msgspec.Struct, frozen=True):
    """A session, which holds locks until it ends.

    Attributes:
        behavior: What happens to its keys when it ends: `release` or `delete` them.
        ttl_s: Seconds after which it may end unless renewed; 0 means never.
        lock_delay_s: Seconds for which its keys cannot be acquired after it was invalidated.
        node_checks: Checks that invalidate it.
    """

    id: str
    name: str
    node: str
    behavior: str
    ttl_s: float
    lock_delay_s: float
    node_checks: tuple[str, ...]
    create_index: int
    modify_index: int


class TxnFault(msgspec.Struct, frozen=True, rename={"place": "OpIndex", "text": "What"}):
    """Why one operation of a transaction failed, and with it the transaction.

    Attributes:
        place: Position of the operation, from 0.
    """

    place: int = 0
    text: str = ""


class TxnDone(msgspec.Struct, frozen=True):
    """The result of a transaction; true if it took place.

    Attributes:
        is_done: False: at least one condition did not hold, and nothing was written.
        entries: One per operation that returns something, in order; several for `get_tree`.
        faults: Every operation that failed; empty if done.
        index: Index of the command; 0 for a transaction that only reads.
    """

    is_done: bool
    entries: tuple[KvEntry, ...]
    faults: tuple[TxnFault, ...]
    index: int

    def __bool__(self) -> bool:
        return self.is_done


class MemberInfo(msgspec.Struct, frozen=True):
    """A node of the cluster, as the failure detector of the queried node reports it.

    Attributes:
        status: `alive`, `leaving`, `left` or `failed`; `none` if unknown.
    """

    name: str
    address: str
    port: int
    status: str
    tags: dict[str, str]


class KvJson(msgspec.Struct, rename="pascal"):
    """A key in JSON."""

    key: str
    value: bytes | None = None
    flags: int = 0
    create_index: int = 0
    modify_index: int = 0
    lock_index: int = 0
    session: str = ""

    def entry(self) -> KvEntry:
        """The same as a KvEntry; in JSON an empty value is null."""
        return KvEntry(
            self.key,
            self.value or b"",
            self.flags,
            self.create_index,
            self.modify_index,
            self.lock_index,
            self.session,
        )


class SessionJson(msgspec.Struct, rename="pascal"):
    """A session in JSON: the lock-delay in nanoseconds, the TTL as a duration."""

    id: str = msgspec.field(name="ID")
    name: str = ""
    node: str = ""
    behavior: str = "release"
    ttl: str = msgspec.field(name="TTL", default="")
    lock_delay: int = 0
    node_checks: list[str] | None = None
    create_index: int = 0
    modify_index: int = 0

    def info(self) -> Session:
        """The same as a Session, in its units."""
        return Session(
            self.id,
            self.name,
            self.node,
            self.behavior,
            durations.parse(self.ttl),
            self.lock_delay / 1e9,
            tuple(self.node_checks or ()),
            self.create_index,
            self.modify_index,
        )


class SessionId(msgspec.Struct):
    """The reply to the creation of a session."""

    id: str = msgspec.field(name="ID")


class TxnItemJson(msgspec.Struct):
    """One result of a transaction."""

    kv: KvJson | None = msgspec.field(name="KV", default=None)


class TxnJson(msgspec.Struct, rename="pascal"):
    """The reply to a transaction in JSON."""

    results: list[TxnItemJson] | None = None
    errors: list[TxnFault] | None = None


class MemberJson(msgspec.Struct, rename="pascal"):
    """A member in JSON."""

    name: str
    addr: str = ""
    port: int = 0
    status: int = 0
    tags: dict[str, str] | None = None

    def info(self) -> MemberInfo:
        """The same as a MemberInfo, with the status as a text."""
        texts = ("none", "alive", "leaving", "left", "failed")
        status = texts[self.status] if 0 <= self.status < len(texts) else "none"
        return MemberInfo(self.name, self.addr, self.port, status, self.tags or {})


KV_ROWS = msgspec.json.Decoder(list[KvJson])
SESSION_ROWS = msgspec.json.Decoder(list[SessionJson])
SESSION_ID = msgspec.json.Decoder(SessionId)
TXN_ROW = msgspec.json.Decoder(TxnJson)
MEMBER_ROWS = msgspec.json.Decoder(list[MemberJson])
NAMES = msgspec.json.Decoder(list[str])
NAME = msgspec.json.Decoder(str)
