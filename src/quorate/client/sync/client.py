"""The client of a cluster, from which all other objects are obtained."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import quorate.client as lazy  # loads what is used, when it is used
from quorate.base.errors import RequestError
from quorate.client import arguments, bodies, environment
from quorate.client.arguments import Data
from quorate.client.blocking import ClientTransport
from quorate.client.endpoints import EndpointList
from quorate.client.holding import Lost, lock_plan
from quorate.client.replies import Reply
from quorate.client.requests import ClientRequest, Lane, blocking, call_path, head, query
from quorate.client.sync.elections import Election
from quorate.client.sync.kv import Kv
from quorate.client.sync.locks import Lock
from quorate.client.sync.requester import FOREVER, Requester
from quorate.client.sync.semaphores import Semaphore
from quorate.client.sync.session import Sessions
from quorate.client.sync.snapshot import Snapshots
from quorate.client.sync.status import Status
from quorate.client.sync.txn import Txn
from quorate.client.sync.watching import WATCH_TIMEOUT_S, Watch
from quorate.client.transport import Settings

DEADLINE_S = 10.0  # longer than an election, and than a node holds a request without a leader
ATTEMPT_S = 3.0


class Client:
    """A client of a cluster, for asyncio.

        with Client(["10.0.0.1:8500", "10.0.0.2:8500"]) as client:
            client.kv.put("colour", b"green")

    Any node serves any request. One is used until it fails, then the next in the order given.
    A request that was definitely not executed is tried again until the deadline; a write that may
    have been executed is not, it raises OutcomeUnknownError.

    It uses one event loop at a time, that of its first call; when that loop is closed, the next
    call uses the running one. After a fork the child makes connections of its own, and so does
    a copy (by pickle, so by multiprocessing, too).

    Args:
        endpoints: Nodes, as `host:port`, `http://host:port` or `unix:///path`; several in a list.
            None: those in CONSUL_HTTP_ADDR, separated by commas, else 127.0.0.1:8500.
        deadline_s: For calls that set none.
        attempt_s: How long a read waits for one node before the next is tried.
        token: Access token sent with every request; empty for none. None: the one in the file
            CONSUL_HTTP_TOKEN_FILE, else CONSUL_HTTP_TOKEN. It is part of a pickled client.
        pipes: How many connections per node concurrent calls share.

    Raises:
        TypeError: An argument is of another type; the text names it.
        RequestError: An endpoint is invalid, a number is out of range, or the environment asks for
            what Quorate does not have (CONSUL_HTTP_SSL, CONSUL_CACERT and other variables).

    Attributes:
        kv: Keys and values.
        session: Sessions.
        status: The cluster as the node in use sees it.
        snapshot: Backups.
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
        endpoint_list = EndpointList(
            environment.addresses(os.environ) if endpoints is None else endpoints
        )
        self._transport = ClientTransport(
            Settings(
                token=secret,
                authorization=environment.authorization(os.environ),
                connections_max=pipes,
                stalled=endpoint_list.leave,
            )
        )
        self._requester = Requester(endpoint_list, self._transport, deadline_s, attempt_s)
        self._endpoint_list = endpoint_list
        self.deadline_s = deadline_s
        self.now_s = self._transport.now_s
        self.kv = Kv(self._requester)
        self.session = Sessions(self._requester)
        self.status = Status(self._requester)
        self.snapshot = Snapshots(self._requester)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._requester!r}; uses {self.endpoint}>"

    @property
    def endpoint(self) -> str:
        """The node in use now, as `host:port`."""
        return self._endpoint_list.current.name

    def txn(self) -> Txn:
        """Begin a transaction."""
        return Txn(self._requester)

    def lock(
        self,
        name: str,
        *,
        value: Data = b"",
        ttl_s: float = 15.0,
        wait_s: float = FOREVER,
        lock_delay_s: float = 15.0,
        on_lost: Lost | None = None,
    ) -> Lock:
        """Make a lock, to be held by a `with` block.

        Args:
            name: The key that is the lock.
            value: Written to it while held; a description.
            ttl_s: After a crash of the holder, the lock becomes free when this, and at most twice
                this, has passed since the last renewal: 10 to 86,400.
            wait_s: How long to wait for it, whether another session holds it or no node replies;
                0: only try. Infinity: until it is free, but at most a minute for a reply.
            lock_delay_s: How long it cannot be acquired after a session was invalidated, so that a
                disconnected holder can notice it; 0 to 60.
            on_lost: Called with the reason when it is lost while held.

        Raises:
            TypeError, RequestError: An argument is of another type or out of range.
        """
        return Lock(
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
    ) -> Election:
        """Campaign for leadership: a lock whose value identifies the leader to the others.

        Args:
            name: The key of the election.
            value: What others read while this program leads, such as its address.
            ttl_s: See `lock`.
            wait_s: See `lock`.
            lock_delay_s: See `lock`.
            on_lost: See `lock`.
        """
        return Election(
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
    ) -> Semaphore:
        """Make a semaphore, to be held by a `with` block.

        Args:
            prefix: The keys of the semaphore begin with this and a slash; no others may.
            limit: How many may hold it at once; the same for all who use it.
            value: Written to the holder's own key while held; a description.
            ttl_s: See `lock`.
            wait_s: See `lock`.
            on_lost: See `lock`.

        Raises:
            TypeError, RequestError: An argument is of another type or out of range.
        """
        plan = lock_plan(arguments.filled("prefix", prefix), value, ttl_s, wait_s, 0.0, on_lost)
        return Semaphore(self.kv, self.session, plan, prefix, limit)

    def choose(self, service: str, *, strategy: str = "peak_ewma", tag: str = "") -> "lazy.Chooser":
        """Choose among the healthy instances of a service, one for each request.

        Args:
            service: Its name.
            strategy: `peak_ewma` is for one of many clients; `docs/balancing.md` has the others.
            tag: Only instances with this tag; empty: all.

        Raises:
            TypeError, RequestError: An argument is of another type, empty, or no strategy.
        """
        return lazy.Chooser(self._requester, service, strategy, tag)

    def call(
        self,
        method: str,
        path: str,
        body: Data = b"",
        *,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        **parameters: str | int | bool | None,
    ) -> Reply:
        """Execute a request for which there is no method.

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
            QuorateError: The error for any other status, or for a missing reply.
        """
        arguments.one_of("method", method, ("GET", "PUT", "POST", "DELETE"))
        for name, value in parameters.items():
            arguments.parameter(name, value)
        request = ClientRequest(
            head(method, call_path(path), query(**parameters)),
            arguments.data("body", body),
            Lane.EXCLUSIVE,
            is_repeatable=method == "GET",
        )
        attempt_s = arguments.limit("attempt_s", attempt_s)
        return self._requester.call(request, deadline_s, attempt_s)

    def watch(
        self,
        path: str,
        *,
        patience_s: float = WATCH_TIMEOUT_S,
        **parameters: str | int | bool | None,
    ) -> Watch[Any]:
        """Watch what a read shows for which there is no method: its JSON now, then each change.

        Args:
            path: Of a read that blocks, as `/v1/health/service/web`; quoted, without a query.
            patience_s: The watch raises UnavailableError when no node has replied for so long.
            parameters: The query, as in `call`.

        Returns:
            Endless states; None while what is read does not exist (404).

        Raises:
            RequestError: The path or a parameter cannot be sent.
        """
        for name, value in parameters.items():
            arguments.parameter(name, value)
        target = call_path(path)
        return Watch(
            self._requester,
            lambda index, wait_s: blocking(target, index, wait_s, **parameters),
            bodies.value,
            patience_s,
            path,
        )

    def close(self) -> None:
        """Drop all connections; calls in flight fail. Locks that are held end with their TTL."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
