"""The client: endpoints in, everything else from here."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from quorate.base.errors import RequestError
from quorate.client import arguments, environment
from quorate.client.aio.elections import AsyncElection
from quorate.client.aio.kv import AsyncKv
from quorate.client.aio.locks import AsyncLock
from quorate.client.aio.operator import AsyncOperator
from quorate.client.aio.road import FOREVER, AsyncRoad
from quorate.client.aio.semaphores import AsyncSemaphore
from quorate.client.aio.session import AsyncSessions
from quorate.client.aio.snapshot import AsyncSnapshots
from quorate.client.aio.status import AsyncStatus
from quorate.client.aio.txn import AsyncTxn
from quorate.client.arguments import Data
from quorate.client.endpoints import Ring
from quorate.client.holding import Lost, lock_plan
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest, Lane, call_path, head, query
from quorate.client.transport import AsyncClientTransport, Settings

DEADLINE_S = 10.0  # longer than an election, and than a node holds what finds no leader
ATTEMPT_S = 3.0


class AsyncClient:
    """A guest of a cluster.

        async with AsyncClient(["10.0.0.1:8500", "10.0.0.2:8500"]) as client:
            await client.kv.put("colour", b"green")

    Any node serves any request. One is used until it fails, then the next in the order given.
    What surely did not happen is tried again until the deadline; a write that may have happened
    is not, it raises OutcomeUnknownError.

    It lives on one event loop at a time, that of its first call; when that loop is closed, the
    next call begins on its own. After a fork the child makes connections of its own, and a copy
    (by pickle, so by multiprocessing, too) makes its own as well.

    Args:
        endpoints: Nodes, as `host:port`, `http://host:port` or `unix:///path`; several in a list.
            None: those in CONSUL_HTTP_ADDR, separated by commas, else 127.0.0.1:8500.
        deadline_s: For calls that set none.
        attempt_s: How long a read waits for one node before it asks the next.
        token: Access token sent with every request; empty for none. None: the one in the file
            CONSUL_HTTP_TOKEN_FILE, else CONSUL_HTTP_TOKEN. It is part of a pickled client.
        pipes: Connections per node that concurrent calls share.

    Raises:
        TypeError: An argument is of another type; the text names it.
        RequestError: An endpoint makes no sense, a number is out of range, or the environment
            asks for what cannot be had (CONSUL_HTTP_SSL, CONSUL_CACERT and other variables).

    Attributes:
        kv: Keys and values.
        session: Sessions.
        status: What the nodes say of themselves.
        snapshot: Backups.
        operator: Members, votes and leadership.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] | None = None,
        *,
        deadline_s: float = DEADLINE_S,
        attempt_s: float = ATTEMPT_S,
        token: str | None = None,
        pipes: int = 2,
    ) -> None:
        deadline_s = arguments.seconds("deadline_s", deadline_s)
        attempt_s = arguments.seconds("attempt_s", attempt_s)
        if deadline_s <= 0 or attempt_s <= 0:
            raise RequestError("bad_request", "deadline_s and attempt_s must be above zero")
        arguments.whole("pipes", pipes, 1)
        environment.check(os.environ)
        secret = environment.token(os.environ) if token is None else arguments.text("token", token)
        if not (secret.isprintable() and secret.isascii()):
            raise RequestError("bad_request", "a token has only printable ASCII characters")
        ring = Ring(environment.addresses(os.environ) if endpoints is None else endpoints)
        self._transport = AsyncClientTransport(
            Settings(
                token=secret,
                authorization=environment.authorization(os.environ),
                pipes=pipes,
                stalled=ring.leave,
            )
        )
        self._road = AsyncRoad(ring, self._transport, deadline_s, attempt_s)
        self._ring = ring
        self.deadline_s = deadline_s
        self.now_s = self._transport.now_s
        self.kv = AsyncKv(self._road)
        self.session = AsyncSessions(self._road)
        self.status = AsyncStatus(self._road)
        self.snapshot = AsyncSnapshots(self._road)
        self.operator = AsyncOperator(self._road)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._road!r}; uses {self.endpoint}>"

    @property
    def endpoint(self) -> str:
        """The node in use now, as `host:port`."""
        return self._ring.current.name

    def txn(self) -> AsyncTxn:
        """Begin a transaction."""
        return AsyncTxn(self._road)

    def lock(
        self,
        name: str,
        *,
        value: Data = b"",
        ttl_s: float = 15.0,
        wait_s: float = FOREVER,
        lock_delay_s: float = 15.0,
        on_lost: Lost | None = None,
    ) -> AsyncLock:
        """Make a lock, to be held by a `with` block.

        Args:
            name: The key that is the lock.
            value: Written to it while held, for people.
            ttl_s: After a crash the lock is free when this, and at most twice this, has passed
                since the last renewal: 10 to 86,400.
            wait_s: How long to wait for it in all, whether another holds it or no node answers;
                0: only try. Infinity: until it is free, but at most a minute for an answer.
            lock_delay_s: How long it stays taken after a session ended by itself, so that a
                holder cut off can notice; 0 to 60.
            on_lost: Called with the reason when it is lost while held.

        Raises:
            TypeError, RequestError: An argument is of another type or out of range.
        """
        return AsyncLock(
            self.kv,
            self.session,
            lock_plan(name, value, ttl_s, wait_s, lock_delay_s, on_lost),
        )

    def election(
        self,
        name: str,
        value: Data,
        *,
        ttl_s: float = 15.0,
        wait_s: float = FOREVER,
        lock_delay_s: float = 15.0,
        on_lost: Lost | None = None,
    ) -> AsyncElection:
        """Stand for leadership: a lock whose value tells the others who leads.

        Args:
            name: The key that the election is about.
            value: What others shall read while we lead, such as our address.
            ttl_s: See `lock`.
            wait_s: See `lock`.
            lock_delay_s: See `lock`.
            on_lost: See `lock`.
        """
        return AsyncElection(
            self.kv,
            self.session,
            lock_plan(name, value, ttl_s, wait_s, lock_delay_s, on_lost),
        )

    def semaphore(
        self,
        prefix: str,
        limit: int,
        *,
        value: Data = b"",
        ttl_s: float = 15.0,
        wait_s: float = FOREVER,
        on_lost: Lost | None = None,
    ) -> AsyncSemaphore:
        """Make a semaphore, to be held by a `with` block.

        Args:
            prefix: The keys of the semaphore begin with this and a slash; no others may.
            limit: How many may hold it at once; the same for all who use it.
            value: Written to the holder's own key while held, for people.
            ttl_s: See `lock`.
            wait_s: See `lock`.
            on_lost: See `lock`.

        Raises:
            TypeError, RequestError: An argument is of another type or out of range.
        """
        plan = lock_plan(arguments.filled("prefix", prefix), value, ttl_s, wait_s, 0.0, on_lost)
        return AsyncSemaphore(self.kv, self.session, plan, prefix, limit)

    async def call(
        self,
        method: str,
        path: str,
        body: Data = b"",
        *,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        **parameters: str | int | bool | None,
    ) -> Reply:
        """Ask for something that has no method here.

        Args:
            method: `GET`, `PUT`, `POST` or `DELETE`.
            path: Quoted, from `/v1/` on, without a query.
            body: Sent as it is; a text as UTF-8.
            deadline_s: Seconds from now.
            attempt_s: How long one node may take, for `GET`; None: until the deadline.
            parameters: The query; True is a name without value, None and False are left out.

        Returns:
            The reply, whose status is 200.

        Raises:
            QuorateError: Any other status, by what it means; no answer, as everywhere.
        """
        arguments.one_of("method", method, ("GET", "PUT", "POST", "DELETE"))
        for name, value in parameters.items():
            arguments.parameter(name, value)
        request = ClientRequest(
            head(method, call_path(path), query(**parameters)),
            arguments.data("body", body),
            Lane.ALONE,
            is_repeatable=method == "GET",
        )
        attempt_s = arguments.limit("attempt_s", attempt_s)
        return await self._road.call(request, deadline_s, attempt_s)

    async def close(self) -> None:
        """Drop all connections; calls under way fail. Locks held end with their TTL."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
