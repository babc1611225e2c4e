"""Locks: a key held by a session that somebody keeps alive.

The recipe is the one that all clients of Consul's API use, so that they exclude each other: a
session with a TTL, `acquire` of the key under it, a blocking read while another holds it.
"""

from types import TracebackType

from quorate.base.errors import OutcomeUnknownError, QuorateError, RequestError
from quorate.client.errors import LockHeldError
from quorate.client.holding import (
    LOCK_FLAG,
    LOST_S,
    PATIENCE_S,
    REFUSED_S,
    RELEASE_S,
    RENEWALS_PER_TTL,
    Held,
    LockPlan,
)
from quorate.client.structs import KvEntry
from quorate.client.sync.kv import Kv
from quorate.client.sync.session import Sessions
from quorate.client.sync.watching import WAIT_S
from quorate.client.threads import Keeper
from quorate.client.times import sleep


class Lock:
    """A lock, from `client.lock`; hold it with `with`, or `acquire` and `release`.

        with client.lock("jobs/nightly") as held:
            store.write(rows, fence=held.fence)

    When it is lost (the session ended, the key was deleted, no node answered for nearly the
    TTL), the async client cancels the body and raises LockLostError in its place; with the sync
    client, ask `held.check()` between steps. One object is held once at a time.

    Raises (on entering):
        LockHeldError: Another session held it for all of `wait_s`.
        UnavailableError: No node answered for a minute.

    Cost: one blocking read while waiting; held, a renewal each third of the TTL.
    """

    def __init__(self, kv: Kv, sessions: Sessions, plan: LockPlan) -> None:
        self._kv = kv
        self._sessions = sessions
        self._plan = plan
        self._session = ""
        self._keeper: Keeper | None = None
        self._held: Held | None = None

    def __enter__(self) -> Held:
        held = self.acquire()
        if self._keeper is not None:
            self._keeper.bind()
        return held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held, keeper = self._held, self._keeper
        is_our_end = keeper is not None and keeper.unbind(kind)
        self.release()
        if held is not None and held.is_lost and (is_our_end or error is None):
            raise held.error() from error

    def acquire(self) -> Held:
        """Wait for the lock. The class tells what is raised."""
        if self._session:
            raise RequestError("bad_request", "this lock is in use; make one for each holder")
        until_s = self._kv.now_s() + self._plan.wait_s
        while True:
            held = self._begin(until_s)
            if held is not None:
                return held

    def release(self) -> None:
        """Give the lock back. Harmless if it is not held; without a cluster the TTL does it."""
        held, self._held = self._held, None
        keeper, self._keeper = self._keeper, None
        session, self._session = self._session, ""
        if keeper is not None:
            keeper.stop()
        if not session:
            return
        plan = self._plan
        is_lost = keeper is not None and bool(keeper.why)
        try:
            if held is not None and not is_lost:
                self._kv.release(
                    plan.name, plan.value, session, flags=LOCK_FLAG, deadline_s=RELEASE_S
                )
            self._sessions.destroy(session, deadline_s=LOST_S if is_lost else RELEASE_S)
        except QuorateError:  # the session ends by itself, and the lock with it
            return

    # --- taking it ----------------------------------------------------------------------------

    def _begin(self, until_s: float) -> Held | None:
        """Make a session and contend; None if that session ended before it had the lock."""
        plan = self._plan
        begun_s = self._kv.now_s()
        try:
            self._session = self._sessions.create(
                f"lock {plan.name}",
                ttl_s=plan.ttl_s,
                lock_delay_s=plan.lock_delay_s,
                deadline_s=PATIENCE_S,
            )
        except OutcomeUnknownError:  # a session nobody knows ends with its TTL; make another
            return None
        try:
            self._keeper = Keeper(self, plan.ttl_s, begun_s)
            fence = self._contend(self._keeper, until_s)
            if not fence:
                self.release()
                return None
        except BaseException:
            self.release()
            raise
        self._held = Held(plan.name, self._session, fence)
        self._keeper.guard(self._held, plan.on_lost)
        return self._held

    def _contend(self, keeper: Keeper, until_s: float) -> int:
        """Try until the key is ours; return the fence, or 0 if the session ended."""
        plan = self._plan
        while not keeper.why:
            try:
                written = self._kv.acquire(
                    plan.name, plan.value, self._session, flags=LOCK_FLAG, deadline_s=PATIENCE_S
                )
            except RequestError as error:
                if "session" in error.text:  # it ended, and the keeper has not heard of it yet
                    return 0
                raise
            if written:
                return written.index or self._fence()
            holder = self._until_free(keeper, until_s)
            if self._kv.now_s() >= until_s:
                raise LockHeldError(
                    f"lock {plan.name!r} was not free within {plan.wait_s:g} s: {holder}"
                )
        return 0

    def _fence(self) -> int:
        """For servers that tell no index at writes: the index of the key."""
        entry = self._kv.get(self._plan.name)
        return entry.modify_index if entry is not None and entry.session == self._session else 0

    def _until_free(self, keeper: Keeper, until_s: float) -> str:
        """Wait until nobody holds the key, or time is over; say who held it last."""
        watch = self._kv.watch(self._plan.name, patience_s=PATIENCE_S)
        holder = "it was released shortly before, and its lock-delay runs"
        while not keeper.why:
            rest_s = max(until_s - self._kv.now_s(), 0.0)
            was_asked = watch.index > 0
            entry = watch.look(min(rest_s, WAIT_S, self._plan.ttl_s / 2))
            if _holder(entry) in {"", self._session}:
                if not was_asked:  # free, and we were refused
                    sleep(min(rest_s, REFUSED_S))
                break
            holder = f"session {_holder(entry)} holds it"
            if self._kv.now_s() >= until_s:
                break
        return holder

    # --- called by the keeper -----------------------------------------------------------------

    def renew(self, deadline_s: float) -> bool:
        """Renew the session once; False if it has ended."""
        attempt_s = self._plan.ttl_s / RENEWALS_PER_TTL / 2
        info = self._sessions.renew(self._session, deadline_s=deadline_s, attempt_s=attempt_s)
        return info is not None

    def follow(self) -> str:
        """Return when another state of the key is seen than that we hold it, and say which."""
        watch = self._kv.watch(self._plan.name, patience_s=float("inf"))
        while True:
            why = self._why(watch.__next__())
            if why:
                return why

    def look(self) -> str:
        """Say why the key is no longer held; empty if it is."""
        return self._why(self._kv.get(self._plan.name))

    def _why(self, entry: KvEntry | None) -> str:
        if entry is None:
            return "its key was deleted"
        if not entry.session:
            return "its session has ended"
        return "" if entry.session == self._session else f"session {entry.session} holds it"


def _holder(entry: KvEntry | None) -> str:
    return "" if entry is None else entry.session
