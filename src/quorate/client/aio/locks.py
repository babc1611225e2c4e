"""Locks: a key that is held by a session, which the client renews.

The algorithm is that of all clients of Consul's API, so that they exclude each other: a session
with a TTL, `acquire` of the key with it, a blocking query while another session holds the key.
"""

from types import TracebackType

from quorate.base.errors import (
    NotFoundError,
    OutcomeUnknownError,
    QuorateError,
    RequestError,
    UnavailableError,
)
from quorate.client import forks
from quorate.client.aio.kv import AsyncKv
from quorate.client.aio.requester import FOREVER
from quorate.client.aio.session import AsyncSessions
from quorate.client.aio.watching import WAIT_S
from quorate.client.errors import LockHeldError
from quorate.client.holding import (
    ANSWER_TIMEOUT_S,
    GRACE_S,
    LOCK_FLAG,
    LOST_S,
    REFUSED_S,
    RELEASE_S,
    RENEWALS_PER_TTL,
    Held,
    LockPlan,
    Usage,
)
from quorate.client.log import LOG
from quorate.client.renewing import AsyncRenewer
from quorate.client.replies import INVALID_SESSION
from quorate.client.structs import KvEntry
from quorate.client.times import async_sleep


class AsyncLock:
    """A lock, from `client.lock`; hold it with `async with`, or `acquire` and `release`.

        async with client.lock("jobs/nightly") as held:
            await store.write(rows, fence=held.fence)

    When it is lost (the session ended, the key was deleted, no node replied for nearly the TTL),
    the async client cancels the body and raises LockLostError in its place; with the sync client,
    call `held.check()` between steps. One caller at a time can use an object. After a fork only the
    parent holds the lock: in the child `held.check()` raises, and leaving the block does nothing.

    Raises (on entering):
        LockHeldError: Another session held it for all of `wait_s`.
        UnavailableError: No node replied within `wait_s`, at most a minute; for `wait_s=0`
            within the client's `deadline_s`.

    Cost: one blocking query while waiting; while held, a renewal each third of the TTL.
    """

    def __init__(self, kv: AsyncKv, sessions: AsyncSessions, plan: LockPlan) -> None:
        self._kv = kv
        self._sessions = sessions
        self._plan = plan
        self._session = ""
        self._renewer: AsyncRenewer | None = None
        self._held: Held | None = None
        self._last_error = ""
        self._usage = Usage()
        self._generation = forks.generation()

    def __repr__(self) -> str:
        if self._is_of_parent():
            state = "held by the parent process" if self._held else "free"
        elif self._held is not None:
            state = "lost" if self._held.is_lost else f"held, fence {self._held.fence}"
        else:
            state = "being waited for" if self._usage.is_begun else "not held"
        return f"<{type(self).__name__} {self._plan.name!r}, {state}>"

    def __getstate__(self) -> dict[str, object]:
        """Its attributes; only a lock that is not in use can be pickled.

        Raises:
            TypeError: It is held, or waited for.
        """
        if self._usage.is_begun:
            raise TypeError(
                f"lock {self._plan.name!r} is in use, so it cannot be pickled; "
                "pass its name to the other process, or held.fence and held.session"
            )
        return self.__dict__

    async def __aenter__(self) -> Held:
        held = await self.acquire()
        if self._renewer is not None:
            self._renewer.bind()
        return held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held, renewer = self._held, self._renewer
        is_our_end = False
        if renewer is not None and not self._is_of_parent():
            is_our_end = renewer.unbind(kind)
        await self.release()
        if held is not None and held.is_lost and (is_our_end or error is None):
            raise held.error() from error

    async def acquire(self) -> Held:
        """Wait for the lock. The class has the errors."""
        if self._is_of_parent():
            self._forget()
        if not self._usage.begin():
            raise RequestError("bad_request", "this lock is in use; make one for each holder")
        try:
            held = self._held = await self._wait(self._kv.now_s())
        except BaseException:
            self._usage.end()
            raise
        return held

    async def _wait(self, begun_s: float) -> Held:
        """Wait for the lock; its time limits count from `begun_s`."""
        until_s = begun_s + self._plan.wait_s
        wait_s = self._plan.wait_s or self._kv.deadline_s
        while True:
            failing_s = self._kv.now_s()
            answer_s = min(begun_s + wait_s, failing_s + ANSWER_TIMEOUT_S)
            held = await self._try_once(until_s, answer_s)
            if held is not None:
                return held
            pause_s = min(REFUSED_S, answer_s - self._kv.now_s())
            if pause_s <= 0:
                raise UnavailableError(
                    "unreachable",
                    f"lock {self._plan.name!r} was not acquired within {wait_s:g} s: "
                    f"{self._last_error or 'its session ended'}",
                )
            await async_sleep(pause_s)

    async def release(self) -> None:
        """Release the lock, if it is held. If no node replies, it ends with its TTL."""
        if self._is_of_parent():
            self._forget()
            return
        held, self._held = self._held, None
        if held is None:
            return
        try:
            await self._end_hold(held, LOST_S if held.is_lost else RELEASE_S)
        finally:
            self._usage.end()

    def _is_of_parent(self) -> bool:
        """Whether a fork lies between this process and the one that began to use the lock."""
        return self._generation != forks.generation()

    def _forget(self) -> None:
        """Return to the initial state in a child: session, key and renewal belong to the parent."""
        self._session = ""
        self._renewer = self._held = None
        self._usage = Usage()
        self._generation = forks.generation()

    async def _end_hold(self, held: Held | None, limit_s: float) -> None:
        """Release the key, if it is held, and end the session, within `limit_s`."""
        renewer, self._renewer = self._renewer, None
        session, self._session = self._session, ""
        until_s = self._kv.now_s() + limit_s
        try:
            if renewer is not None:
                await renewer.stop()
        finally:
            if held is not None and not held.is_lost:
                await self._unlock(session, limit_s / 2)
            if session:
                await self._end(session, max(until_s - self._kv.now_s(), 0.0))

    async def _unlock(self, session: str, limit_s: float) -> None:
        plan = self._plan
        try:
            await self._kv.release(
                plan.name, plan.value, session, flags=LOCK_FLAG, deadline_s=limit_s
            )
        except QuorateError as error:  # the end of the session releases the key, too
            LOG.warning("lock %r: its lock-delay may run: %s", plan.name, error.text)

    async def _end(self, session: str, limit_s: float) -> None:
        try:
            await self._sessions.destroy(session, deadline_s=limit_s)
        except QuorateError as error:  # the session ends by itself, and the lock with it
            LOG.warning("lock %r: it is free only after its TTL: %s", self._plan.name, error.text)

    # --- acquiring it -------------------------------------------------------------------------

    async def _try_once(self, until_s: float, answer_s: float) -> Held | None:
        """Make a session and acquire the key; None if that session ended before.

        Args:
            until_s: The deadline of waiting for another holder.
            answer_s: The deadline of waiting for a reply.
        """
        plan = self._plan
        begun_s = self._kv.now_s()
        try:
            self._session = await self._sessions.create(
                f"lock {plan.name}",
                ttl_s=plan.ttl_s,
                behavior=plan.behavior,
                lock_delay_s=plan.lock_delay_s,
                deadline_s=max(answer_s - begun_s, 0.0),
            )
        except OutcomeUnknownError as error:  # the session, if there is one, ends with its TTL
            self._last_error = error.text.partition("; the write")[0]
            return None
        self._last_error = ""
        try:
            self._renewer = AsyncRenewer(self, plan.ttl_s, begun_s)
            fence = await self._acquire_key(self._renewer, until_s, answer_s)
        except BaseException:
            await self._end_hold(None, LOST_S)
            raise
        held = Held(plan.name, self._session, fence)
        if fence and self._renewer.guard(held, plan.on_lost):
            return held
        await self._end_hold(None, LOST_S)
        return None

    async def _acquire_key(self, renewer: AsyncRenewer, until_s: float, answer_s: float) -> int:
        """Try until the session holds the key; return the fence, or 0 if the session ended."""
        plan = self._plan
        while not renewer.why:
            rest_s = answer_s - self._kv.now_s()
            try:
                written = await self._kv.acquire(
                    plan.name,
                    plan.value,
                    self._session,
                    flags=LOCK_FLAG,
                    deadline_s=max(min(rest_s, ANSWER_TIMEOUT_S), 0.0),
                )
            except (NotFoundError, OutcomeUnknownError) as error:
                if INVALID_SESSION in error.response:  # it ended, which the renewal has not noticed
                    return 0
                if error.definite:
                    raise
                text = error.text.partition("; the write")[0]
                raise UnavailableError("unreachable", text) from error  # the session is ended
            if written:
                return written.index or await self._fence(rest_s)
            answer_s = self._extended(answer_s)
            holder = await self._until_free(renewer, until_s, answer_s)
            if self._kv.now_s() >= until_s:
                raise self._held_error(holder)
            answer_s = self._extended(answer_s)
        return 0

    def _extended(self, answer_s: float) -> float:
        """The deadline after a reply: for a lock without a time limit, the timeout begins anew."""
        return self._kv.now_s() + ANSWER_TIMEOUT_S if self._plan.wait_s == FOREVER else answer_s

    async def _fence(self, rest_s: float) -> int:
        """The index of the key, for servers whose replies to writes have none."""
        entry = await self._kv.get(self._plan.name, deadline_s=max(rest_s, 0.0))
        return entry.modify_index if entry is not None and entry.session == self._session else 0

    async def _until_free(self, renewer: AsyncRenewer, until_s: float, answer_s: float) -> str:
        """Wait until no session holds the key, or the deadline; name the last holder."""
        watch = self._kv.watch(self._plan.name, patience_s=FOREVER)
        holder = ""
        while not renewer.why:
            now_s = self._kv.now_s()
            rest_s = max(until_s - now_s, 0.0)
            wait_s = min(rest_s, WAIT_S, self._plan.ttl_s / 2)
            limit_s = min(max(answer_s - now_s, wait_s) + wait_s / 16 + GRACE_S, ANSWER_TIMEOUT_S)
            was_asked = watch.index > 0
            try:
                entry = await watch.look(wait_s, deadline_s=limit_s)
            except UnavailableError:
                if holder:
                    raise self._held_error(holder) from None
                raise
            if _holder(entry) in {"", self._session}:
                if not was_asked:  # free, but the acquire was refused
                    await async_sleep(min(rest_s, REFUSED_S))
                break
            holder = f"session {_holder(entry)} holds it"
            if self._kv.now_s() >= until_s:
                break
            answer_s = self._extended(answer_s)
        return holder or "it was released shortly before, and its lock-delay runs"

    def _held_error(self, holder: str) -> LockHeldError:
        plan = self._plan
        return LockHeldError(f"lock {plan.name!r} was not free within {plan.wait_s:g} s: {holder}")

    # --- called by the renewal ----------------------------------------------------------------

    async def renew(self, deadline_s: float) -> bool:
        """Renew the session once; False if it has ended."""
        attempt_s = self._plan.ttl_s / RENEWALS_PER_TTL / 2
        info = await self._sessions.renew(self._session, deadline_s=deadline_s, attempt_s=attempt_s)
        return info is not None

    async def wait_until_lost(self) -> str:
        """Return when the key is no longer held by the session, with the reason."""
        watch = self._kv.watch(self._plan.name, patience_s=FOREVER)
        while True:
            why = self._why(await watch.__anext__())
            if why:
                return why

    async def read_key(self, deadline_s: float) -> str:
        """Read the key: the reason why it is no longer held; empty if it is."""
        return self._why(await self._kv.get(self._plan.name, deadline_s=deadline_s))

    def _why(self, entry: KvEntry | None) -> str:
        if entry is None:
            return "its key was deleted"
        if not entry.session:
            return "its session has ended"
        return "" if entry.session == self._session else f"session {entry.session} holds it"


def _holder(entry: KvEntry | None) -> str:
    return "" if entry is None else entry.session
