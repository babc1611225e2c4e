"""The parts of locks and semaphores that both clients share: all but the waiting.

HLD-1: a lock counts as lost when no renewal *begun* within nine tenths of its TTL has succeeded; a
    session ends no earlier than a whole TTL after a renewal, so the holder notices it first.
"""

import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import msgspec

from quorate.client import forks
from quorate.client.arguments import (
    LOCK_DELAY_S,
    TTL_S,
    Data,
    callback,
    data,
    filled,
    seconds,
)
from quorate.client.errors import LockLostError, SemaphoreError
from quorate.client.requests import kv_path
from quorate.client.structs import Behavior, KvEntry

LOCK_FLAG = 0x2DDCCBC058A50C18  # marks a key as a lock, for all clients of Consul's API
SEMAPHORE_FLAG = 0xE0F69A2BAA414DE0  # the same for the document of a semaphore
SAFE = 0.9  # of the TTL; the rest is for differences between clocks
RENEWALS_PER_TTL = 3
RETRY_S = 0.5  # after a failed renewal
REFUSED_S = 0.25  # before the next try for a key that is free but refused, during a lock-delay
RELEASE_S = 5.0  # how long an exit waits for a cluster that does not answer
LOST_S = 0.5  # the same for a lock that is lost already, or was not acquired
GRACE_S = 0.25  # for the reply to a read that waits until the deadline
ANSWER_TIMEOUT_S = 60.0  # how long no node may reply while a lock is waited for

Lost = Callable[[str], object]


class LockPlan(msgspec.Struct, frozen=True):
    """The arguments of a lock; see `AsyncClient.lock`.

    Attributes:
        behavior: What happens to the key when the session ends without a release.
    """

    name: str
    value: bytes
    ttl_s: float
    wait_s: float
    lock_delay_s: float
    on_lost: Lost | None = None
    behavior: Behavior = "release"


def lock_plan(
    name: str, value: Data, ttl_s: float, wait_s: float, lock_delay_s: float, on_lost: Lost | None
) -> LockPlan:
    """Check the arguments of a lock; see `AsyncClient.lock`.

    Raises:
        TypeError, RequestError: An argument is of another type or out of range; the text names it.
    """
    kv_path(filled("name", name))
    callback("on_lost", on_lost)
    return LockPlan(
        name,
        data("value", value),
        seconds("ttl_s", ttl_s, *TTL_S),
        seconds("wait_s", wait_s),
        seconds("lock_delay_s", lock_delay_s, *LOCK_DELAY_S),
        on_lost,
    )


class _Document(msgspec.Struct, rename="pascal"):
    """The document of a semaphore: how many may hold it, and the sessions that do."""

    limit: int
    holders: dict[str, bool] = {}


def holders(entry: KvEntry | None, limit: int) -> frozenset[str]:
    """The sessions that hold a semaphore, by its document; none if there is no document yet.

    Raises:
        SemaphoreError: It is no such document, or has another limit than `limit`.
    """
    if entry is None:
        return frozenset()
    try:
        document = msgspec.json.decode(entry.value, type=_Document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SemaphoreError(f"{entry.key} is no semaphore: {error}") from error
    if document.limit != limit:
        text = f"{entry.key} has limit {document.limit}, not {limit}"
        raise SemaphoreError(text, document.limit)
    return frozenset(document.holders)


def holders_document(limit: int, sessions: AbstractSet[str]) -> bytes:
    """The document of a semaphore that these sessions hold."""
    return msgspec.json.encode(_Document(limit, dict.fromkeys(sorted(sessions), True)))


class Usage:
    """Whether a lock object is in use; one caller can use it at a time. A copy is not in use."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()

    def __reduce__(self) -> tuple[type["Usage"], tuple[()]]:
        return Usage, ()

    @property
    def is_begun(self) -> bool:
        """The lock is held or waited for."""
        return self._mutex.locked()

    def begin(self) -> bool:
        """Mark it as in use; False if it is already. Never waits."""
        return self._mutex.acquire(blocking=False)

    def end(self) -> None:
        """Mark it as free; called once after each `begin` that returned True."""
        self._mutex.release()


class Held:
    """A lock that is held, or was.

    Attributes:
        name: The key.
        session: The session that holds it.
        fence: The fencing token: higher than that of every earlier holder. Pass it to the
            resource that the lock protects, which must refuse lower ones; only that is safe.
    """

    def __init__(self, name: str, session: str, fence: int) -> None:
        self.name = name
        self.session = session
        self.fence = fence
        self._lost_why = ""
        self._generation = forks.generation()

    def __reduce__(self) -> str:
        raise TypeError(
            f"a lock that is held belongs to its process; pass on fence and session of {self!r}"
        )

    def __repr__(self) -> str:
        state = f"lost: {self._why}" if self._why else "held"
        return f"Held({self.name!r}, fence={self.fence}, {state})"

    @property
    def is_lost(self) -> bool:
        """Whether it is known to be lost. False is no proof that it is held: only the fence is."""
        return bool(self._why)

    def check(self) -> None:
        """Do nothing while the lock is held.

        Raises:
            LockLostError: It was lost.
        """
        if self._why:
            raise self.error()

    def error(self) -> LockLostError:
        """The error with the reason of the loss."""
        return LockLostError(f"lock {self.name!r} was lost: {self._why}")

    def lose(self, why: str) -> None:
        """Mark it as lost; called by the session renewal."""
        self._lost_why = self._lost_why or why

    @property
    def _why(self) -> str:
        if self._generation != forks.generation():
            return "this process was forked from the one that holds it"
        return self._lost_why
